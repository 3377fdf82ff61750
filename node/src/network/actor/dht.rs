//! Kademlia: queries begun for the machine, their answers, and statements repeated in time.

use std::{collections::BTreeSet, net::IpAddr, time::Instant};

use libp2p::{
    Multiaddr, PeerId,
    core::Endpoint,
    kad::{self, Quorum, RecordKey},
    swarm::{ConnectionId, NetworkBehaviour as _},
};
use weft_protocol::{
    accept::{EquivocationProof, RepositoryRecord},
    limits::RECORD_LEN_MAX,
    service::{DhtKey, Input, RequestId},
    wire::{self, Announcement},
};

use super::Actor;
use crate::network::{announcer::Statement, identity, queries::Purpose};

impl Actor {
    pub(super) fn find_record(&mut self, request: RequestId, key: DhtKey) {
        if self.queries.is_full() {
            self.tell(Input::QueryFinished { request });
            return;
        }
        let query = self
            .swarm
            .behaviour_mut()
            .kad
            .inner
            .get_record(record_key(&key));
        let told = BTreeSet::new();
        self.queries.begin(query, Purpose::Record { request, told });
    }

    pub(super) fn find_providers(&mut self, request: RequestId, key: DhtKey) {
        if self.queries.is_full() {
            self.tell(Input::QueryFinished { request });
            return;
        }
        let query = self
            .swarm
            .behaviour_mut()
            .kad
            .inner
            .get_providers(record_key(&key));
        let told = BTreeSet::new();
        self.queries
            .begin(query, Purpose::Providers { request, told });
    }

    pub(super) fn put_record(
        &mut self,
        request: RequestId,
        key: DhtKey,
        record: &RepositoryRecord,
    ) {
        let value = wire::encode(record);
        if value.len() > RECORD_LEN_MAX || self.queries.is_full() {
            tracing::warn!(bytes = value.len(), "a record was not put into the DHT");
            self.tell(Input::QueryFinished { request });
            return;
        }
        let record = kad::Record::new(record_key(&key), value);
        match self
            .swarm
            .behaviour_mut()
            .kad
            .inner
            .put_record(record, Quorum::All)
        {
            Ok(query) => {
                self.queries.begin(query, Purpose::Put(request));
                self.announcer
                    .add_made(Statement::Record(key), Instant::now());
            }
            // Our own store has its reasons: most likely it holds a newer one.
            Err(error) => {
                tracing::debug!(%error, "a record was not put into the DHT");
                self.tell(Input::QueryFinished { request });
            }
        }
    }

    pub(super) fn stop_providing(&mut self, key: DhtKey) {
        self.announcer.remove(Statement::Provider(key));
        self.swarm
            .behaviour_mut()
            .kad
            .inner
            .stop_providing(&record_key(&key));
    }

    /// Begins all statements that are due.
    pub(super) fn make_statements(&mut self, now: Instant) {
        while let Some(statement) = self.announcer.next(now) {
            let kad = &mut self.swarm.behaviour_mut().kad.inner;
            let query = match statement {
                Statement::Provider(key) => kad.start_providing(record_key(&key)),
                Statement::Record(key) => {
                    let Some(record) = kad.store_mut().held(&key) else {
                        // It has expired, and the machine did not renew it.
                        self.announcer.remove(statement);
                        continue;
                    };
                    kad.put_record(record, Quorum::All)
                }
            };
            match query {
                Ok(query) => self.queries.begin(query, Purpose::Statement(statement)),
                Err(error) => {
                    tracing::warn!(%error, "a DHT statement could not be made");
                    self.announcer.finished(statement, false, now);
                }
            }
        }
    }

    /// Tells the machine of a publisher that contradicts itself in our own store. It judges such news like
    /// any other; the name it is given leads to no message, so its verdict on forwarding is moot.
    pub(super) fn on_conflict(&mut self, proof: Box<EquivocationProof>) {
        let message = self.mailbox.name();
        self.tell(Input::Gossip {
            peer: self.node,
            message,
            announcement: Announcement::Equivocation(proof),
        });
    }

    /// Asks the DHT where a peer is. Kademlia dials it on the way if it learns an address.
    pub(super) fn locate(&mut self, peer: PeerId) {
        if self.queries.is_full() || self.queries.is_locating(&peer) {
            return;
        }
        let query = self.swarm.behaviour_mut().kad.inner.get_closest_peers(peer);
        self.queries.begin(query, Purpose::Locate(peer));
    }

    pub(super) fn on_kad(&mut self, event: kad::Event) {
        match event {
            kad::Event::OutboundQueryProgressed {
                id, result, step, ..
            } => {
                self.on_progress(id, &result);
                if step.last {
                    self.on_finished(id, &result);
                }
            }
            kad::Event::RoutingUpdated {
                peer,
                is_new_peer: true,
                ..
            } => self.on_routed(peer),
            _ => {}
        }
    }

    /// A peer is new in the routing table.
    fn on_routed(&mut self, peer: PeerId) {
        let table = self.routed();
        if !self.routing.keeps(peer, table) {
            tracing::debug!(%peer, "not kept in the routing table: too many of its network");
            self.swarm.behaviour_mut().kad.inner.remove_peer(&peer);
        } else if self.routing_len() <= kad::K_VALUE.get() {
            // Among so few, every newcomer is one of the nodes that should know what we state.
            self.announcer.routing_grew(Instant::now());
        }
    }

    /// Puts a peer into the routing table, or takes it out, as the network it was met in allows.
    pub(super) fn route(&mut self, peer: PeerId, met: Option<IpAddr>, addresses: &[Multiaddr]) {
        let table = self.routed();
        let admitted = self.routing.admits(peer, met, table);
        let kad = &mut self.swarm.behaviour_mut().kad.inner;
        if !admitted {
            tracing::debug!(%peer, "not in the routing table: too many of its network");
            kad.remove_peer(&peer);
            return;
        }
        for address in addresses {
            kad.add_address(&peer, address.clone());
        }
    }

    /// Everybody in the routing table.
    fn routed(&mut self) -> Vec<PeerId> {
        let kad = &mut self.swarm.behaviour_mut().kad.inner;
        let mut peers = Vec::new();
        for bucket in kad.kbuckets() {
            peers.extend(bucket.iter().map(|entry| *entry.node.key.preimage()));
        }
        peers
    }

    fn on_progress(&mut self, query: kad::QueryId, result: &kad::QueryResult) {
        match result {
            kad::QueryResult::GetRecord(Ok(kad::GetRecordOk::FoundRecord(found))) => {
                self.on_record(query, &found.record.value);
            }
            kad::QueryResult::GetProviders(Ok(kad::GetProvidersOk::FoundProviders {
                providers,
                ..
            })) => self.on_providers(query, &providers.iter().copied().collect()),
            kad::QueryResult::GetClosestPeers(Ok(found)) => {
                if let Some(Purpose::Locate(sought)) = self.queries.get_mut(&query) {
                    let sought = *sought;
                    let info = found.peers.iter().find(|info| info.peer_id == sought);
                    let addresses = info.map_or_else(Vec::new, |info| info.addrs.clone());
                    self.book.learn(sought, addresses);
                }
            }
            _ => {}
        }
    }

    fn on_record(&mut self, query: kad::QueryId, value: &[u8]) {
        let Some(Purpose::Record { request, told }) = self.queries.get_mut(&query) else {
            return;
        };
        if !told.insert(*blake3::hash(value).as_bytes()) {
            return;
        }
        let request = *request;
        match wire::decode::<RepositoryRecord>(value) {
            Ok(record) => {
                let record = Box::new(record);
                self.tell(Input::RecordFound { request, record });
            }
            Err(error) => tracing::debug!(%error, "a found record does not decode"),
        }
    }

    fn on_providers(&mut self, query: kad::QueryId, providers: &BTreeSet<PeerId>) {
        for provider in providers {
            self.harvest(provider);
        }
        let local = self.node;
        let Some(Purpose::Providers { request, told }) = self.queries.get_mut(&query) else {
            return;
        };
        let nodes = providers.iter().filter_map(identity::node_id);
        let peers: Vec<_> = nodes
            .filter(|node| *node != local && told.insert(*node))
            .collect();
        let request = *request;
        if !peers.is_empty() {
            self.tell(Input::ProvidersFound { request, peers });
        }
    }

    /// Notes down a peer's addresses while the query that found them still knows them.
    fn harvest(&mut self, peer: &PeerId) {
        let kad = &mut self.swarm.behaviour_mut().kad.inner;
        // What a dial would ask; asking changes nothing.
        let connection = ConnectionId::new_unchecked(0);
        let known =
            kad.handle_pending_outbound_connection(connection, Some(*peer), &[], Endpoint::Dialer);
        if let Ok(addresses) = known {
            self.book.learn(*peer, addresses);
        }
    }

    fn on_finished(&mut self, query: kad::QueryId, result: &kad::QueryResult) {
        let Some(purpose) = self.queries.end(&query) else {
            return;
        };
        match purpose {
            Purpose::Record { request, .. } | Purpose::Providers { request, .. } => {
                self.tell(Input::QueryFinished { request });
            }
            Purpose::Put(request) => {
                if !self.was_heard(result) {
                    tracing::debug!("nobody kept the record that was put");
                }
                self.tell(Input::QueryFinished { request });
            }
            Purpose::Statement(statement) => {
                let heard = self.was_heard(result);
                self.announcer.finished(statement, heard, Instant::now());
            }
            Purpose::Locate(peer) => self.dial(peer, true),
        }
    }

    /// Whether a statement reached anybody, as far as Kademlia tells.
    fn was_heard(&mut self, result: &kad::QueryResult) -> bool {
        match result {
            kad::QueryResult::PutRecord(Err(
                kad::PutRecordError::QuorumFailed { success, .. }
                | kad::PutRecordError::Timeout { success, .. },
            )) => !success.is_empty(),
            kad::QueryResult::PutRecord(Ok(_)) => true,
            // Provider messages are not acknowledged: somebody was there to be told.
            kad::QueryResult::StartProviding(Ok(_)) => self.routing_len() > 0,
            _ => false,
        }
    }

    fn routing_len(&mut self) -> usize {
        self.swarm
            .behaviour_mut()
            .kad
            .inner
            .kbuckets()
            .map(|bucket| bucket.num_entries())
            .sum()
    }
}

fn record_key(key: &DhtKey) -> RecordKey {
    RecordKey::new(&key.0)
}
