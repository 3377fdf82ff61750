//! Connected peers and the peer book.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    Output, PeerView, RequestId, Service,
    pending::{After, Ask, Purpose},
};
use crate::{
    id::{NodeId, RevisionId},
    limits,
    op::{Op, Snapshot},
    peer_book::Book,
    peer_exchange::{self, Allowance},
    time::Instant,
    wire,
};

/// One connected peer.
#[derive(Debug)]
struct Connected {
    address: String,
    agent: String,
    /// Where it says that it can be dialled.
    addresses: Vec<String>,
    exchanges: Allowance,
}

/// Everybody.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    connected: BTreeMap<NodeId, Connected>,
    book: Book,
    /// Who asked for peers of a revision, and when: they have or fetch it.
    interested: BTreeMap<RevisionId, BTreeMap<NodeId, Instant>>,
}

/// Somebody who asked for peers of a revision is worth naming for this long.
const INTEREST_KEEP: Duration = Duration::from_secs(3_600);

impl Peers {
    /// Takes in the peer book.
    pub(crate) fn new(snapshot: &Snapshot) -> Self {
        Self {
            book: Book::new(&snapshot.peers),
            ..Self::default()
        }
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.connected.keys().copied()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.connected.is_empty()
    }

    pub(crate) fn is_connected(&self, peer: &NodeId) -> bool {
        self.connected.contains_key(peer)
    }

    /// Where a peer says or said that it can be dialled.
    pub(crate) fn addresses(&self, peer: &NodeId) -> &[String] {
        let connected = self.connected.get(peer).map(|peer| &peer.addresses);
        let told = connected.filter(|addresses| !addresses.is_empty());
        let booked = || self.book.get(peer).map(|record| &record.addresses);
        told.or_else(booked).map_or(&[], |addresses| addresses)
    }

    /// The remote address of a connected peer.
    pub(crate) fn remote(&self, peer: &NodeId) -> &str {
        self.connected.get(peer).map_or("", |peer| &peer.address)
    }

    /// Whether a peer may ask for one more peer exchange.
    pub(crate) fn may_exchange(&mut self, peer: &NodeId, now: Instant) -> bool {
        let connected = self.connected.get_mut(peer);
        connected.is_some_and(|peer| peer.exchanges.take(now))
    }

    /// Records a peer's interest in a revision.
    pub(crate) fn note_interest(&mut self, peer: NodeId, revision: RevisionId, now: Instant) {
        let full = self.interested.len() >= limits::INTERESTS_MAX;
        if full && !self.interested.contains_key(&revision) {
            self.interested.pop_first();
        }
        let peers = self.interested.entry(revision).or_default();
        peers.retain(|_, at| now.since(*at) < INTEREST_KEEP);
        if peers.len() < limits::PEERS_PER_DOWNLOAD_MAX {
            peers.insert(peer, now);
        }
    }

    /// Who showed interest in a revision.
    pub(crate) fn interested(&self, revision: &RevisionId) -> impl Iterator<Item = NodeId> + '_ {
        let peers = self.interested.get(revision).into_iter().flatten();
        peers.map(|(peer, _)| *peer)
    }
}

impl Service {
    /// Asks a connected peer, unless too many questions to it are open.
    pub(super) fn ask(
        &mut self,
        peer: NodeId,
        message: wire::Request,
        ask: Ask,
    ) -> Option<RequestId> {
        if self.pending.asked_of(&peer) >= limits::QUESTIONS_PER_PEER_MAX {
            return None;
        }
        let purpose = Purpose::Ask(peer, ask);
        let request = self.pending.insert(&mut self.out, purpose);
        self.out.push(Output::SendRequest {
            request,
            peer,
            message,
        });
        Some(request)
    }

    /// A connection exists.
    pub(super) fn peer_connected(&mut self, peer: NodeId, address: String) {
        if peer == self.params.node || self.swarm.is_banned(&peer) {
            return;
        }
        let first = self.peers.is_empty();
        self.peers.book.connected(peer, &address);
        let connected = Connected {
            address,
            agent: String::new(),
            addresses: Vec::new(),
            exchanges: Allowance::new(self.now.instant),
        };
        self.peers.connected.insert(peer, connected);
        let hello = wire::Request::Hello(self.params.hello.clone());
        self.ask(peer, hello, Ask::Hello);
        if first {
            self.hurry_searches();
        }
        self.run_searches();
        let running: Vec<RevisionId> = self.swarm.running().copied().collect();
        for revision in running.into_iter().take(limits::REVISIONS_PER_EXCHANGE_MAX) {
            self.ask(
                peer,
                wire::Request::Peers { revision },
                Ask::Peers { revision },
            );
        }
        self.put_again(first);
        self.mirror_peer(peer);
        self.advance_resolves();
    }

    /// The last connection is gone.
    pub(super) fn peer_disconnected(&mut self, peer: &NodeId) {
        self.peers.connected.remove(peer);
        let ops = self.peers.book.disconnected(peer, self.now);
        self.remember(ops);
        self.serving.forget(peer);
        self.swarm(|swarm, ctx| swarm.disconnected(peer, ctx));
    }

    /// A peer said where it can be dialled.
    pub(super) fn peer_addresses(&mut self, peer: NodeId, mut addresses: Vec<String>) {
        addresses.truncate(limits::ADDRESSES_PER_PEER_MAX);
        let Some(connected) = self.peers.connected.get_mut(&peer) else {
            return;
        };
        if addresses.is_empty() {
            return;
        }
        connected.addresses.clone_from(&addresses);
        let ops = self.peers.book.claimed(peer, addresses, self.now);
        self.remember(ops);
    }

    /// A connection to a peer is one that this node dialled.
    pub(super) fn peer_reached(&mut self, peer: NodeId, address: String) {
        if self.peers.is_connected(&peer) {
            let ops = self.peers.book.reached(peer, address, self.now);
            self.remember(ops);
        }
    }

    /// A dial led nowhere.
    pub(super) fn peer_unreachable(&mut self, peer: &NodeId) {
        let ops = self.peers.book.unreachable(peer, self.now);
        self.remember(ops);
    }

    /// Writes down what changed in the peer book.
    fn remember(&mut self, ops: Vec<Op>) {
        if !ops.is_empty() {
            self.commit(ops, After::Quiet);
        }
    }

    /// A peer introduced itself.
    pub(super) fn hello_received(&mut self, peer: NodeId, hello: wire::Hello) {
        let mut addresses = hello.data_addresses;
        addresses.truncate(limits::ADDRESSES_PER_PEER_MAX);
        if let Some(connected) = self.peers.connected.get_mut(&peer) {
            connected.agent = hello
                .agent
                .chars()
                .filter(|c| !c.is_control())
                .take(64)
                .collect();
        }
        if !addresses.is_empty() {
            self.out
                .push(Output::LearnDataAddresses { peer, addresses });
        }
        self.introduced(peer);
    }

    /// A peer is a source of bytes once it said where its data plane is, or did not answer at all.
    pub(super) fn introduced(&mut self, peer: NodeId) {
        if self.peers.is_connected(&peer) {
            self.swarm(|swarm, ctx| swarm.connected(peer, ctx));
        }
    }

    /// Dials the peer book, the anchors first.
    pub(super) fn dial_book(&mut self) {
        for record in self.peers.book.dial_order(self.now.unix) {
            self.connect(record.peer, record.addresses);
        }
    }

    pub(super) fn view_peers(&self) -> Vec<PeerView> {
        self.peers
            .connected
            .iter()
            .map(|(peer, connected)| {
                let (bytes_received, in_flight) = self.swarm.peer(peer);
                PeerView {
                    peer: *peer,
                    address: connected.address.clone(),
                    agent: connected.agent.clone(),
                    bytes_received,
                    in_flight,
                }
            })
            .collect()
    }

    /// Peers that are known to have or fetch a revision, with addresses to dial.
    pub(super) fn peers_of(
        &mut self,
        revision: &RevisionId,
        except: NodeId,
    ) -> Vec<wire::PeerAddresses> {
        let mut peers: BTreeSet<NodeId> = self.peers.interested(revision).collect();
        peers.extend(self.swarm.known_peers(revision));
        peers.remove(&except);
        let known = peers
            .into_iter()
            .filter(|peer| !self.swarm.is_banned(peer) && !self.origins.contains(peer));
        let known: Vec<NodeId> = known.collect();
        let look_up = |peer| wire::PeerAddresses {
            peer,
            addresses: self.peers.addresses(&peer).to_vec(),
        };
        peer_exchange::choose(known, look_up, &mut self.rng)
    }
}
