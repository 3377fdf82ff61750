//! Which bytes of a file are here: runs in order that do not touch.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// A set of bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ranges(Vec<Range<u64>>);

impl Ranges {
    /// Adds a run.
    pub(super) fn insert(&mut self, run: Range<u64>) {
        if run.is_empty() {
            return;
        }
        let (mut start, mut end) = (run.start, run.end);
        self.0.retain(|other| {
            let apart = other.end < start || other.start > end;
            if !apart {
                start = start.min(other.start);
                end = end.max(other.end);
            }
            apart
        });
        let at = self.0.partition_point(|other| other.start < start);
        self.0.insert(at, start..end);
    }

    /// How many bytes from `offset` on are here without a gap.
    pub(super) fn ready_from(&self, offset: u64) -> u64 {
        let around = self.0.iter().find(|run| run.contains(&offset));
        around.map_or(0, |run| run.end - offset)
    }

    /// The first byte from `offset` on that is not here.
    pub(super) fn first_gap(&self, offset: u64) -> u64 {
        offset + self.ready_from(offset)
    }

    /// Where the gap that begins at `offset` ends.
    pub(super) fn gap_end(&self, offset: u64, size: u64) -> u64 {
        let next = self.0.iter().find(|run| run.start >= offset);
        next.map_or(size, |run| run.start)
    }

    /// Bytes in all.
    pub(super) fn len(&self) -> u64 {
        self.0.iter().map(|run| run.end - run.start).sum()
    }

    /// Whether no run lies beyond `size`.
    pub(super) fn fits(&self, size: u64) -> bool {
        let ordered = self.0.is_sorted_by(|a, b| a.end < b.start);
        ordered
            && self
                .0
                .iter()
                .all(|run| run.start < run.end && run.end <= size)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_holds_what_was_inserted(runs: Vec<(u8, u8)>, probe: u8) {
            let mut ranges = Ranges::default();
            let mut naive = [false; 600];
            for (start, len) in runs {
                let (start, end) = (u64::from(start), u64::from(start) + u64::from(len));
                ranges.insert(start..end);
                for at in start..end {
                    naive[at as usize] = true;
                }
            }
            prop_assert!(ranges.fits(600));
            prop_assert_eq!(ranges.len(), naive.iter().filter(|here| **here).count() as u64);
            let probe = u64::from(probe);
            let ready = naive[probe as usize..].iter().take_while(|here| **here).count() as u64;
            prop_assert_eq!(ranges.ready_from(probe), ready);
            let gap = ranges.first_gap(probe);
            let end = naive[gap as usize..].iter().take_while(|here| !**here).count() as u64 + gap;
            prop_assert_eq!(ranges.gap_end(gap, 600), end);
        }
    }
}
