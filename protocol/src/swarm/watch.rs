//! The regular look around: who is late, who is too slow to keep, whom to try instead.

use std::{cmp::Reverse, time::Duration};

use super::{Context, News, Swarm, blob::HUNGER, peers::Retry};
use crate::{
    id::{BlobHash, NodeId},
    limits,
    service::{Event, Output, RequestId},
    time::Instant,
};

/// How often to look around while something is on its way.
const TICK: Duration = Duration::from_millis(250);
/// How often while nothing is.
const TICK_IDLE: Duration = Duration::from_secs(1);
/// A peer whose rate is under this part of the median …
const SLOW_PART: u64 = 10;
/// … for this long is dropped.
const SLOW_FOR: Duration = Duration::from_secs(10);
/// A turn at somebody who served us before is waited for this long.
const TURN_MAX: Duration = Duration::from_secs(60);
/// How often a neighbour that brings nothing makes room for another.
const REPLACE_EVERY: Duration = Duration::from_secs(5);
/// A neighbour gets this long to be of use.
pub(super) const PROBATION: Duration = Duration::from_secs(15);

/// How fast bytes arrive: of all peers together, and of one peer like another.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    bytes: u64,
    since: Option<Instant>,
    rate: u64,
    median: Option<u64>,
    /// Transfers that moved at the last look.
    moving: u64,
}

impl Pace {
    /// Books bytes that arrived.
    pub(crate) fn add(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Bytes per second from all peers.
    pub(crate) fn rate(&self) -> u64 {
        self.rate
    }

    /// Bytes per second of the peer in the middle.
    pub(crate) fn median(&self) -> Option<u64> {
        self.median
    }

    /// What one transfer gets while all share our own line.
    fn share(&self) -> u64 {
        self.rate / self.moving.max(1)
    }
}

impl Swarm {
    /// Looks around if it is time to.
    pub(super) fn look_around(&mut self, ctx: &mut Context<'_>) {
        if self.tick.is_none_or(|at| at > ctx.now) {
            return;
        }
        self.tick = None;
        self.measure(ctx.now);
        self.end_late(ctx);
        self.drop_slow(ctx);
        self.replace_worst(ctx);
        self.give_up_beside(ctx.now);
        self.notice_hunger(ctx.now);
        self.dirty.neighbours = true;
        self.dirty.everybody = true;
    }

    /// When to look around next.
    pub(super) fn plan_tick(&mut self, now: Instant) {
        if self.active.is_empty() || (self.peers.is_empty() && self.requests.is_empty()) {
            self.tick = None;
            return;
        }
        let interval = if self.requests.is_empty() {
            TICK_IDLE
        } else {
            TICK
        };
        let at = now + interval;
        self.tick = Some(self.tick.map_or(at, |tick| tick.min(at)));
    }

    fn measure(&mut self, now: Instant) {
        let since = *self.pace.since.get_or_insert(now);
        let millis = u64::try_from(now.since(since).as_millis()).unwrap_or(u64::MAX);
        if millis >= 200 {
            let measured = self.pace.bytes.saturating_mul(1_000) / millis;
            self.pace.rate = self.pace.rate / 2 + measured / 2;
            self.pace.bytes = 0;
            self.pace.since = Some(now);
        }
        let moving = self.requests.live().filter(|(_, t)| !t.waits()).count();
        self.pace.moving = u64::try_from(moving).unwrap_or(u64::MAX);
        let serving = self
            .peers
            .values()
            .filter(|peer| self.is_serving(peer, now));
        let mut rates: Vec<u64> = serving.filter_map(super::Peer::rate).collect();
        rates.sort_unstable();
        self.pace.median = rates.get(rates.len() / 2).copied();
    }

    /// Gives up transfers that are late and keeps their peers off the blob for a while.
    fn end_late(&mut self, ctx: &mut Context<'_>) {
        let late: Vec<(RequestId, NodeId, BlobHash, Option<u64>)> = self
            .requests
            .live()
            .filter(|(_, transfer)| {
                if transfer.waits() && !transfer.is_late(ctx.now, None) {
                    return false;
                }
                let peer = self.peers.get(&transfer.peer);
                let rate = peer.and_then(super::Peer::rate).or(self.pace.median);
                // As slow as everybody is our own line, not the peer.
                let rate = rate.map(|rate| rate.min(self.pace.share()));
                // Who served us before lets us wait for our turn.
                let proven = peer.is_some_and(|peer| peer.bytes_received > 0);
                if transfer.waits() && proven {
                    return ctx.now.since(transfer.started) >= TURN_MAX;
                }
                transfer.is_late(ctx.now, rate)
            })
            .map(|(request, t)| {
                let rate = t.moved.map(|_| t.rate(ctx.now));
                (request, t.peer, t.blob, rate)
            })
            .collect();
        let mut told = Vec::new();
        for (request, peer, blob, rate) in late {
            self.cancel(request, ctx);
            self.put_off(peer, &blob, rate, ctx);
            if !told.contains(&peer) {
                told.push(peer);
                self.penalties.stalled(peer, ctx.now);
                ctx.out.event(Event::PeerStalled { peer });
            }
        }
    }

    /// Drops peers that are far slower than the others for long.
    fn drop_slow(&mut self, ctx: &mut Context<'_>) {
        let Some(median) = self.pace.median else {
            return;
        };
        let mut dropped = Vec::new();
        for (id, peer) in self.peers.iter_mut() {
            let slow = peer.rate().is_some_and(|rate| rate < median / SLOW_PART);
            if !slow {
                peer.slow_since = None;
            } else if ctx.now.since(*peer.slow_since.get_or_insert(ctx.now)) >= SLOW_FOR {
                peer.slow_since = None;
                dropped.push(*id);
            }
        }
        for peer in dropped {
            for hash in self.active.clone() {
                self.drop_neighbour(&peer, &hash, ctx);
            }
        }
    }

    /// Ends an observation and what was asked there; the peer may come back after a long while.
    fn drop_neighbour(&mut self, peer: &NodeId, hash: &BlobHash, ctx: &mut Context<'_>) {
        if self.end_observation(peer, hash, ctx)
            && let Some(blob) = self.blobs.get_mut(hash)
        {
            blob.retries.insert(*peer, Retry::late(ctx.now));
        }
    }

    /// Ends an observation and what was asked there; false if there was none.
    pub(super) fn end_observation(
        &mut self,
        peer: &NodeId,
        hash: &BlobHash,
        ctx: &mut Context<'_>,
    ) -> bool {
        let blob = self.blobs.get_mut(hash);
        if !blob.is_some_and(|blob| blob.remove_neighbour(peer)) {
            return false;
        }
        ctx.out.push(Output::Unobserve {
            peer: *peer,
            blob: *hash,
        });
        let owed: Vec<RequestId> = self
            .requests
            .of_blob(hash)
            .filter(|(_, transfer)| transfer.peer == *peer)
            .map(|(request, _)| request)
            .collect();
        for request in owed {
            self.cancel(request, ctx);
        }
        true
    }

    /// Where all places are taken and others wait for one, the neighbour that brought least goes; while nothing
    /// arrives at all, everybody goes who has nothing for us.
    fn replace_worst(&mut self, ctx: &mut Context<'_>) {
        if self
            .replaced
            .is_some_and(|at| ctx.now.since(at) < REPLACE_EVERY)
        {
            return;
        }
        self.replaced = Some(ctx.now);
        for hash in self.active.clone() {
            let Some(blob) = self.blobs.get(&hash) else {
                continue;
            };
            if blob.neighbours().len() < blob.neighbours_chosen(ctx.now) {
                continue;
            }
            let starves = blob.starves(ctx.now);
            let waiting = self
                .peers
                .keys()
                .filter(|peer| blob.may_observe(peer, ctx.now));
            let most = if starves { limits::NEIGHBOURS_MAX } else { 1 };
            let wanted = waiting.take(most).count();
            let probation = if starves { HUNGER } else { PROBATION };
            let mut useless: Vec<_> = blob
                .neighbours()
                .iter()
                .filter(|(_, neighbour)| ctx.now.since(neighbour.since) >= probation)
                .filter_map(|(id, neighbour)| {
                    let peer = self.peers.get(id)?;
                    let penalty = self.penalties.of(id, ctx.now);
                    // Who fails us will fail again; who has nothing for us may have something later.
                    let fails =
                        (peer.failures > 0 || penalty > 0) && !self.is_serving(peer, ctx.now);
                    let useless = fails || !blob.offers(neighbour);
                    let rank = (fails, penalty, Reverse(peer.delivered));
                    useless.then_some((rank, *id))
                })
                .collect();
            useless.sort_unstable();
            for (_, worst) in useless.into_iter().rev().take(wanted) {
                self.drop_neighbour(&worst, &hash, ctx);
            }
        }
    }

    /// Tells of downloads for which nothing arrives.
    fn notice_hunger(&mut self, now: Instant) {
        for (revision, download) in &mut self.downloads {
            let waits = download.is_open(now) && !download.incomplete.is_empty();
            if waits && download.hungry.strikes(download.progressed, now) {
                self.news.push(News::Starves(*revision));
            }
        }
    }
}
