//! Manifests: the list of files of one revision, with hashes and the card.
//!
//! A manifest is an [`Object`]; its id is the revision id. What [`Object::validate`] lets through can
//! be written to any file system without one file shadowing another, and its sizes can be added up.

use std::collections::{BTreeMap, BTreeSet};

use minicbor::{Decode, Encode};

use crate::{
    codec::{Object, bounded, is_plain_text},
    id::{BlobHash, ObjectId, RepositoryId, RevisionId},
    limits,
    path::RepoPath,
    time::Timestamp,
};

mod role;

pub use role::{Kind, Relation, Role};

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct File {
    /// Where, inside the repository.
    #[n(0)]
    pub path: RepoPath,
    /// Bytes.
    #[n(1)]
    pub size: u64,
    /// BLAKE3 of the bytes.
    #[n(2)]
    pub blake3: BlobHash,
    /// SHA-256 of the bytes.
    #[cbor(n(3), with = "crate::codec::fixed")]
    pub sha256: [u8; 32],
    /// Git blob SHA-1, for files of at most [`limits::GIT_SHA1_SIZE_MAX`] bytes.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub git_sha1: Option<[u8; 20]>,
    /// What it is for.
    #[n(5)]
    pub role: Role,
}

/// The card's machine-readable part.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct Card {
    /// SPDX expression or hub licence id.
    #[n(0)]
    pub license: Option<String>,
    /// Free tags, sorted, no duplicates.
    #[cbor(n(1), decode_with = "bounded::<{ limits::TAGS_MAX }, _, _>")]
    pub tags: Vec<String>,
    /// e.g. `text-generation`.
    #[n(2)]
    pub pipeline_tag: Option<String>,
    /// e.g. `transformers`.
    #[n(3)]
    pub library: Option<String>,
    /// BCP 47 codes, sorted, no duplicates.
    #[cbor(n(4), decode_with = "bounded::<{ limits::TAGS_MAX }, _, _>")]
    pub languages: Vec<String>,
    /// Base models by revision, sorted, no duplicates.
    #[cbor(n(5), decode_with = "bounded::<{ limits::BASE_MODELS_MAX }, _, _>")]
    pub base_models: Vec<(RevisionId, Relation)>,
}

/// One tensor of a safetensors or GGUF file.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Tensor {
    /// Index into the manifest's files.
    #[n(0)]
    pub file: u32,
    /// Name.
    #[n(1)]
    pub name: String,
    /// Element type as its format spells it.
    #[n(2)]
    pub dtype: String,
    /// Shape.
    #[cbor(
        n(3),
        decode_with = "bounded::<{ limits::TENSOR_DIMENSIONS_MAX }, _, _>"
    )]
    pub shape: Vec<u64>,
    /// Byte offset in the file.
    #[n(4)]
    pub offset: u64,
    /// Bytes.
    #[n(5)]
    pub len: u64,
    /// BLAKE3 of those bytes.
    #[n(6)]
    pub blake3: ObjectId,
}

/// One revision.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Manifest {
    /// Which repository it belongs to; here, and only here, the name has the case its publisher likes.
    #[n(0)]
    pub repository: RepositoryId,
    /// What it holds.
    #[n(1)]
    pub kind: Kind,
    /// Revisions it follows, the main line first.
    #[cbor(n(2), decode_with = "bounded::<{ limits::PARENTS_MAX }, _, _>")]
    pub parents: Vec<RevisionId>,
    /// Sorted by the bytes of their paths.
    #[cbor(n(3), decode_with = "bounded::<{ limits::FILES_MAX }, _, _>")]
    pub files: Vec<File>,
    /// The card.
    #[n(4)]
    pub card: Card,
    /// Tensor index, sorted by file, offset and name; empty if none was made.
    #[cbor(n(5), decode_with = "bounded::<{ limits::TENSORS_MAX }, _, _>")]
    pub tensors: Vec<Tensor>,
    /// What changed, for people; at most 4 KiB.
    #[n(6)]
    pub message: String,
    /// When it was made.
    #[n(7)]
    pub created: Timestamp,
}

impl Manifest {
    /// Sum of all file sizes (validated to fit).
    pub fn bytes_total(&self) -> u64 {
        self.files
            .iter()
            .fold(0, |sum, file| sum.saturating_add(file.size))
    }

    /// Distinct blobs with their sizes, in order of first appearance.
    pub fn blobs(&self) -> Vec<(BlobHash, u64)> {
        let mut seen = BTreeSet::new();
        let blobs = self.files.iter().filter(|file| seen.insert(file.blake3));
        blobs.map(|file| (file.blake3, file.size)).collect()
    }

    /// The file at `path`.
    pub fn file(&self, path: &RepoPath) -> Option<&File> {
        let at = self
            .files
            .binary_search_by(|file| file.path.cmp(path))
            .ok()?;
        self.files.get(at)
    }

    fn validate_files(&self) -> Result<(), String> {
        if self.files.len() > limits::FILES_MAX {
            return Err(format!("{} files", self.files.len()));
        }
        if !self.files.is_sorted_by(|a, b| a.path < b.path) {
            return Err("files are not sorted by path, or a path stands twice".to_owned());
        }
        let mut total = 0_u128;
        let mut blobs = BTreeMap::new();
        let empty = *blake3::hash(b"").as_bytes();
        for file in &self.files {
            total = total.saturating_add(u128::from(file.size));
            if (file.size == 0) != (*file.blake3.as_bytes() == empty) {
                return Err(format!("`{}` has the wrong size for its hash", file.path));
            }
            if file.git_sha1.is_some() && file.size > limits::GIT_SHA1_SIZE_MAX {
                return Err(format!("`{}` is too large for a git hash", file.path));
            }
            let facts = (file.size, file.sha256, file.git_sha1);
            if *blobs.entry(file.blake3).or_insert(facts) != facts {
                return Err(format!(
                    "`{}` contradicts another file of the same hash",
                    file.path
                ));
            }
        }
        if total > u128::from(limits::REVISION_SIZE_MAX) {
            return Err(format!("the files add up to {total} bytes"));
        }
        self.validate_folded_paths()
    }

    /// No two paths may meet on a file system that ignores case, nor may a file stand where another needs a folder.
    fn validate_folded_paths(&self) -> Result<(), String> {
        let mut folded = BTreeSet::new();
        for file in &self.files {
            if !folded.insert(file.path.folded()) {
                return Err(format!(
                    "`{}` differs from another path only by case",
                    file.path
                ));
            }
        }
        let mut checked = "";
        for path in &folded {
            let Some((folder, _)) = path.rsplit_once('/') else {
                continue;
            };
            if folder == checked {
                continue;
            }
            checked = folder;
            let prefixes = path.match_indices('/').filter_map(|(at, _)| path.get(..at));
            for prefix in prefixes {
                if folded.contains(prefix) {
                    return Err(format!("`{prefix}` is both a file and a folder"));
                }
            }
        }
        Ok(())
    }

    fn validate_tensors(&self) -> Result<(), String> {
        if !self.tensors.is_sorted_by(|a, b| a.place() < b.place()) {
            return Err("tensors are not sorted, or one stands twice".to_owned());
        }
        for tensor in &self.tensors {
            let file = usize::try_from(tensor.file)
                .ok()
                .and_then(|i| self.files.get(i));
            let Some(file) = file else {
                return Err(format!(
                    "a tensor lies in file {}, which does not exist",
                    tensor.file
                ));
            };
            if tensor
                .offset
                .checked_add(tensor.len)
                .is_none_or(|end| end > file.size)
            {
                return Err(format!("a tensor reaches beyond `{}`", file.path));
            }
            if tensor.shape.len() > limits::TENSOR_DIMENSIONS_MAX {
                return Err("a tensor has too many dimensions".to_owned());
            }
            text("tensor name", &tensor.name, 1, limits::TENSOR_NAME_LEN_MAX)?;
            text(
                "tensor type",
                &tensor.dtype,
                1,
                limits::TENSOR_DTYPE_LEN_MAX,
            )?;
        }
        Ok(())
    }
}

impl Tensor {
    /// What an index is sorted by.
    fn place(&self) -> (u32, u64, &str) {
        (self.file, self.offset, &self.name)
    }
}

impl Card {
    fn validate(&self) -> Result<(), String> {
        if self.tags.len() > limits::TAGS_MAX || self.languages.len() > limits::TAGS_MAX {
            return Err("too many tags or languages".to_owned());
        }
        if self.base_models.len() > limits::BASE_MODELS_MAX {
            return Err("too many base models".to_owned());
        }
        let single = [&self.license, &self.pipeline_tag, &self.library];
        let lists = self.tags.iter().chain(&self.languages);
        for value in single.into_iter().flatten().chain(lists) {
            text("card field", value, 1, limits::CARD_TEXT_LEN_MAX)?;
        }
        if !self.tags.is_sorted_by(|a, b| a < b) || !self.languages.is_sorted_by(|a, b| a < b) {
            return Err("tags or languages are not sorted, or one stands twice".to_owned());
        }
        if !self.base_models.is_sorted_by(|a, b| a < b) {
            return Err("base models are not sorted, or one stands twice".to_owned());
        }
        Ok(())
    }
}

fn text(what: &str, value: &str, len_min: usize, len_max: usize) -> Result<(), String> {
    if value.len() < len_min || value.len() > len_max {
        return Err(format!("a {what} of {} bytes", value.len()));
    }
    if !is_plain_text(value, false) {
        return Err(format!("a {what} holds control characters"));
    }
    Ok(())
}

impl Object for Manifest {
    const TYPE: &'static str = "manifest";
    const LEN_MAX: usize = limits::MANIFEST_LEN_MAX;

    fn validate(&self) -> Result<(), String> {
        let mut parents = BTreeSet::new();
        if self.parents.len() > limits::PARENTS_MAX {
            return Err(format!("{} parents", self.parents.len()));
        }
        if !self.parents.iter().all(|parent| parents.insert(parent)) {
            return Err("a parent stands twice".to_owned());
        }
        if self.message.len() > limits::MESSAGE_LEN_MAX {
            return Err(format!("a message of {} bytes", self.message.len()));
        }
        if !is_plain_text(&self.message, true) {
            return Err("the message holds control characters".to_owned());
        }
        self.validate_files()?;
        self.card.validate()?;
        self.validate_tensors()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        codec::{DecodeError, decode_object, decode_preimage, encode, object_id, preimage},
        id::PublisherId,
    };

    fn file(path: &str, size: u64, hash: u8) -> File {
        File {
            path: path.parse().expect("a valid path"),
            size,
            blake3: BlobHash::new([hash; 32]),
            sha256: [hash; 32],
            git_sha1: None,
            role: Role::of_path(path),
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
}
