//! Mirrors, trust, and what nodes tell each other.

use weft_protocol::{
    accept::RepositoryRecord,
    op::{MirrorRecord, MirrorScope, Pin, RevisionState},
    service::{Command, Event, Freshness, Outcome, Selector},
    wire::Announcement,
};

use super::*;

fn mirror(scope: MirrorScope, bytes_max: Option<u64>, world: &World) -> Command {
    Command::Mirror(MirrorRecord {
        scope,
        bytes_max,
        created: world.now().unix,
    })
}

fn record(publication: &weft_protocol::service::Publication) -> Announcement {
    Announcement::Head(Box::new(RepositoryRecord {
        identity: publication.identity.clone(),
        head: publication.head.clone(),
        freshness: publication.freshness.clone(),
        extension: None,
    }))
}

#[test]
fn a_mirror_fetches_what_is_there_and_what_is_published_later() {
    for (seed, whole) in [(1, true), (2, false)] {
        let (mut world, mut publisher, hosts) = published(seed, 5, 2);
        let first = tip(&world, hosts[0], &publisher);
        // The mirror knows the publisher only through a third node.
        let scope = if whole {
            MirrorScope::Publisher(publisher.id())
        } else {
            MirrorScope::Repository(publisher.repository.clone())
        };
        let mirroring = world.add_default();
        world.connect(mirroring, hosts[1]);
        world.run_for(2_000);
        let order = mirror(scope, None, &world);
        assert_eq!(
            world.run_command(mirroring, order, 5_000),
            Some(Ok(Outcome::Done))
        );
        assert!(
            world.run_until(60_000, |w| w.host(mirroring).is_complete(&first)),
            "{whole}"
        );
        let second = world.publish(hosts[0], &mut publisher, &[("new.safetensors", 9 * PIECE)]);
        assert!(
            world.run_until(30_000, |w| w.host(mirroring).is_complete(&second)),
            "{whole}"
        );
        let record = world.host(mirroring).disk.revision(&second).unwrap();
        assert_eq!((record.pin, record.seed), (Pin::Mirror, true));
        assert!(
            world.host(mirroring).is_complete(&first),
            "older revisions stay"
        );
        world.check();
    }
}

#[test]
fn a_mirror_that_was_away_catches_up() {
    let (mut world, mut publisher, hosts) = published(3, 5, 1);
    let scope = MirrorScope::Publisher(publisher.id());
    let order = mirror(scope, None, &world);
    world.run_command(hosts[1], order, 5_000);
    let first = tip(&world, hosts[0], &publisher);
    assert!(world.run_until(60_000, |w| w.host(hosts[1]).is_complete(&first)));
    world.kill(hosts[1]);
    let mut last = first;
    for pieces in 6..10 {
        last = world.publish(
            hosts[0],
            &mut publisher,
            &[("model.safetensors", pieces * PIECE)],
        );
    }
    world.start(hosts[1]);
    assert!(world.run_until(60_000, |w| w.host(hosts[1]).is_complete(&last)));
    // It can prove what it passes on: all leaves are here.
    world.run_for(5_000);
    let service = world.host(hosts[1]).service.as_ref().unwrap();
    let (head, leaves) = service.tip(&publisher.repository).unwrap();
    assert_eq!((head.head.index, leaves.map(<[_]>::len)), (4, Some(5)));
    world.check();
}

#[test]
fn a_quota_lets_older_revisions_go_and_never_what_the_user_keeps() {
    let (mut world, mut publisher, hosts) = published(4, 10, 1);
    let first = tip(&world, hosts[0], &publisher);
    // The user keeps the first one; the mirror may hold fifteen pieces beside it.
    fetch(&mut world, hosts[1], &publisher).unwrap();
    let scope = MirrorScope::Publisher(publisher.id());
    let order = mirror(scope, Some(15 * PIECE), &world);
    world.run_command(hosts[1], order, 5_000);
    let second = world.publish(hosts[0], &mut publisher, &[("b.safetensors", 10 * PIECE)]);
    assert!(world.run_until(60_000, |w| w.host(hosts[1]).is_complete(&second)));
    let third = world.publish(hosts[0], &mut publisher, &[("c.safetensors", 10 * PIECE)]);
    assert!(world.run_until(60_000, |w| w.host(hosts[1]).is_complete(&third)));
    assert!(
        world.host(hosts[1]).is_complete(&first),
        "the user's pin stands"
    );
    assert!(
        world.host(hosts[1]).disk.revision(&second).is_none(),
        "the quota asked"
    );
    let large = world.publish(hosts[0], &mut publisher, &[("d.safetensors", 20 * PIECE)]);
    world.run_for(60_000);
    assert!(world.host(hosts[1]).disk.revision(&large).is_none());
    let told = |event: &&Event| matches!(event, Event::QuotaExceeded { .. });
    assert_eq!(world.host(hosts[1]).events.iter().filter(told).count(), 1);
    assert!(
        world.host(hosts[1]).is_complete(&third),
        "nothing is evicted in vain"
    );
    world.check();
}

#[test]
fn a_record_put_by_a_lonely_publisher_is_put_again_for_the_first_peer() {
    let (mut world, publisher, hosts) = published(5, 5, 0);
    assert!(world.dht.records.is_empty());
    let hub = world.add_default();
    world.connect(hosts[0], hub);
    assert!(world.run_until(10_000, |world| !world.dht.records.is_empty()));
    // A stranger at the hub finds everything through the DHT.
    let stranger = world.add_default();
    world.connect(stranger, hub);
    fetch(&mut world, stranger, &publisher).unwrap();
}

#[test]
fn forged_and_rolled_back_heads_are_refused() {
    let (mut world, mut publisher, hosts) = published(6, 5, 1);
    let old = publisher.clone();
    let scope = MirrorScope::Publisher(publisher.id());
    let order = mirror(scope, None, &world);
    world.run_command(hosts[1], order, 5_000);
    let second = world.publish(hosts[0], &mut publisher, &[("b.safetensors", 5 * PIECE)]);
    assert!(world.run_until(60_000, |w| w.host(hosts[1]).is_complete(&second)));
    // Forged: signed by somebody else in the publisher's name.
    let unix = world.now().unix;
    let (_, mut forged) = publisher.sign(&[("evil.bin", PIECE)], unix);
    let (_, thief) = Publisher::new(66, "tiny", unix).sign(&[("evil.bin", PIECE)], unix);
    forged.head.signatures = thief.head.signatures;
    let forger = world.add_default();
    world.connect(forger, hosts[1]);
    world.run_for(1_000);
    world.spread(forger, None, &record(&forged));
    world.run_for(5_000);
    assert_eq!(world.host(hosts[1]).rejected_gossip, 1);
    let refused = |event: &Event| matches!(event, Event::HeadRejected { .. });
    assert!(world.host(hosts[1]).events.iter().any(refused));
    // Rolled back: an old head, rightly signed.
    let old_tip = world
        .host(hosts[0])
        .disk
        .head(&old.repository, 0)
        .unwrap()
        .clone();
    let mut rolled_back = forged;
    rolled_back.head = old_tip;
    rolled_back.freshness = None;
    world.spread(forger, None, &record(&rolled_back));
    world.run_for(5_000);
    assert_eq!(tip(&world, hosts[1], &publisher), second);
    world.check();
}

#[test]
fn an_equivocation_freezes_everywhere_and_floods() {
    let (mut world, mut publisher, hosts) = published(7, 5, 2);
    let first = tip(&world, hosts[0], &publisher);
    for host in [hosts[1], hosts[2]] {
        fetch(&mut world, host, &publisher).unwrap();
    }
    let far = world.add_default();
    world.connect(far, hosts[2]);
    fetch(&mut world, far, &publisher).unwrap();
    // Two heads at index 1, one of them shown to one host only.
    let unix = world.now().unix;
    let (_, one) = publisher.sign(&[("one.bin", PIECE)], unix);
    publisher.publish(&[("two.bin", PIECE)], unix);
    let (_, two) = {
        let mut other = publisher.clone();
        other.forget_last();
        other.sign(&[("two.bin", PIECE)], unix)
    };
    let liar = world.add_default();
    world.connect(liar, hosts[1]);
    world.run_for(1_000);
    world.spread(liar, None, &record(&one));
    world.run_for(3_000);
    world.spread(liar, None, &record(&two));
    world.run_for(10_000);
    for host in [hosts[0], hosts[1], hosts[2], far] {
        let host = world.host(host);
        assert!(host.disk.is_frozen(&publisher.repository));
        let found = |event: &&Event| matches!(event, Event::EquivocationFound { .. });
        assert_eq!(host.events.iter().filter(found).count(), 1, "told once");
    }
    let error = fetch(&mut world, far, &publisher).unwrap_err();
    assert_eq!(error, CommandError::Frozen(publisher.repository.clone()));
    let service = world.host(far).service.as_ref().unwrap();
    let view = &service.repositories()[0];
    assert!(view.frozen && view.freshness == Freshness::Forked);
    // What is named by its id is still had.
    let newcomer = world.add_default();
    world.connect(newcomer, hosts[2]);
    let command = Command::Fetch {
        repository: publisher.repository.clone(),
        selector: Selector::Revision(first),
        pin: Pin::User,
        seed: true,
    };
    for host in [far, newcomer] {
        let reply = world.run_command(host, command.clone(), 120_000);
        assert!(matches!(reply, Some(Ok(Outcome::Fetched(_)))), "{reply:?}");
    }
    // It survives a restart.
    world.kill(far);
    world.start(far);
    let error = fetch(&mut world, far, &publisher).unwrap_err();
    assert_eq!(error, CommandError::Frozen(publisher.repository.clone()));
}

#[test]
fn freshness_is_renewed_and_lapses_without_its_key() {
    let (mut world, publisher, hosts) = published(8, 2, 1);
    fetch(&mut world, hosts[1], &publisher).unwrap();
    let freshness = |world: &World, host| {
        let service = world.host(host).service.as_ref().unwrap();
        service.repositories()[0].freshness
    };
    world.run_for(72 * 3_600_000);
    assert_eq!(freshness(&world, hosts[0]), Freshness::Fresh);
    assert_eq!(
        freshness(&world, hosts[1]),
        Freshness::Fresh,
        "gossip brought the renewal"
    );
    world.kill(hosts[0]);
    world.run_for(60 * 3_600_000);
    assert_eq!(freshness(&world, hosts[1]), Freshness::Stale);
}

#[test]
fn unseeded_and_removed_revisions_are_no_longer_offered() {
    let (mut world, publisher, hosts) = published(9, 5, 2);
    let revision = tip(&world, hosts[0], &publisher);
    fetch(&mut world, hosts[1], &publisher).unwrap();
    let repository = publisher.repository.clone();
    let command = Command::Unseed {
        repository: repository.clone(),
        revision: None,
    };
    assert_eq!(
        world.run_command(hosts[1], command, 5_000),
        Some(Ok(Outcome::Done))
    );
    assert!(world.host(hosts[1]).offered.is_empty());
    let record = world.host(hosts[1]).disk.revision(&revision).unwrap();
    assert_eq!(
        (record.pin, record.seed, record.state),
        (Pin::None, false, RevisionState::Complete)
    );
    let reply = world.run_command(hosts[1], Command::Prune, 5_000);
    assert!(
        matches!(reply, Some(Ok(Outcome::Forgotten { revisions: 1, .. }))),
        "{reply:?}"
    );
    assert!(
        world.host(hosts[1]).disk.blobs.is_empty(),
        "its files were collected"
    );
    let command = Command::Remove {
        repository,
        revision: Some(revision),
    };
    let reply = world.run_command(hosts[0], command.clone(), 5_000);
    assert!(
        matches!(reply, Some(Ok(Outcome::Forgotten { revisions: 1, .. }))),
        "{reply:?}"
    );
    let reply = world.run_command(hosts[0], command, 5_000);
    assert!(
        matches!(reply, Some(Err(CommandError::NotFound { .. }))),
        "{reply:?}"
    );
    let error = fetch(&mut world, hosts[2], &publisher).unwrap_err();
    assert!(matches!(error, CommandError::NotFound { .. }), "{error:?}");
}
