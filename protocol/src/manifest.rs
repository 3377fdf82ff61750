//! Manifests: the list of files of one revision, with hashes and the card.
use crate::{id::{BlobHash, RepositoryId, RevisionId, ObjectId}, path::RepoPath, time::Timestamp};
/// What a repository holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind { /** weights */ Model, /** data */ Dataset, /** an app */ Space, /** an adapter on a base model */ Adapter }
/// What a file is for; decides its order of download and who may need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role { /** anything else */ Other, /** weights */ Weights, /** tokenizer */ Tokenizer, /** config */ Config, /** README */ Card, /** licence text */ License, /** data */ Data }
/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where, inside the repository.
    pub path: RepoPath,
    /// Bytes.
    pub size: u64,
    /// BLAKE3 of the bytes.
    pub blake3: BlobHash,
    /// SHA-256 of the bytes.
    pub sha256: [u8; 32],
    /// Git blob SHA-1, for files small enough that clients expect it.
    pub git_sha1: Option<[u8; 20]>,
    /// What it is for.
    pub role: Role,
}
/// How a model came from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Relation { /** trained further */ Finetune, /** adapter on top */ Adapter, /** quantized */ Quantized, /** merged */ Merge }
/// The card's machine-readable part.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Card {
    /// SPDX expression or hub licence id.
    pub license: Option<String>,
    /// Free tags, sorted, no duplicates.
    pub tags: Vec<String>,
    /// e.g. `text-generation`.
    pub pipeline_tag: Option<String>,
    /// e.g. `transformers`.
    pub library: Option<String>,
    /// BCP 47 codes.
    pub languages: Vec<String>,
    /// Base models by revision.
    pub base_models: Vec<(RevisionId, Relation)>,
}
/// One tensor of a safetensors or GGUF file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Index into the manifest's files.
    pub file: u32,
    /// Name.
    pub name: String,
    /// Element type as its format spells it.
    pub dtype: String,
    /// Shape.
    pub shape: Vec<u64>,
    /// Byte offset in the file.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
    /// BLAKE3 of those bytes.
    pub blake3: ObjectId,
}
/// One revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Which repository it belongs to.
    pub repository: RepositoryId,
    /// What it holds.
    pub kind: Kind,
    /// Revisions it follows.
    pub parents: Vec<RevisionId>,
    /// Sorted by path.
    pub files: Vec<File>,
    /// The card.
    pub card: Card,
    /// Tensor index; empty if none was made.
    pub tensors: Vec<Tensor>,
    /// What changed, for people; at most 4 KiB.
    pub message: String,
    /// When it was made.
    pub created: Timestamp,
}
impl Manifest {
    /// Sum of all file sizes (validated to fit).
    pub fn bytes_total(&self) -> u64 { todo!() }
    /// Distinct blobs with their sizes, in order of first appearance.
    pub fn blobs(&self) -> Vec<(BlobHash, u64)> { todo!() }
}
