//! The geometry of a blob: groups, the nodes above them, and the hashes of both.

use std::ops::Range;

use bao_tree::{BaoTree, BlockSize, ChunkNum, ChunkRanges, TreeNode};
use blake3::hazmat::{self, HasherExt, Mode};
use weft_protocol::{
    id::BlobHash,
    layout::{Layout, PieceRange},
    piece_set::PieceSet,
};

/// 16 chunks of 1 KiB: the grain of verification, as in iroh-blobs.
pub(crate) const BLOCK_SIZE: BlockSize = BlockSize::from_chunk_log(4);
/// Bytes of a group.
pub(crate) const GROUP_LEN: u64 = 16 * 1024;
/// BLAKE3 chunks of a group.
pub(super) const GROUP_CHUNKS: u64 = 16;
const CHUNK_LEN: u64 = 1024;

/// A parent: the hashes of its two children.
pub(super) type Pair = [u8; 64];
/// A BLAKE3 chaining value or hash.
pub(super) type Hash = [u8; 32];

/// Groups of a blob of `size` bytes; `None` beyond what a number of groups can say (64 TiB).
pub(super) fn groups(size: u64) -> Option<u32> {
    u32::try_from(size.div_ceil(GROUP_LEN)).ok()
}

/// The tree above a blob of `size` bytes.
pub(super) fn tree(size: u64) -> BaoTree {
    BaoTree::new(size, BLOCK_SIZE)
}

/// The groups that bytes touch.
pub(super) fn touched(bytes: &Range<u64>) -> PieceRange {
    let clip = |group: u64| u32::try_from(group).unwrap_or(u32::MAX);
    PieceRange {
        start: clip(bytes.start / GROUP_LEN),
        end: clip(bytes.end.div_ceil(GROUP_LEN)),
    }
}

/// The bytes of groups, in a blob of `size` bytes.
pub(super) fn bytes(groups: PieceRange, size: u64) -> Range<u64> {
    let start = u64::from(groups.start) * GROUP_LEN;
    let end = u64::from(groups.end) * GROUP_LEN;
    start.min(size)..end.min(size)
}

/// The groups below a node.
pub(super) fn below(node: TreeNode) -> PieceRange {
    let chunks = node.chunk_range();
    let clip = |group: u64| u32::try_from(group).unwrap_or(u32::MAX);
    PieceRange {
        start: clip(chunks.start.0 / GROUP_CHUNKS),
        end: clip(chunks.end.0.div_ceil(GROUP_CHUNKS)),
    }
}

/// The chunks of groups.
pub(super) fn chunks(set: &PieceSet, size: u64) -> ChunkRanges {
    let last = size.div_ceil(CHUNK_LEN);
    let boundaries = set.runs().flat_map(|run| {
        let start = u64::from(run.start) * GROUP_CHUNKS;
        let end = (u64::from(run.end) * GROUP_CHUNKS).min(last);
        [ChunkNum(start), ChunkNum(end)]
    });
    ChunkRanges::new(boundaries.collect()).expect("runs are sorted and do not touch")
}

/// The pieces of which every group is in `have`.
pub(super) fn pieces(have: &PieceSet, layout: Layout) -> PieceSet {
    if have.is_full() {
        // Also without any group: the blob without bytes has one piece.
        return PieceSet::full(layout.pieces());
    }
    let mut pieces = PieceSet::empty(layout.pieces());
    let groups_per_piece = layout.piece_len / GROUP_LEN;
    for run in have.runs() {
        let first = u64::from(run.start).div_ceil(groups_per_piece);
        let past = if run.end == have.pieces() {
            u64::from(layout.pieces())
        } else {
            u64::from(run.end) / groups_per_piece
        };
        if let (Ok(start), Ok(end)) = (u32::try_from(first), u32::try_from(past))
            && start < end
        {
            pieces.insert_range(PieceRange { start, end });
        }
    }
    pieces
}

/// Whether any of `range` is in `set`.
pub(super) fn intersects(set: &PieceSet, range: PieceRange) -> bool {
    set.runs()
        .any(|run| run.start < range.end && range.start < run.end)
}

/// The hash of a group, or of part of one that is a subtree of its own.
pub(super) fn leaf_hash(start: u64, data: &[u8], is_root: bool) -> Hash {
    if is_root {
        return blake3::hash(data).into();
    }
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(start);
    hasher.update(data).finalize_non_root()
}

/// The hash of a parent.
pub(super) fn parent_hash(left: &Hash, right: &Hash, is_root: bool) -> Hash {
    if is_root {
        hazmat::merge_subtrees_root(left, right, Mode::Hash).into()
    } else {
        hazmat::merge_subtrees_non_root(left, right, Mode::Hash)
    }
}

/// The two hashes in a parent.
pub(super) fn split(pair: &Pair) -> (Hash, Hash) {
    let (mut left, mut right) = ([0; 32], [0; 32]);
    left.copy_from_slice(&pair[..32]);
    right.copy_from_slice(&pair[32..]);
    (left, right)
}

/// Whether a blob is the one without bytes.
pub(super) fn is_empty(hash: &BlobHash) -> bool {
    hash.as_bytes() == blake3::hash(&[]).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_and_bytes_agree_at_the_edges() {
        for (size, count) in [(0, 0), (1, 1), (16_384, 1), (16_385, 2), (49_152, 3)] {
            assert_eq!(groups(size), Some(count), "{size}");
            let all = touched(&(0..size));
            assert_eq!((all.start, all.end), (0, count));
            assert_eq!(bytes(all, size), 0..size);
        }
        assert_eq!(groups(u64::MAX), None);
    }

    #[test]
    fn chunks_of_everything_end_with_the_last_chunk() {
        let size = 16_384 + 1_500;
        let all = chunks(&PieceSet::full(2), size);
        assert_eq!(all, ChunkRanges::from(..ChunkNum(18)));
        assert!(chunks(&PieceSet::empty(2), size).is_empty());
    }

    #[test]
    fn hashes_are_those_of_blake3() {
        let data = vec![7; 40_000];
        let groups: Vec<_> = data.chunks(16_384).collect();
        let leaf = |n: usize| leaf_hash(n as u64 * GROUP_LEN, groups[n], false);
        let left = parent_hash(&leaf(0), &leaf(1), false);
        let root = parent_hash(&left, &leaf(2), true);
        assert_eq!(root, *blake3::hash(&data).as_bytes());
        assert_eq!(
            leaf_hash(0, groups[0], true),
            *blake3::hash(groups[0]).as_bytes()
        );
    }
}
