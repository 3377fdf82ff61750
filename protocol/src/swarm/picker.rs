//! Which run of pieces to ask of a peer: what a reader waits for, else rarest first, ties broken at random.

use fastrand::Rng;

use crate::{layout::PieceRange, piece_set::PieceSet};

/// Candidates looked at for one choice. All pieces of common blobs; of a huge one a random stretch, whose rarest
/// piece is rare enough.
const SAMPLE_MAX: usize = 2_048;

/// One choice: what there is to choose from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choice<'a> {
    /// What the peer has.
    pub(crate) have: &'a PieceSet,
    /// What is here or asked for already.
    pub(crate) taken: &'a PieceSet,
    /// For each piece, how many neighbours have it.
    pub(crate) counts: &'a [u16],
    /// Pieces that may be asked for in one go.
    pub(crate) run_max: u32,
}

impl Choice<'_> {
    fn count(&self, piece: u32) -> u16 {
        let at = usize::try_from(piece).unwrap_or(usize::MAX);
        self.counts.get(at).copied().unwrap_or(0)
    }

    fn is_open(&self, piece: u32) -> bool {
        self.have.contains(piece) && !self.taken.contains(piece)
    }

    /// The rarest pieces first, ties broken at random.
    ///
    /// The run is made of pieces that are as rare as the rarest candidate. It is cut at multiples of `run_max`, so
    /// that random choices leave long runs behind rather than crumbs.
    pub(crate) fn rarest(&self, rng: &mut Rng) -> Option<PieceRange> {
        let from = rng.u32(..self.have.pieces().max(1));
        let mut best: Option<(u16, u32)> = None;
        let mut ties = 0_u32;
        for piece in self.have.iter_without(self.taken, from).take(SAMPLE_MAX) {
            let count = self.count(piece);
            let rarer = best.is_none_or(|(least, _)| count < least);
            if rarer {
                ties = 0;
            } else if best.is_some_and(|(least, _)| count > least) {
                continue;
            }
            // The n-th of equals takes the place with probability 1/n: each is as likely.
            ties += 1;
            if ties == 1 || rng.u32(..ties) == 0 {
                best = Some((count, piece));
            }
        }
        let (count, piece) = best?;
        Some(self.grow(piece, |other| self.count(other) == count))
    }

    /// The first pieces of a window, in order: somebody reads on from there.
    pub(crate) fn first(&self, window: PieceRange) -> Option<PieceRange> {
        let start =
            (window.start..window.end.min(self.have.pieces())).find(|p| self.is_open(*p))?;
        let end = window.end.min(start.saturating_add(self.run_max.max(1)));
        let end = (start..end).find(|p| !self.is_open(*p)).unwrap_or(end);
        Some(PieceRange { start, end })
    }

    fn grow(&self, piece: u32, alike: impl Fn(u32) -> bool) -> PieceRange {
        let run_max = self.run_max.max(1);
        let low = piece - piece % run_max;
        let high = low.saturating_add(run_max).min(self.have.pieces());
        let fits = |other: &u32| self.is_open(*other) && alike(*other);
        let start = (low..piece).rev().take_while(fits).last();
        let end = (piece + 1..high).take_while(fits).last();
        PieceRange {
            start: start.unwrap_or(piece),
            end: end.map_or(piece + 1, |last| last + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `missing` and every peer drawn one character a piece, `#` for a member.
    fn check(peers: &[&str], missing: &str, of: usize, run_max: u32, allowed: &[(u32, u32)]) {
        let sets: Vec<PieceSet> = peers.iter().map(|text| drawn(text)).collect();
        let mut counts = vec![0; missing.len()];
        for piece in sets.iter().flat_map(PieceSet::iter) {
            counts[piece as usize] += 1;
        }
        let choice = Choice {
            have: &sets[of],
            taken: &drawn(missing).complement(),
            counts: &counts,
            run_max,
        };
        for seed in 0..50 {
            let range = choice.rarest(&mut Rng::with_seed(seed)).unwrap();
            assert!(
                allowed.contains(&(range.start, range.end)),
                "{range:?} for seed {seed}"
            );
        }
    }

    #[test]
    fn rarest_piece_comes_first() {
        check(&["######", "##.###", "##.#.#"], "######", 0, 4, &[(2, 3)]);
        check(&["######", "##.###", "##.#.#"], "##.###", 0, 4, &[(4, 5)]);
    }

    #[test]
    fn only_pieces_the_peer_has_and_we_miss_are_picked() {
        check(&["##....", "######"], ".#####", 0, 4, &[(1, 2)]);
    }

    #[test]
    fn equally_rare_neighbours_merge_up_to_the_run_length() {
        check(&["########"], "########", 0, 4, &[(0, 4), (4, 8)]);
        check(&["########"], "######..", 0, 4, &[(0, 4), (4, 6)]);
        let singles: Vec<(u32, u32)> = (0..8).map(|at| (at, at + 1)).collect();
        check(&["########"], "########", 0, 1, &singles);
    }

    #[test]
    fn ties_break_evenly() {
        let choice = Choice {
            have: &PieceSet::full(100),
            taken: &PieceSet::empty(100),
            counts: &[1; 100],
            run_max: 1,
        };
        let mut hits = [0; 100];
        let mut rng = Rng::with_seed(1);
        for _ in 0..10_000 {
            hits[choice.rarest(&mut rng).unwrap().start as usize] += 1;
        }
        assert!(hits.iter().all(|hits| (50..200).contains(hits)), "{hits:?}");
    }

    #[test]
    fn nothing_to_pick_is_no_run() {
        let choice = Choice {
            have: &PieceSet::empty(4),
            taken: &PieceSet::empty(4),
            counts: &[1; 4],
            run_max: 2,
        };
        assert_eq!(choice.rarest(&mut Rng::with_seed(1)), None);
    }

    #[test]
    fn a_reader_gets_the_next_pieces_in_order() {
        let first = |have: &str, taken: &str, window: (u32, u32)| {
            let choice = Choice {
                have: &drawn(have),
                taken: &drawn(taken),
                counts: &[1; 8],
                run_max: 3,
            };
            let (start, end) = window;
            let range = choice.first(PieceRange { start, end });
            range.map(|range| (range.start, range.end))
        };
        assert_eq!(first("########", "........", (2, 8)), Some((2, 5)));
        assert_eq!(first("########", "..#.....", (2, 8)), Some((3, 6)));
        assert_eq!(first("########", "..#.#...", (2, 4)), Some((3, 4)));
        assert_eq!(first("#####...", "########", (2, 8)), None);
    }

    fn drawn(text: &str) -> PieceSet {
        let mut set = PieceSet::empty(u32::try_from(text.len()).unwrap());
        for (index, _) in text.match_indices('#') {
            set.insert(u32::try_from(index).unwrap());
        }
        set
    }
}
