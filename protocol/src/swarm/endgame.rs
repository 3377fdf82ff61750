//! The end-game: what slow peers still owe is asked of idle ones too.

use super::{Context, Swarm};
use crate::{
    id::{BlobHash, NodeId},
    layout::PieceRange,
    limits,
    piece_set::PieceSet,
    time::Instant,
};

impl Swarm {
    /// Doubles slow transfers at idle peers once nothing else is left for them to do.
    pub(super) fn end_game(&mut self, ctx: &mut Context<'_>) {
        let idle: Vec<NodeId> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.in_flight == 0)
            .map(|(id, _)| *id)
            .collect();
        for peer in idle {
            for hash in self.active.clone() {
                if self.requests.len() >= limits::TRANSFERS_MAX {
                    return;
                }
                let Some(candidates) = self.candidates(&peer, &hash, ctx.now) else {
                    continue;
                };
                if let Some(range) = self.slow_run(&peer, &hash, &candidates, ctx.now) {
                    self.request(peer, hash, range, ctx);
                    break;
                }
            }
        }
    }

    /// A run of pieces that exactly one slow transfer of another peer is after.
    fn slow_run(
        &self,
        peer: &NodeId,
        hash: &BlobHash,
        candidates: &PieceSet,
        now: Instant,
    ) -> Option<PieceRange> {
        let transfers: Vec<_> = self.requests.of_blob(hash).collect();
        for (request, transfer) in &transfers {
            if transfer.peer == *peer || !transfer.is_slow(now) {
                continue;
            }
            let mut wanted = PieceSet::empty(candidates.pieces());
            wanted.insert_range(transfer.range);
            for (other, copy) in &transfers {
                if other != request {
                    wanted.remove_range(copy.range);
                }
            }
            let found = wanted.intersection(candidates).runs().next();
            if found.is_some() {
                return found;
            }
        }
        None
    }
}
