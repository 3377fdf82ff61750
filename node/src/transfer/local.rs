//! Bytes for readers on this machine, also of a blob that is still arriving: what is here, when that changes, and the
//! bytes themselves.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::Stream;
use tokio::sync::watch;
use weft_protocol::{
    id::BlobHash,
    service::{Input, ReaderId},
};

use super::{Handle, context::Context, read::ReadError};
use crate::store::Blob;

/// How long a reader that went away is still taken to wait: clients that are told to come again do.
const LINGER: Duration = Duration::from_secs(20);

/// One blob, as far as it is here.
#[derive(Debug)]
pub struct Local {
    handle: Handle,
    hash: BlobHash,
    size: u64,
    blob: Option<Arc<Blob>>,
    changes: watch::Receiver<u64>,
}

/// Somebody who waits for bytes of a blob, as the machine is told: they come first and in order.
#[derive(Debug)]
pub struct Reading {
    context: Arc<Context>,
    reader: ReaderId,
    blob: BlobHash,
    /// Nothing more is waited for.
    is_done: bool,
}

impl Reading {
    /// Reads on from the start of a range to its end.
    pub async fn at(&mut self, bytes: Range<u64>) {
        self.is_done = bytes.is_empty();
        if !self.is_done {
            let (reader, blob) = (self.reader, self.blob);
            let reading = Input::Reading {
                reader,
                blob,
                bytes,
            };
            self.context.report(reading).await;
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let (context, reader) = (Arc::clone(&self.context), self.reader);
        let linger = if self.is_done { Duration::ZERO } else { LINGER };
        let cancel = context.cancel.clone();
        self.context.tasks.spawn(async move {
            let ended = async {
                tokio::time::sleep(linger).await;
                context.report(Input::ReadingEnded { reader }).await;
            };
            cancel.run_until_cancelled(ended).await;
        });
    }
}

impl Handle {
    /// Somebody who is about to wait for bytes of a blob.
    pub fn reading(&self, blob: BlobHash) -> Reading {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Reading {
            context: Arc::clone(&self.context),
            reader: ReaderId(NEXT.fetch_add(1, Ordering::Relaxed)),
            blob,
            is_done: false,
        }
    }

    /// Looks what is here of a blob, and watches it from then on.
    pub async fn local(&self, blob: BlobHash, size: u64) -> Local {
        let changes = self.context.store.watch(&blob);
        Local {
            handle: self.clone(),
            hash: blob,
            size,
            blob: self.context.blob(blob).await,
            changes,
        }
    }
}

impl Local {
    /// Whether all of it is here.
    pub fn is_complete(&self) -> bool {
        self.ready_from(0) >= self.size
    }

    /// How many bytes from `offset` on are here without a gap.
    pub fn ready_from(&self, offset: u64) -> u64 {
        self.blob
            .as_ref()
            .filter(|blob| blob.size() == self.size)
            .map_or(0, |blob| blob.ready_from(offset))
    }

    /// Waits for more of it. Returns whether any may still come: false when the store has ended. Cancel safe.
    pub async fn changed(&mut self) -> bool {
        let changed = self.handle.context.cancel.clone();
        let changed = changed.run_until_cancelled(self.changes.changed()).await;
        if !matches!(changed, Some(Ok(()))) {
            return false;
        }
        self.blob = self.handle.context.blob(self.hash).await;
        true
    }

    /// Streams bytes that are here, each verified before it is handed out. Ends with an error at the first that is not.
    pub fn read(
        &self,
        range: Range<u64>,
    ) -> impl Stream<Item = Result<Bytes, ReadError>> + Send + use<> {
        self.handle.read(self.hash, range)
    }
}
