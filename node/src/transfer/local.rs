//! Bytes for readers on this machine, also of a blob that is still arriving: what is here, when that changes, and the
//! bytes themselves.

use std::ops::Range;

use bytes::Bytes;
use futures::{Stream, StreamExt, stream::BoxStream};
use iroh_blobs::{api::proto::Bitfield, protocol::ChunkRanges};
use weft_protocol::id::BlobHash;

use super::{Handle, context::hash, read::ReadError};

/// Bytes of a BLAKE3 chunk, in which the store counts.
const CHUNK_LEN: u64 = 1_024;

/// One blob, as far as it is here.
pub struct Local {
    handle: Handle,
    blob: BlobHash,
    size: u64,
    here: ChunkRanges,
    changes: BoxStream<'static, Bitfield>,
}

impl std::fmt::Debug for Local {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Local")
            .field("blob", &self.blob)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl Handle {
    /// Looks what is here of a blob, and watches it from then on.
    pub async fn local(&self, blob: BlobHash, size: u64) -> Local {
        let observed = self.context.store.observe(hash(blob)).stream().await;
        let mut changes: BoxStream<'static, Bitfield> = match observed {
            Ok(stream) => stream.boxed(),
            Err(_) => futures::stream::empty().boxed(),
        };
        let here = changes.next().await;
        Local {
            handle: self.clone(),
            blob,
            size,
            here: here.map_or_else(ChunkRanges::empty, |bitfield| bitfield.ranges),
            changes,
        }
    }
}

impl Local {
    /// Whether all of it is here.
    pub fn is_complete(&self) -> bool {
        self.ready_from(0) >= self.size
    }

    /// How many bytes from `offset` on are here without a gap.
    pub fn ready_from(&self, offset: u64) -> u64 {
        ready_from(&self.here, offset, self.size)
    }

    /// Waits for more of it. Returns whether any may still come: false when the store has ended. Cancel safe.
    pub async fn changed(&mut self) -> bool {
        match self.changes.next().await {
            Some(news) => {
                // Each report covers what is new since the last; what was here stays.
                self.here |= news.ranges;
                true
            }
            None => false,
        }
    }

    /// Streams bytes that are here, each verified before it is handed out. Ends with an error at the first that is not.
    pub fn read(
        &self,
        range: Range<u64>,
    ) -> impl Stream<Item = Result<Bytes, ReadError>> + Send + use<> {
        self.handle.read(self.blob, range)
    }
}

fn ready_from(here: &ChunkRanges, offset: u64, size: u64) -> u64 {
    if offset >= size {
        return 0;
    }
    let mut boundaries = here.boundaries().iter().map(|chunk| chunk.0);
    while let Some(start) = boundaries.next() {
        let end = boundaries
            .next()
            .map_or(u64::MAX, |chunk| chunk.saturating_mul(CHUNK_LEN));
        if start.saturating_mul(CHUNK_LEN) <= offset && offset < end {
            return end.min(size) - offset;
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use iroh_blobs::protocol::ChunkRangesExt;

    use super::*;

    #[test]
    fn only_what_lies_there_without_a_gap_is_ready() {
        let here = ChunkRanges::bytes(0..16_384) | ChunkRanges::bytes(32_768..);
        let size = 40 * 1_024 + 7;
        for (offset, ready) in [
            (0, 16_384),
            (16_383, 1),
            (16_384, 0),
            (32_767, 0),
            (32_768, size - 32_768),
            (size - 1, 1),
            (size, 0),
        ] {
            assert_eq!(ready_from(&here, offset, size), ready, "{offset}");
        }
        assert_eq!(ready_from(&ChunkRanges::empty(), 0, 10), 0);
    }
}
