//! Peers that say anything, and much of it.

use weft_protocol::{
    accept::{EquivocationProof, EquivocationSubject},
    id::{NodeId, ObjectId, RepositoryId},
    layout::Layout,
    op::{MirrorRecord, MirrorScope},
    piece_set::PieceSet,
    service::{Command, GossipId, InboundId, Input, RequestError, RequestId, TransferError},
    wire::{Announcement, PeerAddresses, Request, Response, RevisionProof},
};

use super::*;

/// An answer or event that may or may not fit what the victim waits for.
fn noise(rng: &mut fastrand::Rng, world: &World, victim: HostId, publisher: &Publisher) -> Input {
    let peers: Vec<NodeId> = world.hosts.iter().map(|host| host.node).collect();
    let peer = peers[rng.usize(..peers.len())];
    let request = RequestId(rng.u64(..200));
    let unix = world.now().unix;
    let mut other = publisher.clone();
    let (_, publication) = other.publish(&[("noise.bin", rng.u64(..PIECE))], unix);
    let mut record = weft_protocol::accept::RepositoryRecord {
        identity: publication.identity,
        head: publication.head,
        freshness: publication.freshness,
        extension: None,
    };
    if rng.bool() {
        record
            .head
            .body
            .truncate(rng.usize(..record.head.body.len()));
    }
    let blob = Publisher::file("model.safetensors", 40 * PIECE);
    let name = |n: u32| format!("name-{n}").parse().unwrap();
    let id = ObjectId::new([rng.u8(..); 32]);
    match rng.u32(..18) {
        0 => Input::Response {
            request,
            result: Ok(Response::Repository(Box::new(record))),
        },
        1 => Input::Response {
            request,
            result: Ok(Response::Log {
                ids: vec![id; rng.usize(..9)],
            }),
        },
        2 => {
            let names = (0..rng.u32(..2_000)).map(name).collect();
            Input::Response {
                request,
                result: Ok(Response::Publisher { names }),
            }
        }
        3 => {
            let preimage = (0..rng.usize(..400)).map(|_| rng.u8(..)).collect();
            Input::Response {
                request,
                result: Ok(Response::Object { preimage }),
            }
        }
        4 => {
            let proof = RevisionProof {
                identity: record.identity,
                head: record.head.clone(),
                tip: rng.bool().then_some(record.head),
                inclusion: None,
            };
            Input::Response {
                request,
                result: Ok(Response::Revision(Box::new(proof))),
            }
        }
        5 => {
            let strangers = (0..rng.u8(..99)).map(|n| PeerAddresses {
                peer: NodeId::new([n; 32]),
                addresses: vec!["/nowhere".to_owned(); 40],
            });
            Input::Response {
                request,
                result: Ok(Response::Peers {
                    peers: strangers.collect(),
                }),
            }
        }
        6 => Input::Response {
            request,
            result: Err(RequestError::Protocol),
        },
        7 => Input::RecordFound {
            request,
            record: Box::new(record),
        },
        8 => Input::ProvidersFound {
            request,
            peers: (0..99).map(|n| NodeId::new([n; 32])).collect(),
        },
        9 => Input::QueryFinished { request },
        10 => {
            let have = PieceSet::full(rng.u32(..2_000));
            Input::Availability {
                peer,
                blob: blob.blake3,
                have,
            }
        }
        11 => Input::AvailabilityLost {
            peer,
            blob: blob.blake3,
        },
        12 => Input::Request {
            peer,
            request: InboundId(u64::MAX - rng.u64(..99)),
            message: Request::Log {
                repository: RepositoryId {
                    publisher: publisher.id(),
                    name: name(1),
                },
                first: rng.u64(..),
            },
        },
        13 => Input::Request {
            peer,
            request: InboundId(u64::MAX - rng.u64(..99)),
            message: Request::Repository {
                repository: publisher.repository.clone(),
                have: Some(rng.u64(..)),
            },
        },
        14 => Input::Gossip {
            peer,
            message: GossipId(u64::MAX - rng.u64(..99)),
            announcement: Announcement::Head(Box::new(record)),
        },
        15 => {
            let proof = EquivocationProof {
                identity: record.identity,
                subject: if rng.bool() {
                    EquivocationSubject::Head
                } else {
                    EquivocationSubject::Identity
                },
                first: record.head.clone(),
                second: record.head,
            };
            Input::Gossip {
                peer,
                message: GossipId(u64::MAX - rng.u64(..99)),
                announcement: Announcement::Equivocation(Box::new(proof)),
            }
        }
        16 => Input::PiecesProgress {
            request,
            bytes: u64::from(rng.u32(..)),
        },
        _ if world.host(victim).is_up() => Input::PiecesFetched {
            request,
            result: Err(TransferError::Unavailable),
        },
        _ => Input::PeerDisconnected { peer },
    }
}

#[test]
fn noise_never_breaks_a_node_and_every_command_ends() {
    for seed in 0..20 {
        let (mut world, publisher, hosts) = published(seed, 40, 2);
        let mut rng = fastrand::Rng::with_seed(seed);
        let order = MirrorRecord {
            scope: MirrorScope::Publisher(publisher.id()),
            bytes_max: None,
            created: world.now().unix,
        };
        world.command(hosts[2], Command::Mirror(order));
        let command = world.command(hosts[1], World::fetch_latest(&publisher));
        for _ in 0..300 {
            let victim = hosts[rng.usize(1..3)];
            let input = noise(&mut rng, &world, victim, &publisher);
            world.input(victim, input);
            world.run_for(rng.u64(..40));
        }
        assert!(world.run_until(300_000, |w| w.host(hosts[1]).replies.contains_key(&command)));
        world.run_for(10_000);
        world.check();
    }
}

#[test]
fn a_forked_identity_is_followed_no_further() {
    let (mut world, publisher, hosts) = published(31, 5, 1);
    fetch(&mut world, hosts[1], &publisher).unwrap();
    let unix = world.now().unix;
    let one = publisher.rotated(1, unix);
    let two = publisher.rotated(2, unix);
    let announce = |publisher: &Publisher| {
        let (_, publication) = publisher.sign(&[("next.bin", PIECE)], unix);
        Announcement::Head(Box::new(weft_protocol::accept::RepositoryRecord {
            identity: publication.identity,
            head: publication.head,
            freshness: None,
            extension: None,
        }))
    };
    let liar = world.add_default();
    world.connect(liar, hosts[1]);
    world.run_for(1_000);
    world.spread(liar, None, &announce(&one));
    world.run_for(5_000);
    world.spread(liar, None, &announce(&two));
    world.run_for(5_000);
    let error = fetch(&mut world, hosts[1], &publisher).unwrap_err();
    assert_eq!(error, CommandError::Forked(publisher.id()));
    let told = |host| {
        let forked = |event: &&weft_protocol::service::Event| {
            matches!(event, weft_protocol::service::Event::IdentityForked { .. })
        };
        world.host(host).events.iter().filter(forked).count()
    };
    assert_eq!(
        (told(hosts[0]), told(hosts[1])),
        (1, 1),
        "the proof went round"
    );
}

#[test]
fn a_file_that_two_revisions_share_is_fetched_once() {
    let (mut world, mut publisher, hosts) = published(32, 40, 1);
    let first = world.command(hosts[1], World::fetch_latest(&publisher));
    world.run_for(1_500);
    let files = [("model.safetensors", 40 * PIECE), ("more.bin", 4 * PIECE)];
    world.publish(hosts[0], &mut publisher, &files);
    let second = world.command(hosts[1], World::fetch_latest(&publisher));
    let both = |world: &World| {
        let replies = &world.host(hosts[1]).replies;
        replies.contains_key(&first) && replies.contains_key(&second)
    };
    assert!(world.run_until(300_000, both));
    assert!(world.host(hosts[0]).uploaded <= 45 * PIECE);
    assert!(world.host(hosts[1]).replies.values().all(Result::is_ok));
    world.check();
}

#[test]
fn a_revision_of_many_small_files_arrives() {
    let mut world = World::new(33);
    let (origin, fetcher) = (world.add_default(), world.add_default());
    let mut publisher = Publisher::new(33, "many", world.now().unix);
    let names: Vec<String> = (0..1_000).map(|n| format!("shard-{n}.bin")).collect();
    let files: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 1_000)).collect();
    world.publish(origin, &mut publisher, &files);
    world.connect(fetcher, origin);
    let fetched = fetch(&mut world, fetcher, &publisher).unwrap();
    assert_eq!(fetched.bytes_fetched, 1_000_000);
    assert_eq!(Layout::new(1_000).pieces(), 1);
    world.check();
}

#[test]
fn a_crowd_shares_the_work() {
    let setup = crate::scenario::Setup::new("crowd", 1, 6, 40);
    let run = setup.run();
    assert_eq!(run.report.completed, 6);
    assert!(run.report.seed_copies < 3.0, "{:?}", run.report);
    assert_eq!(run, setup.run());
}

#[test]
fn a_full_disk_is_told_and_work_goes_on_when_there_is_room() {
    let (mut world, mut publisher, hosts) = published(34, 40, 1);
    world.host_mut(hosts[1]).disk_full = true;
    assert_eq!(
        fetch(&mut world, hosts[1], &publisher),
        Err(CommandError::DiskFull)
    );
    world.host_mut(hosts[1]).disk_full = false;
    let command = world.command(hosts[1], World::fetch_latest(&publisher));
    world.run_for(2_500);
    world.host_mut(hosts[1]).disk_full = true;
    assert!(world.run_until(60_000, |w| w.host(hosts[1]).replies.contains_key(&command)));
    let reply = &world.host(hosts[1]).replies[&command];
    assert_eq!(reply, &Err(CommandError::DiskFull));
    world.host_mut(hosts[1]).disk_full = false;
    fetch(&mut world, hosts[1], &publisher).unwrap();
    // A publication that cannot be written is neither told nor remembered.
    world.host_mut(hosts[0]).disk_full = true;
    let unix = world.now().unix;
    let (revision, publication) = publisher.sign(&[("next.bin", PIECE)], unix);
    let publish = Command::Publish(Box::new(publication));
    let reply = world.run_command(hosts[0], publish.clone(), 5_000);
    assert_eq!(reply, Some(Err(CommandError::DiskFull)));
    assert!(world.host(hosts[0]).disk.revision(&revision).is_none());
    world.host_mut(hosts[0]).disk_full = false;
    assert!(world.run_command(hosts[0], publish, 5_000).unwrap().is_ok());
    publisher.publish(&[("next.bin", PIECE)], unix);
}

#[test]
fn two_publications_at_one_index_do_not_freeze_their_own_repository() {
    let (mut world, publisher, hosts) = published(35, 4, 0);
    let unix = world.now().unix;
    let one = publisher.sign(&[("one.bin", PIECE)], unix).1;
    let two = publisher.sign(&[("two.bin", PIECE)], unix).1;
    let first = world.command(hosts[0], Command::Publish(Box::new(one)));
    let second = world.command(hosts[0], Command::Publish(Box::new(two)));
    world.run_for(1_000);
    let host = world.host(hosts[0]);
    assert!(host.replies[&first].is_ok());
    assert!(matches!(
        host.replies[&second],
        Err(CommandError::Refused(_))
    ));
    assert!(!host.disk.is_frozen(&publisher.repository));
}

#[test]
fn an_updated_identity_reaches_followers() {
    let (mut world, publisher, hosts) = published(36, 4, 1);
    fetch(&mut world, hosts[1], &publisher).unwrap();
    let rotated = publisher.rotated(0, world.now().unix);
    let command = Command::UpdateIdentity {
        publisher: publisher.id(),
        events: rotated.identity.envelopes().to_vec(),
    };
    let reply = world.run_command(hosts[0], command, 5_000);
    assert_eq!(reply, Some(Ok(Outcome::Done)));
    world.run_for(5_000);
    let service = world.host(hosts[1]).service.as_ref().unwrap();
    assert_eq!(
        service.identity(&publisher.id()).map(|log| log.len()),
        Some(2)
    );
}
