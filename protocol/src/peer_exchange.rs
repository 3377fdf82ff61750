//! Peer exchange: what peers of one repository tell each other about who else is there.
//!
//! Everything told here is hearsay: a peer may name addresses of people who never heard of weft, or of
//! machines on our own LAN, to have us knock there. So only a few of one network are taken, and nobody
//! names an address that he cannot know. Pure filters; the service asks and answers.

use fastrand::Rng;

use crate::{
    diversity::{self, Reach, Tally},
    limits,
    time::Instant,
    wire::PeerAddresses,
};

/// Picks at random what one answer tells, and looks up where those are: a fixed choice would let whoever grinds the right node ids be in
/// all of them.
pub fn choose<T>(
    mut peers: Vec<T>,
    look_up: impl Fn(T) -> PeerAddresses,
    rng: &mut Rng,
) -> Vec<PeerAddresses> {
    rng.shuffle(&mut peers);
    let mut tally = Tally::default();
    let peers = peers.into_iter().map(look_up);
    peers
        .filter(|peer| has_room(&peer.addresses, &mut tally))
        .take(limits::PEERS_PER_RESPONSE_MAX)
        .collect()
}

/// What of an answer is believed enough to be tried. `teller` is the remote address of the peer that gave
/// it, as multiaddr text.
pub fn credible(teller: &str, peers: Vec<PeerAddresses>) -> Vec<PeerAddresses> {
    let met = diversity::ip(teller).map_or(Reach::World, diversity::reach);
    let mut tally = Tally::default();
    let told = peers.into_iter().take(limits::PEERS_PER_RESPONSE_MAX);
    told.map(|mut told| {
        told.addresses.retain(|address| {
            // Host names too: a resolver would be asked on a stranger's behalf.
            diversity::ip(address).is_some_and(|ip| met.may_name(diversity::reach(ip)))
        });
        told.addresses
            .truncate(limits::EXCHANGED_ADDRESSES_PER_PEER_MAX);
        told
    })
    .filter(|told| has_room(&told.addresses, &mut tally))
    .collect()
}

/// Counts every network that the addresses lead to, unless one of them is full.
fn has_room(addresses: &[String], tally: &mut Tally) -> bool {
    let groups = addresses
        .iter()
        .filter_map(|address| diversity::ip(address));
    let mut groups: Vec<_> = groups.map(diversity::group).collect();
    groups.sort_unstable();
    groups.dedup();
    let max = limits::EXCHANGED_PER_GROUP_MAX;
    let fits = groups.iter().all(|group| tally.count(*group) < max);
    if fits {
        groups.into_iter().for_each(|group| tally.add(group));
    }
    fits
}

/// How many exchanges one peer may still ask for.
#[derive(Debug)]
pub struct Allowance {
    left: u32,
    refilled: Instant,
}

impl Allowance {
    /// A full one.
    pub fn new(now: Instant) -> Self {
        Self {
            left: limits::EXCHANGES_BURST,
            refilled: now,
        }
    }

    /// Takes one, if there is one left.
    pub fn take(&mut self, now: Instant) -> bool {
        let interval = limits::EXCHANGE_INTERVAL;
        while self.left < limits::EXCHANGES_BURST && now.since(self.refilled) >= interval {
            self.left += 1;
            self.refilled = self.refilled + interval;
        }
        if self.left == limits::EXCHANGES_BURST {
            self.refilled = now;
        }
        let taken = self.left > 0;
        self.left = self.left.saturating_sub(1);
        taken
    }
}

#[cfg(test)]
mod tests;
