//! Bytes for readers on this machine, also of a blob that is still arriving: what is here, when that changes, and the
//! bytes themselves.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use futures::Stream;
use tokio::sync::watch;
use weft_protocol::id::BlobHash;

use super::{Handle, read::ReadError};
use crate::store::Blob;

/// One blob, as far as it is here.
#[derive(Debug)]
pub struct Local {
    handle: Handle,
    hash: BlobHash,
    size: u64,
    blob: Option<Arc<Blob>>,
    changes: watch::Receiver<u64>,
}

impl Handle {
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
