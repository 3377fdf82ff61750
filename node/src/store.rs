//! The blobs of this node: bytes in plain files, and an exact memory of which of them are here.
//!
//! A blob is one file, either the store's own under `blobs/data` or the user's, left where it was imported from. Beside
//! it lie its hash tree (the *outboard*: a file, or for small blobs a value in the registry) and a record in the
//! registry that says which 16 KiB groups are here. Everything is synchronous and may be called from any thread; locks
//! guard memory, never input or output, so that several streams fill and read one blob at once.
//!
//! Invariants:
//! - A group counts as here only after its bytes and every hash above it were handed to the operating system.
//! - What is noted in the registry was written before. What is noted as *synced* was synced before. So after the end of
//!   the process everything noted is here, unread; after a loss of power the part that was not yet synced is compared
//!   with its hashes when it is first looked at.
//! - [`Encoder`](encode::Encoder) and [`Blob::read_verified`] hand out nothing that does not match the blob's hash; a group that does not
//!   stops being here.
//! - A file that the store does not own is never written to and never removed.
//! - Nothing is collected that is protected, guarded or being written, and nothing at all before the first
//!   [`BlobStore::protect`].
//!
//! Reading order: [`BlobStore`] (the way in), `blob` (what is known of one), `write`, `read`, `encode`, `verify` and
//! `copy` (bytes in and out), `import` and `digest` (files in), `index` and `load` (finding blobs), `checkpoint`, `collect`,
//! `room` (keeping), `tree`, `outboard` and `files` (the ground).

mod blob;
mod checkpoint;
mod collect;
mod copy;
mod digest;
mod encode;
mod error;
mod files;
mod import;
mod index;
mod load;
mod outboard;
mod read;
mod room;
#[cfg(test)]
mod tests;
mod tree;
mod verify;
mod write;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
};

use tokio::sync::watch;
use tracing::debug;
use weft_protocol::id::BlobHash;
use weft_registry::Registry;

pub use self::error::ImportError;
pub(crate) use self::{
    blob::Blob,
    collect::Guard,
    copy::Copies,
    error::{Error, OpenError},
    import::{Imported, Observer},
    write::Writer,
};
use self::{
    checkpoint::Checkpoints, collect::Keep, files::Files, import::Cores, index::Index,
    load::boot_id, room::Room,
};
#[cfg(test)]
use self::{
    index::Listed,
    tree::{BLOCK_SIZE, GROUP_LEN},
};

/// What the store is told at start.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Where its files live. On the file system of the views, if they are to share its disk space.
    pub(crate) directory: PathBuf,
    /// Bytes of that file system that are left free for the databases.
    pub(crate) reserve: u64,
}

/// The blobs of this node. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct BlobStore {
    inner: Arc<Inner>,
}

/// What all parts of the store share.
#[derive(Debug)]
struct Inner {
    files: Files,
    registry: Arc<dyn Registry>,
    /// Names this run of the operating system: what was written in it is still there.
    boot: [u8; 16],
    index: Index,
    keep: Keep,
    room: Room,
    cores: Cores,
    checkpoints: Checkpoints,
    /// Bytes that were here but had to be compared with their hashes before they were believed.
    compared: AtomicU64,
}

impl BlobStore {
    /// Opens the store and starts its checkpoints. One process at a time may do so; the lock on the data directory sees
    /// to that.
    ///
    /// # Errors
    /// If the directory cannot be used, or was written by the store that weft had before this one.
    pub(crate) fn open(config: Config, registry: Arc<dyn Registry>) -> Result<Self, OpenError> {
        Self::open_in(config, registry, boot_id())
    }

    fn open_in(
        config: Config,
        registry: Arc<dyn Registry>,
        boot: [u8; 16],
    ) -> Result<Self, OpenError> {
        let files = Files::open(&config.directory)?;
        let inner = Arc::new(Inner {
            files,
            registry,
            boot,
            index: Index::default(),
            keep: Keep::default(),
            cores: Cores::default(),
            room: Room::new(config.directory, config.reserve),
            checkpoints: Checkpoints::default(),
            compared: AtomicU64::new(0),
        });
        checkpoint::spawn(&inner)?;
        Ok(Self { inner })
    }

    /// Writes down everything and ends the checkpoints. Blocks while the disk is busy; safe to call twice.
    pub(crate) fn close(&self) {
        self.inner.checkpoints.stop();
        if let Err(error) = self.inner.checkpoint() {
            debug!("the last checkpoint failed: {error}");
        }
    }

    /// What is here of a blob; `None` if that is nothing. Looking for the first time reads its record, and after a loss
    /// of power or when its file was touched also bytes, so it may take long.
    pub(crate) fn blob(&self, hash: &BlobHash) -> Option<Arc<Blob>> {
        match self.inner.blob(hash) {
            Ok(blob) => blob,
            Err(error) => {
                debug!(blob = %hash.fmt_short(), "a blob cannot be looked at: {error}");
                None
            }
        }
    }

    /// All blobs with a record, by hash.
    ///
    /// # Errors
    /// Failures of the registry.
    #[cfg(test)]
    pub(crate) fn list(&self) -> Result<Vec<Listed>, Error> {
        self.inner.list()
    }

    /// Changes whenever what is here of the blob does, also before it is here and after it is gone. The number means
    /// nothing; look at the blob.
    pub(crate) fn watch(&self, hash: &BlobHash) -> watch::Receiver<u64> {
        self.inner.index.slot(hash).subscribe()
    }

    /// Where the store keeps the bytes of a blob of its own.
    #[cfg(test)]
    pub(crate) fn owned_path(&self, hash: &BlobHash) -> PathBuf {
        self.inner.files.data(hash)
    }

    /// Syncs what was written, then notes it as synced, now.
    ///
    /// # Errors
    /// Failures of the disk or of the registry; what could not be synced is tried again later.
    #[cfg(test)]
    pub(crate) fn checkpoint(&self) -> Result<(), Error> {
        self.inner.checkpoint()
    }
}

/// Locks, also after a panic elsewhere: what the locks of this module guard is whole between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
