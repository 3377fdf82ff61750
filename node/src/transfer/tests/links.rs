//! Data over TCP: used where it can be had, and nobody else's word taken for a node's.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use iroh::SecretKey;
use iroh_blobs::{
    HashAndFormat,
    protocol::{ChunkRanges, GetRequest, Request},
    store::mem::MemStore,
};
use tokio::net::{TcpListener, TcpStream};
use weft_protocol::{
    id::NodeId,
    service::{Input, TransferError},
    swarm::Rates,
};

use super::node::{File, Node, run, seeder};
use crate::transfer::{
    Command,
    link::{Channel, Keys, Kind, format_address},
};

const MIB: usize = 1024 * 1024;

fn node_id(seed: u8) -> NodeId {
    NodeId::new(*SecretKey::from_bytes(&[seed; 32]).public().as_bytes())
}

fn tcp_only(node: &Node) -> Vec<String> {
    let mut addresses = node.handle.data_addresses();
    addresses.retain(|address| address.starts_with("tcp/"));
    assert!(!addresses.is_empty());
    addresses
}

#[tokio::test]
async fn bytes_come_over_tcp_alone() {
    let file = File::random(60, 5 * MIB + 3);
    let alice = seeder(60, &file).await;
    let mut bob = Node::start(61).await;
    bob.keeps(&[file.blob]).await;
    bob.learns(alice.id(), tcp_only(&alice)).await;

    assert_eq!(bob.fetch(alice.id(), &file, file.all()).await, Ok(()));
    assert_eq!(bob.content(&file).await, file.bytes);
    assert_eq!(alice.handle.counters().uploaded, file.size);
}

#[tokio::test]
async fn what_a_peer_has_is_told_over_tcp_alone() {
    let (file, other) = (File::random(74, 3 * MIB), File::random(75, MIB));
    let alice = seeder(74, &file).await;
    let mut bob = Node::start(75).await;
    bob.seeds(&[file.blob, other.blob]).await;
    bob.knows(&alice).await;
    assert_eq!(bob.fetch(alice.id(), &file, run(2, 5)).await, Ok(()));
    let mut carol = Node::start(76).await;
    carol.learns(bob.id(), tcp_only(&bob)).await;

    carol.observe(bob.id(), &file).await;
    carol.observe(bob.id(), &other).await;
    let mut first = Vec::new();
    let mut second = false;
    carol
        .until(|input| {
            if let Input::Availability { blob, have, .. } = input {
                match *blob == file.blob {
                    true => first = have.iter().collect(),
                    false => second = have.is_empty(),
                }
            }
            (first == [2, 3, 4] && second).then_some(())
        })
        .await;

    // One of two observations is given up, and the other goes on.
    let (peer, blob) = (bob.id(), other.blob);
    carol.handle.send(Command::Unobserve { peer, blob }).await;
    assert_eq!(bob.fetch(alice.id(), &file, file.all()).await, Ok(()));
    carol
        .until(|input| match input {
            Input::Availability { have, .. } => have.is_full().then_some(()),
            _ => None,
        })
        .await;

    // Whole, there is nothing more to tell; that the peer is gone still shows.
    bob.handle.shutdown().await;
    carol
        .until(|input| matches!(input, Input::AvailabilityLost { .. }).then_some(()))
        .await;
}

#[tokio::test]
async fn banned_watcher_is_cut_off() {
    let file = File::random(76, MIB);
    let alice = seeder(77, &file).await;
    let mut bob = Node::start(78).await;
    bob.learns(alice.id(), tcp_only(&alice)).await;
    bob.observe(alice.id(), &file).await;
    bob.until(|input| matches!(input, Input::Availability { .. }).then_some(()))
        .await;
    alice.handle.send(Command::Ban { peer: bob.id() }).await;
    bob.until(|input| matches!(input, Input::AvailabilityLost { .. }).then_some(()))
        .await;
}

#[tokio::test]
async fn several_connections_carry_several_requests_and_are_used_again() {
    let file = File::random(61, 8 * MIB);
    let alice = seeder(62, &file).await;
    let mut bob = Node::start(63).await;
    bob.keeps(&[file.blob]).await;
    bob.learns(alice.id(), tcp_only(&alice)).await;

    let pieces = file.layout().pieces();
    for piece in 0..pieces {
        let piece = run(piece, piece + 1);
        bob.begin_fetch(alice.id(), &file, piece).await;
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

#[tokio::test]
async fn refused_tcp_falls_back_to_quic() {
    let file = File::random(62, 2 * MIB);
    let alice = seeder(64, &file).await;
    let mut bob = Node::start(65).await;
    bob.keeps(&[file.blob]).await;
    // A port that was free a moment ago: whoever dials it is refused.
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let quic = alice.handle.addresses()[0].to_string();
    bob.learns(alice.id(), vec![format_address(address), quic])
        .await;

    assert_eq!(bob.fetch(alice.id(), &file, file.all()).await, Ok(()));
    assert_eq!(bob.content(&file).await, file.bytes);
}

#[tokio::test]
async fn node_without_a_tcp_port_is_reached_over_quic() {
    let file = File::random(63, 2 * MIB);
    let alice = Node::start_without_tcp(66).await;
    alice.import("file", &file.bytes).await;
    alice.seeds(&[file.blob]).await;
    assert!(
        !alice
            .handle
            .data_addresses()
            .iter()
            .any(|address| address.starts_with("tcp/"))
    );
    let mut bob = Node::start(67).await;
    bob.keeps(&[file.blob]).await;
    bob.knows(&alice).await;
    assert_eq!(bob.fetch(alice.id(), &file, file.all()).await, Ok(()));
}

#[tokio::test]
async fn third_party_at_the_address_of_a_node_gets_no_request() {
    let file = File::random(64, MIB);
    let alice = seeder(68, &file).await;
    let mallory = seeder(69, &file).await;
    let mut bob = Node::start(70).await;
    bob.keeps(&[file.blob]).await;
    // Mallory answers where bob believes alice to be, and has the very bytes.
    bob.learns(alice.id(), tcp_only(&mallory)).await;

    assert_eq!(
        bob.fetch(alice.id(), &file, file.all()).await,
        Err(TransferError::Connection)
    );
    assert_eq!(mallory.handle.counters().uploaded, 0);
    assert_eq!(bob.inspect(&file).await.count(), 0);
}

#[tokio::test]
async fn dialling_side_is_known_by_the_key_it_has() {
    let keys = |seed| Keys::new(&SecretKey::from_bytes(&[seed; 32])).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accept = async {
        let (stream, _) = listener.accept().await.unwrap();
        Channel::accept(&keys(1), stream).await
    };
    let (dial_keys, accepted_by) = (keys(2), node_id(1));
    let dial = Channel::dial(&dial_keys, accepted_by, address);
    let (accepted, dialled) = tokio::join!(accept, dial);
    assert_eq!(accepted.unwrap().peer(), node_id(2));
    assert_eq!(dialled.unwrap().peer(), node_id(1));

    let accept = async {
        let (stream, _) = listener.accept().await.unwrap();
        Channel::accept(&keys(1), stream).await
    };
    let dial = Channel::dial(&dial_keys, node_id(3), address);
    let (accepted, dialled) = tokio::join!(accept, dial);
    assert!(accepted.is_err());
    assert!(dialled.is_err());
}

#[tokio::test]
async fn probe_comes_back_while_an_answer_is_taken() {
    let keys = |seed| Keys::new(&SecretKey::from_bytes(&[seed; 32])).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accept = async {
        let (stream, _) = listener.accept().await.unwrap();
        Channel::accept(&keys(1), stream).await
    };
    let (dial_keys, accepted_by) = (keys(2), node_id(1));
    let dial = Channel::dial(&dial_keys, accepted_by, address);
    let (accepted, dialled) = tokio::join!(accept, dial);
    let (mut answerer, mut asker) = (accepted.unwrap(), dialled.unwrap());

    asker.ask(7, b"any").await.unwrap();
    assert!(answerer.request().await.unwrap().is_some());
    let taken = tokio::task::spawn_blocking(move || {
        let mut pump = asker.into_pump().unwrap();
        let cancel = tokio_util::sync::CancellationToken::new();
        pump.take_answer::<()>(7, &cancel, &mut |_| Ok(()))
    });
    let measured = tokio::task::spawn_blocking(move || {
        let mut pump = answerer.into_pump().unwrap();
        pump.begin_answer().unwrap();
        let mut delays = Vec::new();
        while delays.len() < 3 {
            delays.extend(pump.delay(7).unwrap());
            // Wakes up when the echo is here.
            pump.rest(Duration::from_millis(100)).unwrap();
        }
        pump.end_answer(7, Ok(())).unwrap();
        delays
    });
    assert!(!measured.await.unwrap().contains(&Duration::ZERO));
    assert!(matches!(taken.await.unwrap(), Ok(())));
}

#[tokio::test]
async fn polite_node_serves_over_both_transports() {
    let file = File::random(70, 2 * MIB);
    let alice = seeder(79, &file).await;
    let polite = Rates {
        polite: true,
        ..Rates::default()
    };
    alice.handle.send(Command::SetRates(polite)).await;
    let quic = vec![alice.handle.addresses()[0].to_string()];
    for (seed, addresses) in [(80, tcp_only(&alice)), (81, quic)] {
        let mut bob = Node::start(seed).await;
        bob.keeps(&[file.blob]).await;
        bob.learns(alice.id(), addresses).await;
        assert_eq!(bob.fetch(alice.id(), &file, file.all()).await, Ok(()));
    }
}

#[tokio::test]
async fn garbage_on_the_port_harms_nobody() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let file = File::random(65, MIB);
    let alice = seeder(71, &file).await;
    let address = tcp_only(&alice)[0]["tcp/".len()..].to_owned();
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0xff; 70_000],
        &[22, 3, 1, 255, 255],
    ] {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        // It may hang up before everything is sent.
        stream.write_all(garbage).await.ok();
        stream.shutdown().await.ok();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok();
        assert!(answer.len() < 100);
    }
    let mut bob = Node::start(72).await;
    bob.keeps(&[file.blob]).await;
    bob.learns(alice.id(), tcp_only(&alice)).await;
    assert_eq!(bob.fetch(alice.id(), &file, file.all()).await, Ok(()));
}

#[tokio::test]
async fn request_waits_until_it_is_started_and_can_be_taken_back() {
    let file = File::random(66, 2 * MIB);
    let mut alice = seeder(73, &file).await;
    alice.choked.store(true, Ordering::Relaxed);
    let mut bob = Node::start(74).await;
    bob.keeps(&[file.blob]).await;
    for addresses in [tcp_only(&alice), alice.handle.data_addresses()] {
        bob.learns(alice.id(), addresses).await;
        let request = bob.begin_fetch(alice.id(), &file, run(0, 1)).await;
        let asked = |input: &Input| match input {
            Input::UploadAsked { upload, bytes, .. } => Some((*upload, bytes.clone())),
            _ => None,
        };
        let (upload, bytes) = alice.until(asked).await;
        assert_eq!(bytes, 0..file.layout().piece_len);
        bob.handle.send(Command::Cancel { request }).await;
        assert_eq!(bob.fetched(request).await, Err(TransferError::Cancelled));
        let ended = alice
            .until(|input| match input {
                Input::UploadEnded { upload, bytes } => Some((*upload, *bytes)),
                _ => None,
            })
            .await;
        assert_eq!(ended, (upload, 0));

        let request = bob.begin_fetch(alice.id(), &file, run(0, 1)).await;
        let (upload, _) = alice.until(asked).await;
        alice.handle.send(Command::RefuseUpload { upload }).await;
        assert_eq!(bob.fetched(request).await, Err(TransferError::Unavailable));
    }
    let request = bob.begin_fetch(alice.id(), &file, run(0, 1)).await;
    let upload = alice
        .until(|input| match input {
            Input::UploadAsked { upload, .. } => Some(*upload),
            _ => None,
        })
        .await;
    alice.handle.send(Command::StartUpload { upload }).await;
    assert_eq!(bob.fetched(request).await, Ok(()));
}

#[tokio::test]
async fn stock_client_reads_from_us_and_we_from_a_stock_provider() {
    let file = File::random(67, 3 * MIB + 77);
    let alice = seeder(75, &file).await;
    let stock = iroh::Endpoint::builder(iroh::endpoint::presets::Minimal)
        .relay_mode(iroh::RelayMode::Disabled)
        .alpns(vec![iroh_blobs::ALPN.to_vec()])
        .bind()
        .await
        .unwrap();
    let store = MemStore::new();
    let address = alice.handle.addresses()[0];
    let id = iroh::EndpointId::from_bytes(alice.id().as_bytes()).unwrap();
    let address = iroh::EndpointAddr::new(id).with_ip_addr(address);
    let connection = stock.connect(address, iroh_blobs::ALPN).await.unwrap();
    let wanted = iroh_blobs::Hash::from_bytes(*file.blob.as_bytes());
    store
        .remote()
        .fetch(connection, HashAndFormat::raw(wanted))
        .await
        .unwrap();
    assert_eq!(store.get_bytes(wanted).await.unwrap(), file.bytes);

    let blobs = iroh_blobs::BlobsProtocol::new(&store, None);
    let router = iroh::protocol::Router::builder(stock)
        .accept(iroh_blobs::ALPN, blobs)
        .spawn();
    let stock_id = NodeId::new(*router.endpoint().id().as_bytes());
    let mut bob = Node::start(76).await;
    bob.keeps(&[file.blob]).await;
    let port = router.endpoint().bound_sockets()[0].port();
    bob.learns(stock_id, vec![format!("127.0.0.1:{port}")])
        .await;
    assert_eq!(bob.fetch(stock_id, &file, file.all()).await, Ok(()));
    assert_eq!(bob.content(&file).await, file.bytes);
    router.shutdown().await.unwrap();
}

#[tokio::test]
async fn request_for_what_is_not_offered_is_reset_and_the_connection_lives() {
    let file = File::random(68, MIB);
    let alice = seeder(77, &file).await;
    let keys = Arc::new(Keys::new(&SecretKey::from_bytes(&[78; 32])).unwrap());
    let address = tcp_only(&alice)[0]["tcp/".len()..].parse().unwrap();
    let mut channel = Channel::dial(&keys, alice.id(), address).await.unwrap();
    let other = File::random(69, 10);
    for (number, wanted, kinds) in [
        (1, other.blob, vec![Kind::Reset]),
        (2, file.blob, vec![Kind::Data, Kind::End]),
    ] {
        let hash = iroh_blobs::Hash::from_bytes(*wanted.as_bytes());
        let request = GetRequest::blob_ranges(hash, ChunkRanges::all());
        let request = postcard::to_allocvec(&Request::Get(request)).unwrap();
        channel.ask(number, &request).await.unwrap();
        let mut seen: Vec<Kind> = Vec::new();
        while !matches!(seen.last(), Some(Kind::End | Kind::Reset)) {
            let mut look = |header: crate::transfer::link::Header, _: &[u8], last: bool| {
                assert_eq!(header.request, number);
                if last {
                    seen.push(header.kind);
                }
                Ok(())
            };
            assert!(channel.answers(&mut look).await.unwrap());
        }
        seen.dedup();
        assert_eq!(seen, kinds);
    }
}
