//! One blob on its way here: what of it is here, asked for, and to be had from whom.

use std::{collections::BTreeSet, time::Duration};

use super::{copies::Copying, peers::Retry, table::Table};
use crate::{
    id::{NodeId, RevisionId},
    layout::{Layout, PieceRange},
    limits,
    piece_set::PieceSet,
    time::Instant,
};

/// An incomplete blob. Small until it is active: a revision may have a hundred thousand of them.
#[derive(Debug)]
pub(crate) struct Blob {
    pub(crate) layout: Layout,
    /// What is here; unknown until the store was inspected.
    pub(crate) have: Option<PieceSet>,
    /// Downloads that wait for it.
    pub(crate) wanted_by: Vec<RevisionId>,
    /// Peers that failed with this blob.
    pub(crate) retries: Table<NodeId, Retry>,
    /// Peers that sent bytes of it which do not verify.
    pub(crate) liars: BTreeSet<NodeId>,
    /// What is to be copied from other blobs; no piece is asked for before that is done.
    pub(crate) copying: Option<Copying>,
    /// Live transfers.
    pub(crate) live: u32,
    /// Pieces that they bring, one that two of them bring counted twice.
    asked: u64,
    /// Bytes that were asked for although they were on their way already.
    pub(crate) doubled: u64,
    /// When bytes of it last arrived, or when it became active.
    pub(crate) progressed: Instant,
    /// Observed peers.
    neighbours: Table<NodeId, Neighbour>,
    /// Pieces that are here or asked for; made when it becomes active.
    taken: Option<PieceSet>,
    /// For each piece how many neighbours have it; as long as `taken`.
    counts: Vec<u16>,
    /// Counts how often pieces became open again.
    opened: u64,
}

/// An observed peer.
#[derive(Debug)]
pub(crate) struct Neighbour {
    /// What it has; unknown until its first report.
    pub(crate) have: Option<PieceSet>,
    pub(crate) since: Instant,
    /// What `Blob::opened` was when nothing that it has was open; forgotten when it has more.
    exhausted: Option<u64>,
}

/// Without a byte for this long a blob starves: some peers are merely slow for a moment.
pub(crate) const HUNGER: Duration = Duration::from_secs(5);

/// What a report of a neighbour changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is no neighbour.
    Unknown,
    /// Nothing that is missing here.
    Idle,
    /// It has something that is missing here.
    Useful,
}

impl Blob {
    pub(crate) fn new(size: u64) -> Self {
        Self {
            layout: Layout::new(size),
            have: None,
            wanted_by: Vec::new(),
            retries: Table::default(),
            liars: BTreeSet::new(),
            copying: None,
            live: 0,
            asked: 0,
            doubled: 0,
            progressed: Instant(0),
            neighbours: Table::default(),
            taken: None,
            counts: Vec::new(),
            opened: 0,
        }
    }

    /// Bytes that are here.
    pub(crate) fn bytes_have(&self) -> u64 {
        let Some(have) = &self.have else { return 0 };
        let last = PieceRange {
            start: self.layout.pieces() - 1,
            end: self.layout.pieces(),
        };
        // All pieces but the last are equally long.
        let last = if have.contains(last.start) {
            self.layout.piece_len - self.layout.len(last)
        } else {
            0
        };
        u64::from(have.count()) * self.layout.piece_len - last
    }

    /// Takes the blob up: from now on peers are observed and asked.
    pub(crate) fn activate(&mut self, now: Instant) {
        self.progressed = now;
        let pieces = self.layout.pieces();
        let have = self.have.clone();
        self.taken = Some(have.unwrap_or_else(|| PieceSet::empty(pieces)));
        self.counts = vec![0; usize::try_from(pieces).unwrap_or(0)];
    }

    /// Lays the blob down again; whom it was observed at.
    pub(crate) fn rest(&mut self) -> Vec<NodeId> {
        self.taken = None;
        self.counts.clear();
        std::mem::take(&mut self.neighbours).into_keys()
    }

    /// Pieces that are here or asked for, and how many neighbours have each.
    pub(crate) fn work(&self) -> Option<(&PieceSet, &[u16])> {
        Some((self.taken.as_ref()?, &self.counts))
    }

    /// Bytes that are neither here nor asked for, at most.
    pub(crate) fn bytes_open(&self) -> u64 {
        let taken = self.taken.as_ref().map_or(0, PieceSet::count);
        u64::from(self.layout.pieces() - taken).saturating_mul(self.layout.piece_len)
    }

    /// Pieces that are missing here, asked for or not.
    pub(crate) fn missing(&self) -> u32 {
        let have = self.have.as_ref().map_or(0, PieceSet::count);
        self.layout.pieces() - have
    }

    /// A transfer of these pieces is live from now on.
    pub(crate) fn begin(&mut self, range: PieceRange) {
        self.take(range);
        self.live += 1;
        self.asked += u64::from(range.end - range.start);
    }

    /// A transfer of these pieces is live no more.
    pub(crate) fn end(&mut self, range: PieceRange) {
        self.live = self.live.saturating_sub(1);
        self.asked = self
            .asked
            .saturating_sub(u64::from(range.end - range.start));
    }

    /// Whether two live transfers may bring the same piece, or one a piece that is here.
    pub(crate) fn may_overlap(&self) -> bool {
        let taken = self.taken.as_ref().map_or(0, PieceSet::count);
        let have = self.have.as_ref().map_or(0, PieceSet::count);
        self.asked > u64::from(taken.saturating_sub(have))
    }

    /// Books pieces as asked for.
    pub(crate) fn take(&mut self, range: PieceRange) {
        if let Some(taken) = &mut self.taken {
            taken.insert_range(range);
        }
    }

    /// Books pieces as open again where they are not here. Who else is asked for them takes them again.
    pub(crate) fn release(&mut self, range: PieceRange) {
        let Some(taken) = &mut self.taken else { return };
        taken.remove_range(range);
        let Some(have) = &self.have else { return };
        for piece in range.start..range.end.min(have.pieces()) {
            if have.contains(piece) {
                taken.insert(piece);
            }
        }
    }

    /// How often pieces became open again.
    pub(crate) fn opened(&self) -> u64 {
        self.opened
    }

    /// Pieces of a range may have become open: whoever had nothing open may have something now.
    pub(crate) fn count_opened(&mut self, range: PieceRange) {
        let taken = self.taken.as_ref();
        self.opened += u64::from(taken.is_some_and(|taken| !taken.contains_range(range)));
    }

    /// What became open since `opened` was counted is asked for again already.
    pub(crate) fn forget_opened(&mut self, opened: u64, range: PieceRange) {
        if self
            .taken
            .as_ref()
            .is_some_and(|taken| taken.contains_range(range))
        {
            self.opened = opened;
        }
    }

    /// Whether nothing is open of what a peer has. Looked at once, and again when that may have changed.
    pub(crate) fn is_exhausted(&mut self, peer: &NodeId) -> bool {
        let (Some(neighbour), Some(taken)) = (self.neighbours.get_mut(peer), &self.taken) else {
            return true;
        };
        if neighbour.exhausted == Some(self.opened) {
            return true;
        }
        let offers = |have: &PieceSet| have.exceeds(taken);
        let exhausted = !neighbour.have.as_ref().is_some_and(offers);
        neighbour.exhausted = exhausted.then_some(self.opened);
        exhausted
    }

    /// Books pieces as being here.
    pub(crate) fn insert(&mut self, pieces: &PieceSet) {
        let universe = self.layout.pieces();
        self.have
            .get_or_insert_with(|| PieceSet::empty(universe))
            .insert_all(pieces);
        if let Some(taken) = &mut self.taken {
            taken.insert_all(pieces);
        }
    }

    pub(crate) fn insert_range(&mut self, range: PieceRange) {
        let universe = self.layout.pieces();
        self.have
            .get_or_insert_with(|| PieceSet::empty(universe))
            .insert_range(range);
        self.take(range);
    }

    /// Observed peers.
    pub(crate) fn neighbours(&self) -> &Table<NodeId, Neighbour> {
        &self.neighbours
    }

    /// Begins to observe a peer.
    pub(crate) fn add_neighbour(&mut self, peer: NodeId, now: Instant) {
        let neighbour = Neighbour {
            have: None,
            since: now,
            exhausted: None,
        };
        self.neighbours.insert(peer, neighbour);
    }

    /// Whether a peer may become a neighbour.
    pub(crate) fn may_observe(&self, peer: &NodeId, now: Instant) -> bool {
        let tried = self.retries.get(peer).is_some_and(|retry| retry.at > now);
        !tried && !self.liars.contains(peer) && !self.neighbours.contains_key(peer)
    }

    /// Nothing arrived for so long that more and other peers are looked at.
    pub(crate) fn starves(&self, now: Instant) -> bool {
        now.since(self.progressed) >= HUNGER
    }

    /// Peers that are observed on our own account at most: more while nothing comes of those that are.
    pub(crate) fn neighbours_chosen(&self, now: Instant) -> usize {
        if self.starves(now) {
            limits::NEIGHBOURS_MAX
        } else {
            limits::NEIGHBOURS_CHOSEN
        }
    }

    /// Whether a neighbour has something that is missing here.
    pub(crate) fn offers(&self, neighbour: &Neighbour) -> bool {
        let Some(have) = &neighbour.have else {
            return false;
        };
        match &self.have {
            Some(ours) => have.exceeds(ours),
            None => !have.is_empty(),
        }
    }

    /// Takes in all that a neighbour has.
    pub(crate) fn set_available(&mut self, peer: &NodeId, have: &PieceSet) -> Change {
        let pieces = self.layout.pieces();
        let Some(neighbour) = self.neighbours.get_mut(peer) else {
            return Change::Unknown;
        };
        let have = have.resized(pieces);
        let before = neighbour.have.take();
        let before = before.unwrap_or_else(|| PieceSet::empty(pieces));
        for piece in have.iter_without(&before, 0) {
            count(&mut self.counts, piece, true);
        }
        for piece in before.iter_without(&have, 0) {
            count(&mut self.counts, piece, false);
        }
        let useful = match &self.have {
            Some(ours) => have.exceeds(ours),
            None => !have.is_empty(),
        };
        neighbour.have = Some(have);
        neighbour.exhausted = None;
        if useful { Change::Useful } else { Change::Idle }
    }

    /// Takes in what a neighbour gained.
    pub(crate) fn gain_available(&mut self, peer: &NodeId, range: PieceRange) -> Change {
        let pieces = self.layout.pieces();
        let Some(neighbour) = self.neighbours.get_mut(peer) else {
            return Change::Unknown;
        };
        let have = neighbour
            .have
            .get_or_insert_with(|| PieceSet::empty(pieces));
        neighbour.exhausted = None;
        let mut change = Change::Idle;
        for piece in range.start..range.end.min(pieces) {
            if have.insert(piece) {
                count(&mut self.counts, piece, true);
                if self.have.as_ref().is_none_or(|ours| !ours.contains(piece)) {
                    change = Change::Useful;
                }
            }
        }
        change
    }

    /// Forgets a neighbour; false if it was none.
    pub(crate) fn remove_neighbour(&mut self, peer: &NodeId) -> bool {
        let Some(neighbour) = self.neighbours.remove(peer) else {
            return false;
        };
        for piece in neighbour.have.iter().flat_map(PieceSet::iter) {
            count(&mut self.counts, piece, false);
        }
        true
    }

    /// Neighbours that lack something themselves: what is asked for soon spreads on.
    pub(crate) fn leeches(&self) -> usize {
        let lacks = |neighbour: &&Neighbour| neighbour.have.as_ref().is_some_and(|h| !h.is_full());
        self.neighbours.values().filter(lacks).count()
    }

    /// Checks what must hold between any two calls.
    #[cfg(debug_assertions)]
    pub(crate) fn check_invariants(&self) {
        let Some(taken) = &self.taken else { return };
        if let Some(have) = &self.have {
            assert!(!have.exceeds(taken), "what is here is not asked for");
        }
        for neighbour in self.neighbours.values() {
            let open = |have: &PieceSet| have.exceeds(taken);
            let exhausted = neighbour.exhausted == Some(self.opened);
            let open = neighbour.have.as_ref().is_some_and(open);
            assert!(!(exhausted && open), "who has something open is asked");
        }
        for (piece, count) in (0..).zip(&self.counts) {
            let holds = |n: &&Neighbour| n.have.as_ref().is_some_and(|have| have.contains(piece));
            let holders = self.neighbours.values().filter(holds).count();
            assert_eq!(usize::from(*count), holders, "counts match reports");
        }
    }
}

fn count(counts: &mut [u16], piece: u32, more: bool) {
    let at = usize::try_from(piece).unwrap_or(usize::MAX);
    if let Some(count) = counts.get_mut(at) {
        *count = if more {
            count.saturating_add(1)
        } else {
            count.saturating_sub(1)
        };
    }
}
