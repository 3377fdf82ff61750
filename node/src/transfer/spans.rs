//! One layer of a blob's hash tree, for its manifest.

use std::collections::HashMap;

use futures::StreamExt as _;
use iroh_blobs::{
    api::blobs::EncodedItem,
    protocol::{ChunkRanges, ChunkRangesExt as _},
};
use tracing::debug;
use weft_protocol::{id::BlobHash, manifest::Spans};

use super::{Handle, context::hash};

/// Bytes of the smallest node of a tree.
const CHUNK_LOG2: u8 = 10;

type HashPair = ([u8; 32], [u8; 32]);

impl Handle {
    /// The hashes of the spans of 2^`log2` bytes of a blob that is here; `None` if it has not more than one, or
    /// cannot be read.
    pub async fn spans(&self, blob: BlobHash, size: u64, log2: u8) -> Option<Spans> {
        if !Spans::apply_to(size, log2) {
            return None;
        }
        let count = usize::try_from(size.div_ceil(1 << log2)).ok()?;
        // The way down to the first chunk of each span passes all that is wanted.
        let mut ranges = ChunkRanges::empty();
        for n in 0..count as u64 {
            ranges |= ChunkRanges::bytes(n << log2..(n << log2) + 1);
        }
        let store = &self.context.store;
        let mut items = store.export_bao(hash(blob), ranges).stream();
        let mut pairs = HashMap::new();
        while let Some(item) = items.next().await {
            match item {
                EncodedItem::Parent(parent) => {
                    let pair = (*parent.pair.0.as_bytes(), *parent.pair.1.as_bytes());
                    pairs.insert(parent.node.mid().0, pair);
                }
                EncodedItem::Size(_) | EncodedItem::Leaf(_) | EncodedItem::Done => {}
                EncodedItem::Error(error) => {
                    debug!(blob = %blob.fmt_short(), %error, "the hash tree of a blob cannot be read");
                    return None;
                }
            }
        }
        let mut hashes = Vec::with_capacity(count);
        collect(&pairs, log2 - CHUNK_LOG2, 0, count, &mut hashes)?;
        Some(Spans::new(log2, &hashes))
    }
}

/// Appends the hashes of spans `first..first + count`, which lie under one node of the tree. `pairs` are found by
/// the chunk at which their two sides meet.
fn collect(
    pairs: &HashMap<u64, HashPair>,
    chunks_log2: u8,
    first: usize,
    count: usize,
    hashes: &mut Vec<[u8; 32]>,
) -> Option<()> {
    let left = 1 << count.checked_sub(1)?.checked_ilog2()?;
    let middle = ((first + left) as u64) << chunks_log2;
    let (left_hash, right_hash) = pairs.get(&middle)?;
    for (hash, first, count) in [
        (left_hash, first, left),
        (right_hash, first + left, count - left),
    ] {
        if count == 1 {
            hashes.push(*hash);
        } else {
            collect(pairs, chunks_log2, first, count, hashes)?;
        }
    }
    Some(())
}
