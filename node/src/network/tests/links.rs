//! Connections, questions and answers.

use libp2p::Multiaddr;
use weft_protocol::{
    service::{Input, RequestError},
    wire::{Request, Response},
};

use super::fixture::{Node, connect};
use crate::network::Command;

fn ask(byte: u8) -> Request {
    Request::Object {
        id: weft_protocol::id::ObjectId::new([byte; 32]),
    }
}

#[tokio::test]
async fn two_nodes_connect_and_exchange_a_request() {
    let (mut a, mut b) = (Node::start(1, &[]).await, Node::start(2, &[]).await);
    connect(&mut a, &mut b).await;
    // Both hear where the other can be dialled, the one that was dialled too.
    let (id_a, id_b) = (a.id(), b.id());
    for (node, other) in [(&mut a, id_b), (&mut b, id_a)] {
        let addresses = node.wait("addresses", |input| match input {
            Input::PeerAddresses { peer, addresses } if *peer == other => Some(addresses.clone()),
            _ => None,
        });
        assert!(
            addresses
                .await
                .iter()
                .all(|text| text.parse::<Multiaddr>().is_ok())
        );
    }

    let (request, peer) = (a.request(), b.id());
    a.send(Command::SendRequest {
        request,
        peer,
        message: ask(5),
    })
    .await;
    let (asker, inbound, message) = b
        .wait("a question", |input| match input {
            Input::Request {
                peer,
                request,
                message,
            } => Some((*peer, *request, message.clone())),
            _ => None,
        })
        .await;
    assert_eq!((asker, message), (a.id(), ask(5)));
    // Longer than any buffer on the way.
    let answer = Response::Object {
        preimage: vec![7; 3 << 20],
    };
    b.send(Command::Respond {
        request: inbound,
        message: answer.clone(),
    })
    .await;
    let result = a
        .wait("an answer", |input| match input {
            Input::Response {
                request: which,
                result,
            } if *which == request => Some(result.clone()),
            _ => None,
        })
        .await;
    assert_eq!(result, Ok(answer));
    a.stop().await;
    // An orderly end is noticed at once.
    b.wait("the end of a connection", |input| match input {
        Input::PeerDisconnected { .. } => Some(()),
        _ => None,
    })
    .await;
    b.stop().await;
}

#[tokio::test]
async fn question_to_a_stranger_fails_at_once() {
    let mut node = Node::start(1, &[]).await;
    let stranger = Node::start(2, &[]).await;
    let (request, peer) = (node.request(), stranger.id());
    node.send(Command::SendRequest {
        request,
        peer,
        message: ask(5),
    })
    .await;
    let result = node
        .wait("an answer", |input| match input {
            Input::Response { result, .. } => Some(result.clone()),
            _ => None,
        })
        .await;
    assert_eq!(result, Err(RequestError::Unreachable));
    node.stop().await;
    stranger.stop().await;
}

#[tokio::test]
async fn bootstrap_peers_are_dialled_and_own_addresses_are_not() {
    let mut a = Node::start(1, &[]).await;
    let mut addresses = a.addresses();
    // Without its last part, an address does not say who is there.
    let mut anonymous = addresses[0].clone();
    anonymous.pop();
    addresses.push(anonymous);
    let mut b = Node::start(2, &addresses).await;
    b.wait_connected(a.id()).await;
    a.wait_connected(b.id()).await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn only_the_side_that_dialled_has_reached_the_other() {
    let (mut a, mut b) = (Node::start(1, &[]).await, Node::start(2, &[]).await);
    connect(&mut a, &mut b).await;
    let (reached, address) = a
        .wait("a reached peer", |input| match input {
            Input::PeerReached { peer, address } => Some((*peer, address.clone())),
            _ => None,
        })
        .await;
    assert_eq!(reached, b.id());
    let mut listened = b.addresses()[0].clone();
    listened.pop();
    assert_eq!(address, listened.to_string());
    b.wait("addresses", |input| {
        matches!(input, Input::PeerAddresses { .. }).then_some(())
    })
    .await;
    let reached = |input: &Input| matches!(input, Input::PeerReached { .. });
    assert!(!b.seen().iter().any(reached));
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn dial_that_leads_nowhere_is_told() {
    let mut a = Node::start(1, &[]).await;
    let gone = Node::start(2, &[]).await;
    let (peer, addresses) = (gone.id(), gone.addresses());
    gone.stop().await;
    let addresses = addresses.iter().map(Multiaddr::to_string).collect();
    a.send(Command::Connect { peer, addresses }).await;
    let unreachable = a
        .wait("a failed dial", |input| match input {
            Input::PeerUnreachable { peer } => Some(*peer),
            _ => None,
        })
        .await;
    assert_eq!(unreachable, peer);
    a.stop().await;
}

#[tokio::test]
async fn bootstrap_peer_that_comes_back_is_dialled_again() {
    let a = Node::start(1, &[]).await;
    let address = a.addresses();
    let mut b = Node::start(2, &address).await;
    b.wait_connected(a.id()).await;
    a.send(Command::Ban { peer: b.id() }).await;
    b.wait("the end of a connection", |input| match input {
        Input::PeerDisconnected { .. } => Some(()),
        _ => None,
    })
    .await;
    a.stop().await;
    // Somebody else with the same key at the same place: the node after a restart.
    let mut again = Node::start_at(1, &address[0]).await;
    b.wait_connected(again.id()).await;
    again.wait_connected(b.id()).await;
    again.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn banned_peer_is_cut_off_and_stays_out() {
    let (mut a, mut b) = (Node::start(1, &[]).await, Node::start(2, &[]).await);
    connect(&mut a, &mut b).await;
    a.send(Command::Ban { peer: b.id() }).await;
    let gone = |input: &Input| match input {
        Input::PeerDisconnected { .. } => Some(()),
        _ => None,
    };
    a.wait("the end of a connection", gone).await;
    b.wait("the end of a connection", gone).await;
    // It dials, and is turned away before anybody hears of it; an honest node is not.
    let addresses = a.addresses().iter().map(Multiaddr::to_string).collect();
    b.send(Command::Connect {
        peer: a.id(),
        addresses,
    })
    .await;
    let mut c = Node::start(3, &[]).await;
    connect(&mut c, &mut a).await;
    let back =
        |input: &Input| matches!(input, Input::PeerConnected { peer, .. } if *peer == b.id());
    assert!(!a.seen().iter().any(back));
    a.stop().await;
    b.stop().await;
    c.stop().await;
}
