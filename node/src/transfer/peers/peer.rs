//! One peer: where it is, the connections with it, and what goes on.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use iroh::{EndpointAddr, EndpointId, endpoint::Connection};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use weft_protocol::{id::NodeId, service::TransferError};

use super::CLOSE_BANNED;
use crate::transfer::observe::Watcher;

/// First pause after a failed dial; doubles with each failure.
const BACKOFF_MIN: Duration = Duration::from_millis(500);
/// Longest pause: a peer that was away for an hour is found within a minute of its return.
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// Observations open at one peer; below the streams a connection allows, so that requests always find room.
const OBSERVATIONS_PER_PEER_MAX: usize = 256;

#[derive(Debug)]
pub(super) struct Peer {
    /// Held while dialling, so that ten fetches make one dial.
    pub(super) dial: tokio::sync::Mutex<()>,
    /// Held while dialling over TCP to watch.
    pub(super) dial_tcp: tokio::sync::Mutex<()>,
    pub(super) observations: Arc<Semaphore>,
    pub(super) state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    /// The newest first.
    pub(super) addresses: VecDeque<SocketAddr>,
    pub(super) connections: Vec<Connection>,
    /// The TCP connection on which the peer's blobs are watched, where QUIC does not reach it.
    pub(super) watcher: Option<Watcher>,
    /// The connections that the peer opened, the oldest first.
    pub(super) inbound: VecDeque<Connection>,
    pub(super) links: usize,
    pub(super) failures: u32,
    pub(super) retry_at: Option<Instant>,
    pub(super) banned: bool,
    /// Ends the peer's TCP connections when it is banned.
    pub(super) ban: CancellationToken,
    /// What is going on with the peer now, in both directions.
    pub(super) active: usize,
    pub(super) used: Instant,
}

/// A connection in use. While one lives, the connection is not idle.
#[derive(Debug)]
pub(in crate::transfer) struct Lease {
    connection: Connection,
    _activity: Activity,
}

/// A TCP connection that a peer opened; ends when dropped.
#[derive(Debug)]
pub(in crate::transfer) struct Inbound {
    pub(super) id: NodeId,
    pub(super) peer: Arc<Peer>,
    pub(super) banned: CancellationToken,
}

/// Something going on with a peer; ends when dropped.
#[derive(Debug)]
pub(in crate::transfer) struct Activity(Arc<Peer>);

impl State {
    pub(super) fn forget(&mut self, connection: &Connection) {
        let is_other = |other: &Connection| other.stable_id() != connection.stable_id();
        self.connections.retain(is_other);
        self.inbound.retain(is_other);
    }
}

impl Peer {
    pub(super) fn new() -> Self {
        Self {
            dial: tokio::sync::Mutex::new(()),
            dial_tcp: tokio::sync::Mutex::new(()),
            observations: Arc::new(Semaphore::new(OBSERVATIONS_PER_PEER_MAX)),
            state: Mutex::new(State {
                addresses: VecDeque::new(),
                connections: Vec::new(),
                watcher: None,
                inbound: VecDeque::new(),
                links: 0,
                failures: 0,
                retry_at: None,
                banned: false,
                ban: CancellationToken::new(),
                active: 0,
                used: Instant::now(),
            }),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_forgettable(&self) -> bool {
        let state = self.state();
        state.connections.is_empty()
            && state.watcher.is_none()
            && state.links == 0
            && state.active == 0
            && !state.banned
    }

    /// The connection in use, if one is alive.
    pub(super) fn lease(self: &Arc<Self>) -> Result<Option<Lease>, TransferError> {
        let connection = {
            let mut state = self.state();
            if state.banned {
                return Err(TransferError::Refused);
            }
            state
                .connections
                .retain(|connection| connection.close_reason().is_none());
            state.connections.last().cloned()
        };
        Ok(connection.map(|connection| Lease {
            connection,
            _activity: Activity::begin(self),
        }))
    }

    /// Where to dial, unless it was tried in vain a moment ago.
    pub(super) fn address(&self, id: NodeId) -> Result<EndpointAddr, TransferError> {
        let endpoint_id =
            EndpointId::from_bytes(id.as_bytes()).map_err(|_| TransferError::Connection)?;
        let state = self.state();
        let too_soon = state.retry_at.is_some_and(|at| Instant::now() < at);
        if too_soon || state.addresses.is_empty() {
            return Err(TransferError::Connection);
        }
        Ok(state
            .addresses
            .iter()
            .fold(EndpointAddr::new(endpoint_id), |address, ip| {
                address.with_ip_addr(*ip)
            }))
    }

    pub(super) fn connected(&self, connection: Connection) {
        let mut state = self.state();
        if state.banned {
            connection.close(CLOSE_BANNED, b"banned");
            return;
        }
        state.connections.push(connection);
        state.failures = 0;
        state.retry_at = None;
    }

    pub(super) fn failed(&self) {
        let mut state = self.state();
        let pause = BACKOFF_MIN
            .saturating_mul(1 << state.failures.min(16))
            .min(BACKOFF_MAX);
        state.failures = state.failures.saturating_add(1);
        state.retry_at = Some(Instant::now() + pause);
    }
}

impl Lease {
    pub(in crate::transfer) fn connection(&self) -> &Connection {
        &self.connection
    }
}

impl Inbound {
    /// Whose it is.
    pub(in crate::transfer) fn peer(&self) -> NodeId {
        self.id
    }

    /// Fires when the peer is banned.
    pub(in crate::transfer) fn banned(&self) -> &CancellationToken {
        &self.banned
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        let mut state = self.peer.state();
        state.links = state.links.saturating_sub(1);
    }
}

impl Activity {
    pub(super) fn begin(peer: &Arc<Peer>) -> Self {
        let mut state = peer.state();
        state.active += 1;
        state.used = Instant::now();
        drop(state);
        Self(Arc::clone(peer))
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.active = state.active.saturating_sub(1);
        state.used = Instant::now();
    }
}
