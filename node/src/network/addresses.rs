//! Multiaddresses: which ones a peer may claim, and where peers were last said to be.
//!
//! Kademlia forgets the addresses of the providers it found as soon as the query has ended. The
//! [`Book`] keeps them, so that a provider can still be dialled a moment later.

use std::{collections::VecDeque, net::IpAddr};

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};
use weft_protocol::{
    diversity::{self, Reach},
    limits::ADDRESSES_PER_PEER_MAX,
};

/// Peers the book remembers: some queries' worth of providers, well under a megabyte.
const PEERS_MAX: usize = 1_024;

/// The address that a multiaddress starts with, if it is an IP address.
pub(crate) fn ip(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.into()),
        _ => None,
    }
}

/// Whether only this machine can reach the address.
pub(crate) fn is_loopback(address: &Multiaddr) -> bool {
    ip(address).is_some_and(|ip| ip.is_loopback())
}

/// The peer id at the end of an address.
pub(crate) fn peer(address: &Multiaddr) -> Option<PeerId> {
    match address.iter().last()? {
        Protocol::P2p(peer) => Some(peer),
        _ => None,
    }
}

/// Whether an address can be dialled over our one transport and names nobody but `peer`.
fn is_dialable(address: &Multiaddr, peer: &PeerId) -> bool {
    let mut has_host = false;
    let mut has_port = false;
    for protocol in address {
        match protocol {
            Protocol::Ip4(ip) if !has_host && !ip.is_unspecified() => has_host = true,
            Protocol::Ip6(ip) if !has_host && !ip.is_unspecified() => has_host = true,
            Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_) if !has_host => {
                has_host = true;
            }
            Protocol::Tcp(port) if has_host && !has_port && port != 0 => has_port = true,
            Protocol::P2p(named) if has_port && named == *peer => {}
            _ => return false,
        }
    }
    has_port
}

/// What of `claimed` is worth dialling for `peer`, whose connection to us comes from `remote`.
///
/// A peer elsewhere cannot be reached on our own loopback interface or LAN, whatever it says, and a name
/// would make us ask a resolver on its behalf. A peer found on the LAN, without a connection yet, has no
/// `remote`.
pub(crate) fn plausible(
    peer: &PeerId,
    remote: Option<&Multiaddr>,
    claimed: impl IntoIterator<Item = Multiaddr>,
) -> Vec<Multiaddr> {
    // A name was written by our user, who may have meant a machine on the LAN.
    let met = remote.and_then(ip).map_or(Reach::Site, diversity::reach);
    let mut addresses: Vec<Multiaddr> = Vec::new();
    for address in claimed.into_iter().take(4 * ADDRESSES_PER_PEER_MAX) {
        let reachable = ip(&address).is_some_and(|ip| met.may_name(diversity::reach(ip)));
        if !reachable || !is_dialable(&address, peer) {
            continue;
        }
        let address = without_peer(address);
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses.truncate(ADDRESSES_PER_PEER_MAX);
    addresses
}

/// Reads what the machine hands over; entries that are no addresses of `peer` are left out.
pub(crate) fn parse(peer: &PeerId, texts: &[String]) -> Vec<Multiaddr> {
    let parsed = texts
        .iter()
        .filter_map(|text| text.parse::<Multiaddr>().ok());
    let mut addresses: Vec<_> = parsed
        .filter(|address| is_dialable(address, peer))
        .map(without_peer)
        .collect();
    addresses.truncate(ADDRESSES_PER_PEER_MAX);
    addresses
}

/// The address without the peer id at its end.
pub(crate) fn without_peer(mut address: Multiaddr) -> Multiaddr {
    if matches!(address.iter().last(), Some(Protocol::P2p(_))) {
        address.pop();
    }
    address
}

/// Where peers were last said to be. Bounded; the peer heard of longest ago is forgotten first.
#[derive(Debug, Default)]
pub(crate) struct Book {
    /// Oldest first. Short enough that looking through it is nothing next to a dial.
    entries: VecDeque<(PeerId, Vec<Multiaddr>)>,
}

impl Book {
    /// Remembers addresses, the newest first, beside those already known.
    pub(crate) fn learn(&mut self, peer: PeerId, mut addresses: Vec<Multiaddr>) {
        if addresses.is_empty() {
            return;
        }
        if let Some(position) = self.entries.iter().position(|(known, _)| *known == peer)
            && let Some((_, older)) = self.entries.remove(position)
        {
            for address in older {
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
        }
        addresses.truncate(ADDRESSES_PER_PEER_MAX);
        self.entries.push_back((peer, addresses));
        if self.entries.len() > PEERS_MAX {
            self.entries.pop_front();
        }
    }

    /// What is known of a peer.
    pub(crate) fn get(&self, peer: &PeerId) -> &[Multiaddr] {
        let entry = self.entries.iter().find(|(known, _)| known == peer);
        entry.map_or(&[], |(_, addresses)| addresses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::identity;

    fn peer_of(seed: u8) -> PeerId {
        identity::keypair(&[seed; 32]).public().to_peer_id()
    }

    fn check(remote: &str, claimed: &str, kept: bool) {
        let peer = peer_of(1);
        let remote: Multiaddr = remote.parse().unwrap();
        let claimed: Multiaddr = claimed.parse().unwrap();
        let result = plausible(&peer, Some(&remote), [claimed.clone()]);
        assert_eq!(!result.is_empty(), kept, "{claimed} from {remote}");
    }

    #[test]
    fn loopback_addresses_count_only_between_neighbours_on_one_machine() {
        check("/ip4/127.0.0.1/tcp/9", "/ip4/127.0.0.1/tcp/4777", true);
        check("/ip4/198.51.100.7/tcp/9", "/ip4/127.0.0.1/tcp/4777", false);
        check("/ip4/192.168.1.7/tcp/9", "/ip4/127.0.0.1/tcp/4777", false);
        check(
            "/ip4/198.51.100.7/tcp/9",
            "/ip4/198.51.100.7/tcp/4777",
            true,
        );
    }

    #[test]
    fn addresses_of_a_lan_count_only_among_those_who_are_on_it() {
        let claimed = "/ip4/192.168.1.8/tcp/4777";
        check("/ip4/127.0.0.1/tcp/9", claimed, true);
        check("/ip4/192.168.1.7/tcp/9", claimed, true);
        check("/ip4/198.51.100.7/tcp/9", claimed, false);
    }

    #[test]
    fn addresses_that_cannot_be_dialled_are_left_out() {
        let remote = "/ip4/198.51.100.7/tcp/9";
        check(remote, "/ip4/0.0.0.0/tcp/4777", false);
        check(remote, "/ip4/198.51.100.7/udp/4777/quic-v1", false);
        check(remote, "/ip4/198.51.100.7/tcp/0", false);
        check(remote, "/dns4/example.org/tcp/4777", false);
        check(
            remote,
            &format!("/ip4/198.51.100.7/tcp/1/p2p/{}", peer_of(1)),
            true,
        );
        check(
            remote,
            &format!("/ip4/198.51.100.7/tcp/1/p2p/{}", peer_of(2)),
            false,
        );
        check(
            remote,
            &format!("/ip4/198.51.100.7/tcp/1/p2p/{}/p2p-circuit", peer_of(1)),
            false,
        );
    }

    #[test]
    fn book_is_bounded_and_puts_the_newest_first() {
        let mut book = Book::default();
        let peer = peer_of(1);
        for port in 1..=20_u16 {
            book.learn(
                peer,
                vec![format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap()],
            );
        }
        assert_eq!(book.get(&peer).len(), ADDRESSES_PER_PEER_MAX);
        assert_eq!(book.get(&peer)[0].to_string(), "/ip4/127.0.0.1/tcp/20");
        let address: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
        for _ in 0..PEERS_MAX {
            book.learn(PeerId::random(), vec![address.clone()]);
        }
        assert!(book.get(&peer).is_empty());
    }
}
