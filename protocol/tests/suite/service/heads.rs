//! What is told about heads, and what is believed about them.

use weft_protocol::{
    accept::{EquivocationProof, EquivocationSubject, RepositoryRecord},
    head::Head,
    op::{Op, Pin},
    service::{Command, Freshness, GossipId, InboundId, Input, Outcome, Output},
    sign::Envelope,
    wire,
};

use super::node::{Node, complete, publish, snapshot};
use crate::fixture::{FRESHNESS, NET, NOW, Publisher, RELEASE, Repository, key, later, sign};

fn record_of(node: &mut Node, repository: &Repository) -> RepositoryRecord {
    let peer = node.connect(1);
    node.handle(Input::Request {
        peer,
        request: InboundId(1),
        message: wire::Request::Repository {
            repository: repository.id(),
            have: None,
        },
    });
    let told = node.said.iter().find_map(|output| match output {
        Output::Respond {
            message: wire::Response::Repository(record),
            ..
        } => Some(record.as_ref().clone()),
        _ => None,
    });
    told.expect("an answer")
}

#[test]
fn a_statement_about_an_older_head_is_not_told_after_a_restart() {
    let repository = Repository::of_length(2);
    let mut held = snapshot(&repository, 1);
    held.repositories[0].freshness = Some(sign(&repository.freshness(0), &[(0, FRESHNESS)]));
    let record = record_of(&mut Node::new(held), &repository);
    assert!(record.verify(NET, NOW).is_ok(), "{record:?}");
}

#[test]
fn a_statement_from_the_future_is_neither_told_nor_kept() {
    let mut repository = Repository::new(Publisher::new());
    let (revision, preimage) = publish(&mut repository, 7, 5);
    let mut early = repository.freshness(0);
    early.issued = later(8 * 3_600);
    early.expires = later(9 * 3_600);
    let mut held = snapshot(&repository, 0);
    held.repositories[0].freshness = Some(sign(&early, &[(0, FRESHNESS)]));
    held.revisions = vec![complete(&repository.id(), revision, Pin::User, 5)];
    held.manifests = vec![(revision, preimage)];
    let mut node = Node::new(held);
    let record = record_of(&mut node, &repository);
    assert!(record.verify(NET, NOW).is_ok(), "{record:?}");
    assert_eq!(node.service.repositories()[0].freshness, Freshness::Stale);

    let asked = node.said.iter().find_map(|output| match output {
        Output::SignFreshness {
            request, freshness, ..
        } => Some((*request, freshness.clone())),
        _ => None,
    });
    let (request, statement) = asked.expect("a statement of today is due");
    let freshness = Some(sign(&statement, &[(0, FRESHNESS)]));
    node.handle(Input::FreshnessSigned { request, freshness });
    assert_eq!(node.service.repositories()[0].freshness, Freshness::Fresh);
}

#[test]
fn a_rotation_ends_statements_by_the_freshness_key_before() {
    let mut repository = Repository::of_length(1);
    let mut held = snapshot(&repository, 0);
    held.repositories[0].freshness = Some(sign(&repository.freshness(0), &[(0, FRESHNESS)]));
    let mut node = Node::new(held);
    assert_eq!(node.service.repositories()[0].freshness, Freshness::Fresh);
    repository
        .publisher
        .rotate(|event| event.freshness_key = Some(key(120)));
    let command = node.command(Command::UpdateIdentity {
        publisher: repository.publisher.id(),
        events: repository.publisher.events.clone(),
    });
    assert_eq!(node.reply(command), Some(&Ok(Outcome::Done)));
    assert_eq!(node.service.repositories()[0].freshness, Freshness::Stale);
}

#[test]
fn other_signatures_on_the_same_events_are_the_same_identity() {
    let mut publisher = Publisher::with(|event| event.root_keys = vec![key(1), key(3)]);
    let mut repository = Repository::new(publisher.clone());
    repository.publish(1, RELEASE);
    let held = snapshot(&repository, 0);
    publisher.events = vec![sign(&publisher.tip, &[(1, 3)])];
    publisher.rotate(|_| {});
    let mut node = Node::new(held);
    let command = node.command(Command::UpdateIdentity {
        publisher: publisher.id(),
        events: publisher.events.clone(),
    });
    assert_eq!(node.reply(command), Some(&Ok(Outcome::Done)));
}

#[test]
fn a_proof_that_comes_during_a_write_is_not_lost() {
    let repository = Repository::of_length(2);
    let mut node = Node::new(snapshot(&repository, 0));
    let peer = node.connect(1);
    node.hold = true;
    let record = Box::new(repository.record(1, Some(0)));
    node.handle(Input::Gossip {
        peer,
        message: GossipId(1),
        announcement: wire::Announcement::Head(record),
    });
    let mut other = repository.clone();
    other.heads.pop();
    other.ids.pop();
    other.publish(99, RELEASE);
    let mut sides = [repository.heads[1].clone(), other.heads[1].clone()];
    sides.sort_by_key(Envelope::id::<Head>);
    let [first, second] = sides;
    let proof = EquivocationProof {
        identity: repository.publisher.events,
        subject: EquivocationSubject::Head,
        first,
        second,
    };
    node.handle(Input::Gossip {
        peer,
        message: GossipId(2),
        announcement: wire::Announcement::Equivocation(Box::new(proof)),
    });
    node.answer_commit(Ok(()));
    let frozen = node
        .commits
        .iter()
        .flat_map(|(_, ops)| ops)
        .any(|op| matches!(op, Op::PutEquivocation { .. }));
    assert!(frozen, "the proof is written after the head");
    while !node.commits.is_empty() {
        node.answer_commit(Ok(()));
    }
    assert!(node.service.repositories()[0].frozen);
}

#[test]
fn an_old_revision_that_is_held_is_proven_however_long_the_log() {
    let mut repository = Repository::new(Publisher::new());
    let (revision, preimage) = publish(&mut repository, 7, 5);
    for n in 1..=80 {
        repository.publish(n, RELEASE);
    }
    let mut held = snapshot(&repository, 80);
    held.revisions = vec![complete(&repository.id(), revision, Pin::User, 5)];
    held.manifests = vec![(revision, preimage)];
    let mut node = Node::new(held);
    let peer = node.connect(1);
    node.handle(Input::Request {
        peer,
        request: InboundId(1),
        message: wire::Request::Revision {
            repository: repository.id(),
            revision,
        },
    });
    let proof = loop {
        let at = node
            .said
            .iter()
            .position(|output| matches!(output, Output::ReadHead { .. } | Output::Respond { .. }));
        match node.said.remove(at.expect("it goes on")) {
            Some(Output::ReadHead { request, index, .. }) => {
                let at = usize::try_from(index).expect("a small index");
                let head = repository.heads.get(at).cloned();
                node.handle(Input::HeadRead { request, head });
            }
            Some(Output::Respond { message, .. }) => break message,
            _ => {}
        }
    };
    let wire::Response::Revision(proof) = proof else {
        panic!("{proof:?}");
    };
    let verified = proof.verify(NET, &repository.id(), &revision);
    assert!(verified.is_ok(), "{verified:?}");
}
