//! Getting pieces, and what happens when a peer does not play along.

use weft_protocol::{
    service::{Input, TransferError},
    swarm::Rates,
};

use super::node::{File, Node, run, seeder};
use crate::transfer::{Command, faults::Fault};

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn whole_file_arrives_and_is_counted() {
    let file = File::random(1, 3 * MIB + 5);
    let alice = seeder(1, &file).await;
    let mut bob = Node::start(2).await;
    bob.keeps(&[file.blob]).await;
    bob.knows(&alice).await;

    assert_eq!(bob.fetch(alice.id(), &file, file.all()).await, Ok(()));

    assert_eq!(bob.content(&file).await, file.bytes);
    assert_eq!(bob.progress, file.size);
    assert!(bob.inspect(&file).await.is_full());
    assert!(bob.handle.verify(file.blob, file.size).await);
    let counters = bob.handle.counters();
    assert_eq!(counters.downloaded, file.size);
    assert_eq!(counters.peers[0].peer, alice.id());
    assert_eq!(counters.peers[0].downloaded, file.size);
    assert_eq!(alice.handle.counters().uploaded, file.size);
}

#[tokio::test]
async fn small_and_empty_files_arrive() {
    for size in [0, 1, 1_024, 16 * 1_024, 16 * 1_024 + 1, 300_000] {
        let file = File::random(2, size);
        let alice = seeder(3, &file).await;
        let mut bob = Node::start(4).await;
        bob.keeps(&[file.blob]).await;
        bob.knows(&alice).await;
        assert_eq!(
            bob.fetch(alice.id(), &file, file.all()).await,
            Ok(()),
            "{size}"
        );
        assert_eq!(bob.content(&file).await, file.bytes, "{size}");
        assert!(bob.inspect(&file).await.is_full(), "{size}");
        assert!(bob.handle.verify(file.blob, file.size).await, "{size}");
    }
}

#[tokio::test]
async fn two_peers_fill_alternate_pieces_of_one_file() {
    let file = File::random(3, 4 * MIB + 100);
    let alice = seeder(5, &file).await;
    let carol = seeder(6, &file).await;
    let mut bob = Node::start(7).await;
    bob.keeps(&[file.blob]).await;
    bob.knows(&alice).await;
    bob.knows(&carol).await;

    let mut requests = Vec::new();
    for piece in 0..file.layout().pieces() {
        let peer = if piece % 2 == 0 {
            alice.id()
        } else {
            carol.id()
        };
        requests.push(bob.begin_fetch(peer, &file, run(piece, piece + 1)).await);
    }
    let mut left = requests.len();
    bob.until(|input| {
        if let Input::PiecesFetched { result, .. } = input {
            assert_eq!(result, &Ok(()));
            left -= 1;
        }
        (left == 0).then_some(())
    })
    .await;

    assert_eq!(bob.content(&file).await, file.bytes);
    let sources = bob.handle.counters().peers;
    assert_eq!(sources.len(), 2);
    assert!(
        sources
            .iter()
            .all(|source| source.downloaded > file.size / 3)
    );
}

#[tokio::test]
async fn flipped_bit_is_corrupt_and_costs_only_its_own_piece() {
    let file = File::random(4, 2 * MIB);
    let honest = seeder(8, &file).await;
    let liar = seeder(9, &file).await;
    liar.handle.context.faults.set(Fault::Flip);
    let mut bob = Node::start(10).await;
    bob.keeps(&[file.blob]).await;
    bob.knows(&honest).await;
    bob.knows(&liar).await;

    assert_eq!(bob.fetch(honest.id(), &file, run(0, 4)).await, Ok(()));
    assert_eq!(
        bob.fetch(liar.id(), &file, run(4, 8)).await,
        Err(TransferError::Corrupt)
    );

    let have = bob.inspect(&file).await;
    assert_eq!(have.iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
    // What verified before the lie is kept: the honest leaves of the liar's answer.
    let layout = file.layout();
    let begun = layout.bytes(run(4, 5)).start;
    assert_read(&bob, &file, begun..begun + 4 * 16 * 1_024).await;
    assert_eq!(bob.fetch(honest.id(), &file, run(4, 8)).await, Ok(()));
    assert_eq!(bob.content(&file).await, file.bytes);
}

#[tokio::test]
async fn wrong_size_is_corrupt_and_writes_nothing() {
    let file = File::random(5, MIB);
    let liar = seeder(11, &file).await;
    liar.handle.context.faults.set(Fault::Size);
    let mut bob = Node::start(12).await;
    bob.keeps(&[file.blob]).await;
    bob.knows(&liar).await;

    assert_eq!(
        bob.fetch(liar.id(), &file, file.all()).await,
        Err(TransferError::Corrupt)
    );

    assert_eq!(bob.inspect(&file).await.count(), 0);
    assert!(!bob.data_file(&file).exists());
}

#[tokio::test]
async fn damaged_copy_of_a_seeder_is_unavailable_not_corrupt() {
    let file = File::random(6, 2 * MIB);
    let alice = seeder(13, &file).await;
    let mut damaged = file.bytes.clone();
    damaged[MIB + 7] ^= 1;
    alice.write("file", &damaged).await;
    let mut bob = Node::start(14).await;
    bob.keeps(&[file.blob]).await;
    bob.knows(&alice).await;

    assert_eq!(
        bob.fetch(alice.id(), &file, file.all()).await,
        Err(TransferError::Unavailable)
    );

    let have = bob.inspect(&file).await;
    assert!(!have.contains(4));
}

#[tokio::test]
async fn range_that_a_peer_lacks_is_unavailable() {
    let file = File::random(7, 2 * MIB);
    let alice = seeder(15, &file).await;
    let mut bob = Node::start(16).await;
    let mut carol = Node::start(17).await;
    bob.seeds(&[file.blob]).await;
    carol.keeps(&[file.blob]).await;
    bob.knows(&alice).await;
    carol.knows(&bob).await;

    assert_eq!(bob.fetch(alice.id(), &file, run(0, 2)).await, Ok(()));

    assert_eq!(carol.fetch(bob.id(), &file, run(0, 2)).await, Ok(()));
    assert_eq!(
        carol.fetch(bob.id(), &file, run(5, 6)).await,
        Err(TransferError::Unavailable)
    );
    let unknown = File::random(8, MIB);
    bob.seeds(&[file.blob, unknown.blob]).await;
    assert_eq!(
        carol.fetch(bob.id(), &unknown, run(0, 1)).await,
        Err(TransferError::Unavailable)
    );
}

#[tokio::test]
async fn unreachable_peer_is_a_connection_error() {
    let file = File::random(9, MIB);
    let stranger = File::random(10, 32).bytes;
    let stranger = weft_protocol::id::NodeId::new(stranger.try_into().unwrap());
    let mut bob = Node::start(18).await;
    assert_eq!(
        bob.fetch(stranger, &file, file.all()).await,
        Err(TransferError::Connection)
    );
}

#[tokio::test]
async fn cancelled_fetch_ends_and_keeps_what_came() {
    let file = File::random(11, 48 * MIB);
    let alice = seeder(19, &file).await;
    let mut bob = Node::start(20).await;
    bob.keeps(&[file.blob]).await;
    bob.knows(&alice).await;

    // So that it is cancelled in the middle, however late that is.
    let slow = Rates {
        download: Some(4 * MIB as u64),
        ..Rates::default()
    };
    bob.handle.send(Command::SetRates(slow)).await;
    let request = bob.begin_fetch(alice.id(), &file, file.all()).await;
    bob.until(|input| matches!(input, Input::PiecesProgress { .. }).then_some(()))
        .await;
    bob.handle.send(Command::Cancel { request }).await;
    assert_eq!(bob.fetched(request).await, Err(TransferError::Cancelled));
    bob.handle.send(Command::SetRates(Rates::default())).await;

    let have = bob.inspect(&file).await;
    assert!(!have.is_full());
    let rest = (0..file.layout().pieces()).find(|piece| !have.contains(*piece));
    let rest = run(rest.unwrap(), file.layout().pieces());
    assert_eq!(bob.fetch(alice.id(), &file, rest).await, Ok(()));
    assert_eq!(bob.content(&file).await, file.bytes);
}

async fn assert_read(node: &Node, file: &File, range: std::ops::Range<u64>) {
    use futures::StreamExt;
    let expected = &file.bytes[range.start as usize..range.end as usize];
    let mut stream = node.handle.read(file.blob, range);
    let mut read = Vec::new();
    while let Some(part) = stream.next().await {
        read.extend_from_slice(&part.unwrap());
    }
    assert_eq!(read, expected);
}
