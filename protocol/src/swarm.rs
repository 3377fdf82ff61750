//! Which piece to ask of whom.
//!
//! The swarm turns downloads (the blobs of a revision) into observations of peers and transfers of piece
//! runs. It never sees a byte of a model, never decides *that* something is downloaded, and never writes to
//! the registry: it reports a finished download as news, and the service does the rest.
//!
//! A blob that several revisions share is fetched once. Blobs become active in download order, a bounded
//! number at a time; active blobs are observed at a bounded number of connected peers. Only what an observed
//! peer reported to have is asked of it.

mod arrivals;
mod blob;
mod download;
mod endgame;
mod peers;
mod picker;
mod progress;
mod rates;
mod requests;
mod schedule;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use blob::Blob;
use download::Download;
use fastrand::Rng;
use peers::{Peer, Retry};
pub use rates::{Limits, Rates, Window};
use requests::Requests;

use crate::{
    id::{BlobHash, NodeId, RevisionId},
    layout::{Layout, PieceRange},
    limits,
    piece_set::PieceSet,
    service::{Outbox, Output, ReaderId, RequestId, StorageError, TransferError},
    time::Instant,
};

/// What the service must know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    /// Every blob of the revision is here.
    Complete(RevisionId),
    /// The disk said no while these were being fetched.
    StorageFailed(Vec<RevisionId>, StorageError),
}

/// What a call may use: the time, the outputs, randomness.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) now: Instant,
    pub(crate) out: &'a mut Outbox,
    pub(crate) rng: &'a mut Rng,
}

/// All downloads and the peers they draw from.
#[derive(Debug, Default)]
pub(crate) struct Swarm {
    downloads: BTreeMap<RevisionId, Download>,
    /// Incomplete blobs of all downloads; a blob that is not here is complete or unwanted.
    blobs: BTreeMap<BlobHash, Blob>,
    /// Blobs that are observed and fetched, in the order in which they became active.
    active: Vec<BlobHash>,
    peers: BTreeMap<NodeId, Peer>,
    /// Peers that sent corrupt bytes in this run.
    banned: BTreeSet<NodeId>,
    requests: Requests,
    inspections: BTreeMap<RequestId, Vec<BlobHash>>,
    news: Vec<News>,
    /// When there is something to do without anything happening.
    wake: Option<Instant>,
}

impl Swarm {
    /// Starts a download, or adds hints to a running one.
    pub(crate) fn start(
        &mut self,
        revision: RevisionId,
        blobs: &[(BlobHash, u64)],
        hints: BTreeSet<NodeId>,
        ctx: &mut Context<'_>,
    ) {
        if let Some(download) = self.downloads.get_mut(&revision) {
            download.hints.extend(hints);
            download.paused_until = None;
        } else {
            let download = Download::new(ctx.now, blobs, hints);
            self.downloads.insert(revision, download);
        }
        self.schedule(ctx);
    }

    /// Ends a download; what is here stays.
    pub(crate) fn stop(&mut self, revision: &RevisionId, ctx: &mut Context<'_>) {
        let Some(download) = self.downloads.remove(revision) else {
            return;
        };
        for hash in download.incomplete.iter().chain(&download.inspecting) {
            let Some(blob) = self.blobs.get_mut(hash) else {
                continue;
            };
            blob.wanted_by.retain(|other| other != revision);
            if blob.wanted_by.is_empty() {
                self.cancel(|transfer| transfer.blob == *hash, ctx);
                self.drop_blob(hash, ctx);
            }
        }
        self.schedule(ctx);
    }

    /// Whether a download of the revision runs.
    pub(crate) fn is_running(&self, revision: &RevisionId) -> bool {
        self.downloads.contains_key(revision)
    }

    /// The running downloads.
    pub(crate) fn running(&self) -> impl Iterator<Item = &RevisionId> {
        self.downloads.keys()
    }

    /// Adds peers that are said to have something of a revision; `finished` says that the search is over.
    pub(crate) fn hint(
        &mut self,
        revision: &RevisionId,
        peers: impl IntoIterator<Item = NodeId>,
        finished: bool,
        ctx: &mut Context<'_>,
    ) {
        if let Some(download) = self.downloads.get_mut(revision) {
            for peer in peers {
                if download.hints.len() < limits::PEERS_PER_DOWNLOAD_MAX {
                    download.hints.insert(peer);
                }
            }
            if let (true, Some(gathering)) = (finished, download.gathering.as_mut()) {
                gathering.searched = true;
            }
        }
        self.schedule(ctx);
    }

    /// A peer says that it fetches a revision: if it refused to be observed before, it will not any more.
    pub(crate) fn interested(
        &mut self,
        revision: &RevisionId,
        peer: NodeId,
        ctx: &mut Context<'_>,
    ) {
        if !self.downloads.contains_key(revision) {
            return;
        }
        for hash in &self.active {
            if let Some(blob) = self.blobs.get_mut(hash)
                && blob.wanted_by.contains(revision)
            {
                blob.retries.remove(&peer);
            }
        }
        self.hint(revision, [peer], false, ctx);
    }

    /// A peer can be asked from now on.
    pub(crate) fn connected(&mut self, peer: NodeId, ctx: &mut Context<'_>) {
        if !self.banned.contains(&peer) && !self.peers.contains_key(&peer) {
            self.peers.insert(peer, Peer::default());
            for blob in self.blobs.values_mut() {
                blob.retries.remove(&peer);
            }
            self.schedule(ctx);
        }
    }

    /// A peer is gone. Its transfers end by themselves.
    pub(crate) fn disconnected(&mut self, peer: &NodeId, ctx: &mut Context<'_>) {
        self.peers.remove(peer);
        for (hash, blob) in &mut self.blobs {
            if blob.remove_available(peer) {
                ctx.out.push(Output::Unobserve {
                    peer: *peer,
                    blob: *hash,
                });
            }
        }
        self.schedule(ctx);
    }

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
            blob.have
                .get_or_insert_with(|| PieceSet::empty(pieces))
                .insert_all(&found);
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
        self.schedule(ctx);
        true
    }

    /// An observed peer told what it has.
    pub(crate) fn available(
        &mut self,
        peer: NodeId,
        blob: &BlobHash,
        have: &PieceSet,
        ctx: &mut Context<'_>,
    ) {
        let Some(state) = self.blobs.get_mut(blob) else {
            return;
        };
        if state.set_available(peer, have) {
            self.schedule(ctx);
        }
    }

    /// An observed peer has more than it told before.
    pub(crate) fn gained(
        &mut self,
        peer: NodeId,
        blob: &BlobHash,
        pieces: PieceRange,
        ctx: &mut Context<'_>,
    ) {
        let before = self
            .blobs
            .get(blob)
            .and_then(|state| state.available.get(&peer)?.clone());
        if let Some(mut have) = before {
            have.insert_range(pieces);
            self.available(peer, blob, &have, ctx);
        }
    }

    /// Somebody waits for bytes of a blob.
    pub(crate) fn reading(
        &mut self,
        _reader: ReaderId,
        _blob: BlobHash,
        _bytes: Range<u64>,
        _ctx: &mut Context<'_>,
    ) {
    }

    /// A reader is done.
    pub(crate) fn reading_ended(&mut self, _reader: ReaderId, _ctx: &mut Context<'_>) {}

    /// An observation ended from the other side.
    pub(crate) fn availability_lost(
        &mut self,
        peer: NodeId,
        blob: &BlobHash,
        ctx: &mut Context<'_>,
    ) {
        let Some(state) = self.blobs.get_mut(blob) else {
            return;
        };
        if state.remove_available(&peer) {
            let retry = Retry::after(state.retries.get(&peer).copied(), ctx.now);
            state.retries.insert(peer, retry);
            self.schedule(ctx);
        }
    }

    /// Bytes of a transfer were verified and written.
    pub(crate) fn progressed(&mut self, request: RequestId, bytes: u64, ctx: &Context<'_>) {
        let Some(transfer) = self.requests.get_mut(request) else {
            return;
        };
        transfer.bytes = transfer.bytes.saturating_add(bytes);
        transfer.progressed = ctx.now;
        let (peer, blob) = (transfer.peer, transfer.blob);
        self.account(peer, &blob, bytes, ctx.now);
    }

    /// A transfer ended.
    pub(crate) fn fetched(
        &mut self,
        request: RequestId,
        result: Result<(), TransferError>,
        ctx: &mut Context<'_>,
    ) {
        let Some(transfer) = self.requests.remove(request) else {
            return;
        };
        let (peer, hash) = (transfer.peer, transfer.blob);
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.in_flight = peer.in_flight.saturating_sub(1);
        }
        match result {
            Ok(()) => {
                if transfer.bytes == 0 {
                    // A driver may report small transfers only at their end.
                    self.account(peer, &hash, transfer.bytes_expected, ctx.now);
                }
                if let Some(peer) = self.peers.get_mut(&peer) {
                    let took = ctx.now.since(transfer.started);
                    peer.succeeded(transfer.bytes_expected, took);
                }
                self.arrived(&transfer, ctx);
            }
            Err(TransferError::Corrupt) => self.ban(peer, hash, ctx),
            Err(TransferError::Cancelled) => self.look_again(&transfer, ctx),
            Err(
                TransferError::Connection | TransferError::Unavailable | TransferError::Refused,
            ) => {
                self.put_off(peer, &hash, ctx);
                self.look_again(&transfer, ctx);
            }
            Err(TransferError::Storage(error)) => self.storage_failed(&hash, error, ctx),
        }
        self.schedule(ctx);
    }

    /// Something became due.
    pub(crate) fn timeout(&mut self, ctx: &mut Context<'_>) {
        if self.wake.is_some_and(|wake| wake <= ctx.now) {
            self.end_stalled(ctx);
            self.schedule(ctx);
        }
    }

    /// When to call [`Self::timeout`] at the latest.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.wake
    }

    /// What happened since the last call.
    pub(crate) fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// Whether the peer was banned in this run.
    pub(crate) fn is_banned(&self, peer: &NodeId) -> bool {
        self.banned.contains(peer)
    }

    /// Takes a finished download out. The service calls it once the completion is durable.
    pub(crate) fn take_finished(&mut self, revision: &RevisionId) {
        self.downloads.remove(revision);
    }

    /// The layout that all nodes use for a blob of `size` bytes.
    fn new_blob(size: u64, revision: RevisionId) -> Blob {
        debug_assert!(Layout::new(size).pieces() > 0);
        let mut blob = Blob::new(size);
        blob.wanted_by.push(revision);
        blob
    }

    /// Checks what must hold between any two calls.
    #[cfg(debug_assertions)]
    pub(crate) fn check_invariants(&self) {
        assert!(self.active.len() <= limits::BLOBS_ACTIVE_MAX);
        assert!(self.requests.len() <= limits::TRANSFERS_MAX);
        for hash in &self.active {
            assert!(self.blobs.contains_key(hash), "an active blob is known");
            let live = self.requests.of_blob(hash).count();
            assert!(live <= limits::TRANSFERS_PER_BLOB_MAX);
        }
        for blob in self.blobs.values() {
            assert!(!blob.wanted_by.is_empty(), "a blob is wanted by somebody");
            assert!(blob.available.len() <= limits::NEIGHBOURS_MAX);
        }
        for (id, peer) in &self.peers {
            assert!(!self.banned.contains(id), "a banned peer is not used");
            assert!(peer.in_flight <= limits::TRANSFERS_PER_PEER_MAX);
        }
    }
}
