//! What can go wrong with bytes on a disk.

use std::{
    io,
    path::{Path, PathBuf},
};

use weft_protocol::{id::BlobHash, service::StorageError};

/// Why an operation of the store failed. The store stays usable after each of them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// No space, or only the reserve.
    #[error("the disk is full")]
    Full,
    /// These bytes are not here.
    #[error("byte {offset} of blob `{blob}` is not here")]
    Missing {
        /// Which blob.
        blob: BlobHash,
        /// The first byte that is not.
        offset: u64,
    },
    /// The bytes on disk are not those of the blob.
    #[error("the stored copy of blob `{blob}` does not match its hash at byte {offset}")]
    Damaged {
        /// Which blob.
        blob: BlobHash,
        /// Where.
        offset: u64,
    },
    /// The blob is known with another size.
    #[error("blob `{blob}` has {known} bytes, not {claimed}")]
    Size {
        /// Which blob.
        blob: BlobHash,
        /// What is known.
        known: u64,
        /// What was said.
        claimed: u64,
    },
    /// What was to be written does not lie on group boundaries.
    #[error("bytes {offset}.. of blob `{blob}` are no whole groups")]
    Unaligned {
        /// Which blob.
        blob: BlobHash,
        /// Where.
        offset: u64,
    },
    /// The operating system refused.
    #[error("`{path}`: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The registry refused.
    #[error(transparent)]
    Registry(weft_registry::Error),
}

impl Error {
    /// The failure of a file operation.
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::Full,
            _ => Self::Io {
                path: path.to_owned(),
                source,
            },
        }
    }
}

impl From<weft_registry::Error> for Error {
    fn from(error: weft_registry::Error) -> Self {
        match error {
            weft_registry::Error::Full { .. } => Self::Full,
            error => Self::Registry(error),
        }
    }
}

impl From<Error> for StorageError {
    fn from(error: Error) -> Self {
        match error {
            Error::Full => Self::Full,
            error => Self::Failed(error.to_string()),
        }
    }
}

/// Why the store did not open.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// Files of the store that weft had before it was first released.
    #[error(
        "`{0}` was written by an unreleased weft: move it away, and what was fetched is fetched again"
    )]
    OldLayout(PathBuf),
    /// The operating system refused.
    #[error("`{path}`: {source}")]
    Io {
        /// Which file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Why a file was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It cannot be read.
    #[error("`{path}` cannot be read")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is a directory, a device or a pipe.
    #[error("`{path}` is not a regular file")]
    NotAFile {
        /// Which file.
        path: PathBuf,
    },
    /// It changed while it was hashed.
    #[error("`{path}` changed while it was being read")]
    Changed {
        /// Which file.
        path: PathBuf,
    },
    /// The store failed.
    #[error("`{path}` could not be taken into the blob store: {source}")]
    Store {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: StorageError,
    },
}
