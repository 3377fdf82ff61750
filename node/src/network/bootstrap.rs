//! The addresses the user named to start from, and when to dial them.
//!
//! They are only a way in: dialled at start, and again with growing pauses while the peer behind is not
//! connected. Keeps the timetable alone; the time is an argument.

use std::time::{Duration, Instant};

use libp2p::{Multiaddr, PeerId, swarm::ConnectionId};

use super::addresses;

/// First pause after a failure: the other node may just be starting.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
/// Longest pause: a bootstrap node that comes back is noticed within minutes.
const BACKOFF_MAX: Duration = Duration::from_secs(300);

#[derive(Debug)]
struct Seed {
    address: Multiaddr,
    peer: Option<PeerId>,
    connected: bool,
    dialling: Option<ConnectionId>,
    failures: u32,
    due: Instant,
}

/// All bootstrap addresses.
#[derive(Debug)]
pub(crate) struct Bootstrap {
    seeds: Vec<Seed>,
}

impl Bootstrap {
    /// Everything is due at once. Addresses that name this node itself are ignored.
    pub(crate) fn new(local: &PeerId, addresses: &[Multiaddr], now: Instant) -> Self {
        let seeds = addresses.iter().map(|address| Seed {
            address: address.clone(),
            peer: addresses::peer(address),
            connected: false,
            dialling: None,
            failures: 0,
            due: now,
        });
        Self {
            seeds: seeds
                .filter(|seed| seed.peer.as_ref() != Some(local))
                .collect(),
        }
    }

    /// An address to dial now, and the peer that is expected there. Call [`Self::dialling`] or
    /// [`Self::failed`] with its position.
    pub(crate) fn next(&self, now: Instant) -> Option<(usize, Multiaddr, Option<PeerId>)> {
        let waits = |seed: &&Seed| !seed.connected && seed.dialling.is_none() && seed.due <= now;
        let position = self.seeds.iter().position(|seed| waits(&seed))?;
        let seed = self.seeds.get(position)?;
        Some((position, seed.address.clone(), seed.peer))
    }

    /// The dial has begun.
    pub(crate) fn dialling(&mut self, position: usize, connection: ConnectionId) {
        if let Some(seed) = self.seeds.get_mut(position) {
            seed.dialling = Some(connection);
        }
    }

    /// The dial could not even begin.
    pub(crate) fn failed(&mut self, position: usize, now: Instant) {
        if let Some(seed) = self.seeds.get_mut(position) {
            back_off(seed, now);
        }
    }

    /// A connection to `peer` exists, by whatever way it came about.
    pub(crate) fn established(&mut self, peer: PeerId, connection: ConnectionId) {
        for seed in &mut self.seeds {
            if seed.dialling == Some(connection) {
                seed.peer = Some(peer);
                seed.dialling = None;
            }
            if seed.peer == Some(peer) {
                seed.connected = true;
                seed.failures = 0;
            }
        }
    }

    /// A dial failed.
    pub(crate) fn dial_failed(&mut self, connection: ConnectionId, now: Instant) {
        for seed in &mut self.seeds {
            if seed.dialling == Some(connection) {
                back_off(seed, now);
            }
        }
    }

    /// The address turned out to lead to this node itself.
    pub(crate) fn is_self(&mut self, connection: ConnectionId) {
        self.seeds.retain(|seed| seed.dialling != Some(connection));
    }

    /// The last connection to `peer` is gone.
    pub(crate) fn disconnected(&mut self, peer: &PeerId, now: Instant) {
        for seed in &mut self.seeds {
            if seed.peer.as_ref() == Some(peer) {
                seed.connected = false;
                seed.due = now + BACKOFF_MIN;
            }
        }
    }

    /// When [`Self::next`] has something again.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let waiting = self
            .seeds
            .iter()
            .filter(|seed| !seed.connected && seed.dialling.is_none());
        waiting.map(|seed| seed.due).min()
    }
}

fn back_off(seed: &mut Seed, now: Instant) {
    let pause = BACKOFF_MIN
        .saturating_mul(1 << seed.failures.min(16))
        .min(BACKOFF_MAX);
    seed.failures = seed.failures.saturating_add(1);
    seed.dialling = None;
    seed.due = now + pause;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::identity;

    fn peer(seed: u8) -> PeerId {
        identity::keypair(&[seed; 32]).public().to_peer_id()
    }

    fn address(peer: PeerId) -> Multiaddr {
        format!("/ip4/127.0.0.1/tcp/4777/p2p/{peer}")
            .parse()
            .unwrap()
    }

    #[test]
    fn own_address_is_ignored() {
        let bootstrap = Bootstrap::new(&peer(1), &[address(peer(1))], Instant::now());
        assert_eq!(bootstrap.next(Instant::now()), None);
        assert_eq!(bootstrap.deadline(), None);
    }

    #[test]
    fn failed_dials_are_repeated_with_growing_pauses() {
        let mut now = Instant::now();
        let mut bootstrap = Bootstrap::new(&peer(1), &[address(peer(2))], now);
        for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            let (position, _, expected) = bootstrap.next(now).unwrap();
            assert_eq!(expected, Some(peer(2)));
            let connection = ConnectionId::new_unchecked(9);
            bootstrap.dialling(position, connection);
            assert_eq!(bootstrap.next(now), None);
            bootstrap.dial_failed(connection, now);
            let pause = Duration::from_secs(seconds);
            assert_eq!(bootstrap.deadline(), Some(now + pause));
            now += pause;
        }
    }

    #[test]
    fn connected_seed_is_left_alone_until_it_is_gone() {
        let now = Instant::now();
        let mut bootstrap = Bootstrap::new(&peer(1), &[address(peer(2))], now);
        bootstrap.established(peer(2), ConnectionId::new_unchecked(1));
        assert_eq!(bootstrap.next(now), None);
        bootstrap.disconnected(&peer(2), now);
        assert_eq!(bootstrap.deadline(), Some(now + BACKOFF_MIN));
    }
}
