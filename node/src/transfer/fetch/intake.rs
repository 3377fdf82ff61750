//! What becomes of an answer's bytes on the thread that takes them: decoded, verified, stored, counted.

use std::{
    num::NonZeroU64,
    sync::Arc,
    time::{Duration, Instant},
};

use iroh_blobs::{Hash, protocol::ChunkRanges};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tracing::debug;
use weft_protocol::service::{Input, RequestId, TransferError};

use super::Order;
use crate::transfer::{
    bridge::{WriteFailure, Writer},
    context::Context,
    counters::Meter,
    decode::{DecodeError, Decoder, Run},
    rates::Valve,
    work::Working,
};

/// Progress is reported at these steps …
const PROGRESS_BYTES: u64 = 1024 * 1024;
/// … or after this time, whichever comes first.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);
/// After this much of a blob that is new here, the store is made to commit that it has the blob: until then a
/// crash loses all of it.
const RECORD_BYTES: u64 = 2 * 1024 * 1024;

/// Why an answer did not get into the store.
pub(in crate::transfer) enum Failure {
    /// The store has too many commands waiting for this blob. Passes in a moment.
    Busy,
    /// Anything else.
    Transfer(TransferError),
}

impl From<TransferError> for Failure {
    fn from(error: TransferError) -> Self {
        Self::Transfer(error)
    }
}

/// An answer on its way into the store.
pub(in crate::transfer) struct Intake {
    context: Arc<Context>,
    working: Arc<Working>,
    blob: Hash,
    size: NonZeroU64,
    decoder: Decoder,
    /// Opened when the answer begins: one that waits for its turn costs the store nothing.
    writer: Option<Writer>,
    received: u64,
    progress: Progress,
    valve: Valve,
    cancel: CancellationToken,
}

impl Intake {
    pub(super) fn new(
        context: &Arc<Context>,
        order: &Order,
        ranges: ChunkRanges,
        (blob, size): (Hash, NonZeroU64),
        working: &Arc<Working>,
        cancel: &CancellationToken,
    ) -> Self {
        Self {
            context: Arc::clone(context),
            working: Arc::clone(working),
            blob,
            size,
            decoder: Decoder::new(blake3::Hash::from(*blob.as_bytes()), size.get(), ranges),
            writer: None,
            received: 0,
            progress: Progress::new(context, order),
            valve: context.rates.down(order.peer),
            cancel: cancel.clone(),
        }
    }

    /// Takes bytes of the answer. Blocks.
    pub(in crate::transfer) fn take(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.valve.pass(bytes.len(), &self.cancel);
        let Self {
            context,
            blob,
            size,
            decoder,
            writer,
            ..
        } = self;
        let found = decoder.feed(bytes, &mut |run| {
            write(context, (*blob, *size), writer, &run)
        });
        match found {
            Ok(found) => {
                self.received += found;
                self.progress.add(found);
                self.record()
            }
            Err(DecodeError::Store(failure)) => Err(failure),
            Err(DecodeError::Size(claimed)) => {
                debug!(claimed, expected = self.size, "peer claims another size");
                Err(TransferError::Corrupt.into())
            }
            Err(DecodeError::Parent(_) | DecodeError::Leaf(_) | DecodeError::Surplus) => {
                Err(TransferError::Corrupt.into())
            }
        }
    }

    /// Whether everything that was asked for has come.
    pub(super) fn is_done(&self) -> bool {
        self.decoder.is_done()
    }

    fn record(&self) -> Result<(), Failure> {
        if self.received < RECORD_BYTES || self.working.is_recorded() {
            return Ok(());
        }
        self.working.set_recorded();
        Handle::current()
            .block_on(self.context.durable.sync())
            .map_err(|error| Failure::Transfer(error.into()))
    }

    /// Stores what has come and verifies, however the answer ended. Blocks.
    pub(in crate::transfer) fn finish(mut self) -> Result<(), Failure> {
        let Self {
            context,
            blob,
            size,
            decoder,
            writer,
            ..
        } = &mut self;
        let flushed = decoder.flush(&mut |run| write(context, (*blob, *size), writer, &run));
        let stored = match self.writer.take().map(Writer::finish) {
            Some(Err(failure)) => {
                let explained = self.explain(failure);
                Err(explained)
            }
            Some(Ok(())) | None => flushed,
        };
        self.progress.flush();
        stored
    }

    fn explain(&self, failure: WriteFailure) -> Failure {
        match failure {
            WriteFailure::Busy => Failure::Busy,
            WriteFailure::Storage(error) => {
                let explained = self.context.durable.explain(error);
                let error = Handle::current().block_on(explained);
                Failure::Transfer(error.into())
            }
        }
    }
}

/// Hands a run to the store.
fn write(
    context: &Context,
    (blob, size): (Hash, NonZeroU64),
    writer: &mut Option<Writer>,
    run: &Run<'_>,
) -> Result<(), Failure> {
    let failed = |failure| match failure {
        WriteFailure::Busy => Failure::Busy,
        WriteFailure::Storage(error) => Failure::Transfer(error.into()),
    };
    let open = match writer {
        Some(writer) => writer,
        None => writer.insert(Writer::begin(&context.store, blob, size).map_err(failed)?),
    };
    // When the store takes no more, the end of the writer says why.
    open.write(run);
    Ok(())
}

/// Coalesces progress and keeps the counts.
struct Progress {
    context: Arc<Context>,
    meter: Meter,
    request: RequestId,
    pending: u64,
    reported: Option<Instant>,
}

impl Progress {
    fn new(context: &Arc<Context>, order: &Order) -> Self {
        Self {
            meter: context.counters.meter(order.peer),
            context: Arc::clone(context),
            request: order.request,
            pending: 0,
            reported: None,
        }
    }

    /// Counts verified bytes. The first call is reported at once, also with nothing: the answer has begun.
    fn add(&mut self, bytes: u64) {
        self.context.counters.downloaded(&self.meter, bytes);
        self.pending += bytes;
        let is_due = self.reported.is_none_or(|at| {
            self.pending >= PROGRESS_BYTES || self.pending > 0 && at.elapsed() >= PROGRESS_INTERVAL
        });
        if is_due {
            // A machine that is busy hears the sum later; the data does not wait for it.
            if self.context.inputs.try_send(self.input()).is_ok() {
                self.pending = 0;
                self.reported = Some(Instant::now());
            }
        }
    }

    fn flush(&mut self) {
        if self.pending > 0 {
            // When nobody listens any more the node is ending.
            self.context.inputs.blocking_send(self.input()).ok();
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
