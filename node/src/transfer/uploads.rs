//! Requests of peers, from their arrival to their end: the machine says when each is served, if ever.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use weft_protocol::{
    id::{BlobHash, NodeId},
    service::{Input, UploadId},
};

/// Requests of all peers that wait or are served; more are refused at once. A peer may have a few, and the machine
/// looks through them when it chooses.
const UPLOADS_MAX: usize = 1_024;
/// Progress is reported at these steps …
const PROGRESS_BYTES: u64 = 1024 * 1024;
/// … or after this time, whichever comes first.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// All requests that wait or are served.
#[derive(Debug)]
pub(super) struct Uploads {
    inputs: mpsc::Sender<Input>,
    next: AtomicU64,
    open: Mutex<HashMap<UploadId, Signals>>,
}

#[derive(Debug, Clone, Default)]
struct Signals {
    started: CancellationToken,
    refused: CancellationToken,
}

/// One request. Dropping it tells the machine that it is over.
#[derive(Debug)]
pub(super) struct Upload {
    uploads: Arc<Uploads>,
    id: UploadId,
    signals: Signals,
    /// Sent and not yet reported.
    bytes: u64,
    reported: Instant,
}

impl Uploads {
    pub(super) fn new(inputs: mpsc::Sender<Input>) -> Self {
        Self {
            inputs,
            next: AtomicU64::new(1),
            open: Mutex::default(),
        }
    }

    /// Tells the machine of a request; `None` if there are too many.
    pub(super) async fn ask(
        self: &Arc<Self>,
        peer: NodeId,
        blob: BlobHash,
        bytes: Range<u64>,
    ) -> Option<Upload> {
        let id = UploadId(self.next.fetch_add(1, Ordering::Relaxed));
        let signals = Signals::default();
        {
            let mut open = self.open();
            if open.len() >= UPLOADS_MAX {
                return None;
            }
            open.insert(id, signals.clone());
        }
        let upload = Upload {
            uploads: Arc::clone(self),
            id,
            signals,
            bytes: 0,
            reported: Instant::now(),
        };
        // When nobody listens any more the node is ending.
        let asked = Input::UploadAsked {
            upload: id,
            peer,
            blob,
            bytes,
        };
        self.inputs.send(asked).await.ok()?;
        Some(upload)
    }

    /// The machine wants it served.
    pub(super) fn start(&self, id: UploadId) {
        if let Some(signals) = self.open().get(&id) {
            signals.started.cancel();
        }
    }

    /// The machine does not, or not any longer.
    pub(super) fn refuse(&self, id: UploadId) {
        if let Some(signals) = self.open().get(&id) {
            signals.refused.cancel();
        }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<UploadId, Signals>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upload {
    /// Waits for the machine's word: whether to serve. Cancel safe.
    pub(super) async fn started(&self) -> bool {
        tokio::select! {
            biased;
            () = self.signals.refused.cancelled() => false,
            () = self.signals.started.cancelled() => true,
        }
    }

    /// Fires when a request that is being served is to be broken off.
    pub(super) fn refused(&self) -> &CancellationToken {
        &self.signals.refused
    }

    /// Counts payload that was sent.
    pub(super) fn sent(&mut self, bytes: u64) {
        self.bytes += bytes;
        if self.bytes >= PROGRESS_BYTES || self.reported.elapsed() >= PROGRESS_INTERVAL {
            let progress = Input::UploadProgress {
                upload: self.id,
                bytes: self.bytes,
            };
            // A machine that is busy hears the sum later; the data does not wait for it.
            if self.uploads.inputs.try_send(progress).is_ok() {
                self.bytes = 0;
                self.reported = Instant::now();
            }
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.uploads.open().remove(&self.id);
        let ended = Input::UploadEnded {
            upload: self.id,
            bytes: self.bytes,
        };
        if let Err(mpsc::error::TrySendError::Full(ended)) = self.uploads.inputs.try_send(ended) {
            // The machine counts on hearing it. As many of these as there are uploads.
            let inputs = self.uploads.inputs.clone();
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(async move { inputs.send(ended).await });
            }
        }
    }
}
