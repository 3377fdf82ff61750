//! Plain bytes dressed up as a peer's answer: the size, then hash pairs and content in the order of the tree.
//!
//! Pure code. The pairs above the spans come from the manifest, those inside a span from its bytes; that the
//! bytes are the right ones is for the caller to check, and is checked again by whoever reads the answer.

use std::ops::Range;

use bao_tree::{
    BaoTree, BlockSize, ChunkNum,
    iter::{BaoChunk, ResponseIter},
};
use iroh_blobs::protocol::ChunkRanges;
use weft_protocol::manifest::{Spans, span_hash};

/// Verification grain: 16 chunks of 1 KiB, as everywhere in iroh-blobs.
const GROUP_LOG2: u8 = 14;
const GROUP_LEN: usize = 1 << GROUP_LOG2;
/// Bytes of a chunk, the smallest leaf of the tree.
const CHUNK_LOG2: u8 = 10;
const BLOCK_SIZE: BlockSize = BlockSize::from_chunk_log(GROUP_LOG2 - CHUNK_LOG2);

/// An answer in the making.
#[derive(Debug)]
pub(super) struct Encoder<'a> {
    size: u64,
    /// Length of a span; all of the file if it has only one.
    span_len: u64,
    spans: Option<&'a Spans>,
    items: ResponseIter,
    /// An item that belongs to a later span.
    next: Option<BaoChunk>,
}

impl<'a> Encoder<'a> {
    /// An answer with `ranges` of a file, beginning with its size in `out`.
    pub(super) fn new(
        size: u64,
        spans: Option<&'a Spans>,
        mut ranges: ChunkRanges,
        out: &mut Vec<u8>,
    ) -> Self {
        out.extend_from_slice(&size.to_le_bytes());
        // Both sides read "up to the last chunk" as "to the end", so that the last group counts as a whole one.
        let last = ChunkNum(size.saturating_sub(1) >> CHUNK_LOG2);
        if ranges.contains(&last) {
            ranges |= ChunkRanges::from(last..);
        }
        let mut items = ResponseIter::new(BaoTree::new(size, BLOCK_SIZE), ranges);
        Self {
            size,
            span_len: spans.map_or(size, Spans::len),
            spans,
            next: items.next(),
            items,
        }
    }

    /// Appends what the bytes of one span allow: everything up to the first thing that lies behind them. Spans
    /// come in order; those of which nothing was asked for may be left out. `None` if the bytes are not the span
    /// whose turn it is.
    pub(super) fn encode(&mut self, offset: u64, bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let end = offset.checked_add(bytes.len() as u64)?;
        let groups: Vec<[u8; 32]> = bytes
            .chunks(GROUP_LEN)
            .zip(0_u64..)
            .map(|(group, n)| span_hash(offset + (n << GROUP_LOG2), group))
            .collect();
        let inside = Inside {
            offset,
            bytes,
            groups: Spans::new(GROUP_LOG2, &groups),
        };
        while let Some(item) = self.next.take() {
            match item {
                BaoChunk::Parent { node, .. } => {
                    let begins = node.chunk_range().start.0 << CHUNK_LOG2;
                    let stop = (node.chunk_range().end.0 << CHUNK_LOG2).min(self.size);
                    let is_above = stop - begins > self.span_len;
                    let (left, right) = if is_above {
                        let first = usize::try_from(begins / self.span_len).ok()?;
                        let count =
                            usize::try_from((stop - begins).div_ceil(self.span_len)).ok()?;
                        self.spans?.pair(first, count)?
                    } else if begins < end {
                        inside.pair(begins, node.mid().0 << CHUNK_LOG2, stop)?
                    } else {
                        self.next = Some(item);
                        break;
                    };
                    out.extend_from_slice(&left);
                    out.extend_from_slice(&right);
                }
                BaoChunk::Leaf {
                    start_chunk, size, ..
                } => {
                    let begins = start_chunk.0 << CHUNK_LOG2;
                    if begins >= end {
                        self.next = Some(item);
                        break;
                    }
                    out.extend_from_slice(inside.get(begins, begins + size as u64)?);
                }
            }
            self.next = self.items.next();
        }
        Some(())
    }

    /// Whether nothing is left to encode.
    pub(super) fn is_done(&self) -> bool {
        self.next.is_none()
    }
}

/// The bytes of one span.
struct Inside<'a> {
    offset: u64,
    bytes: &'a [u8],
    /// The hashes of its chunk groups.
    groups: Spans,
}

impl Inside<'_> {
    fn get(&self, start: u64, end: u64) -> Option<&[u8]> {
        let start = usize::try_from(start.checked_sub(self.offset)?).ok()?;
        let end = usize::try_from(end.checked_sub(self.offset)?).ok()?;
        self.bytes.get(start..end)
    }

    /// The hashes on both sides of `middle` in `start..end`, which one node stands over.
    fn pair(&self, start: u64, middle: u64, end: u64) -> Option<([u8; 32], [u8; 32])> {
        if end - start > GROUP_LEN as u64 {
            let first = usize::try_from(start.checked_sub(self.offset)? >> GROUP_LOG2).ok()?;
            let count = usize::try_from((end - start).div_ceil(GROUP_LEN as u64)).ok()?;
            return self.groups.pair(first, count);
        }
        // A group of which only a part was asked for.
        Some((
            span_hash(start, self.get(start, middle)?),
            span_hash(middle, self.get(middle, end)?),
        ))
    }
}

/// The runs of whole spans that hold `ranges`, as byte ranges in order.
pub(super) fn runs(size: u64, span_len: u64, ranges: &ChunkRanges) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    let mut boundaries = ranges.boundaries().iter().map(|chunk| chunk.0);
    while let Some(start) = boundaries.next() {
        let to_bytes = |chunk: u64| chunk.saturating_mul(1 << CHUNK_LOG2).min(size);
        let start = to_bytes(start) / span_len * span_len;
        let end = to_bytes(boundaries.next().unwrap_or(u64::MAX));
        let end = end.div_ceil(span_len).saturating_mul(span_len).min(size);
        match runs.last_mut() {
            Some(last) if last.end >= start => last.end = last.end.max(end),
            _ if start < end => runs.push(start..end),
            _ => {}
        }
    }
    runs
}
