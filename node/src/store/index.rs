//! Finding blobs: one object for each that somebody works with, read from its record when it is first asked for.

use std::{
    collections::{HashMap, VecDeque},
    path::Path,
    sync::{Arc, Mutex, Weak, atomic::Ordering},
};

use tokio::sync::watch;
use weft_protocol::{id::BlobHash, piece_set::PieceSet};
use weft_registry::{BlobWrite, Durability};

use super::{
    Inner,
    blob::{Blob, Place, new_outboard},
    error::Error,
    files::{self, Files, Handle},
    lock, tree,
};

/// Blobs that stay known after their last user is gone: those of the requests just served.
const RECENT_MAX: usize = 64;

/// All blobs that are known at the moment.
#[derive(Debug, Default)]
pub(super) struct Index {
    slots: Mutex<HashMap<BlobHash, Arc<Slot>>>,
    recent: Mutex<VecDeque<Arc<Blob>>>,
}

/// The place of one blob. Its lock is held while the blob is looked up, made or removed, so that each happens once.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) blob: Mutex<Weak<Blob>>,
    changes: watch::Sender<u64>,
}

/// A line in the list of blobs.
#[cfg(test)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Which blob.
    pub(crate) hash: BlobHash,
    /// Its bytes, here or not.
    pub(crate) size: u64,
    /// Whether all of them are here, as far as is noted.
    pub(crate) is_complete: bool,
}

impl Index {
    pub(super) fn slot(&self, hash: &BlobHash) -> Arc<Slot> {
        let mut slots = lock(&self.slots);
        Arc::clone(slots.entry(*hash).or_insert_with(|| {
            Arc::new(Slot {
                blob: Mutex::default(),
                changes: watch::Sender::new(0),
            })
        }))
    }

    /// Forgets the places of blobs that nobody works with or watches.
    pub(super) fn tidy(&self) {
        lock(&self.slots).retain(|_, slot| {
            Arc::strong_count(slot) > 1
                || slot.changes.receiver_count() > 0
                || lock(&slot.blob).strong_count() > 0
        });
    }

    fn remember(&self, blob: &Arc<Blob>) {
        let mut recent = lock(&self.recent);
        if recent.len() >= RECENT_MAX {
            recent.pop_front();
        }
        recent.push_back(Arc::clone(blob));
    }

    fn forget(&self, hash: &BlobHash) {
        lock(&self.recent).retain(|blob| blob.hash != *hash);
    }
}

impl Slot {
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(super) fn sender(&self) -> watch::Sender<u64> {
        self.changes.clone()
    }
}

impl Inner {
    /// What is here of a blob.
    pub(super) fn blob(self: &Arc<Self>, hash: &BlobHash) -> Result<Option<Arc<Blob>>, Error> {
        let slot = self.index.slot(hash);
        let mut place = lock(&slot.blob);
        self.look(&mut place, hash)
    }

    fn look(
        self: &Arc<Self>,
        place: &mut Weak<Blob>,
        hash: &BlobHash,
    ) -> Result<Option<Arc<Blob>>, Error> {
        if let Some(blob) = place.upgrade() {
            return Ok(Some(blob));
        }
        let Some(blob) = self.load(hash)? else {
            return Ok(None);
        };
        *place = Arc::downgrade(&blob);
        self.index.remember(&blob);
        Ok(Some(blob))
    }

    /// The blob to write to: the one there is, unless its file is the user's and lacks something, or a new one. Counts
    /// one more writer, before anybody could collect it.
    pub(super) fn blob_to_write(
        self: &Arc<Self>,
        hash: &BlobHash,
        size: u64,
    ) -> Result<Arc<Blob>, Error> {
        let groups = tree::groups(size).ok_or(Error::Full)?;
        let slot = self.index.slot(hash);
        let mut place = lock(&slot.blob);
        match self.look(&mut place, hash)? {
            // Of a size that nothing came for yet, nobody can say that it is the right one.
            Some(blob) if blob.size != size && blob.is_unused() => blob.retire(),
            Some(blob) if blob.size != size => {
                return Err(Error::Size {
                    blob: *hash,
                    known: blob.size,
                    claimed: size,
                });
            }
            Some(blob) if !blob.is_original || blob.is_complete() => {
                blob.writers.fetch_add(1, Ordering::AcqRel);
                return Ok(blob);
            }
            Some(blob) => blob.retire(),
            None => {}
        }
        // A file that no record speaks of may be shown under a name of the user's: it is left to that name.
        let path = self.files.data(hash);
        files::remove(&path).map_err(|error| Error::io(&path, error))?;
        let place_on_disk = Place {
            data: Handle::new(path),
            is_original: false,
            outboard: new_outboard(self, hash, size, groups),
            stamp: None,
            is_noted: false,
        };
        let nothing = PieceSet::empty(groups);
        let blob = Blob::new(
            self,
            (*hash, size),
            place_on_disk,
            (nothing.clone(), nothing),
        );
        let blob = Arc::new(blob);
        self.index.forget(hash);
        self.index.remember(&blob);
        *place = Arc::downgrade(&blob);
        blob.note()?;
        blob.writers.fetch_add(1, Ordering::AcqRel);
        Ok(blob)
    }

    /// Puts a complete blob in the place of what was known of it: a file of the user's, or the copy of one, which moves
    /// from `copy` to its place.
    pub(super) fn install(
        self: &Arc<Self>,
        blob: Blob,
        copy: Option<&Path>,
    ) -> Result<Arc<Blob>, Error> {
        let slot = self.index.slot(&blob.hash);
        let mut place = lock(&slot.blob);
        let owned = self.files.data(&blob.hash);
        if let Some(old) = place.upgrade() {
            old.retire();
        }
        if let Some(copy) = copy {
            std::fs::rename(copy, &owned).map_err(|error| Error::io(&owned, error))?;
        }
        let blob = Arc::new(blob);
        *place = Arc::downgrade(&blob);
        self.index.forget(&blob.hash);
        self.index.remember(&blob);
        blob.note()?;
        if blob.is_original {
            // The bytes are in the user's file: a download that was under way is not needed.
            files::remove(&owned).map_err(|error| Error::io(&owned, error))?;
        }
        blob.touch();
        Ok(blob)
    }

    /// Removes a blob, unless `stays` says otherwise when nobody can begin with it any more.
    pub(super) fn remove(
        &self,
        hash: &BlobHash,
        stays: impl FnOnce(Option<&Blob>) -> bool,
    ) -> Result<bool, Error> {
        let slot = self.index.slot(hash);
        let mut place = lock(&slot.blob);
        let blob = place.upgrade();
        if stays(blob.as_deref()) {
            return Ok(false);
        }
        if let Some(blob) = blob {
            blob.retire();
        }
        *place = Weak::new();
        self.index.forget(hash);
        self.checkpoints.forget(hash);
        // Files first: a record without a file is nothing, a file without a record is lost space.
        for path in [self.files.data(hash), self.files.outboard(hash)] {
            files::remove(&path).map_err(|error| Error::io(&path, error))?;
        }
        let write = BlobWrite {
            blob: *hash,
            record: None,
            outboard: None,
        };
        self.registry.write_blobs(&[write], Durability::Buffered)?;
        slot.changes.send_modify(|n| *n = n.wrapping_add(1));
        Ok(true)
    }

    #[cfg(test)]
    pub(super) fn list(&self) -> Result<Vec<Listed>, Error> {
        let records = self.registry.blobs()?;
        let list = records.into_iter().map(|(hash, record)| Listed {
            hash,
            size: record.size,
            is_complete: tree::groups(record.size)
                .is_some_and(|groups| record.written == [(0, groups)] || groups == 0),
        });
        Ok(list.collect())
    }

    /// Removes files that no record speaks of: what was begun in the last moment of an earlier run.
    pub(super) fn sweep(&self) -> Result<(), Error> {
        let directory = self.files.directory();
        let entries = std::fs::read_dir(directory).map_err(|error| Error::io(directory, error))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            let Some(hash) = Files::owner(&path) else {
                continue;
            };
            let slot = self.index.slot(&hash);
            let place = lock(&slot.blob);
            if place.strong_count() == 0 && self.registry.blob(&hash)?.is_none() {
                files::remove(&path).map_err(|error| Error::io(&path, error))?;
            }
        }
        self.index.tidy();
        Ok(())
    }
}
