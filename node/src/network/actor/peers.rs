//! Who is connected, who is wanted, and where they are.
//!
//! The machine hears of a peer when it is known to be a weft node of this network: at its identify
//! message, or at its first question or announcement if that comes sooner. Other libp2p software on the
//! LAN answers the same mDNS name; it is let go again without a word to the machine.

use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use libp2p::{
    Multiaddr, PeerId,
    core::ConnectedPoint,
    identify, mdns,
    swarm::{
        ConnectionId, DialError,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use weft_protocol::{id::NodeId, limits::ADDRESSES_PER_PEER_MAX, service::Input};

use super::Actor;
use crate::network::{addresses, identity};

/// Peers of the LAN dialled for one mDNS answer.
const MDNS_DIALS_MAX: usize = 32;
/// Peers that the machine wants and that are being dialled; beyond that a failed dial is not followed up.
const WANTED_MAX: usize = 1_024;

/// A connected peer.
#[derive(Debug)]
struct Peer {
    node: NodeId,
    /// Remote address of the first connection.
    remote: Multiaddr,
    /// The address we dialled, if we did: it is one to dial again.
    dialled: Option<Multiaddr>,
    /// Whether the machine knows of it.
    introduced: bool,
    /// What the machine was last told to dial it by.
    addresses: Vec<Multiaddr>,
}

/// Connected and wanted peers.
#[derive(Debug, Default)]
pub(super) struct Peers {
    connected: BTreeMap<PeerId, Peer>,
    /// Peers the machine asked for, and whether the DHT was already asked where they are.
    wanted: HashMap<PeerId, bool>,
}

impl Actor {
    /// Tells the machine of a connected peer if it does not know yet. Returns the node's id.
    pub(super) fn introduce(&mut self, peer: &PeerId) -> Option<NodeId> {
        let Some(entry) = self.peers.connected.get_mut(peer) else {
            // A message can outlive its connection; the machine is told of nobody who is gone.
            return None;
        };
        let node = entry.node;
        if !entry.introduced {
            entry.introduced = true;
            let address = entry.remote.to_string();
            self.tell(Input::PeerConnected {
                peer: node,
                address,
            });
            if let Some(address) = self.dialled(peer) {
                self.tell(Input::PeerReached {
                    peer: node,
                    address,
                });
            }
        }
        Some(node)
    }

    fn dialled(&self, peer: &PeerId) -> Option<String> {
        let entry = self.peers.connected.get(peer)?;
        entry.dialled.as_ref().map(Multiaddr::to_string)
    }

    pub(super) fn on_established(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        endpoint: &ConnectedPoint,
    ) {
        self.bootstrap.established(peer, connection);
        self.peers.wanted.remove(&peer);
        let Some(node) = identity::node_id(&peer) else {
            return;
        };
        let remote = endpoint.get_remote_address().clone();
        let dialled = endpoint.is_dialer().then(|| remote.clone());
        let entry = self.peers.connected.entry(peer).or_insert_with(|| Peer {
            node,
            remote,
            dialled: None,
            introduced: false,
            addresses: Vec::new(),
        });
        let introduced = entry.introduced;
        if let Some(dialled) = dialled.map(addresses::without_peer) {
            let address = dialled.to_string();
            entry.dialled = Some(dialled);
            if introduced {
                self.tell(Input::PeerReached {
                    peer: node,
                    address,
                });
            }
        }
    }

    pub(super) fn on_closed(&mut self, peer: &PeerId, remaining: u32) {
        if remaining > 0 {
            return;
        }
        self.bootstrap.disconnected(peer, Instant::now());
        if let Some(entry) = self.peers.connected.remove(peer)
            && entry.introduced
        {
            self.tell(Input::PeerDisconnected { peer: entry.node });
        }
    }

    pub(super) fn on_dial_failed(
        &mut self,
        peer: Option<PeerId>,
        connection: ConnectionId,
        error: &DialError,
    ) {
        if matches!(error, DialError::LocalPeerId { .. }) {
            self.bootstrap.is_self(connection);
        }
        self.bootstrap.dial_failed(connection, Instant::now());
        let Some(peer) = peer else {
            return;
        };
        tracing::debug!(%peer, %error, "dial failed");
        if let Some(node) = identity::node_id(&peer).filter(|_| is_nobody_there(error)) {
            self.tell(Input::PeerUnreachable { peer: node });
        }
        let worth_a_search = matches!(
            error,
            DialError::Transport(_) | DialError::NoAddresses | DialError::WrongPeerId { .. }
        );
        // A second connection may have made it meanwhile; then the peer is not wanted any more.
        if let Some(searched) = self.peers.wanted.remove(&peer)
            && !searched
            && worth_a_search
        {
            self.locate(peer);
        }
    }

    /// Dials a peer at all addresses that are known of it. Asks the DHT where it is if there are none, or
    /// when they fail, unless it was `searched` for already.
    pub(super) fn dial(&mut self, peer: PeerId, searched: bool) {
        if peer == self.local || self.swarm.is_connected(&peer) {
            return;
        }
        let options = DialOpts::peer_id(peer)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .addresses(self.book.get(&peer).to_vec())
            .extend_addresses_through_behaviour()
            .build();
        let result = self.swarm.dial(options);
        if self.peers.wanted.len() < WANTED_MAX
            && matches!(result, Ok(()) | Err(DialError::DialPeerConditionFalse(_)))
        {
            self.peers.wanted.insert(peer, searched);
        }
        match result {
            Err(DialError::NoAddresses) if !searched => self.locate(peer),
            Err(error) => tracing::debug!(%peer, %error, "not dialled"),
            Ok(()) => {}
        }
    }

    pub(super) fn dial_bootstrap(&mut self, now: Instant) {
        while let Some((position, address, peer)) = self.bootstrap.next(now) {
            let options = match peer {
                Some(peer) => DialOpts::peer_id(peer)
                    .condition(PeerCondition::Disconnected)
                    .addresses(vec![address.clone()])
                    .build(),
                None => DialOpts::unknown_peer_id().address(address.clone()).build(),
            };
            let connection = options.connection_id();
            match self.swarm.dial(options) {
                Ok(()) => self.bootstrap.dialling(position, connection),
                Err(DialError::DialPeerConditionFalse(_)) if peer.is_some() => {
                    // Connected by another way; the seed hears of the end of that connection.
                    self.bootstrap.failed(position, now);
                    if let Some(peer) = peer {
                        self.bootstrap.established(peer, connection);
                    }
                }
                Err(error) => {
                    tracing::debug!(%address, %error, "bootstrap address not dialled");
                    self.bootstrap.failed(position, now);
                }
            }
        }
    }

    pub(super) fn on_identify(&mut self, event: identify::Event) {
        match event {
            identify::Event::Received { peer_id, info, .. } => {
                if info.protocol_version != self.names.identify {
                    tracing::debug!(peer = %peer_id, version = %info.protocol_version, "not a node of this network");
                    // An error means that it is gone already.
                    let _ = self.swarm.disconnect_peer_id(peer_id);
                    return;
                }
                let speaks_kad = info.protocols.contains(&self.names.kad);
                self.on_identified(peer_id, info.listen_addrs, speaks_kad);
            }
            identify::Event::Error { peer_id, error, .. } => {
                tracing::debug!(peer = %peer_id, %error, "identify failed");
            }
            identify::Event::Sent { .. } | identify::Event::Pushed { .. } => {}
        }
    }

    fn on_identified(&mut self, peer: PeerId, claimed: Vec<Multiaddr>, speaks_kad: bool) {
        let Some(entry) = self.peers.connected.get_mut(&peer) else {
            return;
        };
        // What we dialled works; what it says comes after.
        let candidates = entry.dialled.iter().cloned().chain(claimed);
        let addresses = addresses::plausible(&peer, Some(&entry.remote), candidates);
        let changed = entry.addresses != addresses;
        entry.addresses.clone_from(&addresses);
        let met = entry.dialled.as_ref().unwrap_or(&entry.remote);
        let met = addresses::ip(met);
        let node = self.introduce(&peer);
        if speaks_kad && !addresses.is_empty() {
            self.route(peer, met, &addresses);
        }
        if let Some(peer) = node.filter(|_| changed && !addresses.is_empty()) {
            let addresses = addresses.iter().take(ADDRESSES_PER_PEER_MAX);
            let addresses = addresses.map(Multiaddr::to_string).collect();
            self.tell(Input::PeerAddresses { peer, addresses });
        }
        self.book.learn(peer, addresses);
    }

    pub(super) fn on_mdns(&mut self, event: mdns::Event) {
        let mdns::Event::Discovered(found) = event else {
            return;
        };
        for (peer, address) in found.into_iter().take(MDNS_DIALS_MAX) {
            let addresses = addresses::plausible(&peer, None, [address]);
            if !addresses.is_empty() {
                self.book.learn(peer, addresses);
                // The LAN told where it is; the DHT need not be asked.
                self.dial(peer, true);
            }
        }
    }

    pub(super) fn ban(&mut self, peer: PeerId) {
        let behaviour = self.swarm.behaviour_mut();
        behaviour.gate.ban(peer);
        behaviour.gossip.blacklist_peer(&peer);
        behaviour.kad.inner.remove_peer(&peer);
        self.peers.wanted.remove(&peer);
        // An error means that it is not connected.
        let _ = self.swarm.disconnect_peer_id(peer);
    }
}

/// Whether a failed dial says something about the peer; some are our own doing.
fn is_nobody_there(error: &DialError) -> bool {
    matches!(
        error,
        DialError::Transport(_) | DialError::WrongPeerId { .. }
    )
}
