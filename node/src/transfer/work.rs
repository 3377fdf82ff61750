//! What is being written to each blob.
//!
//! The store keeps a blob's bitfield in memory while anything works on the blob and writes it down, with a sync
//! of its files, when the last task ends. Piece after piece that would be a sync for each, so a *hold* (an unread
//! observation) keeps the blob in use between pieces, and letting go of it now and then is the checkpoint.

use std::{
    collections::HashMap,
    fmt,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures::Stream;
use iroh_blobs::{
    Hash,
    api::{Store, blobs::Bitfield},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Fetches at work on one blob. The store drops commands beyond 32 waiting for one blob, and serving takes some.
const FETCHES_PER_BLOB_MAX: usize = 24;

/// How long a hold lasts: after it, a moment without a fetch lets the bitfield be saved.
const HOLD_MAX: Duration = Duration::from_secs(5);

/// All blobs that are being written.
#[derive(Debug, Default)]
pub(super) struct Works {
    blobs: Mutex<HashMap<Hash, Arc<Work>>>,
}

struct Work {
    slots: Arc<Semaphore>,
    hold: Mutex<Option<Hold>>,
    /// Whether the store is known to have committed that it has the blob.
    recorded: AtomicBool,
}

struct Hold {
    since: Instant,
    _observation: Pin<Box<dyn Stream<Item = Bitfield> + Send>>,
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work")
            .field("free", &self.slots.available_permits())
            .finish_non_exhaustive()
    }
}

/// One fetch at work on a blob; ends when dropped.
#[derive(Debug)]
pub(super) struct Working {
    work: Arc<Work>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Works {
    /// Joins the work on a blob; waits while too many fetches are at it.
    ///
    /// Cancel safe: nothing is held until it returns.
    pub(super) async fn enter(&self, store: &Store, blob: Hash) -> Working {
        let work = {
            let mut blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(blobs.entry(blob).or_insert_with(|| {
                Arc::new(Work {
                    slots: Arc::new(Semaphore::new(FETCHES_PER_BLOB_MAX)),
                    hold: Mutex::new(None),
                    recorded: AtomicBool::new(false),
                })
            }))
        };
        // The semaphore is never closed; were it, the fetch would merely go uncounted.
        let permit = Arc::clone(&work.slots).acquire_owned().await.ok();
        if !work.is_held()
            && let Ok(observation) = store.observe(blob).stream().await
        {
            work.set_hold(Some(Hold {
                since: Instant::now(),
                _observation: Box::pin(observation),
            }));
        }
        Working { work, permit }
    }

    /// Lets go of blobs that nobody has worked on for a while.
    pub(super) fn tidy(&self) {
        let mut blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        blobs.retain(|_, work| {
            let idle = work.slots.available_permits() == FETCHES_PER_BLOB_MAX;
            !(idle && Arc::strong_count(work) == 1 && work.hold_is_over())
        });
    }

    /// Lets go of everything.
    pub(super) fn clear(&self) {
        let mut blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        blobs.clear();
    }
}

impl Work {
    fn is_held(&self) -> bool {
        let hold = self.hold.lock().unwrap_or_else(PoisonError::into_inner);
        hold.is_some()
    }

    fn set_hold(&self, hold: Option<Hold>) {
        *self.hold.lock().unwrap_or_else(PoisonError::into_inner) = hold;
    }

    fn hold_is_over(&self) -> bool {
        let hold = self.hold.lock().unwrap_or_else(PoisonError::into_inner);
        hold.as_ref()
            .is_none_or(|hold| hold.since.elapsed() >= HOLD_MAX)
    }
}

impl Working {
    pub(super) fn is_recorded(&self) -> bool {
        self.work.recorded.load(Ordering::Relaxed)
    }

    pub(super) fn set_recorded(&self) {
        self.work.recorded.store(true, Ordering::Relaxed);
    }

    /// Lets the store forget its state of the blob when this fetch ends, because it is complete or broken.
    pub(super) fn release(&self) {
        self.work.set_hold(None);
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        drop(self.permit.take());
        let last = self.work.slots.available_permits() == FETCHES_PER_BLOB_MAX;
        if last && self.work.hold_is_over() {
            self.work.set_hold(None);
        }
    }
}
