//! Getting one run of pieces from one peer: over TCP where a connection can be had, over QUIC otherwise.

mod intake;
mod quic;
mod tcp;

use std::{num::NonZeroU64, sync::Arc, time::Duration};

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

pub(super) use self::intake::{Failure, Intake};
use super::{
    context::{Context, hash},
    fault,
    work::Working,
};

/// Tries to get into the store's inbox of a blob before the fetch is given up as unavailable.
const BUSY_TRIES: u32 = 20;
/// Pause between them; the inbox drains in microseconds.
const BUSY_PAUSE: Duration = Duration::from_millis(5);

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
    let cancelled = || TransferError::Cancelled;
    cancel
        .run_until_cancelled(context.recover(blob))
        .await
        .ok_or_else(cancelled)?;
    let working = cancel
        .run_until_cancelled(context.work.enter(&context.store, blob))
        .await
        .ok_or_else(cancelled)?;
    let working = Arc::new(working);
    let bytes = Layout::new(order.size).bytes(order.pieces);
    let _promise = context.room.promise(bytes.end - bytes.start)?;
    let ranges = ChunkRanges::bytes(bytes.start..bytes.end);
    let mut tries = 0;
    let result = loop {
        // What is here already is not asked for again.
        let missing = match context.store.observe(blob).await {
            Ok(bitfield) => &ranges - &bitfield.ranges,
            Err(_) => ranges.clone(),
        };
        if missing.is_empty() {
            break Ok(());
        }
        let get = get(context, order, missing, (blob, size), &working, cancel);
        match Box::pin(get).await {
            Err(Failure::Busy) if tries < BUSY_TRIES => {
                tries += 1;
                tokio::time::sleep(BUSY_PAUSE).await;
            }
            Err(Failure::Busy) => break Err(TransferError::Unavailable),
            Err(Failure::Transfer(error)) => break Err(error),
            Ok(()) => break Ok(()),
        }
    };
    conclude(context, blob, &working, result).await
}

/// Asks for `ranges` and stores what comes.
async fn get(
    context: &Arc<Context>,
    order: &Order,
    ranges: ChunkRanges,
    blob: (Hash, NonZeroU64),
    working: &Arc<Working>,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let cancelled = || Failure::Transfer(TransferError::Cancelled);
    let request = Request::Get(GetRequest::blob_ranges(blob.0, ranges.clone()));
    let request = postcard::to_allocvec(&request).map_err(|_| TransferError::Unavailable)?;
    let intake = Intake::new(context, order, ranges.clone(), blob, working, cancel);
    if context.peers.is_banned(order.peer) {
        return Err(TransferError::Refused.into());
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

/// What follows from how it ended.
async fn conclude(
    context: &Context,
    blob: Hash,
    working: &Working,
    result: Result<(), TransferError>,
) -> Result<(), TransferError> {
    match &result {
        Ok(()) => {
            let bitfield = context.store.observe(blob).await;
            let complete = bitfield.is_ok_and(|bitfield| bitfield.is_complete());
            if complete || !working.is_recorded() {
                context.durable.sync().await?;
                working.set_recorded();
            }
            if complete {
                working.release();
                context.mark_intact(blob);
            }
        }
        // After a failed write the store's state of the blob is unusable until it is loaded afresh.
        Err(TransferError::Storage(_)) => working.release(),
        Err(_) => {}
    }
    match result {
        Err(TransferError::Storage(error)) => {
            Err(fault::cause(error, &context.files.temp_path).await.into())
        }
        result => result,
    }
}
