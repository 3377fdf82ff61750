//! Watching what a host has of a blob.
//!
//! As in the node, a watcher hears the first state at once and changes at most four times a second. Everybody
//! who watches one blob of one host shares one copy of what is told.

use std::rc::Rc;

use weft_protocol::{
    id::{BlobHash, NodeId},
    layout::PieceRange,
    piece_set::PieceSet,
    service::Input,
};

use crate::{HostId, World, clock::MILLI, world::Happening};

/// Least time between two reports on one blob, in milliseconds; the node's.
const REPORT_MS: u64 = 250;

/// Who watches one blob of a host.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    watchers: Vec<HostId>,
    /// When they were last told.
    told_at: u64,
    /// Whether the next report is planned.
    planned: bool,
    /// What came since they were told.
    news: Vec<PieceRange>,
}

/// What a watcher is about to hear.
#[derive(Debug)]
pub(crate) struct Sighting {
    watcher: HostId,
    epoch: u64,
    provider: HostId,
    blob: BlobHash,
    what: What,
}

/// All that a host has of a blob, or what it has besides what it told before.
#[derive(Debug, Clone)]
enum What {
    All(Rc<PieceSet>),
    More(Rc<[PieceRange]>),
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
        let watched = self.host_mut(provider).watched.entry(blob).or_default();
        if !watched.watchers.contains(&id) {
            watched.watchers.push(id);
        }
        let host = self.host(provider);
        let have = host.behaviour.claims(host.disk.have(&blob, size));
        // The question and its answer.
        let after = self.latency(provider, id) * 2;
        self.sight(after, provider, id, blob, What::All(Rc::new(have)));
    }

    pub(crate) fn unobserve(&mut self, id: HostId, peer: &NodeId, blob: &BlobHash) {
        if let Some(provider) = self.find(peer)
            && let Some(watched) = self.host_mut(provider).watched.get_mut(blob)
        {
            watched.watchers.retain(|watcher| *watcher != id);
        }
    }

    /// A host has more of a blob than before.
    pub(crate) fn has_more(&mut self, id: HostId, blob: BlobHash, pieces: PieceRange) {
        let now = self.now;
        let host = self.host_mut(id);
        let epoch = host.epoch;
        let Some(watched) = host.watched.get_mut(&blob) else {
            return;
        };
        if watched.watchers.is_empty() {
            return;
        }
        watched.news.push(pieces);
        if watched.planned {
            return;
        }
        watched.planned = true;
        let due = (watched.told_at + REPORT_MS * MILLI).saturating_sub(now);
        let report = Happening::Report {
            host: id,
            epoch,
            blob,
        };
        self.later(due.div_ceil(MILLI), report);
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
        watched.planned = false;
        watched.told_at = now;
        let watchers = watched.watchers.clone();
        let news: Rc<[PieceRange]> = std::mem::take(&mut watched.news).into();
        if !host.behaviour.tells_news() {
            return;
        }
        for watcher in watchers {
            let after = self.latency(id, watcher);
            self.sight(after, id, watcher, blob, What::More(Rc::clone(&news)));
        }
    }

    pub(crate) fn seen(&mut self, sighting: Sighting) {
        let Sighting {
            watcher,
            epoch,
            provider,
            blob,
            what,
        } = sighting;
        if self.host(watcher).epoch != epoch || !self.reaches(watcher, provider) {
            return;
        }
        let peer = self.host(provider).node;
        match what {
            What::All(have) => {
                let have = PieceSet::clone(&have);
                self.input(watcher, Input::Availability { peer, blob, have });
            }
            What::More(news) => {
                for pieces in news.iter().copied() {
                    self.input(watcher, Input::AvailabilityGained { peer, blob, pieces });
                }
            }
        }
    }

    /// A host's process is gone: whoever watched it notices, and it watches nobody.
    pub(crate) fn stop_observing(&mut self, dead: HostId) {
        let peer = self.host(dead).node;
        let watched = std::mem::take(&mut self.host_mut(dead).watched);
        for (blob, watched) in watched {
            for watcher in watched.watchers {
                self.input_later(20, watcher, Input::AvailabilityLost { peer, blob });
            }
        }
        for host in &mut self.hosts {
            for watched in host.watched.values_mut() {
                watched.watchers.retain(|watcher| *watcher != dead);
            }
        }
    }

    /// Two hosts lost sight of each other.
    pub(crate) fn lose_sight(&mut self, a: HostId, b: HostId) {
        for (watcher, provider) in [(a, b), (b, a)] {
            let peer = self.host(provider).node;
            let mut lost = Vec::new();
            for (blob, watched) in &mut self.host_mut(provider).watched {
                if watched.watchers.contains(&watcher) {
                    watched.watchers.retain(|other| *other != watcher);
                    lost.push(*blob);
                }
            }
            for blob in lost {
                self.input_later(20, watcher, Input::AvailabilityLost { peer, blob });
            }
        }
    }

    fn sight(
        &mut self,
        after_ms: u64,
        provider: HostId,
        watcher: HostId,
        blob: BlobHash,
        what: What,
    ) {
        let epoch = self.host(watcher).epoch;
        let sighting = Sighting {
            watcher,
            epoch,
            provider,
            blob,
            what,
        };
        self.later(after_ms, Happening::Seen(Box::new(sighting)));
    }
}
