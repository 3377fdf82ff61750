use weft_protocol::{
    id::{BlobHash, ObjectId, PublisherId, RepositoryId},
    manifest::{Card, Kind, Role},
};

use super::*;

fn file(path: &str, content: &[u8], large: bool) -> File {
    File {
        path: path.parse().unwrap(),
        size: content.len() as u64,
        blake3: BlobHash::new(*blake3::hash(content).as_bytes()),
        sha256: sha2::Sha256::digest(content).into(),
        spans: None,
        chunks: None,
        git_sha1: (!large).then(|| git_object("blob", content)),
        role: Role::Other,
    }
}

fn commit(mut files: Vec<File>) -> Commit {
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let manifest = Manifest {
        repository: RepositoryId {
            publisher: PublisherId::new([1; 32]),
            name: "m".parse().unwrap(),
        },
        kind: Kind::Model,
        parents: Vec::new(),
        files,
        card: Card::default(),
        tensors: Vec::new(),
        message: "title\n\nmore".to_owned(),
        created: Timestamp(0),
    };
    Commit::new(ObjectId::new([0xab; 32]), manifest)
}

#[test]
fn ids_are_the_ones_git_gives() {
    // git hash-object: of nothing, and of "deep\n".
    assert_eq!(
        content_id(&file("e", b"", false)),
        "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    );
    let deep = file("d", b"deep\n", false);
    assert_eq!(git_oid(&deep), "4cdb2265d30204be5463b38174b2e8e717982405");
    // git write-tree of the same three files.
    let commit = commit(vec![
        file("a/b/c.txt", b"c", false),
        file("a/d.txt", b"d", false),
        file("a.txt", b"a", false),
    ]);
    for (path, expected) in [
        ("a", "70e6a1a145cb09adae93b207c9c4d863b2deee70"),
        ("a/b", "653c8359fc980eb3a393a41a1f1cbe4e8ce458f8"),
    ] {
        let Some(Entry::Folder { oid, .. }) = commit.folder(path) else {
            panic!("a folder");
        };
        assert_eq!(oid, expected, "{path}");
    }
}

#[test]
fn folders_are_listed_level_by_level_or_all_at_once() {
    let commit = commit(vec![
        file("a/b/c.txt", b"c", false),
        file("a/d.txt", b"d", false),
        file("a.txt", b"a", false),
    ]);
    let paths = |folder: &str, recursive| {
        commit
            .entries(folder, recursive)
            .map(|all| all.iter().map(|entry| entry.path()).collect::<Vec<_>>())
    };
    assert_eq!(paths("", false), Some(vec!["a", "a.txt"]));
    assert_eq!(paths("a", false), Some(vec!["a/b", "a/d.txt"]));
    assert_eq!(
        paths("", true),
        Some(vec!["a", "a.txt", "a/b", "a/b/c.txt", "a/d.txt"])
    );
    assert_eq!(paths("a/b/", true), Some(vec!["a/b/c.txt"]));
    assert_eq!(paths("b", true), None);
    assert_eq!(paths("a.txt", true), None);
}

#[test]
fn a_large_file_shows_its_sha256_and_the_pointer_that_git_holds() {
    let large = file("w.bin", b"weights", true);
    let json = Entry::File(&large).json();
    let sha256 = HEXLOWER.encode(&large.sha256);
    assert_eq!(json["lfs"]["oid"], sha256);
    assert_eq!(content_id(&large), sha256);
    let pointer =
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize 7\n");
    assert_eq!(json["lfs"]["pointerSize"], pointer.len());
    assert_eq!(
        json["oid"],
        HEXLOWER.encode(&git_object("blob", pointer.as_bytes()))
    );
}

#[test]
fn dates_are_civil() {
    for (seconds, text) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (951_782_399, "2000-02-28T23:59:59.000Z"),
        (951_782_400, "2000-02-29T00:00:00.000Z"),
        (4_107_542_400, "2100-03-01T00:00:00.000Z"),
    ] {
        assert_eq!(date(Timestamp(seconds)), text);
    }
}

#[test]
fn a_message_is_title_and_description() {
    let commit = commit(Vec::new());
    assert_eq!((commit.title(), commit.description()), ("title", "more"));
    assert_eq!(commit.id(), "ab".repeat(20));
}
