//! Getting one run of pieces from one peer.

use std::{io, num::NonZeroU64, sync::Arc, time::Duration};

use iroh::endpoint::{Connection, RecvStream};
use iroh_blobs::{
    Hash,
    api::{self, blobs::ImportBaoHandle},
    get::fsm::{self, AtBlobContent, BlobContentNext, ConnectedNext, InitialNextError},
    protocol::{ChunkRanges, ChunkRangesExt, GetRequest},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, trace};
use weft_protocol::{
    id::{BlobHash, NodeId},
    layout::{Layout, PieceRange},
    service::{Input, RequestId, StorageError, TransferError},
};

use super::{
    context::{Context, hash},
    counters::Meter,
    fault,
    work::Working,
};

/// Items between the network and the store: 1 MiB of leaves, so that neither waits for the other at each.
const STORE_QUEUE: usize = 64;
/// Progress is reported at these steps …
const PROGRESS_BYTES: u64 = 256 * 1024;
/// … or after this time, whichever comes first.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);
/// After this much of a blob that is new here, the store is made to commit that it has the blob: until then a
/// crash loses all of it. By then the store's queue has run through at least once.
const RECORD_BYTES: u64 = 2 * STORE_QUEUE as u64 * 16 * 1024;
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
    let mut progress = Progress::new(&context, &order);
    let result = fetch(&context, &order, &cancel, &mut progress).await;
    if let Err(error) = &result {
        debug!(
            peer = %order.peer.fmt_short(),
            blob = %order.blob.fmt_short(),
            pieces = ?order.pieces,
            "fetch failed: {error}"
        );
    }
    progress.flush().await;
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
    progress: &mut Progress<'_>,
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
    let lease = cancel
        .run_until_cancelled(context.connect(order.peer))
        .await
        .ok_or_else(cancelled)??;
    let bytes = Layout::new(order.size).bytes(order.pieces);
    let _promise = context.room.promise(bytes.end - bytes.start)?;
    let ranges = ChunkRanges::bytes(bytes.start..bytes.end);
    let mut tries = 0;
    let result = loop {
        let begin = begin(lease.connection().clone(), blob, ranges.clone(), size);
        let content = cancel
            .run_until_cancelled(Box::pin(begin))
            .await
            .ok_or_else(cancelled)??;
        match receive(context, &working, content, (blob, size), cancel, progress).await {
            Err(Failure::Busy) if tries < BUSY_TRIES => {
                tries += 1;
                tokio::time::sleep(BUSY_PAUSE).await;
            }
            Err(Failure::Busy) => break Err(TransferError::Unavailable),
            Err(Failure::Transfer(error)) => break Err(error),
            Ok(()) => break Ok(()),
        }
    };
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

/// Sends the request and takes the size header, which must be the manifest's.
async fn begin(
    connection: Connection,
    blob: Hash,
    ranges: ChunkRanges,
    size: NonZeroU64,
) -> Result<AtBlobContent<RecvStream>, TransferError> {
    let request = GetRequest::blob_ranges(blob, ranges);
    let connected = fsm::start(connection.clone(), request, Default::default())
        .next()
        .await
        .map_err(|InitialNextError::Open { .. }| {
            connection
                .close_reason()
                .map_or(TransferError::Connection, |reason| {
                    fault::connection(&reason)
                })
        })?;
    let ConnectedNext::StartRoot(root) = connected
        .next()
        .await
        .map_err(|error| fault::request(&error))?
    else {
        return Err(TransferError::Unavailable);
    };
    let (content, claimed) = root
        .next()
        .next()
        .await
        .map_err(|error| fault::header(&error))?;
    if claimed == size.get() {
        Ok(content)
    } else {
        debug!(claimed, expected = size, "peer claims another size");
        Err(TransferError::Corrupt)
    }
}

/// Moves verified content into the store. What verified before a failure stays.
async fn receive(
    context: &Context,
    working: &Working,
    mut content: AtBlobContent<RecvStream>,
    (blob, size): (Hash, NonZeroU64),
    cancel: &CancellationToken,
    progress: &mut Progress<'_>,
) -> Result<(), Failure> {
    let ImportBaoHandle { tx, rx } = context
        .store
        .import_bao(blob, size, STORE_QUEUE)
        .await
        .map_err(|error| failed(&error))?;
    let mut received = 0;
    let outcome = loop {
        let Some(next) = cancel.run_until_cancelled(content.next()).await else {
            break Err(TransferError::Cancelled);
        };
        match next {
            BlobContentNext::More((next, item)) => {
                let item = match item {
                    Ok(item) => item,
                    Err(error) => break Err(fault::content(&error)),
                };
                if tx.send(item).await.is_err() {
                    // The store gave up; `rx` says why.
                    break Ok(());
                }
                let total = next.stats().payload_bytes_read;
                progress.add(total - received);
                received = total;
                content = next;
                if received >= RECORD_BYTES && !working.is_recorded() {
                    working.set_recorded();
                    if let Err(error) = context.durable.sync().await {
                        break Err(error.into());
                    }
                }
            }
            BlobContentNext::Done(_) => break Ok(()),
        }
    };
    drop(tx);
    let written = rx.await;
    trace!(received, "transfer ended");
    match written {
        Ok(Ok(())) => outcome.map_err(Failure::Transfer),
        Ok(Err(api::Error::Io(error))) if error.kind() == io::ErrorKind::ResourceBusy => {
            Err(Failure::Busy)
        }
        Ok(Err(error)) => {
            let error = context.durable.explain(fault::storage(&error)).await;
            Err(Failure::Transfer(error.into()))
        }
        Err(error) => Err(failed(&error)),
    }
}

/// Why content did not get into the store.
enum Failure {
    /// The store has too many commands waiting for this blob. Passes in a moment.
    Busy,
    /// Anything else.
    Transfer(TransferError),
}

fn failed(error: &dyn std::error::Error) -> Failure {
    Failure::Transfer(StorageError::Failed(error.to_string()).into())
}

/// Coalesces progress and keeps the counts.
struct Progress<'a> {
    context: &'a Context,
    meter: Meter,
    request: RequestId,
    pending: u64,
    reported: Instant,
}

impl<'a> Progress<'a> {
    fn new(context: &'a Context, order: &Order) -> Self {
        Self {
            context,
            meter: context.counters.meter(order.peer),
            request: order.request,
            pending: 0,
            reported: Instant::now(),
        }
    }

    fn add(&mut self, bytes: u64) {
        if bytes == 0 {
            return;
        }
        self.context.counters.downloaded(&self.meter, bytes);
        self.pending += bytes;
        if self.pending >= PROGRESS_BYTES || self.reported.elapsed() >= PROGRESS_INTERVAL {
            // A machine that is busy hears the sum later; the data does not wait for it.
            if self.context.inputs.try_send(self.input()).is_ok() {
                self.pending = 0;
                self.reported = Instant::now();
            }
        }
    }

    async fn flush(&mut self) {
        if self.pending > 0 {
            self.context.report(self.input()).await;
            self.pending = 0;
        }
    }

    fn input(&self) -> Input {
        Input::PiecesProgress {
            request: self.request,
            bytes: self.pending,
        }
    }
}
