//! An idealised DHT: it finds what is in it, a sample of it at a time, and each island has its own.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use weft_protocol::{
    accept::RepositoryRecord,
    id::NodeId,
    service::{DhtKey, Input, RequestId},
};

use crate::{HostId, World, rng};

/// A node knows its way around the DHT this long after it met its first peer, in milliseconds.
const READY_MS: u64 = 700;
/// Providers in one answer: what the closest nodes of a real query name together.
const ANSWER_MAX: usize = 20;

/// What is stored.
#[derive(Debug)]
pub(crate) struct Dht {
    /// Records by island; everything is on island 0 while the world is not divided.
    pub(crate) records: BTreeMap<(u8, DhtKey), RepositoryRecord>,
    providers: BTreeMap<DhtKey, Providers>,
    rng: Rng,
}

/// Who provides one key. The list is there to be drawn from.
#[derive(Debug, Default)]
struct Providers {
    list: Vec<HostId>,
    set: BTreeSet<HostId>,
}

impl Providers {
    fn remove(&mut self, id: HostId) {
        if self.set.remove(&id) {
            self.list.retain(|other| *other != id);
        }
    }
}

impl Dht {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            records: BTreeMap::new(),
            providers: BTreeMap::new(),
            rng: rng::stream(seed, "dht"),
        }
    }

    pub(crate) fn provide(&mut self, key: DhtKey, id: HostId) {
        let providers = self.providers.entry(key).or_default();
        if providers.set.insert(id) {
            providers.list.push(id);
        }
    }

    pub(crate) fn stop_providing(&mut self, key: &DhtKey, id: HostId) {
        if let Some(providers) = self.providers.get_mut(key) {
            providers.remove(id);
        }
    }

    /// A provider died: its records outlive it, as in the real DHT; every second one lapses.
    pub(crate) fn lapse(&mut self, id: HostId) {
        for providers in self.providers.values_mut() {
            if providers.set.contains(&id) && self.rng.bool() {
                providers.remove(id);
            }
        }
    }

    /// Milliseconds that a query takes.
    fn query_ms(&mut self) -> u64 {
        self.rng.u64(60..200)
    }
}

impl World {
    fn reaches_dht(&self, id: HostId) -> bool {
        let host = self.host(id);
        let old_enough = host
            .first_peer_at
            .is_some_and(|at| self.now >= at + READY_MS * crate::clock::MILLI);
        old_enough && !host.connected.is_empty()
    }

    /// Which part of the DHT a host reaches.
    fn island(&self, id: HostId) -> u8 {
        if self.divided {
            self.host(id).island
        } else {
            0
        }
    }

    pub(crate) fn find_record(&mut self, id: HostId, request: RequestId, key: DhtKey) {
        let after = self.dht.query_ms();
        let island = self.island(id);
        let reaches = self.reaches_dht(id);
        let record = self.dht.records.get(&(island, key)).filter(|_| reaches);
        if let Some(record) = record.cloned() {
            let record = Box::new(record);
            self.input_later(after, id, Input::RecordFound { request, record });
        }
        self.input_later(after + 1, id, Input::QueryFinished { request });
    }

    pub(crate) fn put_record(
        &mut self,
        id: HostId,
        request: RequestId,
        key: DhtKey,
        record: RepositoryRecord,
    ) {
        let place = (self.island(id), key);
        if self.reaches_dht(id) && self.dht.records.get(&place) != Some(&record) {
            let now = self.now().unix;
            let index = |record: &RepositoryRecord| {
                let verified = record.verify(crate::NETWORK, now);
                verified.ok().map(|(_, _, head)| head.head.index)
            };
            let new = index(&record);
            if new.is_some() && self.dht.records.get(&place).and_then(index) <= new {
                self.dht.records.insert(place, record);
            }
        }
        let after = self.dht.query_ms();
        self.input_later(after, id, Input::QueryFinished { request });
    }

    pub(crate) fn find_providers(&mut self, id: HostId, request: RequestId, key: DhtKey) {
        let after = self.dht.query_ms();
        let mut found = Vec::new();
        if self.reaches_dht(id)
            && let Some(providers) = self.dht.providers.get(&key)
        {
            found = rng::sample(&mut self.dht.rng, &providers.list, ANSWER_MAX);
        }
        let near = found.into_iter().filter(|host| self.reaches(id, *host));
        let peers: Vec<NodeId> = near.map(|host| self.host(host).node).collect();
        if !peers.is_empty() {
            self.input_later(after, id, Input::ProvidersFound { request, peers });
        }
        self.input_later(after + 1, id, Input::QueryFinished { request });
    }
}
