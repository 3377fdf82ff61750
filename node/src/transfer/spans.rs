//! One layer of a blob's hash tree, for its manifest.

use std::collections::HashMap;

use tracing::debug;
use weft_protocol::{id::BlobHash, manifest::Spans};

use super::Handle;

/// Bytes of the smallest node of a tree.
const CHUNK_LOG2: u8 = 10;

type HashPair = [u8; 64];

impl Handle {
    /// The hashes of the spans of 2^`log2` bytes of a blob that is here; `None` if it has not more than one, or
    /// cannot be read.
    pub async fn spans(&self, blob: BlobHash, size: u64, log2: u8) -> Option<Spans> {
        if !Spans::apply_to(size, log2) {
            return None;
        }
        let count = usize::try_from(size.div_ceil(1 << log2)).ok()?;
        let held = self
            .context
            .blob(blob)
            .await
            .filter(|blob| blob.size() == size)?;
        let read = tokio::task::spawn_blocking(move || held.pairs_above(log2))
            .await
            .ok()?;
        let pairs = match read {
            Ok(pairs) => pairs,
            Err(error) => {
                debug!(blob = %blob.fmt_short(), %error, "the hash tree of a blob cannot be read");
                return None;
            }
        };
        let pairs = pairs
            .into_iter()
            .map(|(node, pair)| (node.mid().0, pair))
            .collect();
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
    let (left_hash, right_hash) = pairs.get(&middle)?.split_at(32);
    for (hash, first, count) in [
        (left_hash, first, left),
        (right_hash, first + left, count - left),
    ] {
        if count == 1 {
            hashes.push(hash.try_into().ok()?);
        } else {
            collect(pairs, chunks_log2, first, count, hashes)?;
        }
    }
    Some(())
}
