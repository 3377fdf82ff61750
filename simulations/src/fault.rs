//! What goes wrong: crashes, restarts, clocks, partitions. (Full disks are a switch of [`crate::Host`].)

use weft_protocol::swarm::Rates;

use crate::{HostId, World, clock::MILLI, world::Happening};

/// A supervisor restarts a crashed process after this, in milliseconds.
const RESTART_MS: u64 = 5_000;

impl World {
    /// Starts a stopped host.
    pub fn start(&mut self, id: HostId) {
        let now = self.now_at(id);
        let host = self.host_mut(id);
        host.start(now);
        self.count_epoch(id);
        for (blob, have) in &self.host(id).disk.blobs.clone() {
            self.census.came(blob, have);
        }
        self.drain(id);
    }

    /// Kills a host's process.
    pub fn kill(&mut self, id: HostId) {
        for (blob, have) in &self.host(id).disk.blobs.clone() {
            self.census.went(blob, have);
        }
        let peers: Vec<HostId> = self.host(id).connected.iter().copied().collect();
        self.drop_transfers_of(id);
        self.host_mut(id).service = None;
        self.stop_observing(id);
        for peer in peers {
            self.sever(id, peer);
        }
        self.host_mut(id).stop();
        self.count_epoch(id);
        self.dht.lapse(id);
    }

    /// Counts down to a planned crash; true if the process has just died.
    pub(crate) fn crashes_now(&mut self, id: HostId) -> bool {
        let Some(left) = &mut self.host_mut(id).crash_after_writes else {
            return false;
        };
        if *left > 0 {
            *left -= 1;
            return false;
        }
        self.host_mut(id).crash_after_writes = None;
        self.kill(id);
        self.later(RESTART_MS, Happening::Start(id));
        true
    }

    /// Sets how fast a host's line is, from now on.
    pub fn set_speed(&mut self, id: HostId, up: u64, down: u64) {
        let link = &mut self.host_mut(id).link;
        link.up = up;
        link.down = down;
        let (sends, takes) = (link.sends(), link.takes());
        self.flows.set_capacity(id.line(), sends, takes, self.now);
    }

    /// Keeps a host to what its machine set. Nothing else uses a simulated line, so being polite costs nothing.
    pub(crate) fn set_rates(&mut self, id: HostId, rates: &Rates) {
        let rate = |rate: Option<u64>| rate.map_or(f64::INFINITY, |rate| rate as f64);
        let host = self.host_mut(id);
        host.peer_rates = (rate(rates.upload_per_peer), rate(rates.download_per_peer));
        let sends = host.link.sends().min(rate(rates.upload));
        let takes = host.link.takes().min(rate(rates.download));
        self.flows.set_capacity(id.line(), sends, takes, self.now);
    }

    /// Cuts the network in two: these hosts, and all others.
    pub fn divide(&mut self, island: &[HostId]) {
        for host in &mut self.hosts {
            host.island = 0;
        }
        for id in island {
            self.host_mut(*id).island = 1;
        }
        self.divided = true;
        let records: Vec<_> = self.dht.records.clone().into_iter().collect();
        for ((_, key), record) in records {
            self.dht.records.insert((1, key), record);
        }
        for a in island {
            for b in (0..self.hosts.len()).map(HostId) {
                if self.host(b).island == 0 {
                    self.break_transfers_between(*a, b);
                    self.lose_sight(*a, b);
                    if self.host(*a).connected.contains(&b) {
                        self.sever(*a, b);
                    }
                }
            }
        }
    }

    /// Joins the two parts again. Who lost a connection dials again; the DHT's parts melt, newest record first.
    pub fn heal(&mut self, links: &[(HostId, HostId)]) {
        self.divided = false;
        let island: Vec<_> = self
            .dht
            .records
            .keys()
            .copied()
            .filter(|(island, _)| *island == 1)
            .collect();
        let now = self.now().unix;
        for place in island {
            let Some(record) = self.dht.records.remove(&place) else {
                continue;
            };
            let index = |record: &weft_protocol::accept::RepositoryRecord| {
                let verified = record.verify(crate::NETWORK, now);
                verified.ok().map(|(_, _, head)| head.head.index)
            };
            let key = (0, place.1);
            if self.dht.records.get(&key).and_then(index) < index(&record) {
                self.dht.records.insert(key, record);
            }
        }
        for (a, b) in links {
            self.connect(*a, *b);
        }
    }

    /// Seconds since the start, with fractions.
    pub fn seconds(&self) -> f64 {
        self.now as f64 / MILLI as f64 / 1_000.0
    }
}
