//! The scenarios of the command line.

use super::{Action, Lines, Setup, Whom, plan};
use crate::rng;

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
    Named {
        name: "flash-crowd",
        about: "one seed publishes, everybody fetches at once",
        peers: 100,
        pieces: 400,
        make: |setup| setup,
    },
    Named {
        name: "mixed-bandwidth",
        about: "fibre, cable, DSL and mobile lines, some behind NAT, some losing packets",
        peers: 100,
        pieces: 400,
        make: |setup| Setup {
            lines: Lines::Mixed,
            seed_ups: vec![12_500_000],
            ..setup
        },
    },
    Named {
        name: "churn",
        about: "a fifth of the crowd dies, half of them for good; as many arrive late",
        peers: 100,
        pieces: 400,
        make: churn,
    },
];

/// A fifth of the peers dies between a tenth and nine tenths of the bound; every second one comes back after a
/// while, and for each that does not somebody new arrives.
fn churn(mut setup: Setup) -> Setup {
    let mut rng = rng::stream(setup.seed, "churn");
    let bound = setup.rough_bound();
    let count = setup.peers / 5;
    for (at, when) in plan::moments(&mut rng, count, bound * 0.1, bound * 0.9)
        .into_iter()
        .enumerate()
    {
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
    setup.plan.sort_by(|a, b| a.0.total_cmp(&b.0));
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
