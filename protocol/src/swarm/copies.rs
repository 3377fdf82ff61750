//! Taking bytes from blobs that are here before anybody is asked for them.
//!
//! For each download the driver plans what can be copied. Of a blob with a plan the groups beside the copies are fetched
//! first, because the hashes that prove the copies come with them; then the driver copies; then what is missing is
//! fetched like any other piece. None of it can end a download: what cannot be proven is left to the network.

use std::{collections::BTreeSet, time::Duration};

use super::{Blob, Context, Swarm, requests::Transfer};
use crate::{
    id::{BlobHash, NodeId, RevisionId},
    layout::PieceRange,
    piece_set::PieceSet,
    service::{CopyPlan, Output, RequestId},
    time::Instant,
};

/// How often groups beside copies are asked for in vain before the copies go without.
const TRIES_MAX: u32 = 4;
/// How long somebody is waited for who has these groups, while others have other pieces.
const PATIENCE: Duration = Duration::from_secs(5);
/// A request that waits for this long where others are served first is made of a peer that is likelier to answer …
const TAKE_OVER_AFTER: Duration = Duration::from_secs(1);
/// … or, after this long, of any other.
const TAKE_OVER_ANYHOW: Duration = Duration::from_secs(5);

/// How far the copies into a blob are.
#[derive(Debug)]
pub(crate) enum Copying {
    /// Groups beside them are fetched first.
    Beside(Beside),
    /// The driver is at it.
    Running(RequestId),
}

/// Groups to fetch before anything can be copied.
#[derive(Debug)]
pub(crate) struct Beside {
    /// The pieces in which they lie.
    pieces: PieceSet,
    bytes: u64,
    /// What somebody is asked for: one after the other, for there is little to ask for.
    asked: Option<(RequestId, PieceSet)>,
    /// Peers that let it wait: going back and forth between them brings nothing.
    passed: BTreeSet<NodeId>,
    failures: u32,
    /// Since when nobody at hand has them.
    waits_since: Option<Instant>,
}

impl Copying {
    pub(super) fn new(plan: CopyPlan) -> Self {
        Self::Beside(Beside {
            pieces: plan.beside,
            bytes: plan.bytes_beside,
            asked: None,
            passed: BTreeSet::new(),
            failures: 0,
            waits_since: None,
        })
    }
}

impl Blob {
    /// Whether the driver copies into it now.
    pub(super) fn is_being_copied(&self) -> bool {
        matches!(self.copying, Some(Copying::Running(_)))
    }

    fn beside(&mut self) -> Option<&mut Beside> {
        match &mut self.copying {
            Some(Copying::Beside(beside)) => Some(beside),
            Some(Copying::Running(_)) | None => None,
        }
    }
}

impl Swarm {
    /// Asks what of a new download can be copied.
    pub(super) fn plan_copies(
        &mut self,
        revision: RevisionId,
        relatives: Vec<RevisionId>,
        ctx: &mut Context<'_>,
    ) {
        let download = self.downloads.get_mut(&revision);
        let Some(download) = download.filter(|_| !relatives.is_empty()) else {
            return;
        };
        download.is_planning = true;
        let request = ctx.out.request_id();
        self.plans.insert(request, revision);
        ctx.out.push(Output::PlanCopies {
            request,
            revision,
            relatives,
        });
    }

    /// The driver knows what can be copied.
    pub(crate) fn copies_planned(
        &mut self,
        request: RequestId,
        plans: Vec<CopyPlan>,
        ctx: &mut Context<'_>,
    ) {
        let revision = self.plans.remove(&request);
        let download = revision.and_then(|revision| self.downloads.get_mut(&revision));
        let Some(download) = download else {
            return;
        };
        download.is_planning = false;
        for plan in plans {
            let Some(blob) = self.blobs.get_mut(&plan.blob) else {
                download.plans.insert(plan.blob, plan);
                continue;
            };
            if blob.work().is_none() {
                download.plans.insert(plan.blob, plan);
            } else if blob.live == 0 && blob.copying.is_none() {
                blob.copying = Some(Copying::new(plan));
            }
        }
        self.dirty.downloads = true;
        self.dirty.everybody = true;
        self.schedule(ctx);
    }

    /// Lets the driver copy where nothing is to be fetched before.
    pub(super) fn copy(&mut self, ctx: &mut Context<'_>) {
        for hash in &self.active {
            let Some(blob) = self.blobs.get_mut(hash) else {
                continue;
            };
            let is_ready =
                |beside: &&mut Beside| beside.pieces.is_empty() && beside.asked.is_none();
            if blob.beside().filter(is_ready).is_none() {
                continue;
            }
            let request = ctx.out.request_id();
            blob.copying = Some(Copying::Running(request));
            self.copies.insert(request, *hash);
            ctx.out.push(Output::CopyBlob {
                request,
                blob: *hash,
                size: blob.layout.size,
            });
        }
    }

    /// Asks a peer for what it has of the groups beside copies; false if that is nothing or somebody is asked.
    pub(super) fn ask_beside(
        &mut self,
        id: &NodeId,
        hash: &BlobHash,
        ctx: &mut Context<'_>,
    ) -> bool {
        let Some(blob) = self.blobs.get(hash) else {
            return false;
        };
        let (Some(Copying::Beside(beside)), Some(have)) = (
            &blob.copying,
            blob.neighbours().get(id).and_then(|n| n.have.as_ref()),
        ) else {
            return false;
        };
        let pieces = beside.pieces.intersection(have);
        if pieces.is_empty() || !self.may_ask(id, blob, ctx.now) {
            return false;
        }
        let mut passed = None;
        if let Some((asked, _)) = beside.asked {
            if !self.may_take_beside(id, asked, &beside.passed, ctx.now) {
                return false;
            }
            passed = self.requests.get(asked).map(|transfer| transfer.peer);
            self.cancel(asked, ctx);
        }
        let (Some(blob), Some(peer)) = (self.blobs.get_mut(hash), self.peers.get_mut(id)) else {
            return false;
        };
        let all = PieceRange {
            start: 0,
            end: blob.layout.pieces(),
        };
        // No piece is open while this is on its way.
        blob.begin(all);
        let size = blob.layout.size;
        let Some(beside) = blob.beside() else {
            return false;
        };
        let request = ctx.out.request_id();
        beside.asked = Some((request, pieces.clone()));
        beside.passed.extend(passed);
        beside.waits_since = None;
        peer.asked_for(beside.bytes);
        let mut transfer = Transfer::new(ctx.now, *id, *hash, all, beside.bytes);
        transfer.is_beside = true;
        self.requests.insert(request, transfer);
        ctx.out.push(Output::FetchBeside {
            request,
            peer: *id,
            blob: *hash,
            size,
            pieces,
        });
        true
    }

    /// Whether a request for groups beside copies waits where a better source is at hand.
    fn may_take_beside(
        &self,
        id: &NodeId,
        asked: RequestId,
        passed: &BTreeSet<NodeId>,
        now: Instant,
    ) -> bool {
        let transfer = self.requests.get(asked);
        let Some(transfer) = transfer.filter(|t| t.waits() && t.peer != *id && !t.cancelled) else {
            return false;
        };
        let standing = |id| self.peers.get(id).map(|peer| peer.standing(now));
        let waited = now.since(transfer.started);
        let is_better = !passed.contains(id) && standing(id) > standing(&transfer.peer);
        waited >= TAKE_OVER_ANYHOW || is_better && waited >= TAKE_OVER_AFTER
    }

    /// A peer was asked for groups beside copies, and that ended.
    pub(super) fn beside_ended(
        &mut self,
        request: RequestId,
        transfer: &Transfer,
        succeeded: bool,
    ) {
        let Some(blob) = self.blobs.get_mut(&transfer.blob) else {
            return;
        };
        let Some(beside) = blob.beside() else {
            return;
        };
        let Some((asked, brought)) = beside.asked.take() else {
            return;
        };
        if asked != request {
            // Somebody else was asked meanwhile.
            beside.asked = Some((asked, brought));
        } else if succeeded {
            beside.pieces = beside.pieces.difference(&brought);
        } else {
            beside.failures += 1;
        }
        if beside.failures >= TRIES_MAX {
            beside.pieces = PieceSet::empty(beside.pieces.pieces());
        }
        self.dirty.downloads = true;
        self.dirty.everybody = true;
    }

    /// Lets copies go without what nobody has, if there is other work that waits for them.
    pub(super) fn give_up_beside(&mut self, now: Instant) {
        for hash in &self.active {
            let Some(blob) = self.blobs.get_mut(hash) else {
                continue;
            };
            let is_useful = blob.neighbours().values().any(|neighbour| {
                let have = neighbour.have.as_ref();
                have.is_some_and(|have| blob.have.as_ref().is_none_or(|ours| have.exceeds(ours)))
            });
            let Some(beside) = blob.beside().filter(|b| is_useful && b.asked.is_none()) else {
                continue;
            };
            if now.since(*beside.waits_since.get_or_insert(now)) >= PATIENCE {
                beside.pieces = PieceSet::empty(beside.pieces.pieces());
                self.dirty.downloads = true;
            }
        }
    }

    /// Bytes were copied.
    pub(crate) fn copy_progressed(&mut self, request: RequestId, bytes: u64, now: Instant) {
        let blob = self.copies.get(&request).and_then(|h| self.blobs.get(h));
        for revision in blob.into_iter().flat_map(|blob| &blob.wanted_by) {
            if let Some(download) = self.downloads.get_mut(revision) {
                download.bytes_reused = download.bytes_reused.saturating_add(bytes);
                download.progressed = now;
            }
        }
    }

    /// Nothing is left to be copied into a blob.
    pub(crate) fn copy_ended(
        &mut self,
        request: RequestId,
        have: &PieceSet,
        ctx: &mut Context<'_>,
    ) {
        let Some(hash) = self.copies.remove(&request) else {
            return;
        };
        let Some(blob) = self.blobs.get_mut(&hash) else {
            return;
        };
        blob.copying = None;
        let before = blob.bytes_have();
        blob.insert(&have.resized(blob.layout.pieces()));
        let gained = blob.bytes_have() - before;
        for revision in &blob.wanted_by {
            if let Some(download) = self.downloads.get_mut(revision) {
                download.bytes_done = download.bytes_done.saturating_add(gained);
            }
        }
        self.finish_if_full(&hash, ctx);
        self.dirty.downloads = true;
        self.dirty.everybody = true;
        self.schedule(ctx);
    }

    /// Nobody wants a blob any more: neither are copies into it.
    pub(super) fn end_copy(&mut self, blob: &Blob, ctx: &mut Context<'_>) {
        if let Some(Copying::Running(request)) = blob.copying
            && self.copies.remove(&request).is_some()
        {
            ctx.out.push(Output::CancelPieces { request });
        }
    }
}
