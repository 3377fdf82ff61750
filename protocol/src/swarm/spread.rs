//! Who passes on what he got: what a seed goes by, to whom nobody gives anything back.
//!
//! A seed watches some of those whom it serves. A piece that it sent to one of them alone and that turns up at
//! another one was passed on. Who passes nothing on for a while is served like a stranger.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::table::Table;
use crate::{
    id::{BlobHash, NodeId},
    layout::{Layout, PieceRange},
    limits,
    piece_set::PieceSet,
    service::{Outbox, Output},
    time::Instant,
};

/// A piece has this long to turn up at somebody else.
const GRACE: Duration = Duration::from_secs(10);
/// Who asks for nothing any more is watched this long.
const WATCH: Duration = Duration::from_secs(60);
/// What is remembered of one peer: older pieces count half. Little, so that somebody whom all others ban falls back
/// soon, however much he passed on before.
const MEMORY: u32 = 6;
/// Pieces that wait to turn up, for each peer; the oldest of more counts as kept.
const GIVEN_MAX: usize = 32;

/// All that is watched.
#[derive(Debug, Default)]
pub(crate) struct Spread(BTreeMap<BlobHash, Watched>);

/// Who takes one blob from us.
#[derive(Debug, Default)]
struct Watched {
    peers: Table<NodeId, Seen>,
    /// Pieces that one peer alone got from us and that nobody else was seen to have.
    owners: BTreeMap<u32, NodeId>,
}

/// One of them.
#[derive(Debug)]
struct Seen {
    have: Option<PieceSet>,
    asked_at: Instant,
    /// Pieces that it alone got, oldest first.
    given: VecDeque<(u32, Instant)>,
    /// Pieces that it passed on, and pieces that it did not.
    passed: u32,
    kept: u32,
}

impl Seen {
    fn settle(&mut self, now: Instant) {
        while let Some((piece, at)) = self.given.front().copied() {
            let many = self.given.len() > GIVEN_MAX;
            if !many && now.since(at) < GRACE {
                break;
            }
            self.given.retain(|(other, _)| *other != piece);
            self.kept += 1;
        }
        while self.passed + self.kept > MEMORY {
            self.passed /= 2;
            self.kept /= 2;
        }
    }
}

impl Spread {
    /// Pieces of a blob that is whole here are sent to a peer; `fresh` says whether one was never sent before.
    pub(crate) fn gave(
        &mut self,
        peer: NodeId,
        (hash, layout): (BlobHash, Layout),
        pieces: PieceRange,
        fresh: impl Fn(u32) -> bool,
        now: Instant,
        out: &mut Outbox,
    ) {
        if self.0.len() >= limits::BLOBS_ACTIVE_MAX && !self.0.contains_key(&hash) {
            return;
        }
        let watched = self.0.entry(hash).or_default();
        if !watched.peers.contains_key(&peer) {
            if watched.peers.len() >= limits::WATCHED_MAX {
                return;
            }
            let seen = Seen {
                have: None,
                asked_at: now,
                given: VecDeque::new(),
                passed: 0,
                kept: 0,
            };
            watched.peers.insert(peer, seen);
            out.push(Output::Observe {
                peer,
                blob: hash,
                size: layout.size,
            });
        }
        for piece in pieces.start..pieces.end {
            if fresh(piece) {
                watched.owners.insert(piece, peer);
            } else {
                watched.owners.remove(&piece);
            }
        }
        if let Some(seen) = watched.peers.get_mut(&peer) {
            seen.asked_at = now;
            let fresh = (pieces.start..pieces.end).filter(|piece| fresh(*piece));
            seen.given.extend(fresh.map(|piece| (piece, now)));
            seen.settle(now);
        }
    }

    /// A peer told all that it has.
    pub(crate) fn available(
        &mut self,
        peer: NodeId,
        hash: &BlobHash,
        have: &PieceSet,
        out: &mut Outbox,
    ) {
        let Some(watched) = self.0.get_mut(hash) else {
            return;
        };
        let Some(seen) = watched.peers.get_mut(&peer) else {
            return;
        };
        if have.is_full() {
            // It takes nothing more from us, or claims what it has not.
            return self.forget_one(peer, hash, out);
        }
        let before = seen.have.replace(have.clone());
        let before = before.unwrap_or_else(|| PieceSet::empty(have.pieces()));
        let news: Vec<u32> = have.iter_without(&before, 0).collect();
        for piece in news {
            watched.turned_up(peer, piece);
        }
    }

    /// A peer has more than it told before.
    pub(crate) fn gained(&mut self, peer: NodeId, hash: &BlobHash, pieces: PieceRange) {
        let Some(watched) = self.0.get_mut(hash) else {
            return;
        };
        let Some(have) = watched
            .peers
            .get_mut(&peer)
            .and_then(|seen| seen.have.as_mut())
        else {
            return;
        };
        have.insert_range(pieces);
        for piece in pieces.start..pieces.end.min(have.pieces()) {
            watched.turned_up(peer, piece);
        }
    }

    /// Whether a peer passes on what it gets; unknown as long as nothing was seen of it.
    pub(crate) fn passes(&self, peer: &NodeId, hash: &BlobHash, now: Instant) -> Option<bool> {
        let seen = self.0.get(hash)?.peers.get(peer)?;
        let due = seen.given.iter().filter(|(_, at)| now.since(*at) >= GRACE);
        let kept = usize::try_from(seen.kept).unwrap_or(usize::MAX);
        let kept = due.count().saturating_add(kept);
        let passed = usize::try_from(seen.passed).unwrap_or(usize::MAX);
        (passed != kept).then_some(passed > kept)
    }

    /// A peer cannot be watched any more.
    pub(crate) fn lost(&mut self, peer: &NodeId, hash: &BlobHash) {
        if let Some(watched) = self.0.get_mut(hash) {
            watched.peers.remove(peer);
            if watched.peers.is_empty() {
                self.0.remove(hash);
            }
        }
    }

    /// A peer is gone.
    pub(crate) fn forget(&mut self, peer: NodeId, out: &mut Outbox) {
        let watches = |(hash, watched): (&BlobHash, &Watched)| {
            watched.peers.contains_key(&peer).then_some(*hash)
        };
        let hashes: Vec<BlobHash> = self.0.iter().filter_map(watches).collect();
        for hash in hashes {
            self.forget_one(peer, &hash, out);
        }
    }

    /// Stops watching those who ask for nothing any more.
    pub(crate) fn tidy(&mut self, now: Instant, out: &mut Outbox) {
        let mut idle = Vec::new();
        for (hash, watched) in &self.0 {
            let stale = |seen: &Seen| now.since(seen.asked_at) >= WATCH;
            let peers = watched.peers.iter().filter(|(_, seen)| stale(seen));
            idle.extend(peers.map(|(peer, _)| (*peer, *hash)));
        }
        for (peer, hash) in idle {
            self.forget_one(peer, &hash, out);
        }
    }

    fn forget_one(&mut self, peer: NodeId, hash: &BlobHash, out: &mut Outbox) {
        self.lost(&peer, hash);
        out.push(Output::Unobserve { peer, blob: *hash });
    }
}

impl Watched {
    /// Somebody has a piece: if another one got it from us, it was passed on.
    fn turned_up(&mut self, at: NodeId, piece: u32) {
        let owner = self
            .owners
            .get(&piece)
            .copied()
            .filter(|owner| *owner != at);
        let Some(owner) = owner else { return };
        self.owners.remove(&piece);
        if let Some(seen) = self.peers.get_mut(&owner) {
            let before = seen.given.len();
            seen.given.retain(|(other, _)| *other != piece);
            // Late is better than never.
            if seen.given.len() == before {
                seen.kept = seen.kept.saturating_sub(1);
            }
            seen.passed += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOB: BlobHash = BlobHash::new([1; 32]);
    const GIVER: NodeId = NodeId::new([2; 32]);
    const KEEPER: NodeId = NodeId::new([3; 32]);
    const OTHER: NodeId = NodeId::new([4; 32]);

    struct Bench {
        spread: Spread,
        out: Outbox,
    }

    impl Bench {
        /// All are watched and have nothing.
        fn new() -> Self {
            let (spread, out) = (Spread::default(), Outbox::default());
            let mut bench = Self { spread, out };
            for peer in [GIVER, KEEPER, OTHER] {
                bench.give(peer, 0, 0, 0);
                let none = PieceSet::empty(16);
                bench.spread.available(peer, &BLOB, &none, &mut bench.out);
            }
            bench
        }

        fn give(&mut self, peer: NodeId, start: u32, end: u32, now: u64) {
            let blob = (BLOB, Layout::new(16 * 256 * 1024));
            let pieces = PieceRange { start, end };
            self.spread
                .gave(peer, blob, pieces, |_| true, Instant(now), &mut self.out);
        }

        fn gain(&mut self, peer: NodeId, piece: u32) {
            let (start, end) = (piece, piece + 1);
            self.spread.gained(peer, &BLOB, PieceRange { start, end });
        }

        fn passes(&self, peer: NodeId, now: u64) -> bool {
            self.spread.passes(&peer, &BLOB, Instant(now)) == Some(true)
        }
    }

    #[test]
    fn who_passes_on_is_told_from_who_does_not() {
        let mut bench = Bench::new();
        bench.give(GIVER, 0, 2, 0);
        bench.give(KEEPER, 2, 4, 0);
        for piece in 0..2 {
            bench.gain(GIVER, piece);
            assert!(!bench.passes(GIVER, 500), "its own word counts for nothing");
        }
        bench.gain(OTHER, 0);
        bench.gain(KEEPER, 1);
        assert!(bench.passes(GIVER, 1_000));
        assert!(!bench.passes(KEEPER, 1_000));
    }

    #[test]
    fn who_stops_passing_on_is_found_out() {
        let mut bench = Bench::new();
        bench.give(GIVER, 0, 1, 0);
        bench.gain(OTHER, 0);
        bench.give(GIVER, 1, 5, 0);
        assert!(bench.passes(GIVER, 9_000));
        assert!(!bench.passes(GIVER, 11_000));
    }

    #[test]
    fn what_was_passed_on_long_ago_does_not_count_for_long() {
        let mut bench = Bench::new();
        for piece in 0..10 {
            bench.give(GIVER, piece, piece + 1, 0);
            bench.gain(OTHER, piece);
        }
        bench.give(GIVER, 10, 16, 0);
        assert!(bench.passes(GIVER, 9_000));
        // Six that were kept outweigh ten.
        assert!(!bench.passes(GIVER, 11_000));
    }

    #[test]
    fn who_claims_everything_vouches_for_nobody() {
        let mut bench = Bench::new();
        bench.give(KEEPER, 0, 4, 0);
        let all = PieceSet::full(16);
        bench.spread.available(OTHER, &BLOB, &all, &mut bench.out);
        assert!(!bench.passes(KEEPER, 1_000));
        let gone = Output::Unobserve {
            peer: OTHER,
            blob: BLOB,
        };
        assert!(std::iter::from_fn(|| bench.out.pop()).any(|output| output == gone));
    }

    #[test]
    fn who_asks_no_more_is_watched_no_more() {
        let mut bench = Bench::new();
        bench.give(GIVER, 0, 1, 50_000);
        bench.spread.tidy(Instant(61_000), &mut bench.out);
        let left: Vec<&NodeId> = bench
            .spread
            .0
            .values()
            .flat_map(|w| w.peers.keys())
            .collect();
        assert_eq!(left, [&GIVER]);
    }
}
