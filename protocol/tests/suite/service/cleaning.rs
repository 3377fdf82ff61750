//! Removing and making room, beside commands that want to keep.

use weft_protocol::{
    op::Pin,
    service::{Command, CommandError, Outcome, Selector},
};

use super::node::{Node, complete, publish, snapshot};
use crate::fixture::{Publisher, Repository};

#[test]
fn a_fetch_during_a_removal_is_answered_and_keeps_everything() {
    let mut repository = Repository::new(Publisher::new());
    let (revision, preimage) = publish(&mut repository, 7, 5);
    let mut held = snapshot(&repository, 0);
    held.revisions = vec![complete(&repository.id(), revision, Pin::User, 5)];
    held.manifests = vec![(revision, preimage)];
    let mut node = Node::new(held);
    node.hold = true;
    node.command(Command::Remove {
        repository: repository.id(),
        revision: None,
    });
    let fetch = node.fetch(&repository.id(), Selector::Revision(revision), Pin::User);
    while !node.commits.is_empty() {
        node.answer_commit(Ok(()));
    }
    node.wait(90);
    let reply = node.reply(fetch);
    assert!(matches!(reply, Some(Ok(Outcome::Fetched(_)))), "{reply:?}");
    assert!(node.objects.contains_key(&revision), "the manifest is here");
    let transfers = node.service.transfers();
    assert!(transfers.is_empty(), "{transfers:?}");
}

#[test]
fn a_running_fetch_is_not_collected_to_make_room_for_another() {
    let mut repository = Repository::new(Publisher::new());
    let (first, one) = publish(&mut repository, 1, 80);
    let (second, two) = publish(&mut repository, 2, 80);
    let mut node = Node::with_cache(snapshot(&repository, 1), Some(100));
    node.objects.insert(first, one);
    node.objects.insert(second, two);
    node.has_blobs = false;
    node.connect(1);
    let id = repository.id();
    let running = node.fetch(&id, Selector::Revision(first), Pin::None);
    assert_eq!(node.reply(running), None);
    let late = node.fetch(&id, Selector::Revision(second), Pin::None);
    assert_eq!(node.reply(running), None, "it goes on");
    let refused = matches!(node.reply(late), Some(Err(CommandError::Refused(_))));
    assert!(refused, "{:?}", node.reply(late));
    node.command(Command::Prune);
    assert_eq!(node.reply(running), None, "it still goes on");
}
