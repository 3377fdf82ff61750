//! Making the store's bookkeeping survive a crash before anything is reported complete.
//!
//! The store notes that a blob is complete in a transaction that it commits up to half a second later, and keeps
//! small blobs nowhere else. [`Durable::sync`] forces the commit; callers that come while one is running share the
//! next, so thousands of small files cost a few commits, not thousands.

use iroh_blobs::api::Store;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use tracing::error;
use weft_protocol::service::StorageError;

/// Callers that may wait for one commit; more wait to be let in.
const WAITERS_MAX: usize = 1_024;

/// Forces commits.
#[derive(Debug, Clone)]
pub(super) struct Durable {
    waiters: mpsc::Sender<oneshot::Sender<Result<(), StorageError>>>,
    closed: CancellationToken,
    broken: CancellationToken,
}

/// Starts the task; it ends when it is closed or the last [`Durable`] is dropped.
pub(super) fn spawn(store: Store) -> (Durable, JoinHandle<()>) {
    let (waiters, receiver) = mpsc::channel(WAITERS_MAX);
    let closed = CancellationToken::new();
    let broken = CancellationToken::new();
    let task = tokio::spawn({
        let (closed, broken) = (closed.clone(), broken.clone());
        async move {
            closed
                .run_until_cancelled(run(store, receiver, broken))
                .await;
        }
    });
    let durable = Durable {
        waiters,
        closed,
        broken,
    };
    (durable, task)
}

async fn run(
    store: Store,
    mut receiver: mpsc::Receiver<oneshot::Sender<Result<(), StorageError>>>,
    broken: CancellationToken,
) {
    let mut batch = Vec::new();
    while receiver.recv_many(&mut batch, WAITERS_MAX).await > 0 {
        // A commit that failed is the database's last.
        let result = store.sync_db().await.map_err(|cause| {
            if !broken.is_cancelled() {
                error!("the blob store's database has stopped: {cause:#}");
            }
            let text =
                "the blob store has stopped after a failed write, as it does when the disk is full";
            StorageError::Failed(text.to_owned())
        });
        for waiter in batch.drain(..) {
            waiter.send(result.clone()).ok();
        }
        if result.is_err() {
            broken.cancel();
        }
    }
}

impl Durable {
    /// Returns when everything that the store knew before the call is committed.
    pub(super) async fn sync(&self) -> Result<(), StorageError> {
        let closed = || StorageError::Failed("the blob store is closed".to_owned());
        let (sender, receiver) = oneshot::channel();
        self.waiters.send(sender).await.map_err(|_| closed())?;
        receiver.await.map_err(|_| closed())?
    }

    /// What an operation on the store failed of: a store whose database has stopped says so in many words, none of
    /// which help.
    pub(super) async fn explain(&self, error: StorageError) -> StorageError {
        match error {
            StorageError::Full => error,
            StorageError::Failed(_) => self.sync().await.err().unwrap_or(error),
        }
    }

    /// Fires when the store's database has failed to commit. It takes nothing any more until it is opened anew.
    pub(super) fn broken(&self) -> CancellationToken {
        self.broken.clone()
    }

    /// Ends the task; later calls of [`Self::sync`] fail.
    pub(super) fn close(&self) {
        self.closed.cancel();
    }
}
