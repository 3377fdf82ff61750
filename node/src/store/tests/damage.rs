//! Wrong bytes on the disk, and a disk that refuses.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
    sync::atomic::Ordering,
};

use bao_tree::ChunkRanges;

use super::fixture::{Disk, GROUP, MIB, Reference, encoded, have};
use crate::store::{BlobStore, Error};

#[test]
fn damaged_group_is_not_handed_out_and_can_be_fetched_again() {
    let disk = Disk::new();
    let store = disk.open();
    let reference = Reference::new(1, 2 * MIB);
    reference.fetch(&store, 0..128);
    let blob = store.blob(&reference.hash).unwrap();
    let mut changes = store.watch(&reference.hash);
    changes.mark_unchanged();
    flip(&store.owned_path(&reference.hash), 70 * GROUP as u64 + 5);

    let sent = encoded(&blob, &ChunkRanges::all(), 64 * 1024);

    assert!(matches!(sent, Err(Error::Damaged { offset, .. }) if offset == 70 * GROUP as u64));
    assert!(changes.has_changed().unwrap());
    assert!(blob.is_damaged() && !blob.is_complete());
    assert_eq!(have(&store, &reference.hash).len(), 127);
    assert!(!store.verify(&reference.hash, reference.size()).unwrap());
    assert!(reference.fetch(&store, 70..71));
    assert!(store.verify(&reference.hash, reference.size()).unwrap());
    assert!(blob.read_verified(0..u64::MAX).unwrap() == reference.data);
}

#[test]
fn verify_finds_every_damaged_group_and_a_short_file() {
    let disk = Disk::new();
    let store = disk.open();
    let reference = Reference::new(2, 3 * MIB);
    reference.fetch(&store, 0..192);
    let path = store.owned_path(&reference.hash);
    for group in [3, 64, 191] {
        flip(&path, group * GROUP as u64);
    }
    assert!(!store.verify(&reference.hash, reference.size()).unwrap());
    let missing = |store: &BlobStore| {
        let have = have(store, &reference.hash);
        (0..192).filter(|n| !have.contains(n)).collect::<Vec<u32>>()
    };
    assert_eq!(missing(&store), [3, 64, 191]);
    assert!(reference.fetch_runs(&store, &[3..4, 64..65, 191..192]));
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(190 * GROUP as u64 + 1)
        .unwrap();
    assert!(!store.verify(&reference.hash, reference.size()).unwrap());
    assert_eq!(missing(&store), [190, 191]);
}

#[test]
fn damaged_tree_is_built_anew_from_good_bytes() {
    let disk = Disk::new();
    let reference = Reference::new(3, 3 * MIB);
    let store = disk.open();
    let path = reference.import(&disk, &store, "file");
    let outboard = store.owned_path(&reference.hash).with_extension("outboard");
    flip(&outboard, 64 * 100);
    assert!(store.verify(&reference.hash, reference.size()).unwrap());
    assert!(fs::read(&outboard).unwrap() == reference.outboard.data);
    assert!(path.exists());
}

#[test]
fn damaged_pair_of_a_fetched_blob_is_mended_with_what_lies_below() {
    let disk = Disk::new();
    let store = disk.open();
    let reference = Reference::new(4, 3 * MIB);
    reference.fetch(&store, 0..100);
    let outboard = store.owned_path(&reference.hash).with_extension("outboard");
    flip(&outboard, 64 * 3);
    let blob = store.blob(&reference.hash).unwrap();
    let sent = encoded(&blob, &blob.chunk_ranges(), 64 * 1024);
    assert!(matches!(sent, Err(Error::Damaged { .. })));
    let left = have(&store, &reference.hash);
    assert!(left.len() < 100 && !left.contains(&0));
    assert!(reference.fetch(&store, 0..192));
    encoded(&blob, &ChunkRanges::all(), 64 * 1024).unwrap();
}

#[test]
fn file_of_the_user_that_changed_is_given_up_and_never_written_to() {
    let disk = Disk::new();
    let store = disk.open();
    let reference = Reference::new(5, 2 * MIB);
    let path = reference.import(&disk, &store, "file");
    flip(&path, 99);
    let changed = fs::read(&path).unwrap();
    let blob = store.blob(&reference.hash).unwrap();

    let sent = encoded(&blob, &ChunkRanges::all(), 64 * 1024);

    assert!(matches!(sent, Err(Error::Damaged { .. })));
    assert!(have(&store, &reference.hash).is_empty());
    assert!(reference.fetch(&store, 0..128));
    assert!(fs::read(&path).unwrap() == changed);
    assert!(fs::read(store.owned_path(&reference.hash)).unwrap() == reference.data);
}

#[test]
fn touched_file_is_compared_and_moved_file_is_missed_until_it_is_back() {
    let disk = Disk::new();
    let reference = Reference::new(6, 2 * MIB);
    let store = disk.open();
    let path = reference.import(&disk, &store, "file");
    let compared = |store: &BlobStore| store.inner.compared.load(Ordering::Relaxed);
    drop(store);
    let store = disk.open();
    assert_eq!(have(&store, &reference.hash).len(), 128);
    assert_eq!(compared(&store), 0, "an untouched file is believed");
    drop(store);

    // Same bytes, another inode and time.
    fs::rename(&path, path.with_extension("old")).unwrap();
    let store = disk.open();
    assert!(store.blob(&reference.hash).is_none());
    disk.write("file", &reference.data);
    assert!(store.blob(&reference.hash).unwrap().is_complete());
    assert_eq!(compared(&store), reference.size());
    drop(store);

    flip(&path, 5);
    let store = disk.open();
    assert!(have(&store, &reference.hash).is_empty());
    assert!(store.blob(&reference.hash).unwrap().is_damaged());
}

#[test]
fn full_disk_loses_the_run_and_nothing_else() {
    let disk = Disk::new();
    let store = disk.open();
    let reference = Reference::new(7, 2 * MIB);
    reference.fetch(&store, 0..10);
    let path = store.owned_path(&reference.hash);
    let kept = path.with_extension("kept");
    fs::rename(&path, &kept).unwrap();
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();

    let writer = store.begin(&reference.hash, reference.size(), 0).unwrap();
    assert!(matches!(reference.write(&writer, 20..30), Err(Error::Full)));
    drop(writer);

    fs::remove_file(&path).unwrap();
    fs::rename(&kept, &path).unwrap();
    assert_eq!(have(&store, &reference.hash).len(), 10);
    assert!(reference.fetch(&store, 10..128));
    assert!(store.verify(&reference.hash, reference.size()).unwrap());
}

#[test]
fn reserve_of_the_disk_is_not_fetched_into() {
    let disk = Disk::new();
    let store = disk.open_with(0, u64::MAX / 2);
    let reference = Reference::new(8, 2 * MIB);
    let begun = store.begin(&reference.hash, reference.size(), 1);
    assert!(matches!(begun, Err(Error::Full)));
}

fn flip(path: &Path, at: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}
