//! Watching what a host has of a blob.
//!
//! As in the node, a watcher hears the first state at once and changes at most four times a second. What a watcher has
//! already is no news to it: it waits until something comes that is, or until it is a second old. What is told goes by
//! mail ([`crate::mail`]).

use weft_protocol::{
    id::{BlobHash, NodeId},
    service::Input,
};

use crate::{HostId, World, clock::MILLI, outline::Rows, world::Happening};

/// Least time between two reports on one blob, in milliseconds; the node's.
const REPORT_MS: u64 = 250;
/// What is no news to a watcher is kept back for so long, in milliseconds.
const KEEP_MS: u64 = 1_000;

/// Who watches one blob of a host.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    watchers: Vec<Watcher>,
    /// When they were last told.
    told_at: u64,
    /// When the next report is planned.
    planned: Option<u64>,
    /// Pieces that came since the process began, in the order in which they came.
    pub(crate) log: Vec<u32>,
}

/// One who watches.
#[derive(Debug, Clone, Copy)]
struct Watcher {
    host: HostId,
    /// What of the log it was told; `None` until it was told the first state.
    told: Option<u32>,
    /// Since when something is kept back.
    kept_since: Option<u64>,
}

impl Watched {
    fn end(&self) -> u32 {
        u32::try_from(self.log.len()).unwrap_or(u32::MAX)
    }

    /// Forgets a watcher; false if it was none.
    fn forget(&mut self, host: HostId) -> bool {
        let before = self.watchers.len();
        self.watchers.retain(|watcher| watcher.host != host);
        self.watchers.len() < before
    }

    /// Pieces that came between two places of the log.
    pub(crate) fn news(&self, from: u32, to: u32) -> &[u32] {
        self.log.get(from as usize..to as usize).unwrap_or(&[])
    }
}

impl World {
    pub(crate) fn observe(&mut self, id: HostId, peer: &NodeId, blob: BlobHash, size: u64) {
        let near = self.find(peer).filter(|other| self.reaches(id, *other));
        let provider = near.filter(|other| self.host(*other).is_up());
        let serving = provider.filter(|other| self.host(*other).offered.contains(&blob));
        let Some(provider) = serving else {
            let input = Input::AvailabilityLost { peer: *peer, blob };
            return self.input_later(30, id, input);
        };
        let epoch = self.host(provider).epoch;
        let watched = self.host_mut(provider).watched.entry(blob).or_default();
        watched.forget(id);
        watched.watchers.push(Watcher {
            host: id,
            told: None,
            kept_since: None,
        });
        let question = Happening::Watched {
            host: provider,
            epoch,
            watcher: id,
            blob: Box::new((blob, size)),
        };
        self.later(self.latency(provider, id), question);
    }

    /// The question of a watcher arrived.
    pub(crate) fn watched(
        &mut self,
        id: HostId,
        epoch: u64,
        watcher: HostId,
        (blob, size): (BlobHash, u64),
    ) {
        let host = self.host_mut(id);
        let current = host.epoch == epoch;
        let watched = host.watched.get_mut(&blob).filter(|_| current);
        let Some(watched) = watched else { return };
        let end = watched.end();
        let waits = |other: &&mut Watcher| other.host == watcher && other.told.is_none();
        let Some(asked) = watched.watchers.iter_mut().find(waits) else {
            return;
        };
        asked.told = Some(end);
        let have = host.disk.have(&blob, size);
        let have = host.behaviour.claims(have);
        let peer = host.node;
        let after = self.latency(id, watcher);
        self.input_later(after, watcher, Input::Availability { peer, blob, have });
    }

    pub(crate) fn unobserve(&mut self, id: HostId, peer: &NodeId, blob: &BlobHash) {
        if let Some(provider) = self.find(peer)
            && let Some(watched) = self.host_mut(provider).watched.get_mut(blob)
        {
            watched.forget(id);
        }
    }

    /// A host has one more piece of a blob.
    pub(crate) fn has_more(&mut self, id: HostId, blob: BlobHash, piece: u32) {
        let now = self.now;
        let host = self.host_mut(id);
        let epoch = host.epoch;
        let tells = host.behaviour.tells_news();
        let watched = host.watched.get_mut(&blob).filter(|_| tells);
        let Some(watched) = watched.filter(|watched| !watched.watchers.is_empty()) else {
            return;
        };
        watched.log.push(piece);
        let due = (watched.told_at + REPORT_MS * MILLI).max(now);
        if watched.planned.is_none_or(|planned| planned > due) {
            watched.planned = Some(due);
            self.plan_report(due, id, epoch, blob);
        }
    }

    fn plan_report(&mut self, at: u64, host: HostId, epoch: u64, blob: BlobHash) {
        let blob = Box::new(blob);
        self.at(at, Happening::Report { host, epoch, blob });
    }

    pub(crate) fn report(&mut self, id: HostId, epoch: u64, blob: BlobHash) {
        let now = self.now;
        let host = self.host_mut(id);
        if host.epoch != epoch {
            return;
        }
        let Some(watched) = host.watched.get_mut(&blob) else {
            return;
        };
        if watched.planned != Some(now) {
            return;
        }
        watched.planned = None;
        watched.told_at = now;
        let mut watched = std::mem::take(watched);
        let end = watched.end();
        let mut keeps = false;
        for at in 0..watched.watchers.len() {
            let Some(watcher) = watched.watchers.get(at).copied() else {
                break;
            };
            let Some(from) = watcher.told.filter(|from| *from < end) else {
                continue;
            };
            let since = watcher.kept_since.unwrap_or(now);
            let old = now >= since + KEEP_MS * MILLI;
            let news = watched.news(from, end);
            let lacks = |rows: &Rows| rows.lacks(watcher.host, news);
            let tell = old || self.holdings.of(&blob).is_none_or(lacks);
            keeps |= !tell;
            if tell {
                self.mail(id, watcher.host, blob, news);
            }
            if let Some(watcher) = watched.watchers.get_mut(at) {
                watcher.told = Some(if tell { end } else { from });
                watcher.kept_since = (!tell).then_some(since);
            }
        }
        if keeps {
            let due = now + KEEP_MS * MILLI;
            watched.planned = Some(due);
            self.plan_report(due, id, epoch, blob);
        }
        self.host_mut(id).watched.insert(blob, watched);
    }

    /// A host's process is gone: whoever watched it notices, and it watches nobody.
    pub(crate) fn stop_observing(&mut self, dead: HostId) {
        let peer = self.host(dead).node;
        let watched = std::mem::take(&mut self.host_mut(dead).watched);
        for (blob, watched) in watched {
            for watcher in watched.watchers {
                self.input_later(20, watcher.host, Input::AvailabilityLost { peer, blob });
            }
        }
        for host in &mut self.hosts {
            for watched in host.watched.values_mut() {
                watched.forget(dead);
            }
        }
    }

    /// Two hosts lost sight of each other.
    pub(crate) fn lose_sight(&mut self, a: HostId, b: HostId) {
        for (watcher, provider) in [(a, b), (b, a)] {
            let peer = self.host(provider).node;
            let mut lost = Vec::new();
            for (blob, watched) in &mut self.host_mut(provider).watched {
                if watched.forget(watcher) {
                    lost.push(*blob);
                }
            }
            for blob in lost {
                self.input_later(20, watcher, Input::AvailabilityLost { peer, blob });
            }
        }
    }
}
