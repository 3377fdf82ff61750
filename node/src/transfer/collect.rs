//! When garbage is collected: on a schedule, when somebody asks, and soon after a blob has lost its protection.

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use weft_protocol::id::BlobHash;

use crate::store::BlobStore;

/// Decides when the store's garbage is collected.
#[derive(Debug)]
pub(super) struct Collector {
    interval: Duration,
    wanted: Notify,
}

impl Collector {
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            interval,
            wanted: Notify::new(),
        }
    }

    /// Replaces the protected set. What the user removes gives its space back at once.
    pub(super) fn protect(&self, store: &BlobStore, blobs: &[BlobHash]) {
        if store.protect(blobs) {
            self.wanted.notify_one();
        }
    }

    /// Collects whenever it is time, until the data plane ends.
    pub(super) async fn run(self: Arc<Self>, store: BlobStore, cancel: CancellationToken) {
        loop {
            let wanted = tokio::time::timeout(self.interval, self.wanted.notified());
            if cancel.run_until_cancelled(wanted).await.is_none() {
                return;
            }
            collect_now(&store).await;
        }
    }
}

/// Collects, and returns when that is done.
pub(super) async fn collect_now(store: &BlobStore) {
    let store = store.clone();
    match tokio::task::spawn_blocking(move || store.collect()).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => warn!("garbage could not be collected: {error}"),
        Err(error) => warn!("garbage collection died: {error}"),
    }
}
