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
fn check(seeds: Range<u64>) {
    for report in run("faults", seeds) {
        let seed = report.seed;
        assert_eq!(
            report.completed, report.expected,
            "weft-simulations replay faults --peers {PEERS} --pieces {PIECES} --seed {seed}"
        );
    }
}

#[test]
fn fifty_crowds_survive_their_faults() {
    check(0..50);
}

#[test]
fn fifty_more_crowds_survive_their_faults() {
    check(50..100);
}

#[test]
fn a_third_fifty_crowds_survive_their_faults() {
    check(100..150);
}

#[test]
fn a_fourth_fifty_crowds_survive_their_faults() {
    check(150..200);
}

#[test]
fn the_same_crowd_with_faults_leaves_the_same_trace() {
    let (once, again) = (run("faults", 7..10), run("faults", 7..10));
    assert_eq!(once, again);
    assert_ne!(once[0].trace_hash, once[1].trace_hash);
}

/// Every oracle but one holds when the only seed crashes or the network is cut: somebody may starve for good, because a
/// host that watches twenty peers with nothing does not look for the one that has everything. That is wrong.
#[test]
fn a_crowd_that_lost_its_seed_for_a_while_may_starve() {
    let reports = run("cuts", 0..20);
    let starved = |report: &&Report| report.completed < report.expected;
    assert!(reports.iter().filter(starved).count() > 0);
}
