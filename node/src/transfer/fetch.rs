//! Getting one run of pieces from one peer: over TCP where a connection can be had, over QUIC otherwise.

mod intake;
mod quic;
mod tcp;

use std::{num::NonZeroU64, sync::Arc};

use iroh_blobs::{
    Hash,
    protocol::{ChunkRanges, ChunkRangesExt, GetRequest, Request},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;
use weft_protocol::{
    id::{BlobHash, NodeId},
    layout::{Layout, PieceRange},
    service::{Input, RequestId, TransferError},
};

pub(super) use self::intake::Intake;
use super::context::{Context, hash};

/// What to fetch.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) request: RequestId,
    pub(super) peer: NodeId,
    pub(super) blob: BlobHash,
    pub(super) size: u64,
    pub(super) pieces: PieceRange,
}

/// Carries an order out and reports its progress and its end.
pub(super) async fn run(context: Arc<Context>, order: Order, cancel: CancellationToken) {
    let result = fetch(&context, &order, &cancel).await;
    if let Err(error) = &result {
        debug!(
            peer = %order.peer.fmt_short(),
            blob = %order.blob.fmt_short(),
            pieces = ?order.pieces,
            "fetch failed: {error}"
        );
    }
    context
        .report(Input::PiecesFetched {
            request: order.request,
            result,
        })
        .await;
}

async fn fetch(
    context: &Arc<Context>,
    order: &Order,
    cancel: &CancellationToken,
) -> Result<(), TransferError> {
    let blob = hash(order.blob);
    let Some(size) = NonZeroU64::new(order.size) else {
        // Nothing to ask for. A manifest that gives an empty file another hash cannot be satisfied by anybody.
        return if blob == Hash::EMPTY {
            Ok(())
        } else {
            Err(TransferError::Unavailable)
        };
    };
    let bytes = Layout::new(order.size).bytes(order.pieces);
    let ranges = ChunkRanges::bytes(bytes.start..bytes.end);
    // What is here already is not asked for again.
    let here = context.blob(order.blob).await;
    let missing = match here.filter(|here| here.size() == order.size) {
        Some(here) => &ranges - &here.chunk_ranges(),
        None => ranges,
    };
    if missing.is_empty() {
        return Ok(());
    }
    Box::pin(get(context, order, missing, (blob, size), cancel)).await
}

/// Asks for `ranges` and stores what comes.
async fn get(
    context: &Arc<Context>,
    order: &Order,
    ranges: ChunkRanges,
    blob: (Hash, NonZeroU64),
    cancel: &CancellationToken,
) -> Result<(), TransferError> {
    let cancelled = || TransferError::Cancelled;
    let request = Request::Get(GetRequest::blob_ranges(blob.0, ranges.clone()));
    let request = postcard::to_allocvec(&request).map_err(|_| TransferError::Unavailable)?;
    let intake = Intake::new(context, order, ranges.clone(), blob, cancel);
    if context.peers.is_banned(order.peer) {
        return Err(TransferError::Refused);
    }
    if let Some(origin) = context.origins.get(&order.peer) {
        return origin.get(&order.blob, ranges, cancel, intake).await;
    }
    let link = cancel
        .run_until_cancelled(context.links.lease(order.peer))
        .await
        .ok_or_else(cancelled)?;
    if let Some(link) = link {
        return tcp::get(context, order.peer, link, &request, cancel, intake).await;
    }
    let lease = cancel
        .run_until_cancelled(context.connect(order.peer))
        .await
        .ok_or_else(cancelled)??;
    quic::get(lease.connection(), request, cancel, intake).await
}
