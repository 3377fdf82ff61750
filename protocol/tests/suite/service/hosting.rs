//! Offering answers of a model, and finding who does.

use std::collections::BTreeSet;

use weft_protocol::{
    discovery,
    id::{NodeId, RepositoryId, RevisionId},
    infer::hosts::Audience,
    op::{Op, Pin, Snapshot},
    service::{Admission, Command, CommandError, Input, Outcome, Output, Selector},
};

use super::node::{Node, complete, publish, snapshot};
use crate::fixture::{Publisher, Repository};

fn holding(repository: &mut Repository) -> (RevisionId, Snapshot) {
    let (revision, preimage) = publish(repository, 7, 5);
    let mut held = snapshot(repository, 0);
    held.revisions = vec![complete(&repository.id(), revision, Pin::User, 5)];
    held.manifests = vec![(revision, preimage)];
    (revision, held)
}

fn host(repository: &RepositoryId, audience: Option<Audience>) -> Command {
    Command::Host {
        repository: repository.clone(),
        revision: None,
        audience,
    }
}

fn asker(n: u8) -> NodeId {
    NodeId::new([n; 32])
}

#[test]
fn a_hosted_model_is_announced_until_it_is_not() {
    let mut repository = Repository::new(Publisher::new());
    let (revision, held) = holding(&mut repository);
    let key = discovery::host_key(&revision);
    let mut node = Node::new(held);
    assert!(!node.said.contains(&Output::Provide { key }));
    node.hold = true;
    let command = node.command(host(&repository.id(), Some(Audience::Everyone)));
    assert!(
        !node.said.contains(&Output::Provide { key }),
        "not before it is durable"
    );
    node.answer_commit(Ok(()));
    assert_eq!(node.reply(command), Some(&Ok(Outcome::Done)));
    assert!(node.said.contains(&Output::Provide { key }));
    assert_eq!(
        node.service.admission(&revision, &asker(1)),
        Admission::Stranger
    );
    let record = node.written.iter().rev().find_map(|op| match op {
        Op::PutRevision(record) => Some(record.clone()),
        _ => None,
    });

    // Another run takes it up again.
    let mut again = snapshot(&repository, 0);
    again.revisions = vec![record.expect("it was written")];
    again.manifests = node.objects.clone().into_iter().collect();
    let started = Node::new(again);
    assert!(started.said.contains(&Output::Provide { key }));

    node.hold = false;
    node.command(host(&repository.id(), None));
    assert!(node.said.contains(&Output::StopProviding { key }));
    assert_eq!(
        node.service.admission(&revision, &asker(1)),
        Admission::NotHosted
    );
    let nothing = node.command(host(&repository.id(), None));
    let reply = node.reply(nothing);
    assert!(
        matches!(reply, Some(Err(CommandError::NotFound { .. }))),
        "{reply:?}"
    );
}

#[test]
fn what_is_not_complete_here_is_not_hosted() {
    let mut repository = Repository::new(Publisher::new());
    let (revision, preimage) = publish(&mut repository, 7, 5);
    let mut node = Node::new(snapshot(&repository, 0));
    node.objects.insert(revision, preimage);
    node.has_blobs = false;
    node.connect(1);
    node.fetch(&repository.id(), Selector::Revision(revision), Pin::User);
    let command = node.command(host(&repository.id(), Some(Audience::Everyone)));
    let reply = node.reply(command);
    assert!(
        matches!(reply, Some(Err(CommandError::NotFound { .. }))),
        "{reply:?}"
    );
    assert_eq!(
        node.service.admission(&revision, &asker(1)),
        Admission::NotHosted
    );
}

#[test]
fn a_model_that_is_removed_is_hosted_no_more() {
    let mut repository = Repository::new(Publisher::new());
    let (revision, held) = holding(&mut repository);
    let key = discovery::host_key(&revision);
    for end in [
        Command::Remove {
            repository: repository.id(),
            revision: None,
        },
        Command::Unseed {
            repository: repository.id(),
            revision: None,
        },
    ] {
        let mut node = Node::new(held.clone());
        node.command(host(&repository.id(), Some(Audience::Everyone)));
        node.command(end);
        assert!(node.said.contains(&Output::StopProviding { key }));
        assert_eq!(
            node.service.admission(&revision, &asker(1)),
            Admission::NotHosted
        );
    }
}

#[test]
fn only_those_are_answered_who_were_named() {
    let mut repository = Repository::new(Publisher::new());
    let (revision, held) = holding(&mut repository);
    let mut node = Node::new(held);
    let named = Audience::Nodes(BTreeSet::from([asker(1)]));
    node.command(host(&repository.id(), Some(named)));
    assert_eq!(
        node.service.admission(&revision, &asker(1)),
        Admission::Named
    );
    assert_eq!(
        node.service.admission(&revision, &asker(2)),
        Admission::NotForThem
    );
    node.command(host(&repository.id(), Some(Audience::Follows)));
    assert_eq!(
        node.service.admission(&revision, &asker(1)),
        Admission::NotForThem
    );
}

#[test]
fn hosts_are_told_as_soon_as_one_is_found_and_nobody_when_the_search_is_over() {
    let mut node = Node::new(snapshot(&Repository::of_length(1), 0));
    node.connect(1);
    node.wait(20);
    let revision = crate::fixture::id(9);
    let key = discovery::host_key(&revision);
    let search = |node: &Node| {
        node.said.iter().rev().find_map(|output| match output {
            Output::FindProviders {
                request,
                key: sought,
            } if *sought == key => Some(*request),
            _ => None,
        })
    };
    let nobody = node.command(Command::FindHosts { revision });
    let request = search(&node).expect("it is looked for");
    assert_eq!(node.reply(nobody), None);
    node.handle(Input::QueryFinished { request });
    assert_eq!(node.reply(nobody), Some(&Ok(Outcome::Hosts(vec![]))));

    node.wait(5);
    let found = node.command(Command::FindHosts { revision });
    let request = search(&node).expect("it is looked for again");
    let peers = vec![asker(5), NodeId::new([0xee; 32])];
    node.handle(Input::ProvidersFound { request, peers });
    let hosts = Ok(Outcome::Hosts(vec![asker(5)]));
    assert_eq!(
        node.reply(found),
        Some(&hosts),
        "and never this node itself"
    );
    let dialled =
        |output: &Output| matches!(output, Output::Connect { peer, .. } if *peer == asker(5));
    assert!(node.said.iter().any(dialled));

    let cancelled = node.command(Command::FindHosts {
        revision: crate::fixture::id(10),
    });
    node.command(Command::Cancel(cancelled));
    assert_eq!(node.reply(cancelled), Some(&Err(CommandError::Cancelled)));
}
