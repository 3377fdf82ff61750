//! Crowds with faults, by the hundred: four tests, so that a test runner can spread them.

use std::ops::Range;

use crate::{report::Report, scenario::named, sweep};

/// Hosts that fetch.
const PEERS: usize = 64;
/// Pieces of what they fetch: enough for every fault to strike in the middle.
const PIECES: u64 = 24;

fn run(name: &str, seeds: Range<u64>) -> Vec<Report> {
    let faults = named(name).unwrap();
    let setups: Vec<_> = seeds
        .map(|seed| faults.setup(seed, PEERS, PIECES))
        .collect();
    sweep::run(&setups, 1)
}

/// Oracles are checked while the crowds run; at the end everybody has everything.
fn check(name: &str, seeds: Range<u64>) {
    for report in run(name, seeds) {
        let seed = report.seed;
        assert_eq!(
            report.completed, report.expected,
            "weft-simulations replay {name} --peers {PEERS} --pieces {PIECES} --seed {seed}"
        );
    }
}

#[test]
fn fifty_crowds_survive_their_faults() {
    check("faults", 0..50);
}

#[test]
fn fifty_more_crowds_survive_their_faults() {
    check("faults", 50..100);
}

#[test]
fn a_third_fifty_crowds_survive_their_faults() {
    check("faults", 100..150);
}

#[test]
fn a_fourth_fifty_crowds_survive_their_faults() {
    check("faults", 150..200);
}

#[test]
fn the_same_crowd_with_faults_leaves_the_same_trace() {
    let (once, again) = (run("faults", 7..10), run("faults", 7..10));
    assert_eq!(once, again);
    assert_ne!(once[0].trace_hash, once[1].trace_hash);
}

/// A crowd whose only seed is away for a while, or that is cut in two, finishes soon after the seed or the network is
/// back.
#[test]
fn crowds_that_lost_their_seed_for_a_while_finish() {
    check("cuts", 0..24);
}
