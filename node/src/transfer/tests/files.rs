//! Files in and out.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sha1::Sha1;
use sha2::{Digest, Sha256};
use weft_protocol::path::RepoPath;

use super::node::{File, Node, seeder};
use crate::transfer::{ImportError, PlaceError, Placed};

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn import_gives_every_hash_and_makes_no_copy() {
    let file = File::random(50, 3 * MIB);
    let node = Node::start(60).await;
    let path = node.write("weights", &file.bytes).await;
    let mut steps = Vec::new();

    let imported = node
        .handle
        .import(&path, |bytes| steps.push(bytes))
        .await
        .unwrap();

    assert_eq!(imported.blake3, file.blob);
    assert_eq!(imported.size, file.size);
    assert_eq!(
        imported.sha256,
        <[u8; 32]>::from(Sha256::digest(&file.bytes))
    );
    let git = Sha1::new()
        .chain_update(format!("blob {}\0", file.size))
        .chain_update(&file.bytes)
        .finalize();
    assert_eq!(imported.git_sha1, Some(git.into()));
    assert_eq!(steps.last(), Some(&file.size));
    let stored = disk_usage(&node.home.path().join("blobs").join("data"));
    assert!(stored < file.size / 10, "{stored} bytes beside the file");
}

#[tokio::test]
async fn directory_and_missing_file_are_not_imported() {
    let node = Node::start(61).await;
    let result = node.handle.import(node.home.path(), |_| {}).await;
    assert!(matches!(result, Err(ImportError::NotAFile { .. })));
    let missing = node.home.path().join("missing");
    let result = node.handle.import(&missing, |_| {}).await;
    assert!(matches!(result, Err(ImportError::Read { .. })));
}

#[tokio::test]
async fn fetched_file_is_placed_as_a_link_and_fills_the_disk_once() {
    let file = File::random(51, 3 * MIB);
    let alice = seeder(62, &file).await;
    let mut bob = Node::start(63).await;
    bob.keeps(&[file.blob]).await;
    bob.knows(&alice).await;
    assert_eq!(bob.fetch(alice.id(), &file, file.all()).await, Ok(()));

    let view = bob.home.path().join("view");
    let path = repo_path("deep/down/weights.bin");
    let placed = bob.handle.place(file.blob, &view, &path).await.unwrap();

    assert_eq!(placed, Placed::Linked);
    let placed = view.join("deep/down/weights.bin");
    assert_eq!(fs::read(&placed).unwrap(), file.bytes);
    assert!(fs::metadata(&placed).unwrap().permissions().readonly());
    assert_same_inode(&placed, &bob.data_file(&file));
    let used = disk_usage(bob.home.path());
    assert!(used < file.size * 3 / 2, "{used} bytes for {}", file.size);

    let again = bob.handle.place(file.blob, &view, &path).await.unwrap();
    assert_eq!(again, Placed::Present);
    assert!(bob.handle.verify(file.blob, file.size).await);
}

#[tokio::test]
async fn files_of_the_user_are_placed_as_copies_and_own_ones_as_links() {
    let node = Node::start(64).await;
    let view = node.home.path().join("view");
    // A small file was copied when it was taken in.
    let all = [
        (52, 0, Placed::Copied),
        (53, 9, Placed::Linked),
        (54, 16 * 1_024, Placed::Linked),
        (55, 16 * 1_024 + 1, Placed::Copied),
        (56, MIB, Placed::Copied),
    ];
    for (seed, size, expected) in all {
        let file = File::random(seed, size);
        let name = format!("file-{size}");
        let _imported = node.import(&name, &file.bytes).await;
        let path = repo_path(&name);
        let placed = node.handle.place(file.blob, &view, &path).await.unwrap();
        assert_eq!(placed, expected, "{size}");
        assert_eq!(fs::read(view.join(&name)).unwrap(), file.bytes, "{size}");
    }
    let names = fs::read_dir(&view).unwrap().count();
    assert_eq!(names, all.len(), "no temporary file is left");
}

#[tokio::test]
async fn changed_original_is_not_placed_under_the_old_hash() {
    let file = File::random(56, MIB);
    let node = Node::start(65).await;
    let _imported = node.import("file", &file.bytes).await;
    let mut changed = file.bytes.clone();
    changed[5] ^= 1;
    node.write("file", &changed).await;

    let view = node.home.path().join("view");
    let path = repo_path("file");
    let result = node.handle.place(file.blob, &view, &path).await;

    assert!(matches!(result, Err(PlaceError::Damaged(_))), "{result:?}");
    assert_eq!(fs::read_dir(&view).unwrap().count(), 0);
    assert!(!node.handle.verify(file.blob, file.size).await);
}

#[tokio::test]
async fn foreign_file_is_kept_and_identical_one_is_fine() {
    let file = File::random(57, MIB);
    let node = Node::start(66).await;
    let _imported = node.import("file", &file.bytes).await;
    let view = node.home.path().join("view");
    fs::create_dir(&view).unwrap();
    fs::write(view.join("same"), &file.bytes).unwrap();
    fs::write(view.join("other"), b"mine").unwrap();

    let place = |name| {
        let path = repo_path(name);
        let handle = node.handle.clone();
        let view = view.clone();
        async move { handle.place(file.blob, &view, &path).await }
    };

    assert!(matches!(place("same").await, Ok(Placed::Present)));
    assert!(matches!(place("other").await, Err(PlaceError::Occupied(_))));
    assert_eq!(fs::read(view.join("other")).unwrap(), b"mine");
}

#[cfg(unix)]
#[tokio::test]
async fn links_on_the_way_are_not_followed() {
    let file = File::random(58, MIB);
    let node = Node::start(67).await;
    let _imported = node.import("file", &file.bytes).await;
    let outside = node.home.path().join("outside");
    let view = node.home.path().join("view");
    fs::create_dir(&outside).unwrap();
    fs::create_dir(&view).unwrap();
    std::os::unix::fs::symlink(&outside, view.join("sub")).unwrap();
    std::os::unix::fs::symlink(outside.join("target"), view.join("leaf")).unwrap();

    let path = repo_path("sub/file");
    let result = node.handle.place(file.blob, &view, &path).await;
    assert!(matches!(result, Err(PlaceError::NotADirectory(_))));
    let path = repo_path("leaf");
    let result = node.handle.place(file.blob, &view, &path).await;
    assert!(matches!(result, Err(PlaceError::Occupied(_))));
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[tokio::test]
async fn incomplete_blob_is_not_placed() {
    let file = File::random(59, MIB);
    let node = Node::start(68).await;
    let path = repo_path("file");
    let result = node.handle.place(file.blob, node.home.path(), &path).await;
    assert!(matches!(result, Err(PlaceError::Incomplete(_))));
}

fn repo_path(text: &str) -> RepoPath {
    text.parse().unwrap()
}

#[cfg(unix)]
fn assert_same_inode(a: &Path, b: &Path) {
    use std::os::unix::fs::MetadataExt;
    assert_eq!(
        fs::metadata(a).unwrap().ino(),
        fs::metadata(b).unwrap().ino()
    );
}

#[cfg(not(unix))]
fn assert_same_inode(_a: &Path, _b: &Path) {}

/// Bytes of disk under a directory, each file counted once however many names it has.
#[cfg(unix)]
fn disk_usage(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut seen = std::collections::BTreeSet::new();
    files(directory)
        .iter()
        .filter_map(|path| fs::metadata(path).ok())
        .filter(|metadata| seen.insert(metadata.ino()))
        .map(|metadata| metadata.blocks() * 512)
        .sum()
}

#[cfg(not(unix))]
fn disk_usage(_directory: &Path) -> u64 {
    0
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}

#[tokio::test]
async fn spans_of_a_blob_are_a_layer_of_its_tree() {
    let node = Node::start(76).await;
    for (seed, size) in [(1, (1 << 18) + 1), (2, 3 << 18), (3, (9 << 18) + 1_025)] {
        let file = File::random(seed, size);
        let path = node.write("file", &file.bytes).await;
        let imported = node.handle.import(&path, |_| {}).await.unwrap();
        let spans = node.handle.spans(imported.blake3, file.size, 18).await;
        assert_eq!(spans.unwrap().check(&file.blob, file.size), Ok(()));
        // One span is the file itself.
        assert_eq!(node.handle.spans(file.blob, file.size, 26).await, None);
    }
}
