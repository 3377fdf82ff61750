//! What the end of a transfer changes: pieces are here, a peer failed, the disk is full.

use super::{Context, News, Swarm, peers::Retry, requests::Transfer};
use crate::{
    id::{BlobHash, NodeId},
    piece_set::PieceSet,
    service::{Event, Output, StorageError},
    time::Instant,
};

/// How long a download rests after the disk failed: time for a person to make room.
const STORAGE_PAUSE: std::time::Duration = std::time::Duration::from_secs(30);

impl Swarm {
    /// Books verified bytes to every download that waits for the blob.
    pub(super) fn account(&mut self, peer: NodeId, hash: &BlobHash, bytes: u64, now: Instant) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.bytes_received = peer.bytes_received.saturating_add(bytes);
        }
        for revision in self.blobs.get(hash).into_iter().flat_map(|b| &b.wanted_by) {
            if let Some(download) = self.downloads.get_mut(revision) {
                download.bytes_fetched = download.bytes_fetched.saturating_add(bytes);
                let sum = download.sources.entry(peer).or_default();
                *sum = sum.saturating_add(bytes);
                download.progressed = now;
            }
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
        let pieces = blob.layout.pieces();
        let have = blob.have.get_or_insert_with(|| PieceSet::empty(pieces));
        have.insert_range(transfer.range);
        let have = have.clone();
        let gained = blob.bytes_have() - before;
        for revision in &blob.wanted_by {
            if let Some(download) = self.downloads.get_mut(revision) {
                download.bytes_done = download.bytes_done.saturating_add(gained);
            }
        }
        self.cancel(|t| t.blob == *hash && have.contains_range(t.range), ctx);
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
    pub(super) fn put_off(&mut self, peer: NodeId, hash: &BlobHash, ctx: &Context<'_>) {
        if let Some(blob) = self.blobs.get_mut(hash) {
            let retry = Retry::after(blob.retries.get(&peer).copied(), ctx.now);
            blob.retries.insert(peer, retry);
        }
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.failed();
        }
    }

    /// Ends the relation to a peer that sent bytes which do not verify.
    pub(super) fn ban(&mut self, peer: NodeId, blob: BlobHash, ctx: &mut Context<'_>) {
        if !self.banned.insert(peer) {
            return;
        }
        ctx.out.event(Event::PeerCorrupt { peer, blob });
        self.cancel(|transfer| transfer.peer == peer, ctx);
        self.peers.remove(&peer);
        for (hash, blob) in &mut self.blobs {
            if blob.remove_available(&peer) {
                ctx.out.push(Output::Unobserve { peer, blob: *hash });
            }
        }
        ctx.out.push(Output::Ban { peer });
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
        let full = self
            .blobs
            .get(hash)
            .is_some_and(|blob| blob.have.as_ref().is_some_and(PieceSet::is_full));
        if !full {
            return;
        }
        let revisions = self
            .blobs
            .get(hash)
            .map_or_else(Vec::new, |blob| blob.wanted_by.clone());
        self.drop_blob(hash, ctx);
        for revision in revisions {
            if let Some(download) = self.downloads.get_mut(&revision) {
                download.incomplete.remove(hash);
            }
        }
    }

    /// Forgets a blob and its observations.
    pub(super) fn drop_blob(&mut self, hash: &BlobHash, ctx: &mut Context<'_>) {
        self.active.retain(|active| active != hash);
        if let Some(blob) = self.blobs.remove(hash) {
            for peer in blob.available.into_keys() {
                ctx.out.push(Output::Unobserve { peer, blob: *hash });
            }
        }
    }

    pub(super) fn cancel(&mut self, wanted: impl Fn(&Transfer) -> bool, ctx: &mut Context<'_>) {
        for request in self.requests.matching(wanted) {
            if let Some(transfer) = self.requests.get_mut(request) {
                transfer.cancelled = true;
                ctx.out.push(Output::CancelPieces { request });
            }
        }
    }
}
