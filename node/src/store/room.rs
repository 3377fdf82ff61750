//! Room on the disk: asked for before bytes are, so that a download never fills the last of it.
//!
//! The registry beside the blobs must always be able to note what arrived, so fetched bytes leave a reserve.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::error::Error;

/// The disk under the blobs, and what running fetches will still write to it.
#[derive(Debug)]
pub(super) struct Room {
    directory: PathBuf,
    reserve: u64,
    promised: Arc<AtomicU64>,
}

/// Bytes promised to one fetch; given back when dropped, by then they are written or not wanted.
#[derive(Debug, Default)]
pub(crate) struct Promise {
    bytes: u64,
    promised: Arc<AtomicU64>,
}

impl Room {
    pub(super) fn new(directory: PathBuf, reserve: u64) -> Self {
        Self {
            directory,
            reserve,
            promised: Arc::default(),
        }
    }

    /// Promises `bytes` to a fetch.
    ///
    /// # Errors
    /// [`Error::Full`] if they would eat into the reserve.
    pub(super) fn promise(&self, bytes: u64) -> Result<Promise, Error> {
        let before = self.promised.fetch_add(bytes, Ordering::Relaxed);
        let promise = Promise {
            bytes,
            promised: Arc::clone(&self.promised),
        };
        if self.free() < before.saturating_add(bytes).saturating_add(self.reserve) {
            Err(Error::Full)
        } else {
            Ok(promise)
        }
    }

    /// Whether so much could be written beside all that is promised.
    pub(super) fn has(&self, bytes: u64) -> bool {
        let promised = self.promised.load(Ordering::Relaxed);
        self.free() >= promised.saturating_add(bytes).saturating_add(self.reserve)
    }

    fn free(&self) -> u64 {
        // A file system that does not say how much is free is used until it refuses.
        rustix::fs::statvfs(&self.directory)
            .map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
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
        let room = Room::new(directory.path().to_owned(), 1024);
        let kept = room.promise(1).unwrap();
        assert!(matches!(room.promise(u64::MAX / 4), Err(Error::Full)));
        assert!(!room.has(u64::MAX / 4));
        drop(kept);
        assert_eq!(room.promised.load(Ordering::Relaxed), 0);
    }
}
