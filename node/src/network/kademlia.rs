//! Kademlia with a closed door for those who bring rubbish.
//!
//! libp2p answers a refused put by resetting the sender's stream, but forgets to wake the task that would
//! do it: the sender waits for its timeout (10 s) and the stream is never freed, of which a connection has
//! 32. So whoever sends a record that does not verify loses the connection, which it notices at once; and a
//! connection on which many honest records were refused is closed before its streams run out. Peers that
//! still need each other dial again.
//!
//! This wrapper only looks at what the store said after each message; everything else is passed through.

use std::{
    collections::{HashMap, VecDeque},
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    kad,
    swarm::{
        CloseConnection, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler,
        THandlerInEvent, THandlerOutEvent, ToSwarm,
    },
};

use super::records::{Fault, Store};

/// Refused puts that one connection survives: three quarters of the streams that it has.
const REFUSALS_MAX: u32 = 24;

type Inner = kad::Behaviour<Store>;

/// The wrapper.
pub(crate) struct Behaviour {
    /// Kademlia itself.
    pub(crate) inner: Inner,
    /// Refused puts by connection, for connections that had one.
    refusals: HashMap<ConnectionId, u32>,
    closing: VecDeque<(PeerId, ConnectionId)>,
    /// The remote IP address of each connection, for the store to know who speaks.
    remotes: HashMap<ConnectionId, Multiaddr>,
}

impl Behaviour {
    /// Wraps Kademlia.
    pub(crate) fn new(inner: Inner) -> Self {
        Self {
            inner,
            refusals: HashMap::new(),
            closing: VecDeque::new(),
            remotes: HashMap::new(),
        }
    }

    fn on_refusal(&mut self, peer: PeerId, connection: ConnectionId, fault: Fault) {
        let refusals = self.refusals.entry(connection).or_default();
        *refusals += 1;
        if fault == Fault::Sender || *refusals >= REFUSALS_MAX {
            tracing::debug!(%peer, refusals, "closing a connection after refused records");
            self.closing.push_back((peer, connection));
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = <Inner as NetworkBehaviour>::ConnectionHandler;
    type ToSwarm = kad::Event;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.inner
            .handle_pending_inbound_connection(connection, local, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner
            .handle_established_inbound_connection(connection, peer, local, remote)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.inner
            .handle_pending_outbound_connection(connection, peer, addresses, role)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner
            .handle_established_outbound_connection(connection, peer, address, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match &event {
            FromSwarm::ConnectionEstablished(established) => {
                let remote = established.endpoint.get_remote_address();
                let host = remote.iter().take(1).collect();
                self.remotes.insert(established.connection_id, host);
            }
            FromSwarm::ConnectionClosed(closed) => {
                self.refusals.remove(&closed.connection_id);
                self.remotes.remove(&closed.connection_id);
            }
            _ => {}
        }
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        // What our own puts left there is nobody's fault.
        let sender = self.remotes.get(&connection).cloned();
        let store = self.inner.store_mut();
        store.take_refusal();
        store.hear(sender);
        self.inner
            .on_connection_handler_event(peer, connection, event);
        self.inner.store_mut().hear(None);
        if let Some(fault) = self.inner.store_mut().take_refusal() {
            self.on_refusal(peer, connection, fault);
        }
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        // The swarm polls after every message, which is the only thing that fills this list.
        if let Some((peer_id, connection)) = self.closing.pop_front() {
            return Poll::Ready(ToSwarm::CloseConnection {
                peer_id,
                connection: CloseConnection::One(connection),
            });
        }
        self.inner.poll(context)
    }
}
