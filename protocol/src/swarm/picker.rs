//! Which run of pieces to ask of a peer: rarest first, ties broken at random.

use fastrand::Rng;

use crate::{layout::PieceRange, piece_set::PieceSet};

/// Picks a contiguous run out of `candidates`, at most `run_max` pieces long.
///
/// `counts` holds, for each piece, how many known peers have it. The run is made of pieces that are as rare
/// as the rarest candidate. It is aligned to multiples of `run_max` where the candidates allow, so that random
/// choices leave long runs behind rather than crumbs.
pub(crate) fn pick(
    candidates: &PieceSet,
    counts: &[u16],
    run_max: u32,
    rng: &mut Rng,
) -> Option<PieceRange> {
    let run_max = run_max.max(1);
    let count = |index: u32| {
        usize::try_from(index)
            .ok()
            .and_then(|at| counts.get(at))
            .copied()
            .unwrap_or(0)
    };
    let rarest = candidates.iter().map(count).min()?;
    // Runs of equally rare candidates, cut at multiples of `run_max`.
    let mut slots: Vec<PieceRange> = Vec::new();
    for run in candidates.runs() {
        for index in run.start..run.end {
            if count(index) != rarest {
                continue;
            }
            match slots.last_mut() {
                Some(slot) if slot.end == index && index % run_max != 0 => slot.end = index + 1,
                _ => slots.push(PieceRange {
                    start: index,
                    end: index + 1,
                }),
            }
        }
    }
    slots.get(rng.usize(..slots.len().max(1))).copied()
}

/// For each piece, how many of `sets` have it.
pub(crate) fn counts<'a>(pieces: u32, sets: impl Iterator<Item = &'a PieceSet>) -> Vec<u16> {
    let mut counts = vec![0_u16; usize::try_from(pieces).unwrap_or(0)];
    for set in sets {
        for run in set.runs() {
            let run =
                usize::try_from(run.start).unwrap_or(0)..usize::try_from(run.end).unwrap_or(0);
            for count in counts.get_mut(run).into_iter().flatten() {
                *count = count.saturating_add(1);
            }
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `missing` and every peer drawn one character a piece, `#` for a member.
    fn check(peers: &[&str], missing: &str, of: usize, run_max: u32, allowed: &[(u32, u32)]) {
        let sets: Vec<PieceSet> = peers.iter().map(|text| drawn(text)).collect();
        let counts = counts(u32::try_from(missing.len()).unwrap(), sets.iter());
        let candidates = sets.get(of).unwrap().intersection(&drawn(missing));
        for seed in 0..50 {
            let range = pick(&candidates, &counts, run_max, &mut Rng::with_seed(seed)).unwrap();
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
        check(
            &["########"],
            "########",
            0,
            1,
            &[
                (0, 1),
                (1, 2),
                (2, 3),
                (3, 4),
                (4, 5),
                (5, 6),
                (6, 7),
                (7, 8),
            ],
        );
    }

    #[test]
    fn ties_break_differently_for_different_seeds() {
        let set = PieceSet::full(64);
        let counts = counts(64, [&set].into_iter());
        let picks: std::collections::BTreeSet<_> = (0..64)
            .filter_map(|seed| pick(&set, &counts, 1, &mut Rng::with_seed(seed)))
            .collect();
        assert!(picks.len() > 10);
    }

    #[test]
    fn nothing_to_pick_is_no_run() {
        assert_eq!(
            pick(&PieceSet::empty(4), &[1; 4], 2, &mut Rng::with_seed(1)),
            None
        );
    }

    fn drawn(text: &str) -> PieceSet {
        let mut set = PieceSet::empty(u32::try_from(text.len()).unwrap());
        for (index, _) in text.match_indices('#') {
            set.insert(u32::try_from(index).unwrap());
        }
        set
    }
}
