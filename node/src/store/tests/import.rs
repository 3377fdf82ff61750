//! Files in.

use std::sync::Mutex;

use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::fixture::{Disk, GROUP, MIB, Reference};
use crate::store::{ImportError, Observer};

#[test]
fn all_hashes_of_one_read_are_right_with_one_thread_and_with_two() {
    let disk = Disk::new();
    let store = disk.open();
    for (seed, size) in (0..).zip([
        0,
        1,
        16_384,
        MIB,
        3 * MIB + 7,
        4 * MIB,
        9 * MIB + 1,
        11 * MIB,
    ]) {
        let reference = Reference::new(seed, size);
        let path = disk.write("file", &reference.data);
        let seen = Mutex::new(Vec::new());
        let steps = Mutex::new(Vec::new());
        let observer = Observer {
            progress: Some(&|bytes| {
                steps.lock().unwrap().push(bytes);
                true
            }),
            block: Some(&|offset, bytes| {
                let mut seen = seen.lock().unwrap();
                assert_eq!(offset, seen.len() as u64);
                assert_eq!(offset % MIB as u64, 0);
                seen.extend_from_slice(bytes);
            }),
        };
        let imported = store.import(&path, &observer).unwrap();
        assert_eq!(imported.blake3, reference.hash, "{size}");
        assert_eq!(imported.size, size as u64);
        assert_eq!(
            imported.sha256,
            <[u8; 32]>::from(Sha256::digest(&reference.data))
        );
        let git = (size <= 10 * MIB).then(|| {
            let header = format!("blob {size}\0");
            let sha1 = Sha1::new().chain_update(header.as_bytes());
            sha1.chain_update(&reference.data).finalize().into()
        });
        assert_eq!(imported.git_sha1, git);
        assert!(seen.into_inner().unwrap() == reference.data);
        if size > 0 {
            assert_eq!(steps.into_inner().unwrap().last(), Some(&(size as u64)));
        }
    }
}

#[test]
fn small_file_may_change_afterwards_and_what_was_taken_in_stays_whole() {
    let disk = Disk::new();
    let store = disk.open();
    for (seed, size, stays) in [(3, 1, true), (4, GROUP, true), (5, GROUP + 1, false)] {
        let reference = Reference::new(seed, size);
        reference.fetch(&store, 0..1);
        let path = disk.write("card", &reference.data);
        let _imported = store.import(&path, &Observer::default()).unwrap();
        std::fs::write(&path, b"edited").unwrap();
        assert_eq!(
            store.verify(&reference.hash, reference.size()).unwrap(),
            stays,
            "{size}"
        );
    }
    let names = std::fs::read_dir(disk.directory.path().join("blobs/data")).unwrap();
    let left = names.flatten().filter(|name| {
        name.path()
            .extension()
            .is_some_and(|end| end == "importing")
    });
    assert_eq!(left.count(), 0);
}

#[test]
fn file_that_changes_while_it_is_read_is_refused() {
    let disk = Disk::new();
    let store = disk.open();
    for size in [2 * MIB, 9 * MIB] {
        let reference = Reference::new(1, size);
        let path = disk.write("file", &reference.data);
        let change = |_: u64| {
            // Another time, and on the second call another length.
            let mut bytes = std::fs::read(&path).unwrap();
            bytes.push(1);
            std::fs::write(&path, bytes).unwrap();
            true
        };
        let observer = Observer {
            progress: Some(&change),
            block: None,
        };
        let imported = store.import(&path, &observer);
        assert!(matches!(imported, Err(ImportError::Changed { .. })));
    }
    assert_eq!(store.list().unwrap(), []);
}

#[test]
fn import_that_nobody_waits_for_stops_and_leaves_nothing() {
    let disk = Disk::new();
    let store = disk.open();
    let reference = Reference::new(2, 9 * MIB);
    let path = disk.write("file", &reference.data);
    let observer = Observer {
        progress: Some(&|_| false),
        block: None,
    };
    let imported = store.import(&path, &observer);
    assert!(matches!(imported, Err(ImportError::Read { .. })));
    let left = std::fs::read_dir(disk.directory.path().join("blobs/data")).unwrap();
    assert_eq!(left.count(), 0);
}

#[test]
fn import_ends_a_download_and_a_fetched_blob_stays_the_stores_own() {
    let disk = Disk::new();
    let store = disk.open();
    let begun = Reference::new(3, 2 * MIB);
    begun.fetch(&store, 0..5);
    let path = begun.import(&disk, &store, "begun");
    let blob = store.blob(&begun.hash).unwrap();
    assert!(blob.is_complete() && blob.is_original() && blob.path() == path);
    assert!(!store.owned_path(&begun.hash).exists());

    let fetched = Reference::new(4, 2 * MIB);
    assert!(fetched.fetch(&store, 0..128));
    fetched.import(&disk, &store, "fetched");
    assert!(!store.blob(&fetched.hash).unwrap().is_original());

    // The newest of the user's files counts.
    let newer = begun.import(&disk, &store, "newer");
    assert_eq!(store.blob(&begun.hash).unwrap().path(), newer);
}

#[test]
fn imported_blob_survives_the_end_of_the_process_and_the_loss_of_power() {
    let disk = Disk::new();
    let small = Reference::new(5, 300_000);
    let large = Reference::new(6, 3 * MIB);
    let store = disk.open();
    small.import(&disk, &store, "small");
    large.import(&disk, &store, "large");
    drop(store);
    for losses in [0, 1] {
        let store = disk.open_after(losses);
        for reference in [&small, &large] {
            let blob = store.blob(&reference.hash).unwrap();
            assert!(blob.is_complete());
            assert!(blob.read_verified(0..u64::MAX).unwrap() == reference.data);
        }
    }
}

#[test]
fn file_that_is_taken_over_becomes_the_stores_own() {
    for size in [0, 1, GROUP, 3 * MIB + 7] {
        let (disk, reference) = (Disk::new(), Reference::new(1, size));
        let store = disk.open();
        // Twice: what is here already only goes from where it was.
        for name in ["first", "second"] {
            let path = disk.write(name, &reference.data);
            let imported = store.import_owned(&path, &Observer::default()).unwrap();
            assert_eq!(imported.blake3, reference.hash);
            assert!(!path.exists());
        }
        let blob = store.blob(&reference.hash).unwrap();
        assert!(blob.is_complete() && !blob.is_original());
        assert_eq!(blob.read_verified(0..u64::MAX).unwrap(), reference.data);
        drop((blob, store));
        let blob = disk.open().blob(&reference.hash).unwrap();
        assert_eq!(blob.read_verified(0..u64::MAX).unwrap(), reference.data);
    }
}

#[test]
fn file_of_the_users_gives_way_to_one_that_is_taken_over() {
    let (disk, reference) = (Disk::new(), Reference::new(1, MIB));
    let store = disk.open();
    let original = reference.import(&disk, &store, "original");
    assert!(store.blob(&reference.hash).unwrap().is_original());
    let path = disk.write("upload", &reference.data);
    store.import_owned(&path, &Observer::default()).unwrap();
    std::fs::remove_file(original).unwrap();
    let blob = store.blob(&reference.hash).unwrap();
    assert!(!blob.is_original());
    assert_eq!(blob.read_verified(0..u64::MAX).unwrap(), reference.data);
}
