//! How a blob is cut into pieces.
//!
//! A layout is a pure function of the blob's size, so all nodes agree on it without saying so.

use std::ops::Range;

/// The shortest piece: small models still spread over several peers.
const PIECE_LEN_MIN: u64 = 256 * 1024;
/// The longest ordinary piece: what one corrupt chunk group may cost.
const PIECE_LEN_MAX: u64 = 64 * 1024 * 1024;
/// Pieces that a blob of ordinary size is cut into at least.
const PIECES_GOAL: u64 = 400;
/// Bound on the pieces of one blob whatever size a manifest claims, so that bookkeeping stays small.
const PIECES_MAX: u64 = 1 << 20;

/// Index of a piece inside a blob's layout; only a [`Layout`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PieceIndex(u32);

impl PieceIndex {
    /// As a number.
    pub fn get(self) -> u32 {
        self.0
    }
}

/// A non-empty contiguous run of pieces `start..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PieceRange {
    /// First piece.
    pub start: u32,
    /// One past the last.
    pub end: u32,
}

impl PieceRange {
    /// Number of pieces; zero for an empty or reversed range, which no machine makes.
    pub fn len(&self) -> u32 {
        self.end.saturating_sub(self.start)
    }

    /// Whether the range holds no piece.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The piece grid of one blob. A pure function of the blob's size, so all nodes agree on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Blob size in bytes.
    pub size: u64,
    /// Piece length in bytes, a power of two ≥ 256 KiB (a multiple of the 16 KiB chunk group).
    pub piece_len: u64,
}

impl Layout {
    /// The grid for a blob of `size` bytes: the largest power of two that goes 400 times into the
    /// blob, within bounds.
    pub fn new(size: u64) -> Self {
        let goal = (size / PIECES_GOAL).max(1);
        let mut piece_len = (1_u64 << goal.ilog2()).clamp(PIECE_LEN_MIN, PIECE_LEN_MAX);
        while size.div_ceil(piece_len) > PIECES_MAX {
            piece_len *= 2;
        }
        Self { size, piece_len }
    }

    /// Number of pieces; 1 for an empty blob.
    pub fn pieces(&self) -> u32 {
        u32::try_from(self.size.div_ceil(self.piece_len).max(1)).unwrap_or(u32::MAX)
    }

    /// The piece that holds byte `offset`, if the blob has one.
    pub fn piece_at(&self, offset: u64) -> Option<PieceIndex> {
        let index = u32::try_from(offset / self.piece_len).ok()?;
        (index < self.pieces()).then_some(PieceIndex(index))
    }

    /// All pieces in order.
    pub fn indices(&self) -> impl Iterator<Item = PieceIndex> {
        (0..self.pieces()).map(PieceIndex)
    }

    /// Bytes of a run: `start..end` offsets, clamped to the blob.
    pub fn bytes(&self, range: PieceRange) -> Range<u64> {
        let offset = |index: u32| {
            u64::from(index)
                .saturating_mul(self.piece_len)
                .min(self.size)
        };
        offset(range.start)..offset(range.end.max(range.start))
    }

    /// Number of bytes in a run.
    pub fn len(&self, range: PieceRange) -> u64 {
        let bytes = self.bytes(range);
        bytes.end - bytes.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn piece_length_follows_size_within_bounds() {
        let check = |size: u64, piece_len: u64, pieces: u32| {
            let layout = Layout::new(size);
            assert_eq!(
                (layout.piece_len, layout.pieces()),
                (piece_len, pieces),
                "{size}"
            );
        };
        check(0, 256 * 1024, 1);
        check(1, 256 * 1024, 1);
        check(256 * 1024, 256 * 1024, 1);
        check(256 * 1024 + 1, 256 * 1024, 2);
        check(400 * MIB, MIB, 400);
        check(400 * MIB - 1, 512 * 1024, 800);
        check(400 * 64 * MIB, 64 * MIB, 400);
        check(1024 * 1024 * MIB, 64 * MIB, 16_384);
    }

    #[test]
    fn piece_count_stays_bounded_for_any_claimed_size() {
        for size in [u64::MAX, u64::MAX / 2, 1 << 60, 1 << 50] {
            assert!(u64::from(Layout::new(size).pieces()) <= PIECES_MAX);
        }
    }

    #[test]
    fn byte_ranges_cover_the_blob_without_gap() {
        let layout = Layout::new(700_000);
        assert_eq!(layout.bytes(PieceRange { start: 0, end: 1 }), 0..262_144);
        assert_eq!(
            layout.bytes(PieceRange { start: 1, end: 3 }),
            262_144..700_000
        );
        assert_eq!(
            layout.bytes(PieceRange { start: 7, end: 9 }),
            700_000..700_000
        );
        let sum: u64 = layout
            .indices()
            .map(|i| {
                layout.len(PieceRange {
                    start: i.get(),
                    end: i.get() + 1,
                })
            })
            .sum();
        assert_eq!(sum, 700_000);
        assert_eq!(layout.piece_at(699_999).map(PieceIndex::get), Some(2));
        assert_eq!(layout.piece_at(u64::MAX), None);
    }
}
