//! Getting one run of pieces from one peer: over TCP where a connection can be had, over QUIC otherwise.

mod intake;
mod quic;
mod tcp;

use std::{num::NonZeroU64, sync::Arc};

use bao_tree::ChunkNum;
use iroh_blobs::{
    Hash,
    protocol::{ChunkRanges, ChunkRangesExt, GetRequest, Request},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;
use weft_protocol::{
    id::{BlobHash, NodeId},
    layout::{Layout, PieceRange},
    piece_set::PieceSet,
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
    pub(super) part: Part,
}

/// What of a blob.
#[derive(Debug, Clone)]
pub(super) enum Part {
    /// A run of pieces.
    Pieces(PieceRange),
    /// In these pieces the groups beside what is to be copied.
    Beside(PieceSet),
}

/// Ranges asked for in one request: with a few bytes each they stay below the 16 KiB that a request may have.
const RANGES_MAX: usize = 1_000;

/// Carries an order out and reports its progress and its end.
pub(super) async fn run(context: Arc<Context>, order: Order, cancel: CancellationToken) {
    let result = fetch(&context, &order, &cancel).await;
    if let Err(error) = &result {
        debug!(
            peer = %order.peer.fmt_short(),
            blob = %order.blob.fmt_short(),
            part = ?order.part,
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
    let ranges = match &order.part {
        Part::Pieces(pieces) => {
            let bytes = Layout::new(order.size).bytes(*pieces);
            ChunkRanges::bytes(bytes.start..bytes.end)
        }
        // A web server sends no hashes: spans have to do.
        Part::Beside(_) if context.origins.get(&order.peer).is_some() => return Ok(()),
        Part::Beside(pieces) => context.plans.beside(&order.blob, pieces),
    };
    // What is here already is not asked for again.
    let here = context.blob(order.blob).await;
    let missing = match here.filter(|here| here.size() == order.size) {
        Some(here) => &ranges - &here.chunk_ranges(),
        None => ranges,
    };
    for ranges in portions(&missing) {
        Box::pin(get(context, order, ranges, (blob, size), cancel)).await?;
    }
    Ok(())
}

/// Cuts ranges into what fits into one request.
fn portions(ranges: &ChunkRanges) -> impl Iterator<Item = ChunkRanges> + '_ {
    ranges.boundaries().chunks(2 * RANGES_MAX).map(|part| {
        ChunkRanges::new(part.iter().copied().collect()).expect("part of what is sorted is sorted")
    })
}

/// Bytes that ranges of a blob of `size` bytes cover.
fn len(ranges: &ChunkRanges, size: u64) -> u64 {
    let at = |chunk: &ChunkNum| chunk.0.saturating_mul(1_024).min(size);
    let pairs = ranges.boundaries().chunks(2);
    pairs
        .map(|pair| pair.get(1).map_or(size, at) - pair.first().map_or(size, at))
        .sum()
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
    let wanted = len(&ranges, order.size);
    let intake = Intake::new(context, order, (ranges.clone(), wanted), blob, cancel);
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
