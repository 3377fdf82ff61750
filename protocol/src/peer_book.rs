//! The peer book: whom this node remembers between runs, and whom it dials first.
//!
//! Anybody can make up node ids and connect, so what is remembered has to be earned. A peer is *heard* when
//! it connected to us and says where it can be dialled; *reached* when we dialled it there; *established*
//! when that worked on several occasions. The weaker never pushes out the stronger, nobody pushes out an
//! *anchor*, and no network has more than a few places. A flood therefore ends up fighting itself for the
//! [`limits::PEER_BOOK_HEARD_MAX`] places of the heard.
//!
//! Anchors ([`anchors`]) are long-standing peers that this node chose and dialled itself. They are written
//! down as soon as they are chosen, so that a node that is killed in the middle of an attack comes back to
//! the peers it had before.
//!
//! # Invariants
//! - At most [`limits::PEER_BOOK_MAX`] records, [`limits::PEER_BOOK_PER_GROUP_MAX`] of one network,
//!   [`limits::PEER_BOOK_HEARD_MAX`] heard, [`limits::ANCHORS_MAX`] anchors of as many networks. (A book
//!   that an older version wrote shrinks as it changes.)
//! - Every change is handed back as the [`Op`]s that persist it.

mod anchors;
mod room;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use crate::{
    diversity::{self, Group, Reach, Tally},
    id::NodeId,
    limits,
    op::{Op, PeerRecord},
    time::{Instant, Now, Timestamp},
};

/// Occasions count when they lie this far apart: a connection that flaps proves nothing twice.
const OCCASION: Duration = Duration::from_secs(3_600);
/// Occasions after which a peer is established.
const ESTABLISHED_AFTER: u32 = 3;
/// Failed dials in a row after which a peer counts as gone.
const FAILURES_MAX: u32 = 3;
/// A peer not seen for so long counts as gone.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30 * 86_400);
/// `seen` alone is worth a write this often.
const SEEN_GRAIN: Duration = Duration::from_secs(600);
/// A peer that changes its addresses more often is written down again only after this.
const REWRITE_INTERVAL: Duration = Duration::from_secs(60);

/// How much a record has proven. Later variants outlive earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tier {
    /// Was reached once, and not any more.
    Gone,
    /// Only says where it is.
    Heard,
    /// Was dialled with success.
    Reached,
    /// Was dialled with success on several occasions.
    Established,
}

/// A connected peer.
#[derive(Debug)]
struct Link {
    /// Where the connection leads; `None` if that is no IP address.
    remote: Option<IpAddr>,
    /// Since when a connection stands that this node dialled, and to which address.
    outbound: Option<(Instant, String)>,
}

/// The book, together with who is connected now.
#[derive(Debug, Default)]
pub struct Book {
    records: BTreeMap<NodeId, PeerRecord>,
    links: BTreeMap<NodeId, Link>,
    /// Peers of the book whose last dial in this run failed.
    failed: BTreeSet<NodeId>,
    /// When each record was last written, in this run.
    written: BTreeMap<NodeId, Timestamp>,
}

impl Book {
    /// Takes up what the last run wrote.
    pub fn new<'a>(records: impl IntoIterator<Item = &'a PeerRecord>) -> Self {
        let records = records.into_iter();
        Self {
            records: records
                .map(|record| (record.peer, record.clone()))
                .collect(),
            ..Self::default()
        }
    }

    /// The record of a peer.
    pub fn get(&self, peer: &NodeId) -> Option<&PeerRecord> {
        self.records.get(peer)
    }

    /// All records, by node id.
    pub fn iter(&self) -> impl Iterator<Item = &PeerRecord> {
        self.records.values()
    }

    /// The first connection to a peer stands. `address` is its remote end as multiaddr text.
    pub fn connected(&mut self, peer: NodeId, address: &str) {
        let link = Link {
            remote: diversity::ip(address),
            outbound: None,
        };
        self.links.insert(peer, link);
    }

    /// A connected peer was reached by our own dial to `address`.
    #[must_use]
    pub fn reached(&mut self, peer: NodeId, address: String, now: Now) -> Vec<Op> {
        let Some(link) = self.links.get_mut(&peer) else {
            return Vec::new();
        };
        link.remote = diversity::ip(&address);
        let since = link.outbound.take().map_or(now.instant, |(since, _)| since);
        link.outbound = Some((since, address.clone()));
        self.failed.remove(&peer);
        let mut record = self.record(peer, now.unix);
        if record.reached == 0 || age(record.seen, now.unix) >= OCCASION {
            record.reached = record.reached.saturating_add(1);
        }
        record.failures = 0;
        record.addresses.retain(|known| *known != address);
        record.addresses.insert(0, address);
        let mut ops = self.keep(record, now.unix);
        self.elect(now, &mut ops);
        ops
    }

    /// A connected peer says where it can be dialled.
    #[must_use]
    pub fn claimed(&mut self, peer: NodeId, addresses: Vec<String>, now: Now) -> Vec<Op> {
        let Some(link) = self.links.get(&peer) else {
            return Vec::new();
        };
        let dialled = link.outbound.as_ref().map(|(_, address)| address.clone());
        let Some(addresses) = credible(link.remote, dialled, addresses) else {
            return Vec::new();
        };
        let mut record = self.record(peer, now.unix);
        record.addresses = addresses;
        self.keep(record, now.unix)
    }

    /// The last connection to a peer is gone.
    #[must_use]
    pub fn disconnected(&mut self, peer: &NodeId, now: Now) -> Vec<Op> {
        self.links.remove(peer);
        let mut ops = Vec::new();
        if let Some(record) = self.records.get(peer).cloned() {
            ops = self.keep(record, now.unix);
        }
        self.elect(now, &mut ops);
        ops
    }

    /// A dial of ours to a peer led nowhere. While nobody at all is connected it is this node that is cut
    /// off, and nothing is held against the peer.
    #[must_use]
    pub fn unreachable(&mut self, peer: &NodeId, now: Now) -> Vec<Op> {
        if self.links.is_empty() || self.links.contains_key(peer) {
            return Vec::new();
        }
        let Some(record) = self.records.get_mut(peer) else {
            return Vec::new();
        };
        // Once a run: a node that is restarted may be away for minutes, and is dialled again and again.
        if !self.failed.insert(*peer) {
            return Vec::new();
        }
        record.failures = record.failures.saturating_add(1);
        let mut ops = vec![Op::PutPeer(record.clone())];
        self.elect(now, &mut ops);
        ops
    }

    /// Whom to dial at start, in this order: the anchors, then whom we reached most recently, then others.
    pub fn dial_order(&self, now: Timestamp) -> Vec<PeerRecord> {
        let mut records: Vec<&PeerRecord> = self.records.values().collect();
        records.sort_by_key(|record| {
            let rank = match tier(record, now) {
                _ if record.anchor => 0_u8,
                Tier::Reached | Tier::Established => 1,
                Tier::Heard => 2,
                Tier::Gone => 3,
            };
            (rank, Reverse(record.seen), record.peer)
        });
        let mut tally = Tally::default();
        let diverse = records
            .into_iter()
            .filter(|record| tally.admit(group_of(record), limits::PEERS_DIALLED_PER_GROUP_MAX));
        diverse
            .take(limits::PEERS_DIALLED_AT_START_MAX)
            .cloned()
            .collect()
    }

    /// The record of a peer, or a blank one.
    fn record(&self, peer: NodeId, now: Timestamp) -> PeerRecord {
        self.get(&peer).cloned().unwrap_or(PeerRecord {
            peer,
            addresses: Vec::new(),
            seen: now,
            since: now,
            reached: 0,
            failures: 0,
            anchor: false,
        })
    }

    /// Keeps a record of a peer that is or just was connected, if there is room for it.
    fn keep(&mut self, mut record: PeerRecord, now: Timestamp) -> Vec<Op> {
        let peer = record.peer;
        record.seen = now;
        let before = self.records.remove(&peer);
        let needs_room = before.as_ref().is_none_or(|before| {
            let is_back = tier(before, now) == Tier::Gone && tier(&record, now) == Tier::Heard;
            is_back || group_of(before) != group_of(&record)
        });
        let mut ops = Vec::new();
        if needs_room {
            let Some(victims) = self.make_room(&record, now) else {
                // What is known of it stands; where it went there is no room.
                self.records.extend(before.map(|before| (peer, before)));
                return ops;
            };
            for victim in victims {
                self.records.remove(&victim);
                self.failed.remove(&victim);
                self.written.remove(&victim);
                ops.push(Op::DeletePeer { peer: victim });
            }
        } else if let Some(before) = &before
            && !self.is_worth_a_write(before, &record, now)
        {
            record.seen = before.seen;
            self.records.insert(peer, record);
            return ops;
        }
        self.written.insert(peer, now);
        ops.push(Op::PutPeer(record.clone()));
        self.records.insert(peer, record);
        ops
    }

    fn is_worth_a_write(&self, before: &PeerRecord, after: &PeerRecord, now: Timestamp) -> bool {
        let standing = |record: &PeerRecord| (record.reached, record.failures, record.anchor);
        if standing(before) != standing(after) {
            return true;
        }
        let written = self.written.get(&before.peer);
        let rewritable = written.is_none_or(|at| age(*at, now) >= REWRITE_INTERVAL);
        let differs = before.addresses != after.addresses || age(before.seen, now) >= SEEN_GRAIN;
        rewritable && differs
    }
}

/// Which of the addresses that a peer claims are worth remembering, the best first; `None` if none is.
///
/// A peer that was met on the internet and can only be dialled somewhere else is not remembered: it could
/// name anybody's address, and would be counted under that one's network.
fn credible(
    remote: Option<IpAddr>,
    dialled: Option<String>,
    claimed: Vec<String>,
) -> Option<Vec<String>> {
    let home = remote.and_then(diversity::group);
    let met = remote.map_or(Reach::Machine, diversity::reach);
    let may_be_named = |address: &String| {
        diversity::ip(address).is_none_or(|ip| met.may_name(diversity::reach(ip)))
    };
    let mut addresses: Vec<String> = dialled.into_iter().collect();
    for address in claimed.into_iter().filter(may_be_named) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    // Stable: the dialled one stays first.
    addresses.sort_by_key(|address| diversity::ip(address).and_then(diversity::group) != home);
    addresses.truncate(limits::ADDRESSES_PER_PEER_MAX);
    let first = addresses.first()?;
    let is_at_home = diversity::ip(first).and_then(diversity::group) == home;
    (home.is_none() || is_at_home).then_some(addresses)
}

/// The network under which a record counts.
fn group_of(record: &PeerRecord) -> Option<Group> {
    diversity::group(diversity::ip(record.addresses.first()?)?)
}

fn tier(record: &PeerRecord, now: Timestamp) -> Tier {
    match record.reached {
        _ if record.failures >= FAILURES_MAX => Tier::Gone,
        _ if age(record.seen, now) >= FORGOTTEN_AFTER => Tier::Gone,
        0 => Tier::Heard,
        1..ESTABLISHED_AFTER => Tier::Reached,
        ESTABLISHED_AFTER.. => Tier::Established,
    }
}

fn age(at: Timestamp, now: Timestamp) -> Duration {
    Duration::from_secs(now.0.saturating_sub(at.0))
}

#[cfg(test)]
mod tests;
