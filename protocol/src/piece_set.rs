//! Sets of pieces of one blob.
use crate::layout::PieceRange;
/// A set of piece indices below a fixed count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PieceSet { }
impl PieceSet {
    /// No piece of `pieces`.
    pub fn empty(_pieces: u32) -> Self { todo!() }
    /// All of `pieces`.
    pub fn full(_pieces: u32) -> Self { todo!() }
    /// The size of the universe.
    pub fn pieces(&self) -> u32 { todo!() }
    /// Number of members.
    pub fn count(&self) -> u32 { todo!() }
    /// Whether all are in.
    pub fn is_full(&self) -> bool { todo!() }
    /// Whether `index` is in.
    pub fn contains(&self, _index: u32) -> bool { todo!() }
    /// Adds; out of range is ignored and returns false.
    pub fn insert(&mut self, _index: u32) -> bool { todo!() }
    /// Adds a run.
    pub fn insert_range(&mut self, _range: PieceRange) { todo!() }
    /// Members in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ { std::iter::empty() }
}
