//! The book under everyday use and under attack.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the book writes two of many kinds"
)]

use fastrand::Rng;

use super::*;

const MINUTE: u64 = 60;
const HOUR: u64 = 3_600;

/// A book, its clock, and what was persisted of it.
struct Bench {
    book: Book,
    now: Now,
    stored: BTreeMap<NodeId, PeerRecord>,
    writes: usize,
}

fn id(n: u32) -> NodeId {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    NodeId::new(bytes)
}

fn at(ip: &str) -> String {
    format!("/ip4/{ip}/tcp/4777")
}

/// An address of network `n`.
fn in_network(n: u32, host: u32) -> String {
    let [_, a, b, c] = n.to_be_bytes();
    assert!(a < 10);
    at(&format!("{}.{b}.{c}.{}", 60 + a, host % 256))
}

impl Bench {
    fn new() -> Self {
        let now = Now {
            instant: Instant(1_000_000),
            unix: Timestamp(1_000_000),
        };
        Self {
            book: Book::default(),
            now,
            stored: BTreeMap::new(),
            writes: 0,
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.now.instant = self.now.instant + Duration::from_secs(seconds);
        self.now.unix.0 += seconds;
    }

    fn write(&mut self, ops: Vec<Op>) {
        self.writes += ops.len();
        for op in ops {
            match op {
                Op::PutPeer(record) => {
                    self.stored.insert(record.peer, record);
                }
                Op::DeletePeer { peer } => {
                    self.stored.remove(&peer).expect("what goes was there");
                }
                other => panic!("{other:?}"),
            }
        }
        self.check();
    }

    fn check(&self) {
        let now = self.now.unix;
        let records: Vec<_> = self.book.iter().collect();
        assert!(records.len() <= limits::PEER_BOOK_MAX);
        assert!(self.stored.keys().eq(self.book.records.keys()));
        assert!(self.book.anchors().count() <= limits::ANCHORS_MAX);
        let heard = records
            .iter()
            .filter(|record| tier(record, now) == Tier::Heard);
        assert!(heard.count() <= limits::PEER_BOOK_HEARD_MAX);
        let mut tally = Tally::default();
        for record in records {
            let group = group_of(record);
            assert!(tally.admit(group, limits::PEER_BOOK_PER_GROUP_MAX));
            assert_eq!(self.stored[&record.peer].anchor, record.anchor);
        }
    }

    /// A peer connects to us and says where it is.
    fn inbound(&mut self, peer: u32, remote: &str, claimed: &[&str]) {
        self.book.connected(id(peer), remote);
        let claimed = claimed.iter().map(ToString::to_string).collect();
        let ops = self.book.claimed(id(peer), claimed, self.now);
        self.write(ops);
    }

    /// We dial a peer with success.
    fn outbound(&mut self, peer: u32, address: &str) {
        self.book.connected(id(peer), address);
        let ops = self.book.reached(id(peer), address.to_owned(), self.now);
        self.write(ops);
    }

    fn disconnect(&mut self, peer: u32) {
        let ops = self.book.disconnected(&id(peer), self.now);
        self.write(ops);
    }

    fn fail(&mut self, peer: u32) {
        let ops = self.book.unreachable(&id(peer), self.now);
        self.write(ops);
    }

    /// The process is killed and comes back.
    fn restart(&mut self) {
        self.book = Book::new(self.stored.values());
    }

    fn first_dialled(&self, count: usize) -> BTreeSet<NodeId> {
        let order = self.book.dial_order(self.now.unix);
        order.iter().take(count).map(|record| record.peer).collect()
    }

    /// As many nodes as one likes connect from one network.
    fn flood(&mut self, network: u32, count: u32) {
        for n in 0..count {
            let address = in_network(network, n);
            let peer = 1_000_000 + network * 1_000 + n;
            self.inbound(peer, &address, &[&address]);
            self.disconnect(peer);
            self.pass(1);
        }
    }
}

#[test]
fn anchors_of_the_last_run_are_dialled_first_and_a_flood_does_not_move_them() {
    let mut bench = Bench::new();
    for n in 0..8 {
        bench.outbound(n, &in_network(n, 1));
        bench.pass(HOUR);
    }
    let anchors: BTreeSet<NodeId> = bench.book.anchors().map(|record| record.peer).collect();
    assert_eq!(anchors, (0..4).map(id).collect());
    for network in 100..400 {
        bench.flood(network, 8);
    }
    bench.restart();
    assert_eq!(bench.first_dialled(4), anchors);
    let heard = bench.book.iter().filter(|record| record.reached == 0);
    assert_eq!(heard.count(), limits::PEER_BOOK_HEARD_MAX);
}

#[test]
fn inbound_peer_never_becomes_an_anchor() {
    let mut bench = Bench::new();
    for n in 0..20 {
        let address = in_network(n, 1);
        bench.inbound(n, &address, &[&address]);
    }
    bench.pass(10 * HOUR);
    bench.outbound(99, &in_network(99, 1));
    let anchors: Vec<NodeId> = bench.book.anchors().map(|record| record.peer).collect();
    assert_eq!(anchors, [id(99)]);
}

#[test]
fn anchors_are_of_different_networks() {
    let mut bench = Bench::new();
    for n in 0..4 {
        bench.outbound(n, &in_network(7, n));
    }
    bench.outbound(9, &in_network(8, 1));
    assert_eq!(bench.book.anchors().count(), 2);
}

#[test]
fn anchor_that_is_away_is_replaced_by_a_long_standing_peer_only() {
    let mut bench = Bench::new();
    for n in 0..4 {
        bench.outbound(n, &in_network(n, 1));
    }
    bench.restart();
    bench.outbound(7, &in_network(7, 1));
    let is_anchor = |bench: &Bench, n| bench.book.get(&id(n)).unwrap().anchor;
    assert!(!is_anchor(&bench, 7));
    bench.pass(20 * MINUTE);
    bench.outbound(0, &in_network(0, 1));
    assert!(is_anchor(&bench, 7) && is_anchor(&bench, 0));
    bench.fail(1);
    bench.fail(2);
    bench.fail(3);
    let anchors: Vec<NodeId> = bench.book.anchors().map(|record| record.peer).collect();
    assert_eq!(anchors, [id(0), id(7)]);
}

#[test]
fn failures_do_not_count_while_this_node_is_cut_off() {
    let mut bench = Bench::new();
    bench.outbound(1, &in_network(1, 1));
    bench.restart();
    bench.fail(1);
    assert_eq!(bench.book.get(&id(1)).unwrap().failures, 0);
    bench.outbound(2, &in_network(2, 1));
    bench.fail(1);
    bench.fail(1);
    assert_eq!(bench.book.get(&id(1)).unwrap().failures, 1, "once a run");
}

#[test]
fn whoever_claims_somebody_elses_address_is_not_remembered() {
    let mut bench = Bench::new();
    bench.inbound(1, &at("198.51.100.1"), &[&at("203.0.113.1")]);
    bench.inbound(2, &at("198.51.100.1"), &[&at("192.168.1.1")]);
    assert_eq!(bench.book.iter().count(), 0);
    let claimed = [at("203.0.113.1"), at("192.168.1.1"), at("198.51.100.9")];
    let claimed: Vec<&str> = claimed.iter().map(String::as_str).collect();
    bench.inbound(3, &at("198.51.100.1"), &claimed);
    let record = bench.book.get(&id(3)).unwrap();
    assert_eq!(record.addresses, [at("198.51.100.9"), at("203.0.113.1")]);
}

#[test]
fn peers_of_a_lan_are_remembered_however_many_they_are() {
    let mut bench = Bench::new();
    for n in 0..40 {
        let address = at(&format!("192.168.1.{n}"));
        bench.inbound(n, &address, &[&address]);
    }
    assert_eq!(bench.book.iter().count(), 40);
    assert_eq!(bench.book.dial_order(bench.now.unix).len(), 32);
}

#[test]
fn connection_that_flaps_is_one_occasion() {
    let mut bench = Bench::new();
    for _ in 0..10 {
        bench.outbound(1, &in_network(1, 1));
        bench.pass(MINUTE);
        bench.disconnect(1);
    }
    assert_eq!(bench.book.get(&id(1)).unwrap().reached, 1);
    bench.pass(2 * HOUR);
    bench.outbound(1, &in_network(1, 1));
    assert_eq!(bench.book.get(&id(1)).unwrap().reached, 2);
}

#[test]
fn flood_of_one_network_costs_few_writes() {
    let mut bench = Bench::new();
    bench.flood(5, 2_000);
    assert!(bench.writes < 20, "{} writes in half an hour", bench.writes);
}

#[test]
fn established_peers_outlive_peers_that_were_reached_once() {
    let mut bench = Bench::new();
    for n in 0..20 {
        for _ in 0..ESTABLISHED_AFTER {
            bench.outbound(n, &in_network(n, 1));
            bench.disconnect(n);
            bench.pass(2 * HOUR);
        }
    }
    for n in 100..1_000 {
        bench.outbound(n, &in_network(n, 1));
        bench.disconnect(n);
    }
    assert!((0..20).all(|n| bench.book.get(&id(n)).is_some()));
    assert_eq!(bench.book.iter().count(), limits::PEER_BOOK_MAX);
}

#[test]
fn peer_that_moves_into_a_full_network_stays_where_it_was() {
    let mut bench = Bench::new();
    for n in 0..4 {
        let address = in_network(1, n);
        bench.inbound(n, &address, &[&address]);
    }
    bench.inbound(9, &in_network(2, 1), &[&in_network(2, 1)]);
    bench.disconnect(9);
    bench.inbound(9, &in_network(1, 9), &[&in_network(1, 9)]);
    assert_eq!(
        bench.book.get(&id(9)).unwrap().addresses,
        [in_network(2, 1)]
    );
}

#[test]
fn bounds_hold_whatever_happens() {
    for seed in 0..3 {
        let mut rng = Rng::with_seed(seed);
        let mut bench = Bench::new();
        for _ in 0..800 {
            let peer = rng.u32(..400);
            let address = in_network(rng.u32(..90), peer);
            match rng.u8(..8) {
                0 | 1 => bench.inbound(peer, &address, &[&address]),
                2 | 3 => bench.outbound(peer, &address),
                4 | 5 => bench.disconnect(peer),
                6 => bench.fail(peer),
                _ if rng.u8(..50) == 0 => bench.restart(),
                _ => bench.pass(rng.u64(..4 * HOUR)),
            }
        }
        bench.restart();
        bench.check();
    }
}
