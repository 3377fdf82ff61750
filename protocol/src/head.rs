//! Heads: what a publisher says a repository's newest revision is.
use crate::{id::{ObjectId, PublisherId, RepositoryId, RepositoryName, RevisionId}, time::Timestamp};
/// The signed tip of a repository. Its envelope is at most [`crate::limits::HEAD_LEN_MAX`] bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Whose.
    pub publisher: PublisherId,
    /// Which repository.
    pub name: RepositoryName,
    /// Position in the repository's log, from 0.
    pub index: u64,
    /// The revision of `main`.
    pub manifest: RevisionId,
    /// The references object, when there are more branches or tags than `main`.
    pub refs: Option<ObjectId>,
    /// Id of the head before; absent at index 0.
    pub previous: Option<ObjectId>,
    /// RFC 6962-style Merkle root over the ids of heads `0..index` (so its size is `index`).
    pub log_root: ObjectId,
    /// The identity event whose release keys sign.
    pub identity: ObjectId,
    /// That event's index.
    pub identity_index: u64,
    /// When it was signed.
    pub issued: Timestamp,
    /// Until when it counts.
    pub expires: Timestamp,
    /// How long, in seconds, others may serve it without asking again.
    pub ttl: u32,
}
impl Head {
    /// The repository.
    pub fn repository(&self) -> RepositoryId { todo!() }
}
