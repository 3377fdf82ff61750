//! Freshness: a short-lived statement that a head is still the newest, so that freeze attacks show.
use crate::{id::{ObjectId, PublisherId, RepositoryName}, time::Timestamp};
/// Signed by the freshness key (key index 0) of the identity event that the head names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freshness {
    /// Whose.
    pub publisher: PublisherId,
    /// Which repository.
    pub name: RepositoryName,
    /// The newest head.
    pub head: ObjectId,
    /// Its index.
    pub index: u64,
    /// When it was signed.
    pub issued: Timestamp,
    /// At most 48 h later.
    pub expires: Timestamp,
}
