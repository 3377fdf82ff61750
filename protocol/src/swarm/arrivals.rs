//! What the end of a transfer changes: pieces are here, a peer failed, the disk is full.

use super::{Context, News, Swarm, download::Hunger, peers::Retry, requests::Transfer};
use crate::{
    id::{BlobHash, NodeId},
    layout::PieceRange,
    piece_set::PieceSet,
    service::{Event, Output, RequestId, StorageError},
    time::Instant,
};

/// How long a download rests after the disk failed: time for a person to make room.
const STORAGE_PAUSE: std::time::Duration = std::time::Duration::from_secs(30);

impl Swarm {
    /// Books verified bytes to every download that waits for the blob.
    pub(super) fn account(&mut self, peer: NodeId, hash: &BlobHash, bytes: u64, now: Instant) {
        if bytes == 0 {
            return;
        }
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.received(bytes, now);
        }
        self.pace.add(bytes);
        self.uploads.credit(peer, bytes, now);
        if let Some(blob) = self.blobs.get_mut(hash) {
            blob.progressed = now;
        }
        for revision in self.blobs.get(hash).into_iter().flat_map(|b| &b.wanted_by) {
            if let Some(download) = self.downloads.get_mut(revision) {
                download.bytes_fetched = download.bytes_fetched.saturating_add(bytes);
                let sum = download.sources.get_or_insert_with(peer, || 0);
                *sum = sum.saturating_add(bytes);
                download.progressed = now;
                download.hungry = Hunger::default();
            }
        }
    }

    /// A provider began to answer: copies of the request that wait elsewhere are taken back.
    pub(super) fn began(&mut self, request: RequestId, since: Instant, ctx: &mut Context<'_>) {
        let Some(transfer) = self.requests.get_mut(request) else {
            return;
        };
        if transfer.moved.is_some() || transfer.cancelled {
            return;
        }
        transfer.moved = Some(since);
        transfer.progressed = ctx.now;
        let (started, range, hash) = (transfer.started, transfer.range, transfer.blob);
        let id = transfer.peer;
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.moves(started, since);
        }
        self.dirty.peers.push(id);
        if !self.blobs.get(&hash).is_some_and(super::Blob::may_overlap) {
            return;
        }
        let copies: Vec<RequestId> = self
            .requests
            .of_blob(&hash)
            .filter(|(other, copy)| *other != request && copy.waits() && covers(range, copy.range))
            .map(|(other, _)| other)
            .collect();
        for copy in copies {
            self.cancel(copy, ctx);
        }
    }

    /// Every piece of a finished transfer is here now: books it and ends transfers of the same pieces.
    pub(super) fn arrived(&mut self, transfer: &Transfer, ctx: &mut Context<'_>) {
        let hash = &transfer.blob;
        let Some(blob) = self.blobs.get_mut(hash) else {
            return;
        };
        blob.retries.remove(&transfer.peer);
        let before = blob.bytes_have();
        blob.insert_range(transfer.range);
        let gained = blob.bytes_have() - before;
        blob.doubled = blob
            .doubled
            .saturating_add(transfer.bytes_expected.saturating_sub(gained));
        for revision in &blob.wanted_by {
            if let Some(download) = self.downloads.get_mut(revision) {
                download.bytes_done = download.bytes_done.saturating_add(gained);
            }
        }
        let overlaps = blob.may_overlap();
        let Some(have) = blob.have.as_ref().filter(|_| overlaps) else {
            return self.finish_if_full(&transfer.blob, ctx);
        };
        let copies: Vec<RequestId> = self
            .requests
            .of_blob(hash)
            .filter(|(_, copy)| have.contains_range(copy.range))
            .map(|(request, _)| request)
            .collect();
        for copy in copies {
            self.cancel(copy, ctx);
        }
        self.finish_if_full(hash, ctx);
    }

    /// A transfer that brought whole pieces before it failed: the store knows which.
    pub(super) fn look_again(&mut self, transfer: &Transfer, ctx: &mut Context<'_>) {
        let Some(blob) = self.blobs.get(&transfer.blob) else {
            return;
        };
        if transfer.bytes >= blob.layout.piece_len {
            let request = ctx.out.request_id();
            self.inspections.insert(request, vec![transfer.blob]);
            ctx.out.push(Output::InspectBlobs {
                request,
                blobs: vec![(transfer.blob, blob.layout.size)],
            });
        }
    }

    /// Keeps a peer from being asked for a blob for a while.
    pub(super) fn put_off(
        &mut self,
        peer: NodeId,
        hash: &BlobHash,
        rate: Option<u64>,
        ctx: &Context<'_>,
    ) {
        if let Some(blob) = self.blobs.get_mut(hash) {
            let retry = Retry::after(blob.retries.get(&peer).copied(), ctx.now);
            blob.retries.insert(peer, retry);
        }
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.failed(rate);
        }
    }

    /// A peer sent bytes which do not verify: it is not asked for the blob again and its relation ends, for a while
    /// or for long.
    pub(super) fn lied(&mut self, peer: NodeId, hash: BlobHash, ctx: &mut Context<'_>) {
        if let Some(blob) = self.blobs.get_mut(&hash) {
            blob.liars.insert(peer);
        }
        if !self.penalties.lied(peer, ctx.now) {
            return;
        }
        ctx.out.event(Event::PeerCorrupt { peer, blob: hash });
        let owed: Vec<RequestId> = self
            .requests
            .live()
            .filter(|(_, transfer)| transfer.peer == peer)
            .map(|(request, _)| request)
            .collect();
        for request in owed {
            self.cancel(request, ctx);
        }
        self.peers.remove(&peer);
        self.forget_neighbour(&peer, ctx);
        self.uploads.spread.forget(peer, ctx.out);
        ctx.out.push(Output::Ban { peer });
        self.dirty.neighbours = true;
        self.dirty.everybody = true;
    }

    /// Stops observing a peer, whatever it has.
    pub(super) fn forget_neighbour(&mut self, peer: &NodeId, ctx: &mut Context<'_>) {
        for hash in &self.active {
            let blob = self.blobs.get_mut(hash);
            if blob.is_some_and(|blob| blob.remove_neighbour(peer)) {
                ctx.out.push(Output::Unobserve {
                    peer: *peer,
                    blob: *hash,
                });
            }
        }
    }

    pub(super) fn storage_failed(
        &mut self,
        hash: &BlobHash,
        error: StorageError,
        ctx: &Context<'_>,
    ) {
        let revisions = self
            .blobs
            .get(hash)
            .map_or_else(Vec::new, |blob| blob.wanted_by.clone());
        for revision in &revisions {
            if let Some(download) = self.downloads.get_mut(revision) {
                download.paused_until = Some(ctx.now + STORAGE_PAUSE);
            }
        }
        self.news.push(News::StorageFailed(revisions, error));
    }

    pub(super) fn finish_if_full(&mut self, hash: &BlobHash, ctx: &mut Context<'_>) {
        let full = |blob: &super::Blob| blob.have.as_ref().is_some_and(PieceSet::is_full);
        let Some(blob) = self.blobs.get(hash).filter(|blob| full(blob)) else {
            return;
        };
        for revision in blob.wanted_by.clone() {
            if let Some(download) = self.downloads.get_mut(&revision) {
                download.incomplete.remove(hash);
            }
        }
        self.drop_blob(hash, ctx);
    }

    /// Forgets a blob and its observations.
    pub(super) fn drop_blob(&mut self, hash: &BlobHash, ctx: &mut Context<'_>) {
        let owed: Vec<RequestId> = self.requests.of_blob(hash).map(|(r, _)| r).collect();
        for request in owed {
            self.cancel(request, ctx);
        }
        self.active.retain(|active| active != hash);
        self.dirty.downloads = true;
        if let Some(blob) = self.blobs.remove(hash) {
            self.end_copy(&blob, ctx);
            for peer in blob.neighbours().keys() {
                ctx.out.push(Output::Unobserve {
                    peer: *peer,
                    blob: *hash,
                });
            }
        }
    }

    /// Gives a live transfer up: its pieces are open again, and only its end is awaited.
    pub(super) fn cancel(&mut self, request: RequestId, ctx: &mut Context<'_>) {
        let Some(transfer) = self.requests.get_mut(request) else {
            return;
        };
        if transfer.cancelled {
            return;
        }
        transfer.cancelled = true;
        let transfer = transfer.clone();
        self.close(&transfer, false, ctx.now);
        ctx.out.push(Output::CancelPieces { request });
    }

    /// A transfer is live no more: neither its peer nor, unless they `stay`, its pieces are occupied by it.
    pub(super) fn close(&mut self, transfer: &Transfer, stay: bool, now: Instant) {
        if let Some(peer) = self.peers.get_mut(&transfer.peer) {
            let left = transfer.bytes_expected.saturating_sub(transfer.bytes);
            peer.released(left, transfer.moved.is_some(), now);
        }
        let Some(blob) = self.blobs.get_mut(&transfer.blob) else {
            return;
        };
        let overlaps = blob.may_overlap();
        blob.end(transfer.range);
        if stay {
            return;
        }
        blob.release(transfer.range);
        let others = self.requests.of_blob(&transfer.blob);
        for (_, other) in others.filter(|_| overlaps) {
            let start = other.range.start.max(transfer.range.start);
            let end = other.range.end.min(transfer.range.end);
            if start < end {
                blob.take(PieceRange { start, end });
            }
        }
        blob.count_opened(transfer.range);
    }
}

fn covers(outer: PieceRange, inner: PieceRange) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}
