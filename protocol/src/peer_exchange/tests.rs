//! Answers of honest and other peers.

use super::*;
use crate::id::NodeId;

fn told(byte: u8, addresses: &[&str]) -> PeerAddresses {
    PeerAddresses {
        peer: NodeId::new([byte; 32]),
        addresses: addresses.iter().map(ToString::to_string).collect(),
    }
}

fn check(teller: &str, address: &str, kept: bool) {
    let peers = credible(teller, vec![told(1, &[address])]);
    assert_eq!(
        peers.len(),
        1,
        "the peer itself may still be found elsewhere"
    );
    assert_eq!(
        !peers[0].addresses.is_empty(),
        kept,
        "{address} by {teller}"
    );
}

#[test]
fn nobody_names_addresses_that_he_cannot_know() {
    let (world, site, machine) = (
        "/ip4/198.51.100.1/tcp/9",
        "/ip4/192.168.1.9/tcp/9",
        "/ip4/127.0.0.1/tcp/9",
    );
    check(world, "/ip4/203.0.113.1/tcp/4777", true);
    check(world, "/ip4/192.168.1.1/tcp/80", false);
    check(world, "/ip4/127.0.0.1/tcp/4777", false);
    check(world, "/dns4/example.org/tcp/4777", false);
    check(site, "/ip4/192.168.1.1/tcp/4777", true);
    check(site, "/ip4/127.0.0.1/tcp/4777", false);
    check(machine, "/ip4/127.0.0.1/tcp/4777", true);
    check("", "/ip4/192.168.1.1/tcp/4777", false);
}

#[test]
fn one_answer_sends_few_dials_into_one_network() {
    let peers: Vec<PeerAddresses> = (0..50)
        .map(|n| told(n, &[&format!("/ip4/203.0.113.{n}/tcp/4777")]))
        .chain([told(99, &["/ip4/198.51.100.1/tcp/4777"])])
        .collect();
    let taken = credible("/ip4/192.0.2.1/tcp/1", peers[1..].to_vec());
    assert_eq!(taken.len(), limits::EXCHANGED_PER_GROUP_MAX + 1);
    let given = choose(peers, |peer| peer, &mut Rng::with_seed(1));
    assert_eq!(given.len(), limits::EXCHANGED_PER_GROUP_MAX + 1);
}

#[test]
fn one_peer_does_not_stand_for_many_networks() {
    let many: Vec<String> = (0..16)
        .map(|n| format!("/ip4/203.0.{n}.1/tcp/4777"))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let taken = credible("/ip4/192.0.2.1/tcp/1", vec![told(1, &many)]);
    let max = limits::EXCHANGED_ADDRESSES_PER_PEER_MAX;
    assert_eq!(taken[0].addresses.len(), max);
}

#[test]
fn peers_on_one_lan_are_all_told() {
    let peers = (0..20)
        .map(|n| told(n, &[&format!("/ip4/192.168.1.{n}/tcp/4777")]))
        .collect();
    assert_eq!(choose(peers, |peer| peer, &mut Rng::with_seed(1)).len(), 20);
}

#[test]
fn choice_is_not_the_same_for_everybody() {
    let peers: Vec<_> = (0..200).map(|n| told(n, &[])).collect();
    let mut rng = Rng::with_seed(1);
    let one = choose(peers.clone(), |peer| peer, &mut rng);
    let two = choose(peers, |peer| peer, &mut rng);
    assert_eq!(one.len(), limits::PEERS_PER_RESPONSE_MAX);
    assert_ne!(one, two);
}

#[test]
fn allowance_ends_and_comes_back_with_time() {
    let mut now = Instant(0);
    let mut allowance = Allowance::new(now);
    let burst = (0..100).filter(|_| allowance.take(now)).count();
    assert_eq!(burst, limits::EXCHANGES_BURST as usize);
    now = now + limits::EXCHANGE_INTERVAL;
    assert!(allowance.take(now));
    assert!(!allowance.take(now));
    now = now + limits::EXCHANGE_INTERVAL * 1_000;
    let burst = (0..100).filter(|_| allowance.take(now)).count();
    assert_eq!(burst, limits::EXCHANGES_BURST as usize);
}
