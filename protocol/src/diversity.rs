//! Where on the internet an address lies, and how many of one place are too many.
//!
//! Node ids cost nothing; addresses do. Whoever rents one machine, or one small network, can appear as a
//! thousand nodes, so whatever a node keeps about strangers is bounded by the network they speak from: a
//! [`Group`] is a /24 of IPv4 or a /48 of IPv6, the smallest that are commonly given to one owner.
//! Addresses that only mean something on this machine or this site have no group: people who run ten nodes
//! on their own LAN are not a flood.
//!
//! Pure arithmetic on addresses: nothing is looked up. What is counted is always where a connection
//! really leads; what a stranger merely claims would let him use up somebody else's share.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// One owner's network, as far as an address tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// The first three bytes of an IPv4 address.
    V4([u8; 3]),
    /// The first six bytes of an IPv6 address.
    V6([u8; 6]),
}

/// From how far away an address can be reached. Later variants reach farther.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// From this machine only.
    Machine,
    /// From this site: private, link-local and carrier-shared ranges.
    Site,
    /// From anywhere.
    World,
}

impl Reach {
    /// Whether somebody who was met at this distance can know an address of reach `other`: who is far away
    /// has no business naming addresses on our LAN or on this very machine.
    pub fn may_name(self, other: Self) -> bool {
        other >= self
    }
}

/// From where `ip` can be reached.
pub fn reach(ip: IpAddr) -> Reach {
    match unwrapped(ip) {
        IpAddr::V4(ip) => reach_v4(ip),
        IpAddr::V6(ip) => reach_v6(ip),
    }
}

/// Whose network `ip` belongs to; `None` where nothing is counted.
pub fn group(ip: IpAddr) -> Option<Group> {
    if reach(ip) < Reach::World {
        return None;
    }
    Some(match unwrapped(ip) {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            Group::V4([a, b, c])
        }
        IpAddr::V6(ip) => {
            let [a, b, c, d, e, f, ..] = ip.octets();
            Group::V6([a, b, c, d, e, f])
        }
    })
}

/// The IP address that a multiaddress text begins with. Host names have none: they say nothing until they
/// are looked up, and another answer comes the next time.
pub fn ip(address: &str) -> Option<IpAddr> {
    let mut parts = address.strip_prefix('/')?.split('/');
    match (parts.next()?, parts.next()?) {
        ("ip4", text) => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        ("ip6", text) => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => None,
    }
}

fn reach_v4(ip: Ipv4Addr) -> Reach {
    let [a, b, ..] = ip.octets();
    let is_shared = a == 100 && b & 0b1100_0000 == 64;
    if ip.is_loopback() || a == 0 {
        Reach::Machine
    } else if ip.is_private() || ip.is_link_local() || ip.is_broadcast() || is_shared {
        Reach::Site
    } else {
        Reach::World
    }
}

fn reach_v6(ip: Ipv6Addr) -> Reach {
    let [first, ..] = ip.segments();
    if ip.is_loopback() || ip.is_unspecified() {
        Reach::Machine
    } else if first & 0xfe00 == 0xfc00 || first & 0xff80 == 0xfe80 {
        // Unique local; link-local and the site-local range that came before it.
        Reach::Site
    } else {
        Reach::World
    }
}

/// IPv6 forms that stand for an IPv4 address belong to the owner of that one, who has as many of them as
/// he likes: mapped (::ffff:0:0/96), translated (64:ff9b::/96) and 6to4 (2002::/16).
fn unwrapped(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else {
        return ip;
    };
    let octets = v6.octets();
    let inner = match octets {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
        | [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d]
        | [0x20, 0x02, a, b, c, d, ..] => [a, b, c, d],
        _ => return ip,
    };
    IpAddr::V4(inner.into())
}

/// How many of each group were taken.
#[derive(Debug, Clone, Default)]
pub struct Tally(BTreeMap<Group, usize>);

impl Tally {
    /// How many of `group` there are; none of what has no group.
    pub fn count(&self, group: Option<Group>) -> usize {
        group.map_or(0, |group| self.0.get(&group).copied().unwrap_or(0))
    }

    /// Counts one more.
    pub fn add(&mut self, group: Option<Group>) {
        if let Some(group) = group {
            *self.0.entry(group).or_default() += 1;
        }
    }

    /// Counts one more if that makes no more than `max`. What has no group always goes.
    pub fn admit(&mut self, group: Option<Group>, max: usize) -> bool {
        let fits = group.is_none() || self.count(group) < max;
        if fits {
            self.add(group);
        }
        fits
    }
}

/// Whether a routing table takes one more peer of `group` into `bucket`. `entries` are the buckets and
/// groups of all others that are in it.
///
/// First come, first kept, as everywhere in Kademlia: a table that was good stays good.
pub fn routing_has_room(
    group: Option<Group>,
    bucket: u32,
    entries: impl IntoIterator<Item = (u32, Option<Group>)>,
) -> bool {
    if group.is_none() {
        return true;
    }
    let (mut in_bucket, mut in_table) = (0, 0);
    for (other, of) in entries {
        if of == group {
            in_table += 1;
            in_bucket += usize::from(other == bucket);
        }
    }
    in_bucket < crate::limits::ROUTING_PER_GROUP_AND_BUCKET_MAX
        && in_table < crate::limits::ROUTING_PER_GROUP_MAX
}

#[cfg(test)]
mod tests;
