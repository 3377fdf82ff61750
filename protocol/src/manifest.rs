//! Manifests: the list of files of one revision, with hashes and the card.
//!
//! A manifest is an [`Object`]; its id is the revision id. What [`Object::validate`] lets through can
//! be written to any file system without one file shadowing another, and its sizes can be added up.

use std::collections::{BTreeMap, BTreeSet};

use minicbor::{Decode, Encode};

use crate::{
    codec::{Object, bounded, is_plain_text},
    id::{BlobHash, RepositoryId, RevisionId},
    limits,
    path::RepoPath,
    time::Timestamp,
};

mod chunks;
mod role;
mod spans;
pub mod tensors;
#[cfg(test)]
mod tests;

pub use chunks::{CHUNK_LOG2_MAX, CHUNK_LOG2_MIN, Chunk, ChunkHash, Chunker, Chunks};
pub use role::{Kind, Relation, Role};
pub use spans::{SPAN_LOG2_MAX, SPAN_LOG2_MIN, Spans, span_hash};
pub use tensors::Tensor;

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
    /// Hashes inside the file, for sources that send none. Only files of more than one span have them.
    #[n(6)]
    pub spans: Option<Spans>,
    /// Where its content can be cut to find what is here of it already. For new versions of files without tensors.
    #[n(7)]
    pub chunks: Option<Chunks>,
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
            if let Some(spans) = &file.spans {
                let checked = spans.check(&file.blake3, file.size);
                checked.map_err(|what| format!("`{}` has {what}", file.path))?;
            }
            if let Some(chunks) = &file.chunks {
                let checked = chunks.check(file.size);
                checked.map_err(|what| format!("`{}` has {what}", file.path))?;
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
            tensor.validate()?;
        }
        Ok(())
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
