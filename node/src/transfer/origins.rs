//! HTTP origins beside the peers: the same commands, answered by [`Origin`] instead of a connection.
//!
//! An origin has all of what it has, so watching one is a single report. What it sends goes through the same
//! [`Intake`] as a peer's answer, which verifies, stores, counts and limits it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use iroh_blobs::protocol::ChunkRanges;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use weft_protocol::{
    id::{BlobHash, NodeId, RevisionId},
    layout::Layout,
    piece_set::PieceSet,
    service::{Input, TransferError},
};

use super::{Handle, context::Context, fetch::Intake, observe::Watch};
use crate::origin::Origin;

/// Spans between the web server and the store: one on its way while one is written.
const SPANS_QUEUED: usize = 1;

/// An origin in use.
#[derive(Debug, Clone)]
pub(super) struct Open {
    origin: Arc<Origin>,
    /// Fires when it is closed.
    closed: CancellationToken,
}

/// All origins in use.
#[derive(Debug, Default)]
pub(super) struct Origins(Mutex<HashMap<NodeId, Open>>);

impl Origins {
    pub(super) fn get(&self, id: &NodeId) -> Option<Open> {
        self.open().get(id).cloned()
    }

    fn open(&self) -> std::sync::MutexGuard<'_, HashMap<NodeId, Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An origin that is a source as long as this value lives.
#[derive(Debug)]
pub struct OpenOrigin {
    context: Arc<Context>,
    id: NodeId,
}

impl Handle {
    /// Makes an origin a source of a revision, and tells the machine.
    pub async fn open_origin(&self, origin: Origin, revision: RevisionId) -> OpenOrigin {
        let id = origin.id();
        let open = Open {
            origin: Arc::new(origin),
            closed: self.context.cancel.child_token(),
        };
        self.context.origins.open().insert(id, open);
        let guard = OpenOrigin {
            context: Arc::clone(&self.context),
            id,
        };
        let opened = Input::OriginOpened {
            origin: id,
            revision,
        };
        self.context.report(opened).await;
        guard
    }
}

impl Drop for OpenOrigin {
    fn drop(&mut self) {
        let open = self.context.origins.open().remove(&self.id);
        if let Some(open) = open {
            open.closed.cancel();
        }
        let origin = self.id;
        let context = Arc::clone(&self.context);
        let cancel = context.cancel.clone();
        self.context.tasks.spawn(async move {
            let closed = context.report(Input::OriginClosed { origin });
            cancel.run_until_cancelled(closed).await;
        });
    }
}

impl Open {
    /// Tells what the origin has of a blob, then waits until it is closed.
    pub(super) async fn observe(&self, context: &Context, watch: Watch) {
        let Watch { peer, blob, size } = watch;
        if self.origin.has(&blob) {
            let pieces = Layout::new(size).pieces();
            let have = PieceSet::full(pieces);
            context
                .report(Input::Availability { peer, blob, have })
                .await;
            self.closed.cancelled().await;
        }
    }

    /// Asks the origin for `ranges` of a blob and stores what comes.
    pub(super) async fn get(
        &self,
        blob: &BlobHash,
        ranges: ChunkRanges,
        cancel: &CancellationToken,
        mut intake: Intake,
    ) -> Result<(), TransferError> {
        let (sink, mut spans) = mpsc::channel::<Bytes>(SPANS_QUEUED);
        let stored = tokio::task::spawn_blocking(move || {
            let mut taken = Ok(());
            while let (Ok(()), Some(bytes)) = (&taken, spans.blocking_recv()) {
                taken = intake.take(&bytes);
            }
            let finished = intake.finish();
            taken?;
            finished
        });
        let answered = {
            let answer = self.origin.answer(blob, ranges, sink);
            tokio::select! {
                answered = answer => answered,
                () = cancel.cancelled() => Err(TransferError::Cancelled),
                () = self.closed.cancelled() => Err(TransferError::Connection),
            }
        };
        let stored = stored.await.unwrap_or(Err(TransferError::Connection));
        // A store that fails ends the answer too, and has more to say.
        stored?;
        answered
    }
}
