//! Filling free places: inspections, active blobs, observations, transfers.

use std::{collections::BTreeSet, time::Duration};

use super::{Context, News, Swarm, download, peers::Peer, picker, requests};
use crate::{
    id::{BlobHash, NodeId, RevisionId},
    layout::PieceRange,
    limits,
    piece_set::PieceSet,
    service::{Event, Output},
    time::Instant,
};

/// A transfer should take about this long, so that a peer's end or a faster peer is noticed in time.
const TRANSFER_SECONDS: u64 = 2;
/// Bytes asked of a peer whose rate is unknown.
const TRANSFER_BYTES_START: u64 = 1024 * 1024;
/// Every peer should get about this many turns in what is left, so that none of them serves it all.
const TURNS: u64 = 4;

impl Swarm {
    /// Uses every free place there is. Called after every change.
    pub(super) fn schedule(&mut self, ctx: &mut Context<'_>) {
        self.inspect(ctx);
        self.finish_downloads();
        self.activate();
        self.observe(ctx);
        self.end_gathering(ctx.now);
        while self.assign_round(ctx) {}
        self.end_game(ctx);
        self.wake = self.next_wake(ctx.now);
        #[cfg(debug_assertions)]
        self.check_invariants();
    }

    /// Cancels transfers that stopped moving and keeps their peers off the blob for a while.
    pub(super) fn end_stalled(&mut self, ctx: &mut Context<'_>) {
        let stalled = self.requests.matching(|t| t.stalls_at() <= ctx.now);
        let mut peers = BTreeSet::new();
        for request in stalled {
            let Some(transfer) = self.requests.get_mut(request) else {
                continue;
            };
            transfer.cancelled = true;
            let (peer, blob) = (transfer.peer, transfer.blob);
            ctx.out.push(Output::CancelPieces { request });
            self.put_off(peer, &blob, ctx);
            if peers.insert(peer) {
                ctx.out.event(Event::PeerStalled { peer });
            }
        }
    }

    /// Looks into the blob store, a bounded number of blobs at a time.
    fn inspect(&mut self, ctx: &mut Context<'_>) {
        for (revision, download) in &mut self.downloads {
            if !download.inspecting.is_empty() {
                continue;
            }
            let mut asked = Vec::new();
            while asked.len() < limits::BLOBS_PER_INSPECTION_MAX {
                let Some((hash, size)) = download.uninspected.pop_front() else {
                    break;
                };
                if let Some(blob) = self.blobs.get_mut(&hash) {
                    blob.wanted_by.push(*revision);
                    if blob.have.is_some() {
                        let bytes = blob.bytes_have();
                        download.bytes_done = download.bytes_done.saturating_add(bytes);
                        download.bytes_reused = download.bytes_reused.saturating_add(bytes);
                        download.incomplete.insert(hash);
                        download.waiting.push_back(hash);
                        continue;
                    }
                } else {
                    self.blobs.insert(hash, Self::new_blob(size, *revision));
                }
                download.inspecting.insert(hash);
                asked.push((hash, size));
            }
            if !asked.is_empty() {
                let request = ctx.out.request_id();
                let hashes = asked.iter().map(|(hash, _)| *hash).collect();
                self.inspections.insert(request, hashes);
                ctx.out.push(Output::InspectBlobs {
                    request,
                    blobs: asked,
                });
            } else if !download.announced && download.is_inspected() {
                download.announced = true;
                if download.bytes_missing() >= download::GATHER_BYTES_MAX {
                    download.gathering = None;
                }
                ctx.out.event(Event::DownloadStarted {
                    revision: *revision,
                    bytes_total: download.bytes_total,
                    bytes_have: download.bytes_done,
                });
            }
        }
    }

    fn finish_downloads(&mut self) {
        for (revision, download) in &self.downloads {
            let told = News::Complete(*revision);
            if download.is_complete() && !self.news.contains(&told) {
                self.news.push(told);
            }
        }
    }

    /// Fills the window of active blobs, one from each download in turn.
    fn activate(&mut self) {
        let mut moved = true;
        while moved && self.active.len() < limits::BLOBS_ACTIVE_MAX {
            moved = false;
            for download in self.downloads.values_mut() {
                while let Some(hash) = download.waiting.pop_front() {
                    if self.blobs.contains_key(&hash) && !self.active.contains(&hash) {
                        self.active.push(hash);
                        moved = true;
                        break;
                    }
                }
                if self.active.len() >= limits::BLOBS_ACTIVE_MAX {
                    return;
                }
            }
        }
    }

    /// Observes every active blob at every useful peer, hinted ones first.
    fn observe(&mut self, ctx: &mut Context<'_>) {
        for hash in &self.active {
            let Some(blob) = self.blobs.get_mut(hash) else {
                continue;
            };
            let hinted = |peer: &NodeId| {
                blob.wanted_by.iter().any(|revision| {
                    self.downloads
                        .get(revision)
                        .is_some_and(|d| d.hints.contains(peer) || d.sources.contains_key(peer))
                })
            };
            let mut candidates: Vec<(bool, u32, NodeId)> = self
                .peers
                .keys()
                .filter(|peer| !blob.available.contains_key(*peer))
                .filter(|peer| blob.retries.get(*peer).is_none_or(|r| r.at <= ctx.now))
                .map(|peer| (!hinted(peer), ctx.rng.u32(..), *peer))
                .collect();
            candidates.sort_unstable();
            for (unhinted, _, peer) in candidates {
                if blob.available.len() >= limits::NEIGHBOURS_MAX {
                    // A peer that is said to have it takes the place of one that has nothing.
                    let idle = blob
                        .available
                        .iter()
                        .find(|(_, have)| have.as_ref().is_some_and(PieceSet::is_empty))
                        .map(|(peer, _)| *peer);
                    match idle {
                        Some(idle) if !unhinted => {
                            blob.remove_available(&idle);
                            ctx.out.push(Output::Unobserve {
                                peer: idle,
                                blob: *hash,
                            });
                        }
                        _ => break,
                    }
                }
                blob.available.insert(peer, None);
                ctx.out.push(Output::Observe {
                    peer,
                    blob: *hash,
                    size: blob.layout.size,
                });
            }
        }
    }

    /// Ends the wait of small downloads when nobody else is expected.
    fn end_gathering(&mut self, now: Instant) {
        for download in self.downloads.values_mut() {
            let Some(gathering) = &download.gathering else {
                continue;
            };
            let expected = download
                .hints
                .iter()
                .all(|peer| self.peers.contains_key(peer) || self.banned.contains(peer));
            let answered = self
                .active
                .iter()
                .filter(|hash| download.incomplete.contains(*hash))
                .filter_map(|hash| self.blobs.get(hash))
                .all(|blob| blob.available.values().all(Option::is_some));
            if gathering.until <= now || (gathering.searched && expected && answered) {
                download.gathering = None;
            }
        }
    }

    /// Gives each peer at most one more transfer; false when nobody got one.
    fn assign_round(&mut self, ctx: &mut Context<'_>) -> bool {
        let mut peers: Vec<NodeId> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.has_slot())
            .map(|(id, _)| *id)
            .collect();
        if peers.is_empty() || self.active.is_empty() {
            return false;
        }
        ctx.rng.shuffle(&mut peers);
        peers.sort_by_key(|peer| self.peers.get(peer).map_or(0, |peer| peer.in_flight));
        let mut any = false;
        for peer in peers {
            any |= self.assign(peer, ctx);
        }
        any
    }

    /// Gives a peer one transfer out of the first active blob of which it has something to offer.
    fn assign(&mut self, id: NodeId, ctx: &mut Context<'_>) -> bool {
        if self.requests.len() >= limits::TRANSFERS_MAX {
            return false;
        }
        for hash in self.active.clone() {
            let Some(candidates) = self.candidates(&id, &hash, ctx.now) else {
                continue;
            };
            let assigned = self
                .blobs
                .get(&hash)
                .map(|blob| self.requests.assigned(&hash, blob.layout.pieces()));
            let Some(assigned) = assigned else { continue };
            let open = candidates.difference(&assigned);
            if open.is_empty() {
                continue;
            }
            let run_bytes = self.run_bytes(&id);
            let Some(blob) = self.blobs.get(&hash) else {
                continue;
            };
            let run_max = u32::try_from(run_bytes / blob.layout.piece_len).unwrap_or(u32::MAX);
            if let Some(range) = picker::pick(&open, blob.counts(), run_max, ctx.rng) {
                self.request(id, hash, range, ctx);
                return true;
            }
        }
        false
    }

    /// What may be asked of a peer in one blob now, assigned pieces included.
    pub(super) fn candidates(
        &self,
        peer: &NodeId,
        hash: &BlobHash,
        now: Instant,
    ) -> Option<PieceSet> {
        let blob = self.blobs.get(hash)?;
        let open = |revision: &RevisionId| {
            self.downloads
                .get(revision)
                .is_some_and(|download| download.is_open(now))
        };
        let waits = blob.retries.get(peer).is_some_and(|retry| retry.at > now);
        let full = self.requests.of_blob(hash).count() >= limits::TRANSFERS_PER_BLOB_MAX;
        if waits || full || !blob.wanted_by.iter().any(open) {
            return None;
        }
        blob.useful(peer).filter(|useful| !useful.is_empty())
    }

    /// How many bytes to ask of a peer in one go: small when little is left for many peers, and never more
    /// than the peer delivers in a short time.
    fn run_bytes(&self, peer: &NodeId) -> u64 {
        let mut open = 0_u64;
        let mut suppliers = BTreeSet::new();
        for hash in &self.active {
            let Some(blob) = self.blobs.get(hash) else {
                continue;
            };
            let assigned = self.requests.assigned(hash, blob.layout.pieces());
            let missing = blob.missing().difference(&assigned);
            let bytes: u64 = missing.runs().map(|run| blob.layout.len(run)).sum();
            open = open.saturating_add(bytes);
            suppliers.extend(
                blob.available
                    .iter()
                    .filter(|(_, have)| have.is_some())
                    .map(|(p, _)| *p),
            );
        }
        let suppliers = u64::try_from(suppliers.len()).unwrap_or(u64::MAX).max(1);
        let share = open / suppliers.saturating_mul(TURNS);
        let pace = self
            .peers
            .get(peer)
            .and_then(Peer::rate)
            .map_or(TRANSFER_BYTES_START, |rate| {
                rate.saturating_mul(TRANSFER_SECONDS)
            });
        share.min(pace).min(limits::TRANSFER_BYTES_MAX)
    }

    pub(super) fn request(
        &mut self,
        peer: NodeId,
        blob: BlobHash,
        pieces: PieceRange,
        ctx: &mut Context<'_>,
    ) {
        let (Some(state), Some(source)) = (self.blobs.get(&blob), self.peers.get_mut(&peer)) else {
            return;
        };
        let bytes = state.layout.len(pieces);
        let transfer = requests::Transfer::new(ctx.now, peer, blob, pieces, bytes, source.rate());
        source.in_flight += 1;
        let request = ctx.out.request_id();
        self.requests.insert(request, transfer);
        ctx.out.push(Output::FetchPieces {
            request,
            peer,
            blob,
            size: state.layout.size,
            pieces,
        });
    }

    /// The next moment at which something is due although nothing happens.
    fn next_wake(&self, now: Instant) -> Option<Instant> {
        let stalls = || self.requests.iter().filter(|(_, t)| !t.cancelled);
        let mut wake: Option<Instant> = stalls().map(|(_, t)| t.stalls_at()).min();
        let mut consider = |at: Instant| {
            if at > now {
                wake = Some(wake.map_or(at, |wake| wake.min(at)));
            }
        };
        for download in self.downloads.values() {
            download.gathering.iter().for_each(|g| consider(g.until));
            download.paused_until.into_iter().for_each(&mut consider);
        }
        for hash in &self.active {
            for retry in self
                .blobs
                .get(hash)
                .into_iter()
                .flat_map(|b| b.retries.values())
            {
                consider(retry.at);
            }
        }
        // While somebody idles and somebody works, the end-game may become due.
        if self.peers.values().any(|peer| peer.in_flight == 0) && stalls().count() > 0 {
            consider(now + ENDGAME_CHECK);
        }
        wake
    }
}

/// How often slow transfers are looked for while a peer idles.
const ENDGAME_CHECK: Duration = requests::ENDGAME_AFTER;
