//! Everything at once, at random: what the suite runs by the hundred.

use super::{Action, Setup, Whom};
use crate::{Behaviour, rng, workload::Lines};

/// One fault for so many peers.
const PEERS_PER_FAULT: usize = 4;

/// Random faults, and besides them the only seed crashes or the network is cut for a while.
pub(super) fn cuts(setup: Setup) -> Setup {
    let mut rng = rng::stream(setup.seed, "cuts of a crowd");
    let bound = setup.rough_bound();
    let mut setup = faults(setup);
    if rng.bool() {
        let when = rng.f64() * bound;
        setup.plan.push((when, Action::Crash(Whom::Seeds)));
    } else {
        setup.plan.push((bound * 0.3, Action::Divide(0.3)));
        setup.plan.push((bound * 1.5 + 30.0, Action::Heal));
    }
    setup.patience = 100.0;
    setup.sort_plan();
    setup
}

/// A random crowd with random faults of its peers, all of which end.
pub(super) fn faults(mut setup: Setup) -> Setup {
    let mut rng = rng::stream(setup.seed, "faults of a crowd");
    if rng.bool() {
        setup.lines = Lines::Mixed;
    }
    if rng.u32(..3) == 0 {
        setup.seed_ups.push(2_000_000);
    }
    // As in the node: the machine alone decides how many peers it wants.
    setup.neighbours = 512;
    // Drips are slow, and a machine may wait for one that it has chosen.
    setup.patience = 2_000.0;
    let behaviours = [
        Behaviour::Corrupt,
        Behaviour::Poison { one_in: 50 },
        Behaviour::Silent,
        Behaviour::Drip { bytes: 1_024 },
        Behaviour::Liar,
        Behaviour::FreeRider,
        Behaviour::Sybil,
    ];
    for _ in 0..rng.u32(..3) {
        if let Some(behaviour) = rng.choice(&behaviours) {
            setup.adversaries.push((0.1, *behaviour));
        }
    }
    let bound = setup.rough_bound();
    for _ in 0..setup.peers / PEERS_PER_FAULT {
        let when = rng.f64() * bound;
        let later = when + rng.f64() * 20.0;
        let peer = Whom::Peer(rng.usize(..setup.peers));
        let (first, second) = match rng.u32(..8) {
            0 | 1 => (Action::Kill(peer), Some(Action::Restart(peer))),
            2 => (Action::Crash(peer), None),
            3 => (
                Action::DiskFull(peer, true),
                Some(Action::DiskFull(peer, false)),
            ),
            4 => {
                let hours = rng.i64(-30..30);
                (
                    Action::ClockJump(peer, hours * 3_600),
                    Some(Action::ClockJump(peer, -hours * 3_600)),
                )
            }
            5 => (Action::Leave(peer), Some(Action::Join)),
            6 => (
                Action::Speed(peer, rng.u64(100_000..500_000), rng.u64(500_000..5_000_000)),
                Some(Action::Speed(peer, 5_000_000, 12_500_000)),
            ),
            _ => (Action::Crash(Whom::Anybody), None),
        };
        setup.plan.push((when, first));
        setup.plan.extend(second.map(|second| (later, second)));
    }
    setup.sort_plan();
    setup
}
