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
mod choker;
mod copies;
mod download;
mod feed;
mod fill;
mod ledger;
mod partial;
mod peers;
mod penalty;
mod picker;
mod progress;
mod rates;
mod reports;
mod requests;
mod rescue;
mod spread;
mod table;
#[cfg(test)]
mod tests;
mod uploads;
mod watch;
mod window;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use blob::Blob;
use download::{Download, Hunger};
use fastrand::Rng;
use peers::Peer;
use penalty::Penalties;
pub use rates::{Limits, Rates, Window};
use requests::Requests;
use table::Table;
use uploads::{Uploads, Wants};
use watch::Pace;
use window::Readers;

use crate::{
    id::{BlobHash, NodeId, RevisionId},
    layout::Layout,
    limits,
    service::{Outbox, Output, ReaderId, RequestId, StorageError, UploadId},
    time::Instant,
};

/// What the service must know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    /// Every blob of the revision is here.
    Complete(RevisionId),
    /// Nothing of the revision arrives: others must be found.
    Starves(RevisionId),
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

/// What changed since the last look, so that nothing else is looked at.
#[derive(Debug, Default)]
struct Dirty {
    /// Downloads, inspections or places of active blobs.
    downloads: bool,
    /// Who may be observed.
    neighbours: bool,
    /// What anybody may be asked for.
    everybody: bool,
    /// What these may be asked for.
    peers: Vec<NodeId>,
}

/// All downloads and the peers they draw from.
#[derive(Debug, Default)]
pub(crate) struct Swarm {
    downloads: BTreeMap<RevisionId, Download>,
    /// Incomplete blobs of all downloads; a blob that is not here is complete or unwanted.
    blobs: BTreeMap<BlobHash, Blob>,
    /// Blobs that are observed and fetched, in the order in which they became active.
    active: Vec<BlobHash>,
    peers: Table<NodeId, Peer>,
    penalties: Penalties,
    requests: Requests,
    readers: Readers,
    uploads: Uploads,
    pace: Pace,
    inspections: BTreeMap<RequestId, Vec<BlobHash>>,
    /// Downloads that wait to know what can be copied.
    plans: BTreeMap<RequestId, RevisionId>,
    /// Blobs that are being copied.
    copies: BTreeMap<RequestId, BlobHash>,
    news: Vec<News>,
    dirty: Dirty,
    /// When to look around next.
    tick: Option<Instant>,
    /// When a neighbour was last replaced.
    replaced: Option<Instant>,
}

impl Swarm {
    /// Starts a download, or adds hints to a running one. `relatives` may share content with it.
    pub(crate) fn start(
        &mut self,
        revision: RevisionId,
        blobs: &[(BlobHash, u64)],
        hints: BTreeSet<NodeId>,
        relatives: Vec<RevisionId>,
        ctx: &mut Context<'_>,
    ) {
        if let Some(download) = self.downloads.get_mut(&revision) {
            download.hints.extend(hints);
            download.paused_until = None;
            download.hungry = Hunger::default();
        } else {
            let download = Download::new(ctx.now, blobs, hints);
            self.downloads.insert(revision, download);
            self.plan_copies(revision, relatives, ctx);
        }
        self.dirty.downloads = true;
        self.dirty.everybody = true;
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
                self.drop_blob(hash, ctx);
            }
        }
        self.dirty.downloads = true;
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
                if download.hints.len() >= limits::PEERS_PER_DOWNLOAD_MAX {
                    // Those who never came make room for those who may.
                    let known = &self.peers;
                    download.hints.retain(|hint| known.contains_key(hint));
                }
                if download.hints.len() < limits::PEERS_PER_DOWNLOAD_MAX {
                    self.dirty.neighbours |= download.hints.insert(peer);
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
                self.dirty.neighbours |= blob.retries.remove(&peer).is_some();
            }
        }
        self.hint(revision, [peer], false, ctx);
    }

    /// A peer can be asked from now on.
    pub(crate) fn connected(&mut self, peer: NodeId, ctx: &mut Context<'_>) {
        if !self.penalties.is_banned(&peer) && !self.peers.contains_key(&peer) {
            self.peers.insert(peer, Peer::default());
            for hash in &self.active {
                if let Some(blob) = self.blobs.get_mut(hash) {
                    blob.retries.remove(&peer);
                }
            }
            self.dirty.neighbours = true;
            self.schedule(ctx);
        }
    }

    /// A peer is gone. Its transfers end by themselves.
    pub(crate) fn disconnected(&mut self, peer: &NodeId, ctx: &mut Context<'_>) {
        self.peers.remove(peer);
        self.forget_neighbour(peer, ctx);
        self.uploads.spread.forget(*peer, ctx.out);
        self.dirty.neighbours = true;
        self.schedule(ctx);
    }

    /// Somebody waits for bytes of a blob.
    pub(crate) fn reading(
        &mut self,
        reader: ReaderId,
        blob: BlobHash,
        bytes: Range<u64>,
        ctx: &mut Context<'_>,
    ) {
        let moved_on = self.readers.put(reader, blob, bytes);
        self.dirty.everybody = true;
        if moved_on && self.active.contains(&blob) {
            return self.schedule(ctx);
        }
        if !self.active.contains(&blob) {
            for download in self.downloads.values_mut() {
                download.hurry(&blob);
            }
        }
        self.dirty.downloads = true;
        self.schedule(ctx);
    }

    /// A reader is done.
    pub(crate) fn reading_ended(&mut self, reader: ReaderId, ctx: &mut Context<'_>) {
        if self.readers.remove(reader) {
            self.rest_unread(ctx);
            self.schedule(ctx);
        }
    }

    /// A peer asks for bytes of a blob that is offered to it.
    pub(crate) fn upload_asked(
        &mut self,
        upload: UploadId,
        peer: NodeId,
        blob: (BlobHash, u64),
        bytes: Range<u64>,
        ctx: &mut Context<'_>,
    ) {
        self.observe_back(peer, &blob.0, ctx);
        let blob = (blob.0, Layout::new(blob.1));
        let (uploads, mut wants) = self.uploads(ctx);
        uploads.asked(upload, peer, blob, bytes, &mut wants);
    }

    /// Bytes of an upload were sent.
    pub(crate) fn upload_progressed(&mut self, upload: UploadId, bytes: u64, ctx: &Context<'_>) {
        self.uploads.progressed(upload, bytes, ctx.now);
    }

    /// An upload is over.
    pub(crate) fn upload_ended(&mut self, upload: UploadId, bytes: u64, ctx: &mut Context<'_>) {
        let (uploads, mut wants) = self.uploads(ctx);
        uploads.ended(upload, bytes, &mut wants);
    }

    fn uploads<'a>(&'a mut self, ctx: &'a mut Context<'_>) -> (&'a mut Uploads, Wants<'a>) {
        let wants = Wants {
            now: ctx.now,
            out: &mut *ctx.out,
            blobs: &self.blobs,
        };
        (&mut self.uploads, wants)
    }

    /// Something became due.
    pub(crate) fn timeout(&mut self, ctx: &mut Context<'_>) {
        if self.next_wake().is_none_or(|wake| wake > ctx.now) {
            return;
        }
        for peer in self.penalties.pardon(ctx.now) {
            ctx.out.push(Output::Pardon { peer });
        }
        for download in self.downloads.values_mut() {
            if download.paused_until.is_some_and(|until| until <= ctx.now) {
                download.paused_until = None;
                self.dirty.everybody = true;
            }
        }
        let (uploads, mut wants) = self.uploads(ctx);
        uploads.timeout(&mut wants);
        self.look_around(ctx);
        self.schedule(ctx);
    }

    /// When to call [`Self::timeout`] at the latest.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.next_wake()
    }

    /// What happened since the last call.
    pub(crate) fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// Whether the relation to a peer has ended for now.
    pub(crate) fn is_banned(&self, peer: &NodeId) -> bool {
        self.penalties.is_banned(peer)
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
            let blob = self.blobs.get(hash).expect("an active blob is known");
            blob.check_invariants();
            let live = self.requests.of_blob(hash).count();
            assert_eq!(
                usize::try_from(blob.live),
                Ok(live),
                "live transfers are counted"
            );
            let (taken, _) = blob.work().expect("an active blob has work");
            let mut asked = crate::piece_set::PieceSet::empty(blob.layout.pieces());
            for (_, transfer) in self.requests.of_blob(hash) {
                assert!(
                    taken.contains_range(transfer.range),
                    "what is asked for is taken"
                );
                let mut twice = (transfer.range.start..transfer.range.end)
                    .filter(|piece| asked.contains(*piece));
                assert!(
                    twice.next().is_none() || blob.may_overlap(),
                    "what is asked for twice is known"
                );
                asked.insert_range(transfer.range);
            }
        }
        for blob in self.blobs.values() {
            assert!(!blob.wanted_by.is_empty(), "a blob is wanted by somebody");
            assert!(blob.neighbours().len() <= limits::NEIGHBOURS_MAX);
        }
        for (id, peer) in self.peers.iter() {
            assert!(!self.penalties.is_banned(id), "a banned peer is not used");
            let moving = self
                .requests
                .live()
                .filter(|(_, transfer)| transfer.peer == *id && !transfer.waits());
            assert_eq!(usize::try_from(peer.moving), Ok(moving.count()));
        }
        self.uploads.check_invariants();
    }
}
