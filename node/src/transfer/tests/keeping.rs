//! What survives: collection, restarts, crashes.

use std::sync::Arc;

use weft_protocol::service::Input;

use super::{
    crash,
    node::{File, Node, run, seeder},
};

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn only_unprotected_blobs_are_collected() {
    let kept = File::random(80, MIB);
    let dropped = File::random(81, MIB);
    let alice = seeder(90, &kept).await;
    let _imported = alice.import("other", &dropped.bytes).await;
    alice.seeds(&[kept.blob, dropped.blob]).await;
    let mut bob = Node::start(91).await;
    bob.knows(&alice).await;
    bob.keeps(&[kept.blob, dropped.blob]).await;
    assert_eq!(bob.fetch(alice.id(), &kept, run(0, 2)).await, Ok(()));
    let all = dropped.all();
    assert_eq!(bob.fetch(alice.id(), &dropped, all).await, Ok(()));
    bob.handle.collect().await;
    assert!(bob.inspect(&dropped).await.is_full());

    bob.keeps(&[kept.blob]).await;
    // Commands are taken up in order, so after an answer the new set holds.
    bob.inspect(&kept).await;
    bob.handle.collect().await;

    assert_eq!(bob.inspect(&dropped).await.count(), 0);
    assert!(!bob.data_file(&dropped).exists());
    assert_eq!(bob.inspect(&kept).await.count(), 2);
}

#[tokio::test]
async fn nothing_is_collected_before_the_machine_has_spoken() {
    let file = File::random(82, MIB);
    let alice = seeder(92, &file).await;
    let mut alice = alice.restart().await;
    alice.handle.collect().await;
    assert!(alice.inspect(&file).await.is_full());
}

#[tokio::test]
async fn import_is_kept_until_its_guard_is_dropped() {
    let file = File::random(83, MIB);
    let mut node = Node::start(93).await;
    let imported = node.import("file", &file.bytes).await;
    node.keeps(&[]).await;
    assert!(node.inspect(&file).await.is_full());
    node.handle.collect().await;
    assert!(node.inspect(&file).await.is_full());

    drop(imported);
    // The store hears of the drop in its own time.
    while node.inspect(&file).await.is_full() {
        node.handle.collect().await;
    }
    assert!(node.home.path().join("file").exists(), "the original stays");
}

#[tokio::test]
async fn restart_finds_partial_and_complete_blobs() {
    let whole = File::random(84, 2 * MIB);
    let small = File::random(85, 100);
    let partial = File::random(86, 2 * MIB);
    let alice = seeder(94, &whole).await;
    let _small = alice.import("small", &small.bytes).await;
    let _partial = alice.import("partial", &partial.bytes).await;
    let all = [whole.blob, small.blob, partial.blob];
    alice.seeds(&all).await;
    let mut bob = Node::start(95).await;
    bob.knows(&alice).await;
    bob.keeps(&all).await;
    for file in [&whole, &small] {
        assert_eq!(bob.fetch(alice.id(), file, file.all()).await, Ok(()));
    }
    for pieces in [run(0, 2), run(5, 6)] {
        assert_eq!(bob.fetch(alice.id(), &partial, pieces).await, Ok(()));
    }

    let mut bob = bob.restart().await;
    let mut alice = alice.restart().await;

    assert!(bob.inspect(&whole).await.is_full());
    assert!(bob.inspect(&small).await.is_full());
    let have = bob.inspect(&partial).await;
    assert_eq!(have.iter().collect::<Vec<_>>(), [0, 1, 5]);
    assert!(alice.inspect(&whole).await.is_full());
    alice.seeds(&all).await;
    bob.knows(&alice).await;
    bob.keeps(&all).await;
    let rest = [run(2, 5), run(6, 8)];
    for pieces in rest {
        assert_eq!(bob.fetch(alice.id(), &partial, pieces).await, Ok(()));
    }
    assert_eq!(bob.content(&partial).await, partial.bytes);
}

#[tokio::test]
async fn blob_whose_original_was_moved_away_can_be_fetched_again() {
    let file = File::random(88, 2 * MIB);
    let mirror = seeder(98, &file).await;
    let alice = seeder(99, &file).await;
    std::fs::remove_file(alice.home.path().join("file")).unwrap();
    let mut alice = alice.restart().await;
    alice.keeps(&[file.blob]).await;
    alice.knows(&mirror).await;

    assert_eq!(alice.inspect(&file).await.count(), 0);
    assert_eq!(alice.fetch(mirror.id(), &file, file.all()).await, Ok(()));

    assert_eq!(alice.content(&file).await, file.bytes);
    assert!(alice.data_file(&file).exists());
}

// Reading what the child says blocks a thread; alice must go on serving.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_process_loses_nothing_that_was_acknowledged() {
    let file = File::random(89, 64 * MIB);
    let alice = seeder(100, &file).await;
    let home = Arc::new(tempfile::tempdir().unwrap());
    for kill_after in [1, 20, 60] {
        let mut child = crash::Child::start(home.path(), &alice, &file);
        let acknowledged = child.pieces_until(kill_after);
        assert_eq!(acknowledged.len(), kill_after);
        child.kill();

        let mut bob = Node::start_in(Arc::clone(&home), 101).await;
        let have = bob.inspect(&file).await;
        for piece in acknowledged {
            assert!(have.contains(piece), "piece {piece} of {kill_after}");
        }
        bob.handle.shutdown().await;
    }
    let mut bob = Node::start_in(home, 101).await;
    bob.keeps(&[file.blob]).await;
    bob.knows(&alice).await;
    let missing = bob.inspect(&file).await;
    for piece in (0..file.layout().pieces()).filter(|piece| !missing.contains(*piece)) {
        let pieces = run(piece, piece + 1);
        assert_eq!(bob.fetch(alice.id(), &file, pieces).await, Ok(()));
    }
    assert!(bob.handle.verify(file.blob, file.size).await);
}

/// The part of [`killed_process_loses_nothing_that_was_acknowledged`] that is killed: does nothing unless that
/// test started it in a process of its own.
#[tokio::test]
async fn process_to_be_killed() {
    crash::run_child().await;
}

#[tokio::test]
async fn shutdown_in_the_middle_of_a_fetch_keeps_what_came() {
    let file = File::random(87, 48 * MIB);
    let alice = seeder(96, &file).await;
    let mut bob = Node::start(97).await;
    bob.knows(&alice).await;
    bob.keeps(&[file.blob]).await;
    bob.begin_fetch(alice.id(), &file, file.all()).await;
    while bob.progress < 4 * MIB as u64 {
        bob.until(|input| matches!(input, Input::PiecesProgress { .. }).then_some(()))
            .await;
    }

    let mut bob = bob.restart().await;

    let have = bob.inspect(&file).await;
    assert!(have.count() >= 8, "{} pieces", have.count());
}
