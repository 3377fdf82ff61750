use super::*;
use crate::{
    codec::{DecodeError, decode_object, decode_preimage, encode, object_id, preimage},
    id::{ObjectId, PublisherId},
};

fn file(path: &str, size: u64, hash: u8) -> File {
    File {
        path: path.parse().expect("a valid path"),
        size,
        blake3: BlobHash::new([hash; 32]),
        sha256: [hash; 32],
        git_sha1: None,
        role: Role::of_path(path),
        spans: None,
        chunks: None,
    }
}

fn manifest(files: Vec<File>) -> Manifest {
    Manifest {
        repository: RepositoryId {
            publisher: PublisherId::new([1; 32]),
            name: "Tiny".parse().expect("a valid name"),
        },
        kind: Kind::Model,
        parents: vec![],
        files,
        card: Card::default(),
        tensors: vec![],
        message: "first\nline".to_owned(),
        created: Timestamp(1),
    }
}

fn two_files() -> Manifest {
    manifest(vec![
        file("README.md", 10, 1),
        file("model.safetensors", 1000, 2),
    ])
}

fn tensor(file: u32, offset: u64, len: u64) -> Tensor {
    Tensor {
        file,
        name: "w".to_owned(),
        dtype: "F32".to_owned(),
        shape: vec![2, 2],
        offset,
        len,
        blake3: ObjectId::new([3; 32]),
    }
}

fn refused(manifest: &Manifest) -> String {
    match decode_object::<Manifest>(&encode(manifest)) {
        Err(DecodeError::Invalid(reason)) => reason,
        other => panic!("expected an invalid manifest, got {other:?}"),
    }
}

#[test]
fn manifest_round_trips_and_keeps_the_case_of_its_name() {
    let manifest = two_files();
    let id = object_id::<Manifest>(&encode(&manifest));
    let back: Manifest = decode_preimage(id, &preimage(&manifest)).expect("valid");
    assert_eq!(back, manifest);
    assert_eq!(back.repository.name.as_str(), "Tiny");
    assert_eq!(back.bytes_total(), 1010);
    assert_eq!(
        back.file(&"README.md".parse().expect("valid"))
            .map(|f| f.size),
        Some(10)
    );
}

#[test]
fn blobs_are_listed_once() {
    let manifest = manifest(vec![file("a", 5, 1), file("b", 5, 1), file("c", 6, 2)]);
    let hashes: Vec<_> = manifest.blobs().iter().map(|(_, size)| *size).collect();
    assert_eq!(hashes, [5, 6]);
}

#[test]
fn paths_must_be_sorted_and_unique_even_after_folding() {
    assert!(refused(&manifest(vec![file("b", 1, 1), file("a", 1, 2)])).contains("sorted"));
    assert!(refused(&manifest(vec![file("a", 1, 1), file("a", 1, 1)])).contains("twice"));
    assert!(refused(&manifest(vec![file("A", 1, 1), file("a", 1, 2)])).contains("case"));
}

#[test]
fn file_cannot_be_a_folder_too() {
    let cases = [["a", "a/b"], ["A", "a/b/c"], ["a/B", "a/b/c"]];
    for [one, two] in cases {
        let reason = refused(&manifest(vec![file(one, 1, 1), file(two, 1, 2)]));
        assert!(reason.contains("folder"), "{one} {two}: {reason}");
    }
    let fine = manifest(vec![file("a-b", 1, 1), file("a/b", 1, 2), file("ab", 1, 3)]);
    assert_eq!(fine.validate(), Ok(()));
}

#[test]
fn sizes_cannot_lie() {
    let huge = manifest(vec![file("a", u64::MAX, 1), file("b", u64::MAX, 2)]);
    assert!(refused(&huge).contains("add up"));
    let contradiction = manifest(vec![file("a", 1, 1), file("b", 2, 1)]);
    assert!(refused(&contradiction).contains("contradicts"));
    assert!(refused(&manifest(vec![file("a", 0, 1)])).contains("size"));
    let mut empty = file("a", 0, 1);
    empty.blake3 = BlobHash::new(*blake3::hash(b"").as_bytes());
    assert_eq!(manifest(vec![empty]).validate(), Ok(()));
}

#[test]
fn git_hash_is_only_for_small_files() {
    let mut large = file("a", limits::GIT_SHA1_SIZE_MAX + 1, 1);
    large.git_sha1 = Some([0; 20]);
    assert!(refused(&manifest(vec![large.clone()])).contains("git"));
    large.size = limits::GIT_SHA1_SIZE_MAX;
    assert_eq!(manifest(vec![large]).validate(), Ok(()));
}

#[test]
fn unsafe_path_does_not_decode() {
    let bytes = encode(&two_files());
    let at = bytes
        .windows(9)
        .position(|w| w == b"README.md")
        .expect("it is there");
    let mut evil = bytes;
    evil[at..at + 9].copy_from_slice(b"../../etc");
    assert!(matches!(
        decode_object::<Manifest>(&evil),
        Err(DecodeError::Malformed(_))
    ));
}

#[test]
fn card_message_and_parents_are_checked() {
    let with = |change: fn(&mut Manifest)| {
        let mut manifest = two_files();
        change(&mut manifest);
        refused(&manifest)
    };
    assert!(with(|m| m.card.tags = vec!["b".into(), "a".into()]).contains("sorted"));
    assert!(with(|m| m.card.license = Some("x\u{1b}[2J".into())).contains("control"));
    assert!(with(|m| m.card.library = Some("x".repeat(300))).contains("300 bytes"));
    assert!(with(|m| m.message = "m".repeat(5000)).contains("message"));
    assert!(with(|m| m.message = "a\u{7}".into()).contains("control"));
    assert!(with(|m| m.parents = vec![ObjectId::new([1; 32]); 2]).contains("parent"));
    let mut many = two_files();
    many.parents = (0..9).map(|i| ObjectId::new([i; 32])).collect();
    assert!(matches!(
        decode_object::<Manifest>(&encode(&many)),
        Err(DecodeError::Malformed(_))
    ));
}

#[test]
fn tensors_lie_inside_existing_files() {
    let with = |tensors| Manifest {
        tensors,
        ..two_files()
    };
    assert_eq!(
        with(vec![tensor(1, 0, 16), tensor(1, 16, 984)]).validate(),
        Ok(())
    );
    assert!(refused(&with(vec![tensor(2, 0, 1)])).contains("does not exist"));
    assert!(refused(&with(vec![tensor(0, 5, 6)])).contains("beyond"));
    assert!(refused(&with(vec![tensor(0, u64::MAX, 2)])).contains("beyond"));
    assert!(refused(&with(vec![tensor(1, 0, 1), tensor(0, 0, 1)])).contains("sorted"));
}

#[test]
fn largest_manifest_is_read_and_one_file_more_is_not() {
    let files = |count: usize| {
        let path = |n: usize| format!("data/part-{n:06}.bin");
        manifest((0..count).map(|n| file(&path(n), 7, 1)).collect())
    };
    let largest = encode(&files(limits::FILES_MAX));
    let back: Manifest = decode_object(&largest).expect("within every bound");
    assert_eq!(back.bytes_total(), 700_000);
    let larger = encode(&files(limits::FILES_MAX + 1));
    assert!(decode_object::<Manifest>(&larger).is_err());
}
