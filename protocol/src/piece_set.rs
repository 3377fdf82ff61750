//! Sets of pieces of one blob.
//!
//! Kept as bits: a set changes with each piece that anybody announces, and is compared with others at each
//! choice of a piece. The pieces of a hundred gibibytes fit a few cache lines; the most that a blob can have
//! ([`crate::layout`]) take 128 KiB.
//!
//! # Invariants
//! No bit at or past the piece count is set; `count` is the number of bits.

use crate::layout::PieceRange;

/// A set of piece indices below a fixed count.
#[derive(Clone, PartialEq, Eq)]
pub struct PieceSet {
    pieces: u32,
    count: u32,
    words: Box<[u64]>,
}

/// The bits `from..to` of a word, both at most 64.
fn mask(from: u32, to: u32) -> u64 {
    let below = |bit: u32| 1_u64.checked_shl(bit).map_or(u64::MAX, |bit| bit - 1);
    below(to) & !below(from)
}

/// The words that a run touches, with the bits of it that each holds.
fn masks(start: u32, end: u32) -> impl Iterator<Item = (usize, u64)> {
    let (first, last) = (start / 64, end.div_ceil(64));
    (first..if start < end { last } else { first }).map(move |word| {
        let from = start.saturating_sub(word * 64);
        let to = (end - word * 64).min(64);
        (at(word), mask(from, to))
    })
}

fn at(word: u32) -> usize {
    usize::try_from(word).unwrap_or(usize::MAX)
}

/// Positions of the bits of a word that stands at `base`.
fn bits(base: u32, mut word: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| base + word.trailing_zeros())?;
        word &= word - 1;
        Some(bit)
    })
}

impl PieceSet {
    /// No piece of `pieces`.
    pub fn empty(pieces: u32) -> Self {
        Self {
            pieces,
            count: 0,
            words: vec![0; at(pieces.div_ceil(64))].into_boxed_slice(),
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
        self.count
    }

    /// Whether no piece is in.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether all are in.
    pub fn is_full(&self) -> bool {
        self.count == self.pieces
    }

    /// Whether `index` is in.
    pub fn contains(&self, index: u32) -> bool {
        let word = self.words.get(at(index / 64)).copied().unwrap_or(0);
        word & (1 << (index % 64)) != 0
    }

    /// Whether every piece of `range` is in.
    pub fn contains_range(&self, range: PieceRange) -> bool {
        masks(range.start, range.end)
            .all(|(word, mask)| self.words.get(word).copied().unwrap_or(0) & mask == mask)
    }

    /// Adds; out of range or already in returns false.
    pub fn insert(&mut self, index: u32) -> bool {
        let before = self.count;
        self.insert_range(PieceRange {
            start: index,
            end: index.saturating_add(1),
        });
        self.count > before
    }

    /// Adds a run; what lies outside the universe is ignored.
    pub fn insert_range(&mut self, range: PieceRange) {
        for (word, mask) in masks(range.start, range.end.min(self.pieces)) {
            if let Some(word) = self.words.get_mut(word) {
                self.count += (mask & !*word).count_ones();
                *word |= mask;
            }
        }
    }

    /// Takes a run out.
    pub fn remove_range(&mut self, range: PieceRange) {
        for (word, mask) in masks(range.start, range.end.min(self.pieces)) {
            if let Some(word) = self.words.get_mut(word) {
                self.count -= (mask & *word).count_ones();
                *word &= !mask;
            }
        }
    }

    /// Adds all members of `other` that lie in this universe.
    pub fn insert_all(&mut self, other: &Self) {
        for (word, added) in self.words.iter_mut().zip(&other.words) {
            *word |= added;
        }
        self.close();
    }

    /// Members of both, in this universe.
    pub fn intersection(&self, other: &Self) -> Self {
        let mut result = Self::empty(self.pieces);
        let words = self.words.iter().zip(&other.words);
        for (word, (a, b)) in result.words.iter_mut().zip(words) {
            *word = a & b;
        }
        result.close();
        result
    }

    /// Members of this set that are not in `other`.
    pub fn difference(&self, other: &Self) -> Self {
        let mut result = self.clone();
        for (word, taken) in result.words.iter_mut().zip(&other.words) {
            *word &= !taken;
        }
        result.close();
        result
    }

    /// Whether some member is not in `other`.
    pub fn exceeds(&self, other: &Self) -> bool {
        let others = other.words.iter().chain(std::iter::repeat(&0));
        self.words.iter().zip(others).any(|(a, b)| a & !b != 0)
    }

    /// The pieces of the universe that are not members.
    pub fn complement(&self) -> Self {
        Self::full(self.pieces).difference(self)
    }

    /// Members in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0..)
            .zip(&self.words)
            .flat_map(|(at, word)| bits(at * 64, *word))
    }

    /// Members that are not in `without`, from the word that holds `from` on and then from the start: each once.
    pub fn iter_without<'a>(
        &'a self,
        without: &'a Self,
        from: u32,
    ) -> impl Iterator<Item = u32> + 'a {
        let words = u32::try_from(self.words.len()).unwrap_or(0);
        let first = (from / 64).min(words);
        (first..words).chain(0..first).flat_map(move |word| {
            let ours = self.words.get(at(word)).copied().unwrap_or(0);
            let theirs = without.words.get(at(word)).copied().unwrap_or(0);
            bits(word * 64, ours & !theirs)
        })
    }

    /// Maximal contiguous runs in order.
    pub fn runs(&self) -> impl Iterator<Item = PieceRange> + '_ {
        let mut next = 0;
        std::iter::from_fn(move || {
            let start = self.find(next, true)?;
            let end = self.find(start, false).unwrap_or(self.pieces);
            next = end;
            Some(PieceRange { start, end })
        })
    }

    /// The first index from `from` on that is in, or that is not.
    fn find(&self, from: u32, member: bool) -> Option<u32> {
        let words = self.words.iter().enumerate().skip(at(from / 64));
        for (word, bits) in words {
            let base = u32::try_from(word).unwrap_or(u32::MAX).saturating_mul(64);
            let bits = if member { *bits } else { !*bits };
            let bits = bits & !mask(0, from.saturating_sub(base).min(64));
            if bits != 0 {
                let index = base + bits.trailing_zeros();
                return (index < self.pieces).then_some(index);
            }
        }
        None
    }

    /// The same members in a universe of another size; used where a peer's view must fit ours.
    pub fn resized(&self, pieces: u32) -> Self {
        if pieces == self.pieces {
            return self.clone();
        }
        let mut result = Self::empty(pieces);
        result.insert_all(self);
        result
    }

    /// Clears what lies past the universe and counts anew.
    fn close(&mut self) {
        let tail = self.pieces % 64;
        if let (Some(last), true) = (self.words.last_mut(), tail > 0) {
            *last &= mask(0, tail);
        }
        self.count = self.words.iter().map(|word| word.count_ones()).sum();
    }
}

impl std::fmt::Debug for PieceSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PieceSet({}/{}:", self.count(), self.pieces)?;
        for run in self.runs().take(8) {
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
