//! Filling free places: inspections, active blobs, observed peers.

use super::{Context, Dirty, News, Swarm, download, watch::PROBATION};
use crate::{
    id::{BlobHash, NodeId, RevisionId},
    limits,
    piece_set::PieceSet,
    service::{Event, Output},
    time::Instant,
};

impl Swarm {
    /// Whether nothing changed since every free place was used, and no wait can end.
    pub(super) fn is_settled(&self) -> bool {
        let Dirty {
            downloads,
            neighbours,
            everybody,
            peers,
        } = &self.dirty;
        let idle = !downloads && !neighbours && !everybody && peers.is_empty();
        idle && self.tick.is_some() && self.downloads.values().all(|d| d.gathering.is_none())
    }

    /// Uses every free place there is. Called after every change; looks only at what changed.
    pub(super) fn schedule(&mut self, ctx: &mut Context<'_>) {
        if std::mem::take(&mut self.dirty.downloads) {
            self.inspect(ctx);
            self.finish_downloads();
            self.activate(ctx.now);
            self.copy(ctx);
            self.dirty.neighbours = true;
        }
        if std::mem::take(&mut self.dirty.neighbours) {
            self.observe(ctx);
        }
        self.end_gathering(ctx.now);
        self.feed(ctx);
        if self.tick.is_none() {
            self.plan_tick(ctx.now);
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
                    self.dirty.everybody = true;
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
    fn activate(&mut self, now: Instant) {
        let mut moved = true;
        while moved && self.active.len() < limits::BLOBS_ACTIVE_MAX {
            moved = false;
            for download in self.downloads.values_mut() {
                while let Some(hash) = download.next(&self.readers, &self.active) {
                    let Some(blob) = self.blobs.get_mut(&hash) else {
                        if download.partial {
                            break;
                        }
                        continue;
                    };
                    if !self.active.contains(&hash) {
                        blob.activate(now);
                        let plan = download.plans.remove(&hash);
                        blob.copying = plan.map(super::copies::Copying::new);
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
            if blob.neighbours().len() >= self.peers.len() {
                continue;
            }
            let hinted = |wanted_by: &[RevisionId], peer: &NodeId| {
                wanted_by.iter().any(|revision| {
                    self.downloads
                        .get(revision)
                        .is_some_and(|d| d.hints.contains(peer) || d.sources.contains_key(peer))
                })
            };
            let chosen = blob.neighbours_chosen(ctx.now);
            let full = blob.neighbours().len() >= chosen;
            let has_nothing =
                |have: &Option<PieceSet>| have.as_ref().is_some_and(PieceSet::is_empty);
            let mut idle: Vec<NodeId> = blob
                .neighbours()
                .iter()
                .filter(|(_, n)| full && has_nothing(&n.have))
                .filter(|(id, _)| !hinted(&blob.wanted_by, id))
                .map(|(id, _)| *id)
                .collect();
            if full && idle.is_empty() {
                continue;
            }
            let mut candidates: Vec<(bool, u32, u32, NodeId)> = self
                .peers
                .keys()
                .filter(|peer| blob.may_observe(peer, ctx.now))
                .map(|peer| {
                    let unhinted = !hinted(&blob.wanted_by, peer);
                    let penalty = self.penalties.of(peer, ctx.now);
                    (unhinted, penalty, ctx.rng.u32(..), *peer)
                })
                .collect();
            candidates.sort_unstable();
            for (unhinted, _, _, peer) in candidates {
                if blob.neighbours().len() >= chosen {
                    // A peer that is said to have it takes the place of one that has nothing.
                    let Some(idle) = idle.pop().filter(|_| !unhinted) else {
                        break;
                    };
                    blob.remove_neighbour(&idle);
                    ctx.out.push(Output::Unobserve {
                        peer: idle,
                        blob: *hash,
                    });
                }
                blob.add_neighbour(peer, ctx.now);
                ctx.out.push(Output::Observe {
                    peer,
                    blob: *hash,
                    size: blob.layout.size,
                });
            }
        }
    }

    /// Observes a peer that takes from us, if we lack something of the blob too: it should be able to give back.
    pub(super) fn observe_back(&mut self, peer: NodeId, hash: &BlobHash, ctx: &mut Context<'_>) {
        let Some(blob) = self.blobs.get_mut(hash) else {
            return;
        };
        let full = blob.neighbours().len() >= limits::NEIGHBOURS_MAX;
        let known = blob.neighbours().contains_key(&peer) || !self.peers.contains_key(&peer);
        let retry = blob.retries.get(&peer);
        let shunned = blob.liars.contains(&peer) || retry.is_some_and(|retry| retry.at > ctx.now);
        if known || shunned || blob.work().is_none() {
            return;
        }
        if full && !self.make_room(&peer, hash, ctx) {
            return;
        }
        let Some(blob) = self.blobs.get_mut(hash) else {
            return;
        };
        blob.add_neighbour(peer, ctx.now);
        ctx.out.push(Output::Observe {
            peer,
            blob: *hash,
            size: blob.layout.size,
        });
    }

    /// Whoever takes from us and is not observed could never give back, whatever he has, and would fall behind. Where all
    /// places are taken he gets that of somebody who let us wait in vain, or has not taken from us for longest and will not
    /// need it. Who himself let us wait in vain gets none.
    fn make_room(&mut self, taker: &NodeId, hash: &BlobHash, ctx: &mut Context<'_>) -> bool {
        let fails = |id: &NodeId| {
            let failed = self.peers.get(id).is_some_and(|peer| peer.failures > 0);
            failed || self.penalties.of(id, ctx.now) > 0
        };
        let Some(blob) = self.blobs.get(hash).filter(|_| !fails(taker)) else {
            return false;
        };
        let lately = |at: Instant| ctx.now.since(at) < PROBATION;
        let stranger = blob
            .neighbours()
            .iter()
            .filter(|(_, neighbour)| !lately(neighbour.since))
            // Who has everything takes from nobody.
            .filter(|(_, n)| n.have.as_ref().is_some_and(|have| !have.is_full()))
            .map(|(id, _)| (!fails(id), self.uploads.served_at(id), *id))
            .filter(|(sound, served, id)| {
                !sound || !served.is_some_and(lately) && !self.uploads.serves(id)
            })
            .min();
        let Some((_, _, stranger)) = stranger else {
            return false;
        };
        self.end_observation(&stranger, hash, ctx)
    }

    /// Ends the wait of small downloads when nobody else is expected.
    fn end_gathering(&mut self, now: Instant) {
        for download in self.downloads.values_mut() {
            let Some(gathering) = &download.gathering else {
                continue;
            };
            let over = gathering.until <= now || {
                let known = |peer| self.peers.contains_key(peer) || self.penalties.is_banned(peer);
                let answered = |hash: &&BlobHash| {
                    let neighbours = self.blobs.get(*hash).map(super::Blob::neighbours);
                    neighbours.is_none_or(|n| n.values().all(|n| n.have.is_some()))
                };
                let mut blobs = self.active.iter();
                gathering.searched
                    && download.hints.iter().all(known)
                    && blobs.all(|hash| !download.incomplete.contains(hash) || answered(&hash))
            };
            if over {
                download.gathering = None;
                self.dirty.everybody = true;
            }
        }
    }

    /// When something is due although nothing happens.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        let downloads = self.downloads.values().flat_map(|download| {
            let gathering = download.gathering.as_ref().map(|gathering| gathering.until);
            [gathering, download.paused_until]
        });
        let others = [self.tick, self.penalties.next_pardon(), self.uploads.wake()];
        downloads.chain(others).flatten().min()
    }
}
