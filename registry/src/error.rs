//! How the registry says no.

use std::path::PathBuf;

use weft_protocol::{
    id::{ObjectId, PublisherId, RepositoryId},
    service::StorageError,
};

/// Why the registry did not do what was asked.
///
/// Two families: *refusals* mean that a batch breaks a rule and the caller is at fault; everything else is
/// the state of the disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A head older than the tip.
    #[error("head {got} of {repository} is older than the tip at index {have}")]
    IndexFalls {
        /// The repository.
        repository: Box<RepositoryId>,
        /// Index of the tip.
        have: u64,
        /// Index in the refused batch.
        got: u64,
    },
    /// Another head id at an index that already has one.
    #[error("index {index} of {repository} is taken by head `{}`, not `{}`", have.fmt_short(), got.fmt_short())]
    Conflict {
        /// The repository.
        repository: Box<RepositoryId>,
        /// Where they collide.
        index: u64,
        /// The id that stays.
        have: ObjectId,
        /// The id that was refused.
        got: ObjectId,
    },
    /// Leaves that do not continue the ones stored.
    #[error("leaves of {repository} continue at {expected}, not at {got}")]
    Gap {
        /// The repository.
        repository: Box<RepositoryId>,
        /// The next index without a leaf.
        expected: u64,
        /// Index of the first leaf in the refused batch.
        got: u64,
    },
    /// An identity log that is shorter than the one stored or differs from it at an event.
    #[error("the identity log of {publisher} does not extend the stored one at event {index}")]
    IdentityDiverges {
        /// Whose log.
        publisher: PublisherId,
        /// The first event that is missing or different.
        index: u64,
    },
    /// Bytes that do not hash to the id they came with.
    #[error("object `{}` has the bytes of `{}`", id.fmt_short(), found.fmt_short())]
    ObjectMismatch {
        /// The id in the batch.
        id: ObjectId,
        /// The id of the bytes.
        found: ObjectId,
    },
    /// The database was written by a newer version.
    #[error("the registry has schema version {found}, this program knows up to {supported}")]
    Newer {
        /// Version on disk.
        found: u32,
        /// The newest version this program knows.
        supported: u32,
    },
    /// Another process holds the database.
    #[error("the registry at {} is in use by another process", path.display())]
    Locked {
        /// The database's directory.
        path: PathBuf,
    },
    /// No space left.
    #[error("the disk is full while {during}")]
    Full {
        /// What was attempted.
        during: &'static str,
    },
    /// What is stored makes no sense.
    #[error("the registry is damaged: {what}")]
    Corrupt {
        /// What was found.
        what: String,
    },
    /// Any other failure of the storage.
    #[error("the registry failed while {during}: {cause}")]
    Failed {
        /// What was attempted.
        during: &'static str,
        /// What the storage said.
        cause: String,
    },
}

impl Error {
    /// Whether the batch broke a rule, as opposed to the storage failing.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::IndexFalls { .. }
            | Self::Conflict { .. }
            | Self::Gap { .. }
            | Self::IdentityDiverges { .. }
            | Self::ObjectMismatch { .. } => true,
            Self::Newer { .. }
            | Self::Locked { .. }
            | Self::Full { .. }
            | Self::Corrupt { .. }
            | Self::Failed { .. } => false,
        }
    }
}

/// As the machine wants to hear it.
impl From<Error> for StorageError {
    fn from(error: Error) -> Self {
        match error {
            Error::Full { .. } => Self::Full,
            other => Self::Failed(other.to_string()),
        }
    }
}
