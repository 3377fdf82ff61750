//! Room on the disk: asked for before bytes are, so that a download never fills the last of it.
//!
//! The databases beside the blobs must always be able to write: the store's own does not survive a commit for which
//! there was no space, and the registry has to note what arrived. So fetched bytes may use the disk up to a reserve.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use weft_protocol::service::StorageError;

/// What fetched bytes leave free: both databases, their logs, and outboards for some GiB.
const RESERVE: u64 = 16 * 1024 * 1024;

/// The disk under the blobs, and what running fetches will still write to it.
#[derive(Debug, Clone)]
pub(super) struct Room {
    directory: PathBuf,
    promised: Arc<AtomicU64>,
}

/// Bytes promised to one fetch; given back when dropped, by then they are written or not wanted.
#[derive(Debug)]
pub(super) struct Promise {
    bytes: u64,
    promised: Arc<AtomicU64>,
}

impl Room {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            promised: Arc::default(),
        }
    }

    /// Promises `bytes` to a fetch.
    ///
    /// # Errors
    /// [`StorageError::Full`] if they would eat into the reserve.
    pub(super) fn promise(&self, bytes: u64) -> Result<Promise, StorageError> {
        let before = self.promised.fetch_add(bytes, Ordering::Relaxed);
        let promise = Promise {
            bytes,
            promised: Arc::clone(&self.promised),
        };
        // A file system that does not say how much is free is used until it refuses.
        let free = rustix::fs::statvfs(&self.directory)
            .map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        let wanted = before.saturating_add(bytes).saturating_add(RESERVE);
        if free < wanted {
            Err(StorageError::Full)
        } else {
            Ok(promise)
        }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.promised.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promises_stop_at_the_reserve_and_are_given_back() {
        let directory = tempfile::tempdir().unwrap();
        let room = Room::new(directory.path().to_owned());
        let kept = room.promise(1).unwrap();
        assert_eq!(room.promise(u64::MAX / 4).unwrap_err(), StorageError::Full);
        drop(kept);
        assert_eq!(room.promised.load(Ordering::Relaxed), 0);
    }
}
