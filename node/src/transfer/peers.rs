//! Connections: at most one in use for each peer, dialled when first needed, shared by everything that goes on
//! with that peer in both directions, and closed when nothing has for a while.

mod peer;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use iroh::{
    Endpoint, EndpointAddr,
    endpoint::{Connection, VarInt},
};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tracing::debug;
use weft_protocol::{id::NodeId, limits, service::TransferError};

use self::peer::Peer;
pub(super) use self::peer::{Activity, Inbound, Lease};
use super::{
    context::Context,
    link::LINKS_PER_PEER_MAX,
    observe::{Line, Watcher},
};

/// Close code: nothing went on for [`IDLE_MAX`].
pub(super) const CLOSE_IDLE: VarInt = VarInt::from_u32(0x10);
/// Close code: the peer is banned.
pub(super) const CLOSE_BANNED: VarInt = VarInt::from_u32(0x11);
/// Close code: too many connections.
pub(super) const CLOSE_BUSY: VarInt = VarInt::from_u32(0x12);

/// How long an unused connection is kept: a pause between two revisions or two steps of a mirror.
const IDLE_MAX: Duration = Duration::from_secs(90);
/// A dial that takes longer finds nobody.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// How often is looked whether a peer's address is known by now.
const ADDRESS_INTERVAL: Duration = Duration::from_millis(50);
/// Peers remembered with their addresses. A machine knows fewer at a time; the oldest unused go first.
const PEERS_MAX: usize = 4_096;
/// Connections a peer may open to us at once: one in use, one it dialled at the same moment as we did, and what
/// is left of those that broke. Of more the oldest gives way: who comes again was most likely cut off before.
const INBOUND_PER_PEER_MAX: usize = 4;
/// TCP connections that a peer may hold open to us: as many as it may use, and as many that it has given up and whose
/// end we have not seen yet.
const INBOUND_LINKS_PER_PEER_MAX: usize = 2 * LINKS_PER_PEER_MAX;

/// All peers the data plane knows.
#[derive(Debug, Default)]
pub(super) struct Peers {
    peers: Mutex<BTreeMap<NodeId, Arc<Peer>>>,
}

impl Peers {
    /// Adds addresses to what is known of a peer.
    pub(super) fn learn(&self, peer: NodeId, addresses: impl IntoIterator<Item = SocketAddr>) {
        let peer = self.get(peer);
        let mut state = peer.state();
        for address in addresses {
            if address.port() == 0 || address.ip().is_unspecified() {
                continue;
            }
            if !state.addresses.contains(&address) {
                // A new way to reach it is worth a try at once, and more than the oldest one.
                state.retry_at = None;
                state.addresses.push_front(address);
                state.addresses.truncate(limits::ADDRESSES_PER_PEER_MAX);
            }
        }
    }

    /// The connection in use with a peer, dialled if there is none; `true` if it is new.
    ///
    /// Cancel safe: a dial that is dropped leaves nothing behind.
    pub(super) async fn connect(
        &self,
        endpoint: &Endpoint,
        id: NodeId,
    ) -> Result<(Lease, bool), TransferError> {
        let peer = self.get(id);
        if let Some(lease) = peer.lease()? {
            return Ok((lease, false));
        }
        let _dialling = peer.dial.lock().await;
        if let Some(lease) = peer.lease()? {
            return Ok((lease, false));
        }
        let address = peer.address(id)?;
        let dial = endpoint.connect(address, iroh_blobs::ALPN);
        match tokio::time::timeout(DIAL_TIMEOUT, dial).await {
            Ok(Ok(connection)) => {
                peer.connected(connection);
                let lease = peer.lease()?.ok_or(TransferError::Connection)?;
                Ok((lease, true))
            }
            Ok(Err(error)) => {
                debug!(peer = %id.fmt_short(), "dial failed: {error:#}");
                peer.failed();
                Err(TransferError::Connection)
            }
            Err(_) => {
                debug!(peer = %id.fmt_short(), "dial timed out");
                peer.failed();
                Err(TransferError::Connection)
            }
        }
    }

    /// The QUIC connection or the watcher in use with a peer, if there is one.
    pub(super) fn line(&self, id: NodeId) -> Result<Option<Line>, TransferError> {
        let peer = self.get(id);
        if let Some(lease) = peer.lease()? {
            return Ok(Some(Line::Quic(lease)));
        }
        let watcher = {
            let mut state = peer.state();
            state.watcher = state.watcher.take().filter(|watcher| !watcher.is_closed());
            state.watcher.clone()
        };
        Ok(watcher.map(|watcher| Line::tcp(watcher, Activity::begin(&peer))))
    }

    /// Watches a peer's blobs over a TCP connection: the one there is, or a new one.
    ///
    /// Cancel safe: a dial that is dropped leaves nothing behind.
    pub(super) async fn watch(&self, context: &Context, id: NodeId) -> Result<Line, TransferError> {
        let peer = self.get(id);
        let _dialling = peer.dial_tcp.lock().await;
        if let Some(line @ Line::Tcp { .. }) = self.line(id)? {
            return Ok(line);
        }
        let link = context.links.open(id).await;
        let link = link.ok_or(TransferError::Connection)?;
        let ban = peer.state().ban.clone();
        let watcher = Watcher::begin(&context.tasks, link, ban);
        peer.state().watcher = Some(watcher.clone());
        Ok(Line::tcp(watcher, Activity::begin(&peer)))
    }

    /// Where to dial a peer, unless it is banned or was tried in vain a moment ago.
    pub(super) fn address(&self, id: NodeId) -> Result<EndpointAddr, TransferError> {
        let peer = self.get(id);
        if peer.state().banned {
            return Err(TransferError::Refused);
        }
        peer.address(id)
    }

    /// The same as soon as there is one.
    pub(super) async fn known_address(&self, id: NodeId) -> EndpointAddr {
        loop {
            if let Ok(address) = self.address(id) {
                return address;
            }
            tokio::time::sleep(ADDRESS_INTERVAL).await;
        }
    }

    /// Takes in a connection that a peer opened, unless the peer is banned.
    pub(super) fn adopt(&self, id: NodeId, connection: &Connection) -> bool {
        let peer = self.get(id);
        let mut state = peer.state();
        if state.banned {
            return false;
        }
        if state.inbound.len() >= INBOUND_PER_PEER_MAX
            && let Some(oldest) = state.inbound.pop_front()
        {
            state.forget(&oldest);
            oldest.close(CLOSE_BUSY, b"too many connections");
        }
        state.inbound.push_back(connection.clone());
        state.connections.push(connection.clone());
        state.used = Instant::now();
        state.retry_at = None;
        state.failures = 0;
        true
    }

    /// Takes in a TCP connection that a peer opened, unless it is banned or has enough of them.
    pub(super) fn admit(&self, id: NodeId) -> Option<Inbound> {
        let peer = self.get(id);
        let mut state = peer.state();
        if state.banned || state.links >= INBOUND_LINKS_PER_PEER_MAX {
            return None;
        }
        state.links += 1;
        let banned = state.ban.clone();
        drop(state);
        Some(Inbound { id, peer, banned })
    }

    /// Whether nothing is to be had from a peer, nor given to it.
    pub(super) fn is_banned(&self, id: NodeId) -> bool {
        self.get(id).state().banned
    }

    /// Forgets a connection that ended.
    pub(super) fn ended(&self, id: NodeId, connection: &Connection) {
        self.get(id).state().forget(connection);
    }

    /// Marks that something goes on with a peer, so that its connections stay.
    pub(super) fn activity(&self, id: NodeId) -> Activity {
        Activity::begin(&self.get(id))
    }

    /// Room for one more observation at a peer; waits for it.
    pub(super) async fn observation(&self, id: NodeId) -> Option<OwnedSemaphorePermit> {
        let slots = Arc::clone(&self.get(id).observations);
        slots.acquire_owned().await.ok()
    }

    /// Closes the connections with a peer and refuses new ones until it is pardoned.
    pub(super) fn ban(&self, id: NodeId) {
        let peer = self.get(id);
        let mut state = peer.state();
        state.banned = true;
        state.ban.cancel();
        state.watcher = None;
        for connection in state.connections.drain(..) {
            connection.close(CLOSE_BANNED, b"banned");
        }
    }

    /// Lets a banned peer come back.
    pub(super) fn pardon(&self, id: NodeId) {
        let peer = self.get(id);
        let mut state = peer.state();
        if state.banned {
            state.banned = false;
            state.ban = CancellationToken::new();
        }
    }

    /// Closes connections that are not used.
    pub(super) fn close_idle(&self) {
        let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        for peer in peers.values() {
            let mut state = peer.state();
            if state.active == 0 && state.used.elapsed() >= IDLE_MAX {
                state.watcher = None;
                for connection in state.connections.drain(..) {
                    connection.close(CLOSE_IDLE, b"idle");
                }
            }
        }
    }

    fn get(&self, id: NodeId) -> Arc<Peer> {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if peers.len() >= PEERS_MAX && !peers.contains_key(&id) {
            let oldest = peers
                .iter()
                .filter(|(_, peer)| peer.is_forgettable())
                .min_by_key(|(_, peer)| peer.state().used)
                .map(|(id, _)| *id);
            if let Some(oldest) = oldest {
                peers.remove(&oldest);
            }
        }
        Arc::clone(peers.entry(id).or_insert_with(|| Arc::new(Peer::new())))
    }
}
