//! The same seed gives the same run; random faults end well.

use weft_protocol::op::{MirrorRecord, MirrorScope};

use super::*;
use crate::{Behaviour, Link};

/// Six hosts that fetch while hosts die, come back, lie and fall silent.
fn chaos(seed: u64) -> World {
    let mut world = World::new(seed);
    let mut rng = fastrand::Rng::with_seed(seed);
    let origin = world.add_default();
    let mut publisher = Publisher::new(seed, "tiny", world.now().unix);
    let pieces = rng.u64(4..60);
    world.publish(
        origin,
        &mut publisher,
        &[("a.bin", pieces * PIECE + 17), ("b.bin", 0)],
    );
    let mut hosts = vec![origin];
    for _ in 0..5 {
        let host = world.add(Link {
            up: rng.u64(100_000..4_000_000),
            down: rng.u64(500_000..9_000_000),
            latency_ms: rng.u64(1..120),
            ..Link::default()
        });
        let known = hosts[rng.usize(..hosts.len())];
        world.connect(host, known);
        hosts.push(host);
    }
    let scope = MirrorScope::Publisher(publisher.id());
    let order = MirrorRecord {
        scope,
        bytes_max: Some(rng.u64(1..200) * PIECE),
        created: world.now().unix,
    };
    world.command(hosts[1], weft_protocol::service::Command::Mirror(order));
    for _ in 0..12 {
        let host = hosts[rng.usize(1..hosts.len())];
        match rng.u32(..8) {
            0..=2 if world.host(host).is_up() => {
                world.command(host, World::fetch_latest(&publisher));
            }
            3 if world.host(host).is_up() => world.kill(host),
            4 if !world.host(host).is_up() => world.start(host),
            5 => {
                let behaviour = *rng
                    .choice(&[Behaviour::Corrupt, Behaviour::Silent])
                    .unwrap();
                world.set_behaviour(hosts[5], behaviour);
            }
            6 => world.sever(host, hosts[rng.usize(..hosts.len())]),
            7 if world.host(origin).is_up() => {
                let name = format!("c{}.bin", rng.u8(..));
                world.publish(origin, &mut publisher, &[(&name, rng.u64(1..9) * PIECE)]);
            }
            _ => {}
        }
        world.run_for(rng.u64(10..8_000));
    }
    // Faults stop; everybody who wants something gets it or is told why not.
    for host in &hosts {
        if !world.host(*host).is_up() {
            world.start(*host);
        }
        world.connect(*host, origin);
    }
    world.set_behaviour(hosts[5], Behaviour::Honest);
    world.run_for(400_000);
    world.check();
    world.check_answered();
    let last = fetch(&mut world, hosts[2], &publisher);
    assert!(
        last.is_ok(),
        "seed {seed}: after the faults a fetch succeeds: {last:?}"
    );
    world
}

#[test]
fn random_faults_end_in_success_or_a_typed_error() {
    for seed in 0..50 {
        chaos(seed);
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [3, 17] {
        assert_eq!(chaos(seed).trace(), chaos(seed).trace());
    }
    assert_ne!(chaos(3).trace(), chaos(4).trace());
}
