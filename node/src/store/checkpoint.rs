//! Making what was written survive the loss of power: files are synced, then noted as synced, every few seconds.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    sync::{Arc, Condvar, Mutex, PoisonError, Weak, atomic::Ordering},
    thread,
    time::Duration,
};

use tracing::{debug, warn};
use weft_protocol::{id::BlobHash, piece_set::PieceSet};

use super::{
    BlobStore, Inner,
    blob::Blob,
    error::{Error, OpenError},
    files, lock,
    outboard::Outboard,
};

/// What a loss of power makes a node compare with its hashes again at most.
const INTERVAL: Duration = Duration::from_secs(5);
/// More files than this are synced by one sync of the whole file system.
const SINGLE_SYNCS_MAX: usize = 64;

/// Blobs that wait for the next checkpoint.
#[derive(Debug, Default)]
pub(super) struct Checkpoints {
    waiting: Mutex<BTreeMap<BlobHash, Arc<Blob>>>,
    /// Held from taking the waiting blobs to noting them: who asks for a checkpoint gets all of it.
    running: Mutex<()>,
    end: Arc<End>,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
}

/// Tells the thread that it is no longer wanted.
#[derive(Debug, Default)]
struct End {
    is_near: Mutex<bool>,
    wake: Condvar,
}

impl End {
    fn announce(&self) {
        *lock(&self.is_near) = true;
        self.wake.notify_all();
    }

    /// Waits for the next round; false when there is none.
    fn pause(&self) -> bool {
        let (is_near, _) = self
            .wake
            .wait_timeout_while(lock(&self.is_near), INTERVAL, |is_near| !*is_near)
            .unwrap_or_else(PoisonError::into_inner);
        !*is_near
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.end.announce();
    }
}

impl Checkpoints {
    pub(super) fn add(&self, blob: Arc<Blob>) {
        lock(&self.waiting).insert(blob.hash, blob);
    }

    pub(super) fn forget(&self, hash: &BlobHash) {
        lock(&self.waiting).remove(hash);
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> Vec<Arc<Blob>> {
        lock(&self.waiting).values().map(Arc::clone).collect()
    }

    pub(super) fn stop(&self) {
        self.end.announce();
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread
            && thread.thread().id() != thread::current().id()
            && thread.join().is_err()
        {
            warn!("the checkpoints of the blob store died");
        }
    }
}

/// Starts the thread. It ends when it is told to, or when the store is gone.
pub(super) fn spawn(inner: &Arc<Inner>) -> Result<(), OpenError> {
    let weak = Arc::downgrade(inner);
    let end = Arc::clone(&inner.checkpoints.end);
    let thread = thread::Builder::new()
        .name("weft-checkpoint".into())
        .spawn(move || run(&weak, &end))
        .map_err(|source| OpenError::Io {
            path: inner.files.directory().to_owned(),
            source,
        })?;
    *lock(&inner.checkpoints.thread) = Some(thread);
    Ok(())
}

fn run(weak: &Weak<Inner>, end: &End) {
    if let Some(inner) = weak.upgrade()
        && let Err(error) = inner.sweep()
    {
        debug!("remains of an earlier run stay: {error}");
    }
    // Holds nothing while it waits: a store that is dropped ends at once.
    while end.pause() {
        let Some(inner) = weak.upgrade() else {
            return;
        };
        if let Err(error) = inner.checkpoint() {
            warn!("what was fetched could not be synced: {error}");
        }
        inner.index.tidy();
    }
}

impl Inner {
    pub(super) fn checkpoint(&self) -> Result<(), Error> {
        let _turn = lock(&self.checkpoints.running);
        let batch = std::mem::take(&mut *lock(&self.checkpoints.waiting));
        if batch.is_empty() {
            return Ok(());
        }
        let mut covered = Vec::with_capacity(batch.len());
        for blob in batch.into_values() {
            // From here on a write queues it again.
            blob.is_dirty.store(false, Ordering::Release);
            let written = blob.have();
            covered.push((blob, written));
        }
        let result = self.sync(&covered);
        if result.is_err() {
            for (blob, _) in covered {
                if !blob.is_dirty.swap(true, Ordering::AcqRel) {
                    self.checkpoints.add(blob);
                }
            }
        }
        result
    }

    fn sync(&self, covered: &[(Arc<Blob>, PieceSet)]) -> Result<(), Error> {
        let directory = self.files.directory();
        let files = covered.iter().filter(|(blob, _)| !blob.state().is_gone);
        let mut files: Vec<_> = files.flat_map(|(blob, _)| unsynced(blob)).collect();
        if files.len() > SINGLE_SYNCS_MAX
            && files::sync_all(directory).map_err(|error| Error::io(directory, error))?
        {
            files.clear();
        }
        for handle in files {
            match handle.read().and_then(|file| file.sync_data()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::io(handle.path(), error));
                }
                _ => {}
            }
        }
        // Names of new files.
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(|error| Error::io(directory, error))?;
        for (blob, written) in covered {
            {
                let mut state = blob.state();
                // Not what turned out wrong meanwhile.
                state.synced = written.intersection(&state.written);
            }
            blob.note()?;
        }
        self.registry.sync().map_err(Error::from)
    }
}

fn unsynced(blob: &Blob) -> Vec<&files::Handle> {
    let mut handles = Vec::new();
    if !blob.is_original {
        handles.push(&blob.data);
    }
    if let Outboard::File(handle) = &blob.outboard {
        handles.push(handle);
    }
    handles
}

impl BlobStore {
    /// Blobs that no checkpoint covers yet.
    #[cfg(test)]
    pub(super) fn uncovered(&self) -> usize {
        self.inner.checkpoints.waiting().len()
    }
}
