//! What the data plane reports: what is here, who has what, how transfers go.

use super::{Context, Swarm, blob::Change, peers::Retry};
use crate::{
    id::{BlobHash, NodeId},
    layout::PieceRange,
    piece_set::PieceSet,
    service::{RequestId, TransferError},
};

impl Swarm {
    /// The blob store told what is here.
    pub(crate) fn inspected(
        &mut self,
        request: RequestId,
        have: &[PieceSet],
        ctx: &mut Context<'_>,
    ) -> bool {
        let Some(blobs) = self.inspections.remove(&request) else {
            return false;
        };
        for (at, hash) in blobs.iter().enumerate() {
            let Some(blob) = self.blobs.get_mut(hash) else {
                continue;
            };
            let pieces = blob.layout.pieces();
            let found = have
                .get(at)
                .map_or_else(|| PieceSet::empty(pieces), |set| set.resized(pieces));
            let before = blob.bytes_have();
            blob.insert(&found);
            let gained = blob.bytes_have() - before;
            for revision in &blob.wanted_by {
                if let Some(download) = self.downloads.get_mut(revision) {
                    download.bytes_done = download.bytes_done.saturating_add(gained);
                    if download.inspecting.remove(hash) {
                        download.bytes_reused = download.bytes_reused.saturating_add(gained);
                        download.incomplete.insert(*hash);
                        download.waiting.push_back(*hash);
                    }
                }
            }
            self.finish_if_full(hash, ctx);
        }
        self.dirty.downloads = true;
        self.schedule(ctx);
        true
    }

    /// An observed peer told all that it has.
    pub(crate) fn available(
        &mut self,
        peer: NodeId,
        blob: &BlobHash,
        have: &PieceSet,
        ctx: &mut Context<'_>,
    ) {
        let change = self.blobs.get_mut(blob);
        let change = change.map(|state| state.set_available(&peer, have));
        if change.is_none() {
            self.uploads.spread.available(peer, blob, have, ctx.out);
        }
        self.heard(peer, change, ctx);
    }

    /// An observed peer has more than it told before.
    pub(crate) fn gained(
        &mut self,
        peer: NodeId,
        blob: &BlobHash,
        pieces: PieceRange,
        ctx: &mut Context<'_>,
    ) {
        let change = self.blobs.get_mut(blob);
        let change = change.map(|state| state.gain_available(&peer, pieces));
        if change.is_none() {
            self.uploads.spread.gained(peer, blob, pieces);
        }
        self.heard(peer, change, ctx);
    }

    fn heard(&mut self, peer: NodeId, change: Option<Change>, ctx: &mut Context<'_>) {
        let gathering = || self.downloads.values().any(|d| d.gathering.is_some());
        match change {
            // Most of them are busy.
            Some(Change::Useful) if self.is_settled() && !self.has_room(&peer) => return,
            Some(Change::Useful) => self.dirty.peers.push(peer),
            Some(Change::Idle) if gathering() => {}
            Some(Change::Idle | Change::Unknown) | None => return,
        }
        self.schedule(ctx);
    }

    /// An observation ended from the other side.
    pub(crate) fn availability_lost(
        &mut self,
        peer: NodeId,
        blob: &BlobHash,
        ctx: &mut Context<'_>,
    ) {
        let Some(state) = self.blobs.get_mut(blob) else {
            return self.uploads.spread.lost(&peer, blob);
        };
        if state.remove_neighbour(&peer) {
            let retry = Retry::after(state.retries.get(&peer).copied(), ctx.now);
            state.retries.insert(peer, retry);
            self.dirty.neighbours = true;
            self.schedule(ctx);
        }
    }

    /// Bytes of a transfer were verified and written; none says that the peer began to answer.
    pub(crate) fn progressed(&mut self, request: RequestId, bytes: u64, ctx: &mut Context<'_>) {
        self.began(request, ctx.now, ctx);
        let Some(transfer) = self.requests.get_mut(request) else {
            return;
        };
        transfer.bytes = transfer.bytes.saturating_add(bytes);
        transfer.progressed = ctx.now;
        let (peer, blob) = (transfer.peer, transfer.blob);
        self.account(peer, &blob, bytes, ctx.now);
        if !self.dirty.peers.is_empty() {
            self.schedule(ctx);
        }
    }

    /// A transfer ended.
    pub(crate) fn fetched(
        &mut self,
        request: RequestId,
        result: Result<(), TransferError>,
        ctx: &mut Context<'_>,
    ) {
        if let (Some(transfer), Ok(())) = (self.requests.get_mut(request), &result) {
            // A driver may report a small transfer only at its end: it moved since the one before ended.
            let left = transfer.bytes_expected.saturating_sub(transfer.bytes);
            let is_small = transfer.bytes == 0 && !transfer.is_beside;
            let left = if is_small { left } else { 0 };
            let (peer, hash, started) = (transfer.peer, transfer.blob, transfer.started);
            let before = self.peers.get(&peer).and_then(|peer| peer.delivered);
            self.began(request, before.unwrap_or(started).max(started), ctx);
            if let Some(transfer) = self.requests.get_mut(request) {
                transfer.bytes = transfer.bytes.saturating_add(left);
            }
            self.account(peer, &hash, left, ctx.now);
        }
        let Some(transfer) = self.requests.remove(request) else {
            return;
        };
        if !transfer.cancelled {
            let stays = result.is_ok() && !transfer.is_beside;
            self.close(&transfer, stays, ctx.now);
        }
        let (id, hash) = (transfer.peer, transfer.blob);
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.in_flight = peer.in_flight.saturating_sub(1);
        }
        self.dirty.peers.push(id);
        if transfer.is_beside {
            self.beside_ended(request, &transfer, result.is_ok());
        }
        match result {
            Ok(()) => {
                self.penalties.delivered(&id);
                if !transfer.is_beside {
                    self.arrived(&transfer, ctx);
                }
            }
            Err(error) => {
                self.dirty.everybody |= !transfer.cancelled;
                match error {
                    TransferError::Corrupt => self.lied(id, hash, ctx),
                    TransferError::Cancelled => self.look_again(&transfer, ctx),
                    TransferError::Connection
                    | TransferError::Unavailable
                    | TransferError::Refused => {
                        self.put_off(id, &hash, None, ctx);
                        self.look_again(&transfer, ctx);
                    }
                    TransferError::Storage(error) => self.storage_failed(&hash, error, ctx),
                }
            }
        }
        self.schedule(ctx);
    }
}
