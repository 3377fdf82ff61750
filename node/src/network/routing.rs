//! Who may stand in Kademlia's routing table: not too many of one network.
//!
//! Kademlia itself admits whoever comes first, and node ids are free, so one machine could fill whole
//! buckets and then answer every lookup itself. The rule is `weft_protocol::diversity`'s; this keeps what it
//! needs to know. A peer counts under the network its connection really comes from or leads to, never under
//! one that it merely claims.

use std::{collections::BTreeMap, net::IpAddr};

use libp2p::{PeerId, kad::KBucketKey};
use weft_protocol::diversity::{self, Group};

/// Peers whose network is remembered before those outside the table are forgotten: more than any table holds.
const REMEMBERED_MAX: usize = 4_096;

/// The networks of the peers in the table.
#[derive(Debug)]
pub(crate) struct Routing {
    local: KBucketKey<PeerId>,
    /// Also of peers that wait for a place, which Kademlia does not show.
    groups: BTreeMap<PeerId, Option<Group>>,
}

impl Routing {
    /// For the table of `local`.
    pub(crate) fn new(local: PeerId) -> Self {
        Self {
            local: local.into(),
            groups: BTreeMap::new(),
        }
    }

    /// Whether a peer met at `ip` may enter the table or stay in it, beside the others in `table`.
    pub(crate) fn admits(
        &mut self,
        peer: PeerId,
        ip: Option<IpAddr>,
        table: impl IntoIterator<Item = PeerId>,
    ) -> bool {
        let table: Vec<PeerId> = table.into_iter().collect();
        if self.groups.len() >= REMEMBERED_MAX {
            self.groups.retain(|known, _| table.contains(known));
        }
        let group = ip.and_then(diversity::group);
        self.groups.insert(peer, group);
        self.has_room(peer, group, &table)
    }

    /// Whether a peer that has just entered the table may stay. It may have waited for its place while others
    /// of its network came in.
    pub(crate) fn keeps(&self, peer: PeerId, table: impl IntoIterator<Item = PeerId>) -> bool {
        let group = self.groups.get(&peer).copied().flatten();
        let table: Vec<PeerId> = table.into_iter().collect();
        self.has_room(peer, group, &table)
    }

    fn has_room(&self, peer: PeerId, group: Option<Group>, table: &[PeerId]) -> bool {
        let others = table.iter().filter(|other| **other != peer);
        let entries = others.map(|other| {
            let group = self.groups.get(other).copied().flatten();
            (self.bucket(*other), group)
        });
        diversity::routing_has_room(group, self.bucket(peer), entries)
    }

    /// Numbers the bucket of a peer: the position of the highest bit in which it differs from this node.
    fn bucket(&self, peer: PeerId) -> u32 {
        let distance = self.local.distance(&KBucketKey::from(peer));
        distance.ilog2().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use weft_protocol::limits::{ROUTING_PER_GROUP_AND_BUCKET_MAX, ROUTING_PER_GROUP_MAX};

    use super::*;
    use crate::network::identity;

    fn peer(seed: u8) -> PeerId {
        identity::keypair(&[seed; 32]).public().to_peer_id()
    }

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    fn arrive(routing: &mut Routing, table: &mut Vec<PeerId>, peer: PeerId, ip: Option<IpAddr>) {
        if routing.admits(peer, ip, table.iter().copied()) && !table.contains(&peer) {
            table.push(peer);
        }
    }

    #[test]
    fn one_network_gets_few_places_and_leaves_the_others_alone() {
        let mut routing = Routing::new(peer(0));
        let mut table = Vec::new();
        for seed in 1..=100 {
            let host = ip(&format!("198.51.100.{seed}"));
            arrive(&mut routing, &mut table, peer(seed), host);
        }
        assert_eq!(table.len(), ROUTING_PER_GROUP_MAX);
        let mut buckets = BTreeMap::<u32, usize>::new();
        for peer in &table {
            *buckets.entry(routing.bucket(*peer)).or_default() += 1;
        }
        let fullest = buckets.values().max();
        assert_eq!(fullest, Some(&ROUTING_PER_GROUP_AND_BUCKET_MAX));
        arrive(&mut routing, &mut table, peer(101), ip("203.0.113.1"));
        for seed in 102..=120 {
            arrive(&mut routing, &mut table, peer(seed), ip("192.168.1.1"));
        }
        assert_eq!(table.len(), ROUTING_PER_GROUP_MAX + 1 + 19);
    }

    #[test]
    fn peer_that_moves_into_a_full_network_has_to_go() {
        let mut routing = Routing::new(peer(0));
        let mut table = Vec::new();
        for seed in 1..=100 {
            arrive(&mut routing, &mut table, peer(seed), ip("198.51.100.1"));
        }
        let full = table.clone();
        arrive(&mut routing, &mut table, peer(200), ip("203.0.113.1"));
        assert!(routing.admits(peer(200), ip("203.0.113.9"), table.iter().copied()));
        assert!(!routing.admits(peer(200), ip("198.51.100.9"), table.iter().copied()));
        table.retain(|known| *known != peer(200));
        // Those that were there before stay.
        for known in full {
            assert!(routing.keeps(known, table.iter().copied()));
        }
    }

    #[test]
    fn peer_that_waited_for_its_place_is_looked_at_again() {
        let mut routing = Routing::new(peer(0));
        assert!(routing.admits(peer(255), ip("198.51.100.255"), []));
        let mut table = Vec::new();
        for seed in 1..=100 {
            arrive(&mut routing, &mut table, peer(seed), ip("198.51.100.1"));
        }
        table.push(peer(255));
        assert!(!routing.keeps(peer(255), table));
    }
}
