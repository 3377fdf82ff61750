//! The modelled control plane: connections, questions, gossip and an idealised DHT.

use std::collections::BTreeSet;

use weft_protocol::{
    accept::RepositoryRecord,
    codec,
    id::NodeId,
    service::{DhtKey, GossipId, InboundId, Input, RequestError, RequestId, Verdict},
    wire,
};

use crate::{HostId, World, world::Happening};

/// A node knows its way around the DHT this long after it met its first peer.
const DHT_READY_MS: u64 = 700;
/// A question without an answer counts as lost after this.
const REQUEST_TIMEOUT_MS: u64 = 10_000;

impl World {
    /// One-way delay between two hosts, in milliseconds.
    pub(crate) fn latency(&self, a: HostId, b: HostId) -> u64 {
        self.host(a).link.latency_ms + self.host(b).link.latency_ms
    }

    /// Lets a host dial another, as a bootstrap address does.
    pub fn connect(&mut self, a: HostId, b: HostId) {
        let after = self.latency(a, b) * 3;
        self.later(after, Happening::Connected(a, b));
    }

    pub(crate) fn connect_node(&mut self, from: HostId, to: &NodeId) {
        if let Some(to) = self.find(to) {
            self.connect(from, to);
        }
    }

    pub(crate) fn connected(&mut self, a: HostId, b: HostId) {
        let (node_a, node_b) = (self.host(a).node, self.host(b).node);
        let refused =
            self.host(a).banned.contains(&node_b) || self.host(b).banned.contains(&node_a);
        let up = self.host(a).is_up() && self.host(b).is_up();
        if a == b || !up || refused || !self.host_mut(a).connected.insert(b) {
            return;
        }
        self.host_mut(b).connected.insert(a);
        for (one, other) in [(a, b), (b, a)] {
            let now = self.now;
            self.host_mut(one).first_peer_at.get_or_insert(now);
            let peer = self.host(other).node;
            let address = format!("/sim/{}", other.0);
            let addresses = vec![address.clone()];
            self.input(one, Input::PeerConnected { peer, address });
            self.input_later(5, one, Input::PeerAddresses { peer, addresses });
        }
    }

    /// Cuts the connection between two hosts.
    pub fn sever(&mut self, a: HostId, b: HostId) {
        for (one, other) in [(a, b), (b, a)] {
            let peer = self.host(other).node;
            self.host_mut(one).connected.remove(&other);
            self.input_later(1, one, Input::PeerDisconnected { peer });
        }
    }

    pub(crate) fn ban(&mut self, id: HostId, peer: NodeId) {
        self.host_mut(id).banned.insert(peer);
        let other = self.find(&peer);
        if let Some(other) = other.filter(|other| self.host(id).connected.contains(other)) {
            self.sever(id, other);
        }
    }

    pub(crate) fn send(
        &mut self,
        id: HostId,
        request: RequestId,
        peer: &NodeId,
        message: wire::Request,
    ) {
        let epoch = self.host(id).epoch;
        let target = self
            .find(peer)
            .filter(|target| self.host(id).connected.contains(target));
        let Some(target) = target else {
            let result = Err(RequestError::Unreachable);
            return self.input_later(5, id, Input::Response { request, result });
        };
        self.ids += 1;
        let inbound = InboundId(self.ids);
        self.inbound.insert(inbound, (id, epoch, request));
        let asked = Input::Request {
            peer: self.host(id).node,
            request: inbound,
            message,
        };
        self.input_later(self.latency(id, target), target, asked);
        let lost = Input::Response {
            request,
            result: Err(RequestError::Timeout),
        };
        self.input_to(REQUEST_TIMEOUT_MS, id, epoch, lost);
    }

    pub(crate) fn respond(&mut self, id: HostId, request: InboundId, message: wire::Response) {
        if let Some((asker, epoch, request)) = self.inbound.remove(&request) {
            let after = self.latency(id, asker);
            let result = Ok(message);
            self.input_to(after, asker, epoch, Input::Response { request, result });
        }
    }

    pub(crate) fn announce(&mut self, id: HostId, announcement: &wire::Announcement) {
        let hash = *blake3::hash(&codec::encode(announcement)).as_bytes();
        if self.host_mut(id).gossip_seen.insert(hash) {
            self.spread(id, None, announcement);
        }
    }

    /// Lets an announcement out to everybody nearby, as a forged one is too.
    pub fn spread(
        &mut self,
        id: HostId,
        except: Option<HostId>,
        announcement: &wire::Announcement,
    ) {
        let hash = *blake3::hash(&codec::encode(announcement)).as_bytes();
        let peer = self.host(id).node;
        for other in self.host(id).connected.clone() {
            if Some(other) == except || !self.host_mut(other).gossip_seen.insert(hash) {
                continue;
            }
            self.ids += 1;
            let message = GossipId(self.ids);
            self.gossip.insert(message, (id, announcement.clone()));
            let heard = Input::Gossip {
                peer,
                message,
                announcement: announcement.clone(),
            };
            self.input_later(self.latency(id, other), other, heard);
        }
    }

    pub(crate) fn judged(&mut self, id: HostId, message: GossipId, verdict: Verdict) {
        let Some((source, announcement)) = self.gossip.remove(&message) else {
            return;
        };
        match verdict {
            Verdict::Accept => self.spread(id, Some(source), &announcement),
            Verdict::Ignore => {}
            Verdict::Reject => self.host_mut(id).rejected_gossip += 1,
        }
    }

    fn reaches_dht(&self, id: HostId) -> bool {
        let host = self.host(id);
        let old_enough = host
            .first_peer_at
            .is_some_and(|at| self.now >= at + DHT_READY_MS);
        old_enough && !host.connected.is_empty()
    }

    fn query_ms(&mut self) -> u64 {
        self.rng.u64(60..200)
    }

    pub(crate) fn find_record(&mut self, id: HostId, request: RequestId, key: DhtKey) {
        let after = self.query_ms();
        let record = self
            .records
            .get(&key)
            .filter(|_| self.reaches_dht(id))
            .cloned();
        if let Some(record) = record {
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
        let now = self.now().unix;
        if self.reaches_dht(id) {
            let index = |record: &RepositoryRecord| {
                let verified = record.verify(crate::NETWORK, now);
                verified.ok().map(|(_, _, head)| head.head.index)
            };
            let new = index(&record);
            if new.is_some() && self.records.get(&key).and_then(index) <= new {
                self.records.insert(key, record);
            }
        }
        let after = self.query_ms();
        self.input_later(after, id, Input::QueryFinished { request });
    }

    pub(crate) fn find_providers(&mut self, id: HostId, request: RequestId, key: DhtKey) {
        let after = self.query_ms();
        let found: BTreeSet<HostId> = if self.reaches_dht(id) {
            self.providers.get(&key).cloned().unwrap_or_default()
        } else {
            BTreeSet::new()
        };
        let peers: Vec<NodeId> = found.into_iter().map(|host| self.host(host).node).collect();
        if !peers.is_empty() {
            self.input_later(after, id, Input::ProvidersFound { request, peers });
        }
        self.input_later(after + 1, id, Input::QueryFinished { request });
    }
}
