//! Sets of pieces of one blob.
//!
//! Kept as sorted runs: nothing, everything and a few ranges, which is what peers mostly have, cost a few
//! bytes whatever the blob's size.
//!
//! # Invariants
//! Runs are non-empty, sorted, and neither overlap nor touch; none reaches past the piece count.

use crate::layout::PieceRange;

/// A set of piece indices below a fixed count.
#[derive(Clone, PartialEq, Eq)]
pub struct PieceSet {
    pieces: u32,
    runs: Vec<PieceRange>,
}

impl PieceSet {
    /// No piece of `pieces`.
    pub fn empty(pieces: u32) -> Self {
        Self {
            pieces,
            runs: Vec::new(),
        }
    }

    /// All of `pieces`.
    pub fn full(pieces: u32) -> Self {
        let mut set = Self::empty(pieces);
        set.insert_range(PieceRange {
            start: 0,
            end: pieces,
        });
        set
    }

    /// The size of the universe.
    pub fn pieces(&self) -> u32 {
        self.pieces
    }

    /// Number of members.
    pub fn count(&self) -> u32 {
        self.runs.iter().map(PieceRange::len).sum()
    }

    /// Whether no piece is in.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Whether all are in.
    pub fn is_full(&self) -> bool {
        self.count() == self.pieces
    }

    /// Whether `index` is in.
    pub fn contains(&self, index: u32) -> bool {
        let after = self.runs.partition_point(|run| run.start <= index);
        after
            .checked_sub(1)
            .and_then(|at| self.runs.get(at))
            .is_some_and(|run| index < run.end)
    }

    /// Whether every piece of `range` is in.
    pub fn contains_range(&self, range: PieceRange) -> bool {
        let after = self.runs.partition_point(|run| run.start <= range.start);
        range.is_empty()
            || after
                .checked_sub(1)
                .and_then(|at| self.runs.get(at))
                .is_some_and(|run| range.end <= run.end)
    }

    /// Adds; out of range or already in returns false.
    pub fn insert(&mut self, index: u32) -> bool {
        if index >= self.pieces || self.contains(index) {
            return false;
        }
        self.insert_range(PieceRange {
            start: index,
            end: index.saturating_add(1),
        });
        true
    }

    /// Adds a run; what lies outside the universe is ignored.
    pub fn insert_range(&mut self, range: PieceRange) {
        let mut start = range.start;
        let mut end = range.end.min(self.pieces);
        if start >= end {
            return;
        }
        // Every run that overlaps or touches the new one melts into it.
        let first = self.runs.partition_point(|run| run.end < start);
        let last = self.runs.partition_point(|run| run.start <= end);
        if let Some(run) = self.runs.get(first) {
            start = start.min(run.start);
        }
        if let Some(run) = last.checked_sub(1).and_then(|at| self.runs.get(at)) {
            end = end.max(run.end);
        }
        self.runs
            .splice(first..last.max(first), [PieceRange { start, end }]);
    }

    /// Takes a run out.
    pub fn remove_range(&mut self, range: PieceRange) {
        if range.is_empty() {
            return;
        }
        let mut other = Self::empty(self.pieces);
        other.insert_range(range);
        *self = self.difference(&other);
    }

    /// Adds all members of `other` that lie in this universe.
    pub fn insert_all(&mut self, other: &Self) {
        for run in &other.runs {
            self.insert_range(*run);
        }
    }

    /// Members of both, in this universe.
    pub fn intersection(&self, other: &Self) -> Self {
        let mut result = Self::empty(self.pieces);
        let (mut left, mut right) = (self.runs.iter().peekable(), other.runs.iter().peekable());
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            let start = a.start.max(b.start);
            let end = a.end.min(b.end);
            if start < end {
                result.runs.push(PieceRange { start, end });
            }
            if a.end <= b.end {
                left.next();
            } else {
                right.next();
            }
        }
        result
    }

    /// Members of this set that are not in `other`.
    pub fn difference(&self, other: &Self) -> Self {
        let mut result = Self::empty(self.pieces);
        let mut cuts = other.runs.iter().peekable();
        for run in &self.runs {
            let mut start = run.start;
            while let Some(cut) = cuts.peek() {
                if cut.end <= start {
                    cuts.next();
                } else if cut.start >= run.end {
                    break;
                } else {
                    if cut.start > start {
                        result.runs.push(PieceRange {
                            start,
                            end: cut.start,
                        });
                    }
                    start = cut.end.min(run.end);
                    if cut.end > run.end {
                        break;
                    }
                }
            }
            if start < run.end {
                result.runs.push(PieceRange {
                    start,
                    end: run.end,
                });
            }
        }
        result
    }

    /// The pieces of the universe that are not members.
    pub fn complement(&self) -> Self {
        Self::full(self.pieces).difference(self)
    }

    /// Members in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.runs.iter().flat_map(|run| run.start..run.end)
    }

    /// Maximal contiguous runs in order.
    pub fn runs(&self) -> impl Iterator<Item = PieceRange> + '_ {
        self.runs.iter().copied()
    }

    /// The same members in a universe of another size; used where a peer's view must fit ours.
    pub fn resized(&self, pieces: u32) -> Self {
        let mut result = Self::empty(pieces);
        result.insert_all(self);
        result
    }
}

impl std::fmt::Debug for PieceSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PieceSet({}/{}:", self.count(), self.pieces)?;
        for run in self.runs.iter().take(8) {
            write!(f, " {}..{}", run.start, run.end)?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn drawn(text: &str) -> PieceSet {
        let mut set = PieceSet::empty(u32::try_from(text.len()).unwrap());
        for (index, c) in text.char_indices() {
            if c == '#' {
                set.insert(u32::try_from(index).unwrap());
            }
        }
        set
    }

    fn draw(set: &PieceSet) -> String {
        (0..set.pieces())
            .map(|i| if set.contains(i) { '#' } else { '.' })
            .collect()
    }

    #[test]
    fn touching_runs_melt_together() {
        let mut set = drawn("##..##");
        set.insert_range(PieceRange { start: 2, end: 4 });
        assert_eq!(set.runs().count(), 1);
        assert!(set.is_full());
    }

    #[test]
    fn set_operations_match_their_drawings() {
        let (a, b) = (drawn("##.##.#.."), drawn(".##.####."));
        assert_eq!(draw(&a.intersection(&b)), ".#..#.#..");
        assert_eq!(draw(&a.difference(&b)), "#..#.....");
        assert_eq!(draw(&a.complement()), "..#..#.##");
    }

    #[test]
    fn indices_outside_the_universe_are_ignored() {
        let mut set = PieceSet::empty(3);
        assert!(!set.insert(3));
        set.insert_range(PieceRange {
            start: 2,
            end: u32::MAX,
        });
        set.insert_range(PieceRange { start: 5, end: 2 });
        assert_eq!(draw(&set), "..#");
    }

    proptest! {
        #[test]
        fn behaves_like_a_set_of_numbers(
            a in prop::collection::vec((0_u32..60, 0_u32..12), 0..10),
            b in prop::collection::vec((0_u32..60, 0_u32..12), 0..10),
        ) {
            let build = |parts: &[(u32, u32)]| {
                let mut set = PieceSet::empty(64);
                let mut model = BTreeSet::new();
                for (start, len) in parts {
                    set.insert_range(PieceRange { start: *start, end: start + len });
                    model.extend((*start..start + len).filter(|i| *i < 64));
                }
                (set, model)
            };
            let (set_a, model_a) = build(&a);
            let (set_b, model_b) = build(&b);
            let members = |set: &PieceSet| set.iter().collect::<BTreeSet<_>>();
            prop_assert_eq!(members(&set_a), model_a.iter().copied().collect::<BTreeSet<_>>());
            prop_assert_eq!(members(&set_a.intersection(&set_b)), &model_a & &model_b);
            let difference = set_a.difference(&set_b);
            prop_assert_eq!(members(&difference), &model_a - &model_b);
            let mut union = set_a.clone();
            union.insert_all(&set_b);
            prop_assert_eq!(members(&union), &model_a | &model_b);
            for set in [&set_a, &difference, &union] {
                let runs: Vec<_> = set.runs().collect();
                prop_assert!(runs.iter().all(|run| !run.is_empty()));
                prop_assert!(runs.iter().zip(runs.iter().skip(1)).all(|(a, b)| a.end < b.start));
                for run in runs {
                    prop_assert!(set.contains_range(run));
                }
            }
        }
    }
}
