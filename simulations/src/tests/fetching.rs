//! Getting a revision.

use super::*;

#[test]
fn a_revision_is_fetched_from_its_publisher() {
    let (mut world, publisher, hosts) = published(1, 25, 1);
    let fetched = fetch(&mut world, hosts[1], &publisher).unwrap();
    assert_eq!(fetched.bytes_total, 25 * PIECE + 900);
    assert_eq!(fetched.bytes_fetched, fetched.bytes_total);
    assert_eq!(
        fetched.sources,
        [(world.host(hosts[0]).node, fetched.bytes_total)]
    );
    world.run_for(10_000);
    world.check();
    world.check_answered();
}

#[test]
fn three_seeds_share_a_small_download() {
    for seed in 0..10 {
        let (mut world, publisher, hosts) = published(seed, 25, 2);
        fetch(&mut world, hosts[1], &publisher).unwrap();
        fetch(&mut world, hosts[2], &publisher).unwrap();
        // Knows only the publisher's address; the others are found.
        let fourth = world.add_default();
        world.connect(fourth, hosts[0]);
        let fetched = fetch(&mut world, fourth, &publisher).unwrap();
        assert_eq!(
            fetched.sources.len(),
            3,
            "seed {seed}: {:?}",
            fetched.sources
        );
        for (_, bytes) in &fetched.sources {
            assert!(
                *bytes * 10 >= fetched.bytes_total,
                "seed {seed}: {:?}",
                fetched.sources
            );
        }
    }
}
