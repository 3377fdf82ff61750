//! Who is served what, and what peers tell each other.

use iroh::endpoint::ConnectionError;
use iroh_blobs::{HashAndFormat, store::mem::MemStore};
use tokio_util::sync::CancellationToken;
use weft_protocol::service::{Input, TransferError};

use super::node::{File, Node, run, seeder};
use crate::transfer::{Command, Config, TcpListen, peers::CLOSE_BUSY, spawn};

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn what_is_not_offered_is_refused() {
    let file = File::random(20, MIB);
    let alice = seeder(30, &file).await;
    alice.handle.send(Command::Offer { blobs: vec![] }).await;
    let mut bob = Node::start(31).await;
    bob.knows(&alice).await;
    bob.keeps(&[file.blob]).await;

    assert_eq!(
        bob.fetch(alice.id(), &file, file.all()).await,
        Err(TransferError::Refused)
    );
    bob.observe(alice.id(), &file).await;
    bob.until(|input| matches!(input, Input::AvailabilityLost { .. }).then_some(()))
        .await;
}

#[tokio::test]
async fn banned_peer_is_cut_off_in_both_directions() {
    let file = File::random(21, MIB);
    let alice = seeder(32, &file).await;
    let mut bob = Node::start(33).await;
    bob.knows(&alice).await;
    bob.keeps(&[file.blob]).await;
    assert_eq!(bob.fetch(alice.id(), &file, run(0, 1)).await, Ok(()));

    alice.handle.send(Command::Ban { peer: bob.id() }).await;
    bob.observe(alice.id(), &file).await;
    bob.until(|input| matches!(input, Input::AvailabilityLost { .. }).then_some(()))
        .await;
    let refused = bob.fetch(alice.id(), &file, run(1, 2)).await;
    assert!(
        matches!(
            refused,
            Err(TransferError::Refused | TransferError::Connection)
        ),
        "{refused:?}"
    );

    let mut carol = Node::start(34).await;
    carol.knows(&alice).await;
    carol.handle.send(Command::Ban { peer: alice.id() }).await;
    assert_eq!(
        carol.fetch(alice.id(), &file, run(0, 1)).await,
        Err(TransferError::Refused)
    );
}

#[tokio::test]
async fn availability_of_a_downloading_peer_grows_until_it_is_whole() {
    let file = File::random(22, 3 * MIB);
    let alice = seeder(35, &file).await;
    let mut bob = Node::start(36).await;
    let mut carol = Node::start(37).await;
    bob.seeds(&[file.blob]).await;
    bob.knows(&alice).await;
    carol.knows(&bob).await;

    assert_eq!(bob.fetch(alice.id(), &file, run(2, 5)).await, Ok(()));
    carol.observe(bob.id(), &file).await;
    let first = carol
        .until(|input| match input {
            Input::Availability { have, .. } => Some(have.clone()),
            _ => None,
        })
        .await;
    assert_eq!(first.iter().collect::<Vec<_>>(), [2, 3, 4]);

    for piece in [0, 1, 5, 6, 7, 8, 9, 10, 11] {
        let pieces = run(piece, piece + 1);
        assert_eq!(bob.fetch(alice.id(), &file, pieces).await, Ok(()));
    }
    carol
        .until(|input| match input {
            Input::Availability { have, .. } => have.is_full().then_some(()),
            _ => None,
        })
        .await;

    let id = bob.id();
    bob.handle.shutdown().await;
    carol
        .until(|input| match input {
            Input::AvailabilityLost { peer, .. } => (*peer == id).then_some(()),
            _ => None,
        })
        .await;
}

#[tokio::test]
async fn ended_observation_is_silent_and_can_begin_again() {
    let file = File::random(26, MIB);
    let alice = seeder(43, &file).await;
    let mut bob = Node::start(44).await;
    bob.knows(&alice).await;
    bob.keeps(&[file.blob]).await;
    for _ in 0..2 {
        bob.observe(alice.id(), &file).await;
        bob.until(|input| matches!(input, Input::Availability { .. }).then_some(()))
            .await;
        let (peer, blob) = (alice.id(), file.blob);
        bob.handle.send(Command::Unobserve { peer, blob }).await;
    }
    alice.handle.shutdown().await;
    let mut lost = 0;
    let request = bob.begin_fetch(alice.id(), &file, run(0, 1)).await;
    bob.until(|input| match input {
        Input::AvailabilityLost { .. } => {
            lost += 1;
            None
        }
        Input::PiecesFetched { request: ended, .. } => (*ended == request).then_some(()),
        _ => None,
    })
    .await;
    assert_eq!(lost, 0);
}

#[tokio::test]
async fn peer_that_was_dialled_can_fetch_over_the_same_connection() {
    let file = File::random(23, MIB);
    let other = File::random(24, MIB);
    let mut alice = seeder(38, &file).await;
    let mut bob = seeder(39, &other).await;
    bob.knows(&alice).await;
    bob.seeds(&[file.blob, other.blob]).await;
    alice.seeds(&[file.blob, other.blob]).await;

    bob.observe(alice.id(), &file).await;
    bob.until(|input| matches!(input, Input::Availability { .. }).then_some(()))
        .await;
    // Alice was never told where bob is.
    assert_eq!(alice.fetch(bob.id(), &other, other.all()).await, Ok(()));
    assert_eq!(alice.content(&other).await, other.bytes);
}

#[tokio::test]
async fn many_requests_at_once_all_succeed() {
    let file = File::random(25, 16 * MIB);
    let alice = seeder(40, &file).await;
    let mut bob = Node::start(41).await;
    bob.keeps(&[file.blob]).await;
    bob.knows(&alice).await;

    let pieces = file.layout().pieces();
    for piece in 0..pieces {
        bob.begin_fetch(alice.id(), &file, run(piece, piece + 1))
            .await;
    }
    let mut left = pieces;
    bob.until(|input| {
        if let Input::PiecesFetched { result, .. } = input {
            assert_eq!(result, &Ok(()));
            left -= 1;
        }
        (left == 0).then_some(())
    })
    .await;
    assert_eq!(bob.content(&file).await, file.bytes);
}

/// A peer that was killed and came back at once, several times: nobody has told us yet that its connections are dead.
#[tokio::test]
async fn oldest_connection_of_a_peer_gives_way_to_its_newest() {
    let file = File::random(26, MIB);
    let alice = seeder(42, &file).await;
    let stock = iroh::Endpoint::builder(iroh::endpoint::presets::Minimal)
        .relay_mode(iroh::RelayMode::Disabled)
        .bind()
        .await
        .unwrap();
    let id = iroh::EndpointId::from_bytes(alice.id().as_bytes()).unwrap();
    let address = iroh::EndpointAddr::new(id).with_ip_addr(alice.handle.addresses()[0]);
    let wanted = iroh_blobs::Hash::from_bytes(*file.blob.as_bytes());
    let mut connections = Vec::new();
    for _ in 0..5 {
        let connection = stock
            .connect(address.clone(), iroh_blobs::ALPN)
            .await
            .unwrap();
        MemStore::new()
            .remote()
            .fetch(connection.clone(), HashAndFormat::raw(wanted))
            .await
            .unwrap();
        connections.push(connection);
    }
    let reason = connections[0].closed().await;
    assert!(
        matches!(&reason, ConnectionError::ApplicationClosed(close) if close.error_code == CLOSE_BUSY),
        "{reason:?}"
    );
    for connection in &connections[1..] {
        assert!(connection.close_reason().is_none());
    }
}

#[tokio::test]
async fn identity_of_the_endpoint_is_the_node_id() {
    let node = Node::start(42).await;
    let key = iroh::SecretKey::from_bytes(&[42; 32]);
    assert_eq!(node.id().as_bytes(), key.public().as_bytes());
}

#[tokio::test]
async fn unspecified_bind_tells_dialable_addresses() {
    let home = tempfile::tempdir().unwrap();
    let (inputs, _receiver) = tokio::sync::mpsc::channel(1);
    let config = Config {
        secret_key_seed: [45; 32],
        bind: "0.0.0.0:0".parse().unwrap(),
        tcp: TcpListen::At("0.0.0.0:0".parse().unwrap()),
        directory: home.path().join("blobs"),
        registry: std::sync::Arc::new(weft_registry::MemoryRegistry::in_memory()),
        collect_interval: std::time::Duration::from_secs(3_600),
    };
    let handle = spawn(config, inputs, CancellationToken::new())
        .await
        .unwrap();
    let addresses = handle.addresses();
    assert!(!addresses.is_empty());
    for address in addresses {
        assert!(
            !address.ip().is_unspecified() && address.port() != 0,
            "{address}"
        );
    }
    handle.shutdown().await;
}
