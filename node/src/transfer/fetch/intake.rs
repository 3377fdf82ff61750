//! What becomes of an answer's bytes on the thread that takes them: decoded, verified, stored, counted.

use std::{
    io::IoSlice,
    num::NonZeroU64,
    sync::Arc,
    time::{Duration, Instant},
};

use iroh_blobs::{Hash, protocol::ChunkRanges};
use tokio_util::sync::CancellationToken;
use tracing::debug;
use weft_protocol::{
    id::BlobHash,
    service::{Input, RequestId, StorageError, TransferError},
};

use super::Order;
use crate::{
    store::{BlobStore, Writer},
    transfer::{
        context::Context,
        counters::Meter,
        decode::{DecodeError, Decoder, Run},
        rates::Valve,
    },
};

/// Progress is reported at these steps …
const PROGRESS_BYTES: u64 = 1024 * 1024;
/// … or after this time, whichever comes first.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// An answer on its way into the store.
pub(in crate::transfer) struct Intake {
    context: Arc<Context>,
    blob: Hash,
    size: NonZeroU64,
    decoder: Decoder,
    /// Opened when the answer begins: one that waits for its turn costs the store nothing.
    writer: Option<Writer>,
    /// What the request asks for at most.
    wanted: u64,
    progress: Progress,
    valve: Valve,
    cancel: CancellationToken,
}

impl Intake {
    pub(super) fn new(
        context: &Arc<Context>,
        order: &Order,
        (ranges, wanted): (ChunkRanges, u64),
        (blob, size): (Hash, NonZeroU64),
        cancel: &CancellationToken,
    ) -> Self {
        Self {
            context: Arc::clone(context),
            blob,
            size,
            decoder: Decoder::new(blake3::Hash::from(*blob.as_bytes()), size.get(), ranges),
            writer: None,
            wanted,
            progress: Progress::new(context, order),
            valve: context.rates.down(order.peer),
            cancel: cancel.clone(),
        }
    }

    /// Takes bytes of the answer. Blocks.
    pub(in crate::transfer) fn take(&mut self, bytes: &[u8]) -> Result<(), TransferError> {
        self.valve.pass(bytes.len(), &self.cancel);
        let mut store = Sink {
            store: &self.context.store,
            blob: self.blob,
            size: self.size.get(),
            wanted: self.wanted,
            writer: &mut self.writer,
        };
        let found = self.decoder.feed(bytes, &mut |run| store.write(&run));
        match found {
            Ok(found) => {
                self.progress.add(found);
                Ok(())
            }
            Err(DecodeError::Store(failure)) => Err(failure),
            Err(DecodeError::Size(claimed)) => {
                debug!(claimed, expected = self.size, "peer claims another size");
                Err(TransferError::Corrupt)
            }
            Err(DecodeError::Parent(_) | DecodeError::Leaf(_) | DecodeError::Surplus) => {
                Err(TransferError::Corrupt)
            }
        }
    }

    /// Whether everything that was asked for has come.
    pub(in crate::transfer) fn is_done(&self) -> bool {
        self.decoder.is_done()
    }

    /// Stores what has come and verifies, however the answer ended, and notes it. Blocks.
    pub(in crate::transfer) fn finish(mut self) -> Result<(), TransferError> {
        let mut store = Sink {
            store: &self.context.store,
            blob: self.blob,
            size: self.size.get(),
            wanted: self.wanted,
            writer: &mut self.writer,
        };
        let flushed = self.decoder.flush(&mut |run| store.write(&run));
        let noted = match self.writer.take().map(Writer::finish) {
            Some(Err(error)) => Err(StorageError::from(error).into()),
            Some(Ok(_)) | None => Ok(()),
        };
        self.progress.flush();
        flushed.and(noted)
    }
}

/// Where runs go.
struct Sink<'a> {
    store: &'a BlobStore,
    blob: Hash,
    size: u64,
    wanted: u64,
    writer: &'a mut Option<Writer>,
}

impl Sink<'_> {
    fn write(&mut self, run: &Run<'_>) -> Result<(), TransferError> {
        let failed = |error| TransferError::from(StorageError::from(error));
        let writer = match &mut *self.writer {
            Some(writer) => writer,
            none => {
                let blob = BlobHash::new(*self.blob.as_bytes());
                let begun = self.store.begin(&blob, self.size, self.wanted);
                none.insert(begun.map_err(failed)?)
            }
        };
        let leaves = [IoSlice::new(run.data)];
        writer
            .write_verified(run.offset, &leaves, run.parents)
            .map_err(failed)
    }
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
