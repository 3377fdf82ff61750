//! What one peer owes is asked of another that idles: taken over while it only waits, copied in the end-game.

use std::time::Duration;

use super::{
    Context, Swarm,
    blob::Blob,
    peers::{Peer, Standing},
    requests::Transfer,
};
use crate::{
    id::{BlobHash, NodeId},
    layout::PieceRange,
    piece_set::PieceSet,
    service::RequestId,
    time::Instant,
};

/// A request that waits for less than this is left where it is: the peer's turn may be near.
const TAKE_OVER_AFTER: Duration = Duration::from_millis(500);
/// What a reader waits for is taken over sooner.
const TAKE_OVER_URGENT: Duration = Duration::from_millis(250);
/// The end-game is the last 1/50 of a blob …
const ENDGAME_PART: u32 = 50;
/// … or this many pieces of a small one.
const ENDGAME_PIECES: u32 = 2;
/// In the end-game a request that waits for this long is doubled.
const COPY_AFTER: Duration = Duration::from_millis(250);
/// Requests for one piece at once in the end-game.
const COPIES_MAX: usize = 3;

/// A transfer that moves for this long shows how fast it is …
const OUTRUN_AFTER: Duration = Duration::from_secs(2);
/// … and if it needs so many seconds more …
const OUTRUN_LEFT_S: u64 = 5;
/// … a peer takes it over that is so many times as fast.
const OUTRUN_FACTOR: u64 = 4;

/// What to do for an idle peer.
enum Rescue {
    /// Takes a waiting request back and asks the idle peer instead.
    TakeOver(RequestId, BlobHash, PieceRange),
    /// Asks the idle peer as well.
    Copy(BlobHash, PieceRange),
}

impl Swarm {
    /// Lets a peer for which nothing is open help out; false if there is nothing to help with.
    pub(super) fn rescue(&mut self, id: &NodeId, ctx: &mut Context<'_>) -> bool {
        match self.find_rescue(id, ctx.now) {
            Some(Rescue::TakeOver(request, hash, range)) => {
                let given_up = self.requests.get(request).map(|transfer| transfer.range);
                let opened = self.blobs.get(&hash).map(Blob::opened);
                self.cancel(request, ctx);
                self.request(*id, hash, range, ctx);
                if let (Some(blob), Some(opened)) = (self.blobs.get_mut(&hash), opened) {
                    blob.forget_opened(opened, given_up.unwrap_or(range));
                }
                true
            }
            Some(Rescue::Copy(hash, range)) => {
                self.request(*id, hash, range, ctx);
                true
            }
            None => false,
        }
    }

    fn find_rescue(&self, id: &NodeId, now: Instant) -> Option<Rescue> {
        let standing = self.peers.get(id)?.standing(now);
        for hash in &self.active {
            let blob = self.blobs.get(hash);
            let Some(blob) = blob.filter(|blob| blob.copying.is_none()) else {
                continue;
            };
            let have = blob.neighbours().get(id).and_then(|n| n.have.as_ref());
            let Some(have) = have.filter(|_| blob.live > 0 && self.may_ask(id, blob, now)) else {
                continue;
            };
            for (request, transfer) in self.requests.of_blob(hash) {
                // Nothing is done sooner.
                if transfer.peer == *id || now.since(transfer.started) < COPY_AFTER {
                    continue;
                }
                let Some(range) = common(have, transfer.range) else {
                    continue;
                };
                if self.may_copy(id, blob, transfer, range, now) {
                    return Some(Rescue::Copy(*hash, range));
                }
                if self.may_take_over(standing, blob, transfer, now)
                    || self.may_outrun(id, transfer, now)
                {
                    return Some(Rescue::TakeOver(request, *hash, range));
                }
            }
        }
        None
    }

    /// Whether a request waits where a better source is at hand.
    fn may_take_over(
        &self,
        standing: Standing,
        blob: &Blob,
        transfer: &Transfer,
        now: Instant,
    ) -> bool {
        if !transfer.waits() || standing == Standing::Waiting {
            return false;
        }
        let urgent = self
            .readers
            .waits_for(&transfer.blob, blob.layout, transfer.range);
        let patience = if urgent {
            TAKE_OVER_URGENT
        } else {
            TAKE_OVER_AFTER
        };
        let waited = now.since(transfer.started);
        let other = self.peers.get(&transfer.peer);
        let other = other.map_or(Standing::Waiting, |peer| peer.standing(now));
        // Between equals a turn is waited for longer: going back and forth brings nothing.
        waited >= patience && (standing > other || waited >= patience * 2)
    }

    /// Whether a transfer crawls that another peer would end soon. What came of it is here and not asked for again.
    fn may_outrun(&self, id: &NodeId, transfer: &Transfer, now: Instant) -> bool {
        if transfer.moved.is_none_or(|at| now.since(at) < OUTRUN_AFTER) {
            return false;
        }
        let rate = self.peers.get(id).and_then(Peer::rate);
        // Of somebody who sent nothing yet as much is expected as of the one in the middle.
        let Some(rate) = rate.or_else(|| self.pace.median()) else {
            return false;
        };
        let left = transfer.bytes_expected.saturating_sub(transfer.bytes);
        let crawls = left / transfer.rate(now).max(1) >= OUTRUN_LEFT_S;
        crawls && rate / OUTRUN_FACTOR > transfer.rate(now)
    }

    /// Whether a copy may help in the end-game.
    fn may_copy(
        &self,
        id: &NodeId,
        blob: &Blob,
        transfer: &Transfer,
        range: PieceRange,
        now: Instant,
    ) -> bool {
        let last = (blob.layout.pieces() / ENDGAME_PART).max(ENDGAME_PIECES);
        if blob.missing() > last || now.since(transfer.started) < COPY_AFTER {
            return false;
        }
        let asked =
            |other: &&Transfer| other.range.start < range.end && range.start < other.range.end;
        let copies = self
            .requests
            .of_blob(&transfer.blob)
            .map(|(_, other)| other);
        let copies: Vec<&Transfer> = copies.filter(asked).collect();
        if copies.len() >= COPIES_MAX || copies.iter().any(|copy| copy.peer == *id) {
            return false;
        }
        if copies.iter().all(|copy| copy.waits()) {
            // Whoever answers first gets to serve; the others are taken back before they send a byte.
            return true;
        }
        let budget = (blob.layout.size / u64::from(ENDGAME_PART)).max(blob.layout.piece_len);
        let slow = |copy: &&&Transfer| !copy.waits() && copy.is_slow(now);
        copies.len() == copies.iter().filter(slow).count() && blob.doubled < budget
    }

    /// How much a connected peer may be relied on.
    pub(super) fn is_serving(&self, peer: &Peer, now: Instant) -> bool {
        peer.standing(now) == Standing::Serving
    }
}

/// The first run of a range that a peer has.
fn common(have: &PieceSet, range: PieceRange) -> Option<PieceRange> {
    let start = (range.start..range.end).find(|piece| have.contains(*piece))?;
    let end = (start..range.end).find(|piece| !have.contains(*piece));
    Some(PieceRange {
        start,
        end: end.unwrap_or(range.end),
    })
}
