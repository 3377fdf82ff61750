//! What a large model costs in memory: sizes are made up, the machine is the real one.

use super::*;
use crate::Link;

const GIB: u64 = 1 << 30;
/// As large models are cut.
const FILES: u64 = 20;
const FILE: u64 = 5 * GIB;
/// Hosts that have all of it.
const SEEDS: usize = 40;
/// What the state of one node's scheduler may take; here it is more than forty nodes'.
const STATE_MAX: u64 = 64 << 20;

/// Bytes of memory that this process has, from Linux.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib: u64 = line
        .and_then(|line| line.split_whitespace().nth(1))
        .unwrap()
        .parse()
        .unwrap();
    kib * 1024
}

#[test]
fn a_hundred_gib_from_forty_seeds_take_little_memory() {
    let before = resident();
    let mut world = World::new(1);
    let names: Vec<String> = (0..FILES)
        .map(|at| format!("model-{at:05}.safetensors"))
        .collect();
    let files: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), FILE)).collect();
    let origin = world.add(Link::new(50_000_000, 50_000_000));
    let mut publisher = Publisher::new(1, "large", world.now().unix);
    let revision = world.publish(origin, &mut publisher, &files);
    for _ in 0..SEEDS {
        let seed = world.add(Link::new(50_000_000, 50_000_000));
        world.give_files(seed, &files);
        world.connect(seed, origin);
        fetch(&mut world, seed, &publisher).unwrap();
    }
    let fetcher = world.add(Link {
        disk: 4_000_000_000,
        hash: 4_000_000_000,
        ..Link::new(50_000_000, 1_000_000_000)
    });
    world.connect(fetcher, origin);
    world.command(fetcher, World::fetch_latest(&publisher));
    let blobs: Vec<_> = files
        .iter()
        .map(|(path, size)| Publisher::file(path, *size))
        .collect();
    let is_half_way = |world: &World| {
        let disk = &world.host(fetcher).disk;
        let have = blobs.iter().map(|blob| disk.have(&blob.blake3, blob.size));
        let (here, all) = have.fold((0, 0), |(here, all), have| {
            (here + have.count(), all + have.pieces())
        });
        here * 2 > all
    };
    assert!(world.run_until(600_000, is_half_way));
    assert!(!world.host(fetcher).is_complete(&revision));
    let taken = resident().saturating_sub(before);
    assert!(taken < STATE_MAX, "{} MiB", taken >> 20);
}
