//! Who may connect at all: peers with an ed25519 key that are not banned, while memory lasts.
//!
//! A behaviour that speaks no protocol: it only says yes or no when a connection begins. It denies
//! early, before a stream of any other behaviour exists. Numbers of connections are
//! `connection_limits`' business.

use std::{
    collections::HashSet,
    convert::Infallible,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm, dummy,
    },
};

use super::identity;

/// How often memory is measured at most: connections come in bursts, memory does not change that fast.
const MEASURE_INTERVAL: Duration = Duration::from_secs(1);

/// Why a connection was denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    /// The peer's key cannot be a node key.
    #[error("the peer's key is not ed25519")]
    KeyKind,
    /// The machine banned the peer for this run.
    #[error("the peer is banned")]
    Banned,
    /// The process uses more memory than it may.
    #[error("memory is short")]
    Memory,
}

/// The gate.
#[derive(Debug)]
pub(crate) struct Behaviour {
    /// Only asked for membership, never iterated. Grows by the machine's own decisions alone.
    banned: HashSet<PeerId>,
    memory_bytes_max: Option<u64>,
    measured: Option<(Instant, bool)>,
}

impl Behaviour {
    /// A gate that lets nobody in while the process holds more than `memory_bytes_max` bytes.
    pub(crate) fn new(memory_bytes_max: Option<u64>) -> Self {
        Self {
            banned: HashSet::new(),
            memory_bytes_max,
            measured: None,
        }
    }

    /// Refuses new connections with `peer` from now on. Existing ones are the caller's to close.
    pub(crate) fn ban(&mut self, peer: PeerId) {
        self.banned.insert(peer);
    }

    fn check_peer(&self, peer: &PeerId) -> Result<(), ConnectionDenied> {
        if identity::node_id(peer).is_none() {
            return Err(ConnectionDenied::new(Denied::KeyKind));
        }
        if self.banned.contains(peer) {
            return Err(ConnectionDenied::new(Denied::Banned));
        }
        Ok(())
    }

    fn check_memory(&mut self) -> Result<(), ConnectionDenied> {
        let Some(bytes_max) = self.memory_bytes_max else {
            return Ok(());
        };
        let now = Instant::now();
        let short = match self.measured {
            Some((at, short)) if now.duration_since(at) < MEASURE_INTERVAL => short,
            _ => {
                let short = resident_bytes().is_some_and(|bytes| bytes > bytes_max);
                self.measured = Some((now, short));
                short
            }
        };
        if short {
            Err(ConnectionDenied::new(Denied::Memory))
        } else {
            Ok(())
        }
    }
}

/// Bytes of memory this process holds, where the system says so in a file.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.check_memory()
    }

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.check_peer(&peer)?;
        Ok(dummy::ConnectionHandler)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        if let Some(peer) = peer {
            self.check_peer(&peer)?;
        }
        Ok(Vec::new())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.check_peer(&peer)?;
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(seed: u8) -> PeerId {
        identity::keypair(&[seed; 32]).public().to_peer_id()
    }

    fn reason(denied: ConnectionDenied) -> Denied {
        denied
            .downcast()
            .expect("the gate denies with its own reasons")
    }

    #[test]
    fn banned_peer_is_denied_and_others_are_not() {
        let mut gate = Behaviour::new(None);
        gate.ban(peer(1));
        assert_eq!(
            reason(gate.check_peer(&peer(1)).unwrap_err()),
            Denied::Banned
        );
        assert!(gate.check_peer(&peer(2)).is_ok());
    }

    #[test]
    fn peer_with_another_kind_of_key_is_denied() {
        let sha256 = libp2p::multihash::Multihash::<64>::wrap(0x12, &[1; 32]).unwrap();
        let stranger = PeerId::from_multihash(sha256).unwrap();
        let gate = Behaviour::new(None);
        assert_eq!(
            reason(gate.check_peer(&stranger).unwrap_err()),
            Denied::KeyKind
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn connections_are_denied_while_memory_is_short() {
        assert_eq!(
            reason(Behaviour::new(Some(1)).check_memory().unwrap_err()),
            Denied::Memory
        );
        assert!(Behaviour::new(Some(u64::MAX)).check_memory().is_ok());
    }
}
