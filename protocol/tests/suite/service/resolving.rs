//! From a question to a revision: whom to ask, what to believe, and that every command is answered.

use weft_protocol::{
    id::NodeId,
    op::{Op, Pin, Snapshot},
    service::{
        Command, CommandError, Freshness, Input, Outcome, Output, RequestId, Selector, StorageError,
    },
    wire,
};

use super::node::{Node, identity_facts, publish, snapshot};
use crate::fixture::{FRESHNESS, Publisher, RELEASE_NEW, Repository, key, sign};

fn proof(repository: &Repository, at: usize) -> wire::Response {
    wire::Response::Revision(Box::new(wire::RevisionProof {
        identity: repository.publisher.events.clone(),
        head: repository.heads[at].clone(),
        tip: None,
        inclusion: None,
    }))
}

#[test]
fn a_fetch_by_id_learns_whether_the_tip_is_fresh() {
    let mut repository = Repository::new(Publisher::new());
    let (revision, preimage) = publish(&mut repository, 7, 5);
    let mut node = Node::new(Snapshot::default());
    node.connect(1);
    let selector = Selector::Revision(revision);
    let command = node.fetch(&repository.id(), selector, Pin::User);
    let (request, ..) = node
        .asked(|message| matches!(message, wire::Request::Revision { .. }))
        .expect("a proof is asked for");
    node.answer(request, proof(&repository, 0));
    let (request, ..) = node
        .asked(|message| matches!(message, wire::Request::Repository { .. }))
        .expect("the newest head is asked for");
    let mut record = repository.record(0, None);
    record.freshness = Some(sign(&repository.freshness(0), &[(0, FRESHNESS)]));
    let (object, ..) = node
        .asked(|message| matches!(message, wire::Request::Object { .. }))
        .expect("the manifest is asked for");
    // The statement comes while the files are on their way.
    node.hold = true;
    node.answer(object, wire::Response::Object { preimage });
    node.answer(request, wire::Response::Repository(Box::new(record)));
    while !node.commits.is_empty() {
        node.answer_commit(Ok(()));
    }
    let Some(Ok(Outcome::Fetched(fetched))) = node.reply(command) else {
        panic!("{:?}", node.reply(command));
    };
    assert_eq!(fetched.resolved.freshness, Freshness::Fresh);
}

#[test]
fn a_proof_by_replaced_keys_vouches_for_nothing_where_the_rotation_is_known() {
    let mut repository = Repository::new(Publisher::new());
    let (revision, _) = publish(&mut repository, 7, 5);
    let mut rotated = repository.clone();
    rotated
        .publisher
        .rotate(|event| event.release_keys = vec![key(RELEASE_NEW)]);
    let mut node = Node::new(Snapshot {
        identities: vec![identity_facts(&rotated)],
        ..Snapshot::default()
    });
    node.connect(1);
    let selector = Selector::Revision(revision);
    node.fetch(&repository.id(), selector, Pin::User);
    let (request, ..) = node
        .asked(|message| matches!(message, wire::Request::Revision { .. }))
        .expect("a proof is asked for");
    node.answer(request, proof(&repository, 0));
    let object = node.asked(|message| matches!(message, wire::Request::Object { .. }));
    assert!(object.is_none(), "{object:?}");
}

#[test]
fn strangers_with_small_ids_hide_nobody() {
    let repository = Repository::of_length(1);
    let mut node = Node::new(Snapshot::default());
    for n in 1..=30 {
        node.connect(n);
    }
    node.command(Command::Resolve {
        repository: repository.id(),
        selector: Selector::Latest,
    });
    let mut asked: Vec<NodeId> = Vec::new();
    while let Some((request, peer, _)) =
        node.asked(|message| matches!(message, wire::Request::Repository { .. }))
    {
        asked.push(peer);
        node.answer(request, wire::Response::NotFound);
    }
    asked.sort_unstable();
    asked.dedup();
    assert_eq!(asked.len(), 30);
}

#[test]
fn a_failed_write_of_news_does_not_lose_what_is_being_fetched() {
    let mut repository = Repository::new(Publisher::new());
    let (_, preimage) = publish(&mut repository, 7, 5);
    publish(&mut repository, 8, 6);
    let mut node = Node::new(Snapshot::default());
    node.connect(1);
    node.connect(2);
    let command = node.fetch(&repository.id(), Selector::Latest, Pin::User);
    let is = |message: &wire::Request| matches!(message, wire::Request::Repository { .. });
    let (first, ..) = node.asked(is).expect("one is asked");
    let (second, ..) = node.asked(is).expect("so is the other");
    let record = |at, from| wire::Response::Repository(Box::new(repository.record(at, from)));
    node.answer(first, record(0, None));
    node.hold = true;
    node.answer(second, record(1, Some(0)));
    node.wait(5);
    let object = |message: &wire::Request| matches!(message, wire::Request::Object { .. });
    let (request, ..) = node.asked(object).expect("the first head's manifest");
    node.answer(request, wire::Response::Object { preimage });
    node.answer_commit(Err(StorageError::Full));
    while !node.commits.is_empty() {
        node.answer_commit(Ok(()));
    }
    let fetched = matches!(node.reply(command), Some(Ok(Outcome::Fetched(_))));
    assert!(fetched, "{:?}", node.reply(command));
}

#[test]
fn leaves_arrive_whole_when_two_answers_overlap() {
    let mut repository = Repository::of_length(7);
    let (revision, preimage) = publish(&mut repository, 7, 5);
    let mut held = snapshot(&repository, 7);
    held.repositories[0].leaves = vec![];
    held.mirrors = vec![weft_protocol::op::MirrorRecord {
        scope: weft_protocol::op::MirrorScope::Repository(repository.id()),
        bytes_max: None,
        created: crate::fixture::NOW,
    }];
    held.revisions = vec![super::node::complete(
        &repository.id(),
        revision,
        Pin::Mirror,
        5,
    )];
    held.manifests = vec![(revision, preimage)];
    let mut node = Node::new(held);
    node.connect(1);
    node.wait(400);
    let is = |message: &wire::Request| matches!(message, wire::Request::Log { .. });
    let mut questions = Vec::new();
    while let Some((request, _, message)) = node.asked(is) {
        questions.push((request, message));
    }
    assert!(questions.len() >= 2, "{questions:?}");
    let answer = |message: &wire::Request, most: usize| {
        let wire::Request::Log { first, .. } = message else {
            panic!("{message:?}");
        };
        let first = usize::try_from(*first).expect("a small index");
        let ids = repository.ids[first..].iter().take(most).copied();
        wire::Response::Log { ids: ids.collect() }
    };
    for (request, message) in questions.into_iter().take(2) {
        node.answer(request, answer(&message, 4));
    }
    while let Some((request, _, message)) = node.asked(is) {
        node.answer(request, answer(&message, 4));
    }
    let written = |op: &Op| matches!(op, Op::PutLeaves { ids, .. } if ids.len() == 8);
    assert!(node.written.iter().any(written), "{:?}", node.written);
}

#[test]
fn a_disconnected_command_is_still_answered() {
    let repository = Repository::of_length(1);
    let mut node = Node::new(Snapshot::default());
    let peer = node.connect(1);
    let command = node.fetch(&repository.id(), Selector::Latest, Pin::User);
    node.handle(Input::PeerDisconnected { peer });
    node.wait(60);
    assert!(matches!(node.reply(command), Some(Err(_))));
}

#[test]
fn a_fetch_can_be_cancelled_while_the_wish_is_written() {
    let mut repository = Repository::new(Publisher::new());
    let (revision, preimage) = publish(&mut repository, 7, 5);
    let mut node = Node::new(snapshot(&repository, 0));
    node.objects.insert(revision, preimage);
    node.has_blobs = false;
    node.connect(1);
    node.hold = true;
    let fetch = node.fetch(&repository.id(), Selector::Revision(revision), Pin::User);
    assert_eq!(node.commits.len(), 1);
    let cancel = node.command(Command::Cancel(fetch));
    assert_eq!(node.reply(cancel), Some(&Ok(Outcome::Done)));
    let cancelled = Err(CommandError::Cancelled);
    assert_eq!(node.reply(fetch), Some(&cancelled));
    node.answer_commit(Ok(()));
    assert_eq!(node.reply(fetch), Some(&cancelled));
    assert!(node.service.transfers().is_empty());
}

#[test]
fn a_new_fetch_of_what_starves_gets_its_own_time_and_looks_for_providers_again() {
    let mut repository = Repository::new(Publisher::new());
    let (revision, preimage) = publish(&mut repository, 7, 5);
    let mut node = Node::new(snapshot(&repository, 0));
    node.objects.insert(revision, preimage);
    node.has_blobs = false;
    node.connect(1);
    let selector = || Selector::Revision(revision);
    let first = node.fetch(&repository.id(), selector(), Pin::User);
    node.wait(20);
    let second = node.fetch(&repository.id(), selector(), Pin::User);
    node.wait(12);
    let nobody = |node: &Node, id| {
        let reply = node.reply(id);
        matches!(reply, Some(Err(CommandError::NoProviders { .. })))
    };
    assert!(nobody(&node, first), "{:?}", node.reply(first));
    assert_eq!(node.reply(second), None);
    node.wait(20);
    assert!(nobody(&node, second), "{:?}", node.reply(second));
    // Every search so far ended and found nobody.
    node.wait(600);
    while let Some(request) = searched(&mut node) {
        node.handle(Input::QueryFinished { request });
    }
    node.wait(3);
    let third = node.fetch(&repository.id(), selector(), Pin::User);
    assert!(
        searched(&mut node).is_some(),
        "providers are looked for at once"
    );
    node.wait(25);
    assert_eq!(node.reply(third), None);
}

/// The oldest search for providers that was not looked at.
fn searched(node: &mut Node) -> Option<RequestId> {
    let is = |output: &Output| matches!(output, Output::FindProviders { .. });
    let at = node.said.iter().position(is)?;
    match node.said.remove(at)? {
        Output::FindProviders { request, .. } => Some(request),
        _ => None,
    }
}
