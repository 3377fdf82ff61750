//! What stays, what goes, and who is told.

use std::fs;

use super::fixture::{Disk, GROUP, MIB, Reference, have};
use crate::store::{Error, OpenError};

#[test]
fn only_what_nobody_keeps_is_collected() {
    let disk = Disk::new();
    let store = disk.open();
    let blobs: Vec<_> = (0..5).map(|seed| Reference::new(seed, 2 * MIB)).collect();
    for blob in &blobs {
        blob.fetch(&store, 0..3);
    }
    assert_eq!(store.collect().unwrap(), 0, "nobody has spoken yet");
    let [kept, guarded, written, dropped, _] = &blobs[..] else {
        panic!("five");
    };
    let guard = store.guard(&guarded.hash);
    let writer = store.begin(&written.hash, written.size(), 0).unwrap();
    assert!(!store.protect(&[kept.hash, dropped.hash]));
    assert!(store.protect(&[kept.hash]));

    assert_eq!(store.collect().unwrap(), 2);

    assert!(store.blob(&dropped.hash).is_none());
    assert!(!store.owned_path(&dropped.hash).exists());
    assert_eq!(have(&store, &kept.hash).len(), 3);
    drop((guard, writer));
    assert_eq!(store.collect().unwrap(), 2);
    let files = fs::read_dir(disk.directory.path().join("blobs/data")).unwrap();
    assert_eq!(files.count(), 2, "the kept blob's file and tree");
    let left: Vec<_> = store.list().unwrap().iter().map(|l| l.hash).collect();
    assert_eq!(left, [kept.hash]);
}

#[test]
fn collecting_an_imported_blob_leaves_the_file() {
    let disk = Disk::new();
    let store = disk.open();
    let reference = Reference::new(9, 2 * MIB);
    let path = reference.import(&disk, &store, "file");
    store.protect(&[]);
    assert_eq!(store.collect().unwrap(), 1);
    assert!(path.exists());
    assert!(store.blob(&reference.hash).is_none());
}

#[test]
fn writer_of_a_removed_blob_brings_nothing_back() {
    let disk = Disk::new();
    let store = disk.open();
    let reference = Reference::new(10, 2 * MIB);
    let writer = store.begin(&reference.hash, reference.size(), 0).unwrap();
    reference.write(&writer, 0..4).unwrap();
    store.remove(&reference.hash).unwrap();
    reference.write(&writer, 4..8).unwrap();
    writer.finish().unwrap();
    store.checkpoint().unwrap();
    assert!(store.blob(&reference.hash).is_none());
    drop(store);
    assert!(have(&disk.open(), &reference.hash).is_empty());
}

#[test]
fn watchers_hear_of_a_blob_before_it_is_here_and_after_it_is_gone() {
    let disk = Disk::new();
    let store = disk.open();
    let reference = Reference::new(11, 2 * MIB);
    let mut changes = store.watch(&reference.hash);
    let mut changed = || {
        let changed = changes.has_changed().unwrap();
        changes.mark_unchanged();
        changed
    };
    assert!(!changed());
    reference.fetch(&store, 0..1);
    assert!(changed());
    reference.fetch(&store, 0..1);
    assert!(!changed(), "nothing new");
    store.remove(&reference.hash).unwrap();
    assert!(changed());
}

#[test]
fn runs_that_are_no_whole_groups_and_other_sizes_are_refused() {
    let disk = Disk::new();
    let store = disk.open();
    let reference = Reference::new(12, 2 * MIB + 100);
    let writer = store.begin(&reference.hash, reference.size(), 0).unwrap();
    for (offset, len) in [(1, GROUP), (0, 100), (2 * MIB as u64, 101)] {
        let leaves = [std::io::IoSlice::new(&reference.data[..len])];
        let written = writer.write_verified(offset, &leaves, &[]);
        assert!(matches!(written, Err(Error::Unaligned { .. })), "{offset}");
    }
    let other = store.begin(&reference.hash, 7, 0);
    assert!(matches!(other, Err(Error::Size { claimed: 7, .. })));
}

#[test]
fn old_layout_is_refused_and_remains_are_swept() {
    let disk = Disk::new();
    let data = disk.directory.path().join("blobs/data");
    fs::create_dir_all(&data).unwrap();
    let orphan = Reference::new(13, 10);
    let remains = [format!("{}.data", orphan.hash), "7.importing".to_owned()];
    for name in &remains {
        fs::write(data.join(name), b"x").unwrap();
    }
    fs::write(data.join("mine.txt"), b"x").unwrap();
    let store = disk.open();
    // The sweep runs beside; its own end waits for it.
    store.close();
    for name in &remains {
        assert!(!data.join(name).exists(), "{name}");
    }
    assert!(data.join("mine.txt").exists());
    drop(store);

    fs::write(disk.directory.path().join("blobs/blobs.db"), b"x").unwrap();
    let config = crate::store::Config {
        directory: disk.directory.path().join("blobs"),
        reserve: 0,
    };
    let refused = crate::store::BlobStore::open(config, disk.registry());
    assert!(matches!(refused, Err(OpenError::OldLayout(_))));
}
