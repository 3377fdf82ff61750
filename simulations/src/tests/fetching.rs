//! Getting a revision.

use weft_protocol::{
    op::{Pin, RevisionState},
    service::{Command, Event, Input, Outcome, Selector},
};

use super::*;
use crate::{Behaviour, Link};

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
            let share = bytes * 100 / fetched.bytes_total;
            assert!(share >= 15, "seed {seed}: {:?}", fetched.sources);
        }
    }
}

#[test]
fn two_partial_peers_complete_each_other_when_the_only_seed_dies() {
    for seed in 0..10 {
        let (mut world, publisher, hosts) = published(seed, 60, 2);
        let revision = tip(&world, hosts[0], &publisher);
        let commands: Vec<_> = [hosts[1], hosts[2]]
            .map(|host| (host, world.command(host, World::fetch_latest(&publisher))))
            .to_vec();
        // The seed dies as soon as the two together have everything.
        let blob = Publisher::file("model.safetensors", 60 * PIECE);
        let covered = world.run_until(120_000, |world| {
            let mut union = world.host(hosts[1]).disk.have(&blob.blake3, blob.size);
            union.insert_all(&world.host(hosts[2]).disk.have(&blob.blake3, blob.size));
            union.is_full()
        });
        assert!(covered);
        assert!(
            !world.host(hosts[1]).is_complete(&revision),
            "rarest first splits the work"
        );
        world.kill(hosts[0]);
        for (host, command) in commands {
            let done = world.run_until(120_000, |w| w.host(host).replies.contains_key(&command));
            assert!(done, "seed {seed}: the fetch ends");
            let reply = &world.host(host).replies[&command];
            assert!(
                matches!(reply, Ok(Outcome::Fetched(_))),
                "seed {seed}: {reply:?}"
            );
        }
        world.check();
    }
}

#[test]
fn a_corrupt_peer_is_named_and_dropped_and_the_fetch_completes() {
    let (mut world, publisher, hosts) = published(3, 40, 2);
    fetch(&mut world, hosts[1], &publisher).unwrap();
    world.set_behaviour(hosts[1], Behaviour::Corrupt);
    let fetched = fetch(&mut world, hosts[2], &publisher).unwrap();
    let corrupt = world.host(hosts[1]).node;
    let gave = |(peer, bytes): &(_, u64)| *peer == corrupt && *bytes > 0;
    assert!(!fetched.sources.iter().any(gave));
    let named =
        |event: &Event| matches!(event, Event::PeerCorrupt { peer, .. } if *peer == corrupt);
    let victim = world.host(hosts[2]);
    assert_eq!(victim.events.iter().filter(|event| named(event)).count(), 1);
    assert!(
        !victim.connected.contains(&hosts[1]),
        "the relation has ended"
    );
    world.check();
}

#[test]
fn pieces_of_a_silent_peer_are_given_to_others() {
    let (mut world, publisher, hosts) = published(4, 40, 2);
    fetch(&mut world, hosts[1], &publisher).unwrap();
    world.set_behaviour(hosts[1], Behaviour::Silent);
    let before = world.millis();
    fetch(&mut world, hosts[2], &publisher).unwrap();
    assert!(world.millis() - before < 40_000);
    let victim = world.host(hosts[2]);
    let stalled = |event: &Event| matches!(event, Event::PeerStalled { .. });
    // The end-game may have asked somebody else before the stall was even noticed.
    assert!(victim.events.iter().any(stalled) || world.millis() - before < 10_000);
    world.check();
}

#[test]
fn a_download_is_taken_up_again_after_a_restart() {
    let (mut world, publisher, hosts) = published(5, 80, 1);
    let revision = tip(&world, hosts[0], &publisher);
    world.command(hosts[1], World::fetch_latest(&publisher));
    let blob = Publisher::file("model.safetensors", 80 * PIECE);
    world.run_until(60_000, |world| {
        world
            .host(hosts[1])
            .disk
            .have(&blob.blake3, blob.size)
            .count()
            >= 30
    });
    world.kill(hosts[1]);
    let kept = u64::from(
        world
            .host(hosts[1])
            .disk
            .have(&blob.blake3, blob.size)
            .count(),
    );
    let sent = world.host(hosts[0]).uploaded;
    world.run_for(5_000);
    // Nobody connects it: the peer book does.
    world.start(hosts[1]);
    assert!(world.run_until(60_000, |w| w.host(hosts[1]).is_complete(&revision)));
    let again = world.host(hosts[0]).uploaded - sent;
    assert!(
        again <= (80 - kept + 8) * PIECE + 900,
        "{again} bytes were fetched again"
    );
    world.check();
}

#[test]
fn a_provider_that_comes_later_joins_the_running_download() {
    let slow = Link {
        up: 200_000,
        ..Link::default()
    };
    let mut world = World::new(6);
    let origin = world.add(slow);
    let mut publisher = Publisher::new(6, "tiny", world.now().unix);
    let files = [("model.safetensors", 200 * PIECE)];
    world.publish(origin, &mut publisher, &files);
    let (fetcher, late) = (world.add_default(), world.add_default());
    world.connect(fetcher, origin);
    let command = world.command(fetcher, World::fetch_latest(&publisher));
    world.run_for(10_000);
    // The late one got its copy some other way.
    let blob = Publisher::file("model.safetensors", 200 * PIECE);
    let full = world.host(origin).disk.have(&blob.blake3, blob.size);
    world.host_mut(late).disk.blobs.insert(blob.blake3, full);
    world.connect(late, origin);
    fetch(&mut world, late, &publisher).unwrap();
    let start = world.millis();
    assert!(world.run_until(120_000, |w| w.host(fetcher).replies.contains_key(&command)));
    assert!(world.millis() - start < 100_000);
    let Ok(Outcome::Fetched(fetched)) = &world.host(fetcher).replies[&command] else {
        panic!("the fetch succeeds");
    };
    assert_eq!(
        fetched.sources[0].0,
        world.host(late).node,
        "{:?}",
        fetched.sources
    );
}

#[test]
fn what_is_complete_here_is_fetched_without_anybody() {
    let (mut world, publisher, hosts) = published(7, 5, 1);
    fetch(&mut world, hosts[1], &publisher).unwrap();
    world.kill(hosts[0]);
    world.kill(hosts[1]);
    world.start(hosts[1]);
    let fetched = fetch(&mut world, hosts[1], &publisher).unwrap();
    assert_eq!(fetched.bytes_fetched, 0);
    assert_eq!(fetched.bytes_reused, fetched.bytes_total);
}

#[test]
fn nobody_connected_is_offline_and_nobody_knowing_is_not_found() {
    let mut world = World::new(8);
    let (lonely, other) = (world.add_default(), world.add_default());
    let publisher = Publisher::new(8, "tiny", world.now().unix);
    assert_eq!(
        fetch(&mut world, lonely, &publisher),
        Err(CommandError::Offline)
    );
    world.connect(lonely, other);
    world.run_for(1_000);
    let error = fetch(&mut world, lonely, &publisher).unwrap_err();
    assert!(
        matches!(error, CommandError::NotFound { asked: 1, .. }),
        "{error:?}"
    );
}

#[test]
fn a_fetch_waits_for_the_first_peer_of_a_node_that_just_started() {
    let (mut world, publisher, hosts) = published(9, 5, 0);
    let fresh = world.add_default();
    let command = world.command(fresh, World::fetch_latest(&publisher));
    world.run_for(4_000);
    world.connect(fresh, hosts[0]);
    assert!(world.run_until(60_000, |w| w.host(fresh).replies.contains_key(&command)));
    assert!(world.host(fresh).replies[&command].is_ok());
}

#[test]
fn a_fetch_whose_providers_are_gone_ends_with_an_error_and_goes_on_later() {
    let (mut world, publisher, hosts) = published(10, 80, 2);
    let revision = tip(&world, hosts[0], &publisher);
    let command = world.command(hosts[1], World::fetch_latest(&publisher));
    world.run_until(60_000, |world| world.host(hosts[0]).uploaded > 20 * PIECE);
    world.kill(hosts[0]);
    assert!(world.run_until(120_000, |w| w.host(hosts[1]).replies.contains_key(&command)));
    let reply = &world.host(hosts[1]).replies[&command];
    assert!(
        matches!(reply, Err(CommandError::NoProviders { .. })),
        "{reply:?}"
    );
    world.start(hosts[0]);
    assert!(world.run_until(600_000, |w| w.host(hosts[1]).is_complete(&revision)));
}

#[test]
fn an_older_revision_is_fetched_by_id_and_by_prefix() {
    let (mut world, mut publisher, hosts) = published(11, 5, 2);
    let old = tip(&world, hosts[0], &publisher);
    world.publish(
        hosts[0],
        &mut publisher,
        &[("model.safetensors", 7 * PIECE)],
    );
    let fetch_revision = |selector| Command::Fetch {
        repository: publisher.repository.clone(),
        selector,
        pin: Pin::User,
        seed: false,
    };
    let reply = world.run_command(hosts[1], fetch_revision(Selector::Revision(old)), 120_000);
    assert!(matches!(reply, Some(Ok(Outcome::Fetched(_)))), "{reply:?}");
    assert!(world.host(hosts[1]).is_complete(&old));
    let prefix = Selector::Prefix(old.to_string()[..10].to_owned());
    let reply = world.run_command(hosts[1], fetch_revision(prefix), 120_000);
    assert!(matches!(reply, Some(Ok(Outcome::Fetched(_)))), "{reply:?}");
    let unknown = Selector::Revision(weft_protocol::id::ObjectId::new([9; 32]));
    let reply = world.run_command(hosts[2], fetch_revision(unknown), 120_000);
    assert!(
        matches!(reply, Some(Err(CommandError::NotFound { .. }))),
        "{reply:?}"
    );
}

#[test]
fn a_restarted_publisher_still_proves_old_revisions() {
    let (mut world, mut publisher, hosts) = published(12, 5, 1);
    let old = tip(&world, hosts[0], &publisher);
    for pieces in 6..9 {
        world.publish(
            hosts[0],
            &mut publisher,
            &[("model.safetensors", pieces * PIECE)],
        );
    }
    world.kill(hosts[0]);
    world.start(hosts[0]);
    world.connect(hosts[1], hosts[0]);
    world.run_for(1_000);
    let command = Command::Resolve {
        repository: publisher.repository.clone(),
        selector: Selector::Revision(old),
    };
    let reply = world.run_command(hosts[1], command, 60_000);
    assert!(matches!(reply, Some(Ok(Outcome::Resolved(_)))), "{reply:?}");
}

#[test]
fn a_cancelled_fetch_stops_and_keeps_what_it_has() {
    let (mut world, publisher, hosts) = published(13, 200, 1);
    let revision = tip(&world, hosts[0], &publisher);
    let command = world.command(hosts[1], World::fetch_latest(&publisher));
    world.run_until(60_000, |world| world.host(hosts[0]).uploaded > 20 * PIECE);
    let reply = world.run_command(hosts[1], Command::Cancel(command), 1_000);
    assert_eq!(reply, Some(Ok(Outcome::Done)));
    assert_eq!(
        world.host(hosts[1]).replies[&command],
        Err(CommandError::Cancelled)
    );
    world.run_for(60_000);
    let record = world.host(hosts[1]).disk.revision(&revision).unwrap();
    assert_eq!(record.state, RevisionState::Wanted);
    let fetched = fetch(&mut world, hosts[1], &publisher).unwrap();
    assert!(fetched.bytes_reused > 10 * PIECE);
}

#[test]
fn answers_nobody_waits_for_are_ignored() {
    let (mut world, publisher, hosts) = published(14, 5, 1);
    let request = weft_protocol::service::RequestId(u64::MAX);
    for input in [
        Input::QueryFinished { request },
        Input::Committed {
            request,
            result: Ok(()),
        },
        Input::ObjectRead {
            request,
            preimage: None,
        },
        Input::PiecesFetched {
            request,
            result: Ok(()),
        },
        Input::PiecesProgress {
            request,
            bytes: u64::MAX,
        },
        Input::BlobsInspected {
            request,
            have: Vec::new(),
        },
        Input::FreshnessSigned {
            request,
            freshness: None,
        },
        Input::HeadRead {
            request,
            head: None,
        },
    ] {
        world.input(hosts[1], input);
    }
    fetch(&mut world, hosts[1], &publisher).unwrap();
}
