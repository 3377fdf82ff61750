//! How a blob is cut into pieces.
/// Index of a piece inside a blob's layout; only a [`Layout`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PieceIndex(u32);
impl PieceIndex { /// As a number.
    pub fn get(self) -> u32 { self.0 } }
/// A non-empty contiguous run of pieces `start..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PieceRange { /// First piece.
    pub start: u32, /// One past the last.
    pub end: u32 }
/// The piece grid of one blob. A pure function of the blob's size, so all nodes agree on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout { /// Blob size in bytes.
    pub size: u64, /// Piece length in bytes, a power of two ≥ 256 KiB (a multiple of the 16 KiB chunk group).
    pub piece_len: u64 }
impl Layout {
    /// The grid for a blob of `size` bytes.
    pub fn new(_size: u64) -> Self { todo!() }
    /// Number of pieces; 1 for an empty blob.
    pub fn pieces(&self) -> u32 { todo!() }
    /// Bytes of a run: `start..end` offsets, clamped to the blob.
    pub fn bytes(&self, _range: PieceRange) -> std::ops::Range<u64> { todo!() }
}
