//! Publishing: everything that is answered for is written.

use weft_protocol::{
    op::{Op, Pin},
    service::{Command, Outcome, Output, Publication},
};

use super::node::{Node, blob, complete, publish, snapshot};
use crate::fixture::{FRESHNESS, Publisher, Repository, sign};

fn publication(repository: &Repository, manifest: Vec<u8>) -> Command {
    Command::Publish(Box::new(Publication {
        repository: repository.id(),
        identity: repository.publisher.events.clone(),
        manifest,
        others: Vec::new(),
        refs: None,
        head: repository.heads[0].clone(),
        freshness: Some(sign(&repository.freshness(0), &[(0, FRESHNESS)])),
    }))
}

#[test]
fn a_repeated_publication_with_a_newer_statement_is_written_whole() {
    let mut repository = Repository::new(Publisher::new());
    let (revision, preimage) = publish(&mut repository, 7, 5);
    // The head became known, but what belongs to it is not here.
    let mut node = Node::new(snapshot(&repository, 0));
    let command = node.command(publication(&repository, preimage));
    let published = Outcome::Published { index: 0, revision };
    assert_eq!(node.reply(command), Some(&Ok(published)));
    let kept = |op: &Op| matches!(op, Op::PutRevision(record) if record.revision == revision);
    assert!(node.written.iter().any(kept));
    assert!(node.objects.contains_key(&revision));
    let statement = |op: &Op| matches!(op, Op::PutFreshness { .. });
    assert!(node.written.iter().any(statement));
}

#[test]
fn what_is_published_while_it_is_being_removed_stays() {
    let mut repository = Repository::new(Publisher::new());
    let (revision, preimage) = publish(&mut repository, 7, 5);
    let mut held = snapshot(&repository, 0);
    held.revisions = vec![complete(&repository.id(), revision, Pin::User, 5)];
    held.manifests = vec![(revision, preimage.clone())];
    let mut node = Node::new(held);
    node.hold = true;
    node.command(Command::Remove {
        repository: repository.id(),
        revision: Some(revision),
    });
    node.command(publication(&repository, preimage));
    while !node.commits.is_empty() {
        node.answer_commit(Ok(()));
    }
    let protected = node.said.iter().rev().find_map(|output| match output {
        Output::Protect { blobs } => Some(blobs.clone()),
        _ => None,
    });
    assert!(protected.is_none_or(|blobs| blobs == [blob(7)]));
    assert_eq!(node.service.repositories()[0].revisions.len(), 1);
}

#[test]
fn nothing_is_offered_before_the_wish_to_seed_it_is_written() {
    let mut repository = Repository::new(Publisher::new());
    let (revision, preimage) = publish(&mut repository, 7, 5);
    let mut record = complete(&repository.id(), revision, Pin::None, 5);
    record.seed = false;
    let mut held = snapshot(&repository, 0);
    held.revisions = vec![record];
    held.manifests = vec![(revision, preimage)];
    let mut node = Node::new(held);
    node.hold = true;
    let selector = weft_protocol::service::Selector::Revision(revision);
    node.fetch(&repository.id(), selector.clone(), Pin::None);
    node.fetch(&repository.id(), selector, Pin::User);
    assert_eq!(node.commits.len(), 2);
    node.answer_commit(Ok(()));
    let offered = |output: &Output| matches!(output, Output::Offer { .. } | Output::Provide { .. });
    assert!(!node.said.iter().any(offered), "only the first is written");
    while !node.commits.is_empty() {
        node.answer_commit(Ok(()));
    }
    assert!(node.said.iter().any(offered));
}
