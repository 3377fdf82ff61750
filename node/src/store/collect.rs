//! Garbage collection: which blobs stay, and the end of the rest.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, atomic::Ordering},
};

use tracing::debug;
use weft_protocol::id::BlobHash;

use super::{BlobStore, Inner, error::Error, lock};

/// What must stay.
#[derive(Debug, Default)]
pub(super) struct Keep {
    /// `None` until somebody has spoken: then nothing may be collected.
    protected: Mutex<Option<HashSet<BlobHash>>>,
    guarded: Mutex<HashMap<BlobHash, usize>>,
}

/// Keeps one blob from being collected while it lives.
#[derive(Debug)]
pub(crate) struct Guard {
    inner: Arc<Inner>,
    hash: BlobHash,
}

impl BlobStore {
    /// Replaces the protected set. When this returns, no blob of the new set is collected any more. Says whether one
    /// lost its protection.
    pub(crate) fn protect(&self, blobs: &[BlobHash]) -> bool {
        let set: HashSet<_> = blobs.iter().copied().collect();
        let mut protected = lock(&self.inner.keep.protected);
        let shrinks = protected
            .as_ref()
            .is_some_and(|before| !before.is_subset(&set));
        *protected = Some(set);
        shrinks
    }

    /// Keeps a blob until the guard is dropped, protected or not.
    pub(crate) fn guard(&self, hash: &BlobHash) -> Guard {
        *lock(&self.inner.keep.guarded).entry(*hash).or_default() += 1;
        Guard {
            inner: Arc::clone(&self.inner),
            hash: *hash,
        }
    }

    /// Removes every blob that nobody keeps. Says how many.
    ///
    /// # Errors
    /// Failures of the disk or of the registry; what was not removed is tried again with the next call.
    pub(crate) fn collect(&self) -> Result<usize, Error> {
        let inner = &self.inner;
        if lock(&inner.keep.protected).is_none() {
            return Ok(0);
        }
        let noted = inner.registry.blobs()?.into_iter().map(|(hash, _)| hash);
        let all: BTreeSet<BlobHash> = noted.collect();
        let mut removed = 0;
        for hash in all {
            // Looked at under the blob's own lock, so that whoever protects it, or begins to write to it, either is
            // seen here or sees that it is gone.
            let is_removed = inner.remove(&hash, |blob| {
                let is_written = blob.is_some_and(|blob| blob.writers.load(Ordering::Acquire) > 0);
                is_written || inner.keep.keeps(&hash)
            })?;
            removed += usize::from(is_removed);
        }
        if removed > 0 {
            debug!(removed, "blobs collected");
        }
        Ok(removed)
    }

    /// Removes one blob, kept or not. The user's own file stays.
    ///
    /// # Errors
    /// Failures of the disk or of the registry.
    #[cfg(test)]
    pub(crate) fn remove(&self, hash: &BlobHash) -> Result<(), Error> {
        self.inner.remove(hash, |_| false).map(drop)
    }
}

impl Keep {
    fn keeps(&self, hash: &BlobHash) -> bool {
        lock(&self.guarded).contains_key(hash)
            || lock(&self.protected)
                .as_ref()
                .is_none_or(|set| set.contains(hash))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut guarded = lock(&self.inner.keep.guarded);
        if let Some(count) = guarded.get_mut(&self.hash) {
            *count -= 1;
            if *count == 0 {
                guarded.remove(&self.hash);
            }
        }
    }
}
