//! One answer, on a thread: read in large parts, counted, held back to the rates, sent in large parts.

use std::{io, ops::Range, sync::Arc, time::Duration};

use iroh::endpoint::VarInt;
use iroh_blobs::{
    Hash,
    protocol::{ChunkRanges, ERR_INTERNAL, ERR_LIMIT},
};
use weft_protocol::id::{BlobHash, NodeId};

use crate::transfer::{
    context::Context,
    link::{HEADER_LEN, SEND_LEN},
    uploads::Upload,
};

/// What takes one leaf and the pairs before it, and not two.
const PART_LEN_MIN: usize = 32 * 1024;
/// Bytes left free before each part, for a connection that frames them.
pub(super) const ROOM: usize = HEADER_LEN;

/// Where an answer goes.
pub(super) trait Wire {
    /// Sends one part, which lies behind [`ROOM`] bytes. Blocks. May take the buffer.
    fn send(&mut self, part: &mut Vec<u8>) -> io::Result<()>;

    /// Whether whoever asked wants no more.
    fn is_stopped(&mut self) -> io::Result<bool>;

    /// Waits so long, or until something comes. Blocks.
    fn rest(&mut self, wait: Duration) -> io::Result<()>;

    /// How long a message to the asker and back takes now, if that is known anew. Asks for the next time.
    fn delay(&mut self) -> io::Result<Option<Duration>>;
}

/// How an answer broke off.
#[derive(Debug, thiserror::Error)]
pub(super) enum BrokenOff {
    /// The asker is to be told with this code.
    #[error("{reason}")]
    Reset {
        /// As a QUIC stream is reset with.
        code: VarInt,
        /// For the log.
        reason: String,
    },
    /// There is nobody to tell.
    #[error("the connection broke")]
    Connection(#[from] io::Error),
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub(super) peer: NodeId,
    pub(super) hash: Hash,
    pub(super) ranges: ChunkRanges,
}

impl Wish {
    pub(super) fn blob(&self) -> BlobHash {
        BlobHash::new(*self.hash.as_bytes())
    }

    /// First and one past the last byte that is asked for.
    pub(super) fn bytes(&self) -> Range<u64> {
        let boundaries = self.ranges.boundaries();
        let byte =
            |chunk: Option<&bao_tree::ChunkNum>| chunk.map(|chunk| chunk.0.saturating_mul(1024));
        let start = byte(boundaries.first()).unwrap_or(0);
        // An odd number of boundaries leaves the last range open.
        let end = match boundaries.len() % 2 {
            0 => byte(boundaries.last()).unwrap_or(0),
            _ => u64::MAX,
        };
        start..end
    }
}

/// Sends the answer to a wish. Blocks.
pub(super) fn send(
    context: &Arc<Context>,
    wish: &Wish,
    upload: &mut Upload,
    wire: &mut dyn Wire,
) -> Result<(), BrokenOff> {
    let meter = context.counters.meter(wish.peer);
    let valve = context.rates.up(wish.peer);
    let reset = |code, reason: &str| BrokenOff::Reset {
        code,
        reason: reason.to_owned(),
    };
    let Some(blob) = context.store.blob(&wish.blob()) else {
        return Err(reset(ERR_INTERNAL, "the blob is not here"));
    };
    let mut encoder = blob.encode(&wish.ranges);
    let mut part = Vec::new();
    // The answer begins with the size.
    let mut head = &blob.size().to_le_bytes()[..];
    #[cfg(any(test, feature = "faults"))]
    let mut lie = Lie::default();
    loop {
        let len = valve.portion(SEND_LEN).max(PART_LEN_MIN);
        #[cfg(any(test, feature = "faults"))]
        let len = if context.faults.is_on() {
            PART_LEN_MIN
        } else {
            len
        };
        let start = ROOM + head.len();
        part.resize(start + len, 0);
        part[ROOM..start].copy_from_slice(head);
        let encoded = encoder
            .fill(&mut part[start..])
            .map_err(|error| reset(ERR_INTERNAL, &error.to_string()))?;
        if encoded.len == 0 && head.is_empty() {
            return Ok(());
        }
        part.truncate(start + encoded.len);
        head = &[];
        let payload = encoded.payload;
        #[cfg(any(test, feature = "faults"))]
        lie.tell(&context.faults, &mut part[ROOM..], payload);
        valve.take(part.len());
        loop {
            if upload.refused().is_cancelled() || wire.is_stopped()? {
                return Err(reset(ERR_LIMIT, "not wanted any more"));
            }
            if valve.is_polite()
                && let Some(delay) = wire.delay()?
            {
                valve.delayed(delay);
            }
            let wait = valve.wait();
            if wait.is_zero() {
                break;
            }
            wire.rest(wait)?;
        }
        wire.send(&mut part)?;
        context.counters.uploaded(&meter, payload);
        upload.sent(payload);
    }
}

/// Falsifies an answer that is made leaf by leaf.
#[cfg(any(test, feature = "faults"))]
#[derive(Default)]
struct Lie {
    begun: bool,
    leaves: u64,
}

#[cfg(any(test, feature = "faults"))]
impl Lie {
    fn tell(&mut self, faults: &crate::transfer::faults::Switch, part: &mut [u8], payload: u64) {
        if !std::mem::replace(&mut self.begun, true) {
            faults.size(part);
        }
        if payload > 0 {
            faults.leaf(self.leaves, part);
            self.leaves += 1;
        }
    }
}
