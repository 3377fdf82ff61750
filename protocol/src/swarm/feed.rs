//! Giving sources something to do: who may be asked for more, and how much in one go.

use super::{Context, Swarm, blob::Blob, peers::Peer, picker::Choice, requests::Transfer};
use crate::{
    id::{BlobHash, NodeId},
    layout::PieceRange,
    limits,
    service::Output,
    time::Instant,
};

/// A transfer should take about this long, so that a peer's end or a faster peer is noticed in time.
const TRANSFER_MS: u64 = 1_000;
/// Among others who lack the blob too, a transfer should be this short: a piece spreads once it is whole, and so
/// many small steps are fewer rounds than few large ones.
const CROWD_MS: u64 = 50;
/// Bytes asked of a peer whose rate is unknown.
const TRANSFER_BYTES_START: u64 = 1024 * 1024;
/// Every peer should get about this many turns in what is left, so that none of them serves it all.
const TURNS: u64 = 4;
/// Neighbours from which on a blob has a crowd: enough for one request at each to keep this node busy.
const CROWD: usize = 6;

/// Whether a peer may get one more transfer.
fn has_room(peer: &Peer, crowded: bool) -> bool {
    let run = peer.rate().map_or(TRANSFER_BYTES_START, |rate| {
        rate.saturating_mul(CROWD_MS) / 1_000
    });
    peer.has_room(crowded, run)
}

impl Swarm {
    /// Asks those who may have become useful for what is open.
    pub(super) fn feed(&mut self, ctx: &mut Context<'_>) {
        let mut peers = std::mem::take(&mut self.dirty.peers);
        let everybody = std::mem::take(&mut self.dirty.everybody);
        if everybody {
            let of_peer = |(id, peer): (&NodeId, &Peer)| (peer.in_flight, *id);
            let mut all: Vec<(u32, NodeId)> = self.peers.iter().map(of_peer).collect();
            ctx.rng.shuffle(&mut all);
            all.sort_by_key(|(in_flight, _)| *in_flight);
            peers.clear();
            peers.extend(all.into_iter().map(|(_, id)| id));
        }
        let crowded = self.is_crowded();
        // One transfer each in turn, so that what there is is shared.
        while !peers.is_empty() {
            peers.retain(|id| {
                let peer = self.peers.get(id);
                let room = peer.is_some_and(|peer| has_room(peer, crowded));
                if !room || self.requests.len() >= limits::TRANSFERS_MAX {
                    return false;
                }
                // Who owes what changes slowly; it is looked at when everybody is.
                self.feed_one(id, ctx) || (everybody && self.rescue(id, ctx))
            });
        }
        // The list is used again.
        self.dirty.peers = peers;
    }

    /// Gives a peer that has room one transfer more; false if it has nothing to offer.
    fn feed_one(&mut self, id: &NodeId, ctx: &mut Context<'_>) -> bool {
        for at in 0..self.active.len() {
            let Some(hash) = self.active.get(at).copied() else {
                break;
            };
            let blob = self.blobs.get(&hash);
            if blob.is_some_and(|blob| blob.copying.is_some()) {
                if self.ask_beside(id, &hash, ctx) {
                    return true;
                }
                continue;
            }
            if self
                .blobs
                .get_mut(&hash)
                .is_none_or(|blob| blob.is_exhausted(id))
            {
                continue;
            }
            if let Some(range) = self.choose(id, &hash, ctx) {
                self.request(*id, hash, range, ctx);
                return true;
            }
        }
        false
    }

    /// Whether a peer may get one more transfer.
    pub(super) fn has_room(&self, id: &NodeId) -> bool {
        let peer = self.peers.get(id);
        peer.is_some_and(|peer| has_room(peer, self.is_crowded()))
    }

    fn is_crowded(&self) -> bool {
        let blobs = self.active.iter().filter_map(|hash| self.blobs.get(hash));
        blobs.map(|blob| blob.neighbours().len()).max() >= Some(CROWD)
    }

    /// Whether a peer may be asked for a blob now.
    pub(super) fn may_ask(&self, id: &NodeId, blob: &Blob, now: Instant) -> bool {
        let open = |revision| {
            let download = self.downloads.get(revision);
            download.is_some_and(|download| download.is_open(now))
        };
        blob.retries.get(id).is_none_or(|retry| retry.at <= now) && blob.wanted_by.iter().any(open)
    }

    /// Pieces of a blob to ask of a peer next: what a reader waits for, else the rarest of those that are wanted.
    fn choose(&self, id: &NodeId, hash: &BlobHash, ctx: &mut Context<'_>) -> Option<PieceRange> {
        let blob = self.blobs.get(hash)?;
        let have = blob.neighbours().get(id)?.have.as_ref()?;
        let (taken, counts) = blob.work()?;
        if !self.may_ask(id, blob, ctx.now) {
            return None;
        }
        if blob.live >= limits::TRANSFERS_PER_BLOB_MAX {
            return None;
        }
        let peer = self.peers.get(id)?;
        let choice = Choice {
            have,
            taken,
            counts,
            run_max: self.run_max(blob, peer),
        };
        let urgent = self.readers.window(hash, blob.layout, self.pace.rate());
        let quick = || {
            let rates = peer.rate().zip(self.pace.median());
            rates.is_none_or(|(rate, median)| rate >= median / 4)
        };
        urgent
            .filter(|_| quick())
            .find_map(|window| choice.first(window))
            .or_else(|| {
                if self.is_partial(blob) {
                    let mut read = self.readers.ranges(hash, blob.layout);
                    read.find_map(|range| choice.first(range))
                } else {
                    choice.rarest(ctx.rng)
                }
            })
    }

    /// How many pieces to ask of a peer in one go: few when little is left for many peers or others wait for what
    /// we get, and never more than the peer delivers in a short time.
    fn run_max(&self, blob: &Blob, peer: &Peer) -> u32 {
        let (mut open, mut suppliers) = (0_u64, 1_usize);
        for blob in self.active.iter().filter_map(|hash| self.blobs.get(hash)) {
            open = open.saturating_add(blob.bytes_open());
            suppliers = suppliers.max(blob.neighbours().len());
        }
        let turns = u64::try_from(suppliers)
            .unwrap_or(u64::MAX)
            .saturating_mul(TURNS);
        let (millis, start) = if blob.leeches() > 1 {
            (CROWD_MS, 0)
        } else {
            (TRANSFER_MS, TRANSFER_BYTES_START)
        };
        let pace = peer
            .rate()
            .map_or(start, |rate| rate.saturating_mul(millis) / 1_000);
        let bytes = (open / turns).min(pace).min(limits::TRANSFER_BYTES_MAX);
        u32::try_from(bytes / blob.layout.piece_len)
            .unwrap_or(u32::MAX)
            .max(1)
    }

    pub(super) fn request(
        &mut self,
        id: NodeId,
        hash: BlobHash,
        pieces: PieceRange,
        ctx: &mut Context<'_>,
    ) {
        let (Some(blob), Some(peer)) = (self.blobs.get_mut(&hash), self.peers.get_mut(&id)) else {
            return;
        };
        let bytes = blob.layout.len(pieces);
        blob.begin(pieces);
        peer.asked_for(bytes);
        let request = ctx.out.request_id();
        let transfer = Transfer::new(ctx.now, id, hash, pieces, bytes);
        self.requests.insert(request, transfer);
        ctx.out.push(Output::FetchPieces {
            request,
            peer: id,
            blob: hash,
            size: blob.layout.size,
            pieces,
        });
    }
}
