//! Gossip: what is valid spreads, what is not stops at the first honest node.

use weft_protocol::{
    id::NodeId,
    service::{GossipId, Input, Verdict},
    wire::Announcement,
};

use super::fixture::{Node, Publisher, connect};
use crate::network::Command;

fn head(publisher: &Publisher, index: u64) -> Announcement {
    Announcement::Head(Box::new(publisher.record(index, 1)))
}

async fn hear(node: &mut Node) -> (NodeId, GossipId, Announcement) {
    node.wait("an announcement", |input| match input {
        Input::Gossip {
            peer,
            message,
            announcement,
        } => Some((*peer, *message, announcement.clone())),
        _ => None,
    })
    .await
}

/// Three nodes in a row: the ends know only the middle.
async fn row() -> [Node; 3] {
    let (mut a, mut b) = (Node::start(1, &[]).await, Node::start(2, &[]).await);
    let mut c = Node::start(3, &[]).await;
    connect(&mut a, &mut b).await;
    connect(&mut c, &mut b).await;
    [a, b, c]
}

#[tokio::test]
async fn announcement_travels_only_after_it_was_accepted() {
    let [a, mut b, mut c] = row().await;
    // The ends may find each other through the DHT; the middle must not be bypassed.
    a.send(Command::Ban { peer: c.id() }).await;
    let publisher = Publisher::new(1);
    let (refused, ignored, valid) = (
        head(&publisher, 1),
        head(&publisher, 2),
        head(&publisher, 3),
    );
    for announcement in [&refused, &ignored, &valid] {
        a.send(Command::Announce(announcement.clone())).await;
    }
    for _ in 0..3 {
        let (peer, message, announcement) = hear(&mut b).await;
        assert_eq!(peer, a.id());
        let verdict = match &announcement {
            heard if *heard == refused => Verdict::Reject,
            heard if *heard == ignored => Verdict::Ignore,
            _ => Verdict::Accept,
        };
        b.send(Command::JudgeGossip { message, verdict }).await;
    }
    let (peer, _, announcement) = hear(&mut c).await;
    assert_eq!((peer, announcement), (b.id(), valid));
    // The middle judged the others before this one, so they would have come first.
    assert!(
        !c.seen()
            .iter()
            .any(|input| matches!(input, Input::Gossip { .. }))
    );
    for node in [a, b, c] {
        node.stop().await;
    }
}

#[tokio::test]
async fn announcement_waits_for_an_audience() {
    let (mut a, mut b) = (Node::start(1, &[]).await, Node::start(2, &[]).await);
    let announcement = head(&Publisher::new(1), 1);
    a.send(Command::Announce(announcement.clone())).await;
    connect(&mut a, &mut b).await;
    assert_eq!(hear(&mut b).await.2, announcement);
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn verdict_on_an_unknown_message_is_ignored() {
    let node = Node::start(1, &[]).await;
    let (message, verdict) = (GossipId(99), Verdict::Accept);
    node.send(Command::JudgeGossip { message, verdict }).await;
    node.stop().await;
}
