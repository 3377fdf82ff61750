//! The scenarios of the command line.

use super::{Action, Lines, Setup, Whom, faults, plan};
use crate::{Behaviour, rng};

/// A scenario that can be asked for by name.
#[derive(Debug, Clone, Copy)]
pub struct Named {
    /// Its name.
    pub name: &'static str,
    /// One line about it.
    pub about: &'static str,
    /// Peers unless somebody says otherwise.
    pub peers: usize,
    /// Pieces unless somebody says otherwise.
    pub pieces: u64,
    make: fn(Setup) -> Setup,
}

/// All of them.
pub const NAMES: &[Named] = &[
    of(
        "flash-crowd",
        "one seed publishes, everybody fetches at once",
        100,
        |setup| setup,
    ),
    of(
        "slow-seed",
        "the only seed has a fifth of a peer's line",
        100,
        |setup| Setup {
            seed_ups: vec![1_000_000],
            ..setup
        },
    ),
    of(
        "last-seed-leaves",
        "the only seed leaves when the peers have one copy between them",
        100,
        |setup| Setup {
            plan: vec![(0.0, Action::LeaveWhenCovered)],
            ..setup
        },
    ),
    of(
        "churn",
        "a fifth of the crowd dies, half of them for good; as many arrive late",
        100,
        churn,
    ),
    of(
        "partition",
        "two fifths of the hosts are cut off for half of the bound",
        100,
        partition,
    ),
    of(
        "mixed-bandwidth",
        "fibre, cable, DSL and mobile lines, some behind NAT, some losing packets",
        100,
        |setup| Setup {
            lines: Lines::Mixed,
            seed_ups: vec![12_500_000],
            ..setup
        },
    ),
    of(
        "free-riders",
        "two fifths of the peers take and give nothing",
        100,
        |setup| Setup {
            adversaries: vec![(0.4, Behaviour::FreeRider)],
            ..setup
        },
    ),
    of(
        "poisoners",
        "half of the peers corrupt one chunk group in a hundred",
        32,
        |setup| Setup {
            adversaries: vec![(0.5, POISON)],
            ..setup
        },
    ),
    of(
        "poisoned-seed",
        "an eighth of the hosts has everything and corrupts one chunk group in a hundred",
        32,
        |setup| Setup {
            adversaries: vec![(0.125, POISON)],
            adversaries_seed: true,
            ..setup
        },
    ),
    of(
        "silent-peers",
        "three in ten peers are silent or drip one KiB a second",
        100,
        |setup| Setup {
            adversaries: vec![
                (0.15, Behaviour::Silent),
                (0.15, Behaviour::Drip { bytes: 1_024 }),
            ],
            ..setup
        },
    ),
    of(
        "bitfield-liars",
        "a quarter of the peers claims every piece and refuses what it has not",
        100,
        |setup| Setup {
            adversaries: vec![(0.25, Behaviour::Liar)],
            ..setup
        },
    ),
    of(
        "sybils",
        "half of all names are one attacker's: they claim everything and send nothing",
        100,
        |setup| Setup {
            adversaries: vec![(0.5, Behaviour::Sybil)],
            ..setup
        },
    ),
    of(
        "mirror-storm",
        "hundreds of mirrors hear of one publication at once",
        300,
        |setup| Setup {
            mirrors: true,
            ..setup
        },
    ),
    of(
        "faults",
        "crashes, restarts, full disks, jumping clocks and liars, all at random",
        64,
        faults::faults,
    ),
    of(
        "cuts",
        "faults, and the only seed crashes or the network is cut for a while",
        64,
        faults::cuts,
    ),
];

/// What poisoners do.
const POISON: Behaviour = Behaviour::Poison { one_in: 100 };

const fn of(
    name: &'static str,
    about: &'static str,
    peers: usize,
    make: fn(Setup) -> Setup,
) -> Named {
    let pieces = 400;
    Named {
        name,
        about,
        peers,
        pieces,
        make,
    }
}

/// A fifth of the peers dies between a tenth and nine tenths of the bound; every second one comes back after a
/// while, and for each that does not somebody new arrives.
fn churn(mut setup: Setup) -> Setup {
    let mut rng = rng::stream(setup.seed, "churn");
    let bound = setup.rough_bound();
    let deaths = plan::moments(&mut rng, setup.peers / 5, bound * 0.1, bound * 0.9);
    for (at, when) in deaths.into_iter().enumerate() {
        let peer = Whom::Peer(at * 5 + rng.usize(..5));
        let later = when + bound * (0.05 + rng.f64() * 0.1);
        if at % 2 == 0 {
            setup.plan.push((when, Action::Kill(peer)));
            setup.plan.push((later, Action::Restart(peer)));
        } else {
            setup.plan.push((when, Action::Leave(peer)));
            setup.plan.push((later, Action::Join));
        }
    }
    setup.sort_plan();
    setup
}

fn partition(mut setup: Setup) -> Setup {
    let bound = setup.rough_bound();
    setup.plan = vec![
        (bound * 0.3, Action::Divide(0.4)),
        (bound * 0.8, Action::Heal),
    ];
    setup
}

/// The scenario of this name.
pub fn named(name: &str) -> Option<&'static Named> {
    NAMES.iter().find(|named| named.name == name)
}

impl Named {
    /// Its setup.
    pub fn setup(&self, seed: u64, peers: usize, pieces: u64) -> Setup {
        (self.make)(Setup::new(self.name, seed, peers, pieces))
    }
}
