//! One suite for every form of the registry. Each case gets fresh storage that can be opened again and
//! again; [`reopened`] shows that what holds now holds after a restart.

use weft_protocol::{
    id::{BlobHash, NodeId},
    op::{IdentityFacts, MirrorScope, Op, Pin, RepositoryFacts, RevisionState, Snapshot},
    sign::Signature,
};
use weft_registry::{
    BlobRecord, BlobWrite, DhtProvider, Durability, Error, PetnameTarget, Registry,
    mem::MemoryTables,
};

use crate::samples::{
    dht_provider, dht_record, envelope, id, ids, mirror, object, peer, put_head, put_leaves,
    put_object, repository, revision,
};

/// Storage that keeps what a registry wrote when that registry is gone.
pub(crate) trait Storage {
    fn open(&self) -> Box<dyn Registry>;
}

impl Storage for MemoryTables {
    fn open(&self) -> Box<dyn Registry> {
        Box::new(weft_registry::Ledger::open_tables(self.clone()).unwrap())
    }
}

/// Names the cases for one form of storage.
macro_rules! suite {
    ($fresh:expr; $($case:ident)*) => {
        $(#[test]
        fn $case() {
            super::$case(&$fresh);
        })*
    };
}

macro_rules! suites {
    ($($case:ident)*) => {
        mod mem {
            suite!(weft_registry::mem::MemoryTables::default(); $($case)*);
        }
        #[cfg(feature = "rocks")]
        mod rocks {
            suite!(crate::rocks::Directory::new(); $($case)*);
        }
    };
}

suites! {
    new_registry_is_empty
    everything_committed_is_in_the_snapshot
    snapshot_is_in_key_order
    head_at_a_lower_index_is_refused
    other_head_at_the_same_index_is_refused
    same_head_again_is_accepted
    heads_may_skip_indexes
    older_heads_stay_readable
    refused_batch_leaves_nothing
    later_op_sees_an_earlier_one_of_its_batch
    leaves_continue_and_may_overlap
    leaves_with_a_gap_are_refused
    leaves_that_differ_are_refused
    leaf_and_head_of_one_index_must_agree
    facts_before_the_first_head_are_kept_for_it
    first_evidence_stays
    identity_log_only_grows
    object_with_a_wrong_id_is_refused
    deleted_things_are_gone
    revisions_are_replaced_by_name_and_id
    names_that_fold_alike_are_one_repository
    repositories_whose_names_begin_alike_stay_apart
    dht_records_are_kept
    dht_providers_are_kept_per_key
    petnames_are_kept
    settings_are_kept
    blobs_are_kept_with_their_small_trees
    empty_batch_is_accepted
}

/// Runs `check` on the registry, and again after opening it anew.
fn reopened(storage: &impl Storage, registry: Box<dyn Registry>, check: impl Fn(&dyn Registry)) {
    check(&*registry);
    drop(registry);
    check(&*storage.open());
}

fn new_registry_is_empty(storage: &impl Storage) {
    reopened(storage, storage.open(), |registry| {
        assert_eq!(registry.snapshot(), Ok(Snapshot::default()));
        assert_eq!(registry.object(id(1)), Ok(None));
        assert_eq!(registry.head(&repository(1, "a"), 0), Ok(None));
        assert_eq!(registry.dht_records(), Ok(vec![]));
        assert_eq!(registry.all_dht_providers(), Ok(vec![]));
        assert_eq!(registry.petnames(), Ok(vec![]));
        assert_eq!(registry.setting("a"), Ok(None));
    });
}

fn everything_committed_is_in_the_snapshot(storage: &impl Storage) {
    let a = repository(1, "Tiny");
    let (manifest, preimage) = object("manifest");
    let events = vec![envelope(1), envelope(2)];
    let mut quota = mirror(MirrorScope::Publisher(a.publisher));
    quota.bytes_max = Some(u64::MAX);
    let registry = storage.open();
    registry
        .commit(&[
            Op::PutIdentity {
                publisher: a.publisher,
                events: events.clone(),
            },
            Op::PutIdentityFork {
                publisher: a.publisher,
                proof: b"fork".to_vec(),
            },
            put_leaves(&a, 0..3),
            put_head(&a, 3),
            Op::PutFreshness {
                repository: a.clone(),
                freshness: envelope(9),
            },
            Op::PutEquivocation {
                repository: a.clone(),
                proof: b"twice".to_vec(),
            },
            put_object("manifest"),
            put_object("references"),
            Op::PutRevision(revision(&a, manifest)),
            Op::PutMirror(quota.clone()),
            Op::PutMirror(mirror(MirrorScope::Repository(a.clone()))),
            Op::PutPeer(peer(1)),
        ])
        .unwrap();
    let expected = Snapshot {
        identities: vec![IdentityFacts {
            publisher: a.publisher,
            events,
            fork: Some(b"fork".to_vec()),
        }],
        repositories: vec![RepositoryFacts {
            repository: a.clone(),
            head: envelope(3),
            freshness: Some(envelope(9)),
            leaves: ids(0..3),
            equivocation: Some(b"twice".to_vec()),
        }],
        revisions: vec![revision(&a, manifest)],
        manifests: vec![(manifest, preimage)],
        mirrors: vec![quota, mirror(MirrorScope::Repository(a.clone()))],
        peers: vec![peer(1)],
    };
    reopened(storage, registry, |registry| {
        assert_eq!(registry.snapshot().unwrap(), expected);
        let (references, preimage) = object("references");
        assert_eq!(registry.object(references), Ok(Some(preimage)));
        // Equality of names folds case; the case itself is kept too.
        let name = registry.snapshot().unwrap().repositories[0]
            .repository
            .name
            .clone();
        assert_eq!(name.as_str(), "Tiny");
    });
}

fn snapshot_is_in_key_order(storage: &impl Storage) {
    let names = ["b", "a-b", "a", "a.b", "ab"];
    let registry = storage.open();
    for publisher in [2, 1] {
        for name in names {
            let repository = repository(publisher, name);
            let ops = [
                put_head(&repository, 0),
                Op::PutRevision(revision(&repository, id(2))),
                Op::PutRevision(revision(&repository, id(1))),
                Op::PutPeer(peer(publisher)),
            ];
            registry.commit(&ops).unwrap();
        }
    }
    reopened(storage, registry, |registry| {
        let snapshot = registry.snapshot().unwrap();
        assert_eq!(snapshot.repositories.len(), 10);
        assert!(
            snapshot
                .repositories
                .is_sorted_by(|a, b| a.repository < b.repository)
        );
        let place = |record: &weft_protocol::op::RevisionRecord| {
            (record.repository.clone(), record.revision)
        };
        assert!(snapshot.revisions.is_sorted_by(|a, b| place(a) < place(b)));
        assert_eq!(snapshot.peers, [peer(1), peer(2)]);
    });
}

fn head_at_a_lower_index_is_refused(storage: &impl Storage) {
    let a = repository(1, "a");
    let registry = storage.open();
    registry.commit(&[put_head(&a, 5)]).unwrap();
    let refusal = Error::IndexFalls {
        repository: Box::new(a.clone()),
        have: 5,
        got: 4,
    };
    assert!(refusal.is_refusal());
    reopened(storage, registry, |registry| {
        assert_eq!(registry.commit(&[put_head(&a, 4)]), Err(refusal.clone()));
        assert_eq!(tip(registry), envelope(5));
    });
}

fn other_head_at_the_same_index_is_refused(storage: &impl Storage) {
    let a = repository(1, "a");
    let registry = storage.open();
    registry.commit(&[put_head(&a, 5)]).unwrap();
    let other = Op::PutHead {
        repository: a.clone(),
        index: 5,
        id: id(6),
        head: envelope(6),
    };
    let refusal = Error::Conflict {
        repository: Box::new(a),
        index: 5,
        have: id(5),
        got: id(6),
    };
    reopened(storage, registry, |registry| {
        assert_eq!(
            registry.commit(std::slice::from_ref(&other)),
            Err(refusal.clone())
        );
        assert_eq!(tip(registry), envelope(5));
    });
}

fn same_head_again_is_accepted(storage: &impl Storage) {
    let a = repository(1, "a");
    let mut head = envelope(5);
    head.signatures.push((8, Signature([1; 64])));
    let again = Op::PutHead {
        repository: a.clone(),
        index: 5,
        id: id(5),
        head: head.clone(),
    };
    let registry = storage.open();
    registry.commit(&[put_head(&a, 5)]).unwrap();
    registry.commit(&[again]).unwrap();
    reopened(storage, registry, |registry| {
        assert_eq!(tip(registry), head);
    });
}

fn heads_may_skip_indexes(storage: &impl Storage) {
    let a = repository(1, "a");
    let registry = storage.open();
    registry.commit(&[put_head(&a, 0)]).unwrap();
    registry.commit(&[put_head(&a, 200)]).unwrap();
    reopened(storage, registry, |registry| {
        assert_eq!(tip(registry), envelope(200));
        assert_eq!(registry.head(&a, 100), Ok(None));
    });
}

fn older_heads_stay_readable(storage: &impl Storage) {
    let a = repository(1, "a");
    let registry = storage.open();
    registry
        .commit(&[put_head(&a, 0), put_head(&a, 1)])
        .unwrap();
    registry.commit(&[put_head(&a, 2)]).unwrap();
    reopened(storage, registry, |registry| {
        for index in 0..3 {
            assert_eq!(
                registry.head(&a, u64::from(index)),
                Ok(Some(envelope(index)))
            );
        }
    });
}

fn refused_batch_leaves_nothing(storage: &impl Storage) {
    let a = repository(1, "a");
    let registry = storage.open();
    registry.commit(&[put_head(&a, 5)]).unwrap();
    let before = registry.snapshot().unwrap();
    let batch = [
        Op::PutPeer(peer(1)),
        put_object("manifest"),
        put_head(&a, 6),
        put_head(&repository(1, "b"), 0),
        put_head(&a, 4),
        Op::PutPeer(peer(2)),
    ];
    assert!(registry.commit(&batch).unwrap_err().is_refusal());
    reopened(storage, registry, |registry| {
        assert_eq!(registry.snapshot().unwrap(), before);
        assert_eq!(registry.object(object("manifest").0), Ok(None));
        assert_eq!(registry.head(&a, 6), Ok(None));
    });
}

fn later_op_sees_an_earlier_one_of_its_batch(storage: &impl Storage) {
    let a = repository(1, "a");
    let registry = storage.open();
    let falling = registry.commit(&[put_head(&a, 1), put_head(&a, 0)]);
    assert!(matches!(
        falling,
        Err(Error::IndexFalls {
            have: 1,
            got: 0,
            ..
        })
    ));
    registry
        .commit(&[
            put_leaves(&a, 0..2),
            put_leaves(&a, 2..4),
            put_head(&a, 4),
            Op::PutPeer(peer(1)),
            Op::DeletePeer {
                peer: NodeId::new([1; 32]),
            },
        ])
        .unwrap();
    reopened(storage, registry, |registry| {
        let snapshot = registry.snapshot().unwrap();
        assert_eq!(snapshot.repositories[0].leaves, ids(0..4));
        assert_eq!(snapshot.peers, []);
    });
}

fn leaves_continue_and_may_overlap(storage: &impl Storage) {
    let a = repository(1, "a");
    let registry = storage.open();
    registry.commit(&[put_head(&a, 9)]).unwrap();
    for range in [0..0, 0..3, 3..5, 1..4, 4..6, 0..6] {
        registry.commit(&[put_leaves(&a, range)]).unwrap();
    }
    reopened(storage, registry, |registry| {
        assert_eq!(
            registry.snapshot().unwrap().repositories[0].leaves,
            ids(0..6)
        );
    });
}

fn leaves_with_a_gap_are_refused(storage: &impl Storage) {
    let a = repository(1, "a");
    let registry = storage.open();
    registry
        .commit(&[put_head(&a, 9), put_leaves(&a, 0..2)])
        .unwrap();
    let gap = Error::Gap {
        repository: Box::new(a.clone()),
        expected: 2,
        got: 3,
    };
    reopened(storage, registry, |registry| {
        assert_eq!(registry.commit(&[put_leaves(&a, 3..4)]), Err(gap.clone()));
        assert_eq!(
            registry.snapshot().unwrap().repositories[0].leaves,
            ids(0..2)
        );
    });
}

fn leaves_that_differ_are_refused(storage: &impl Storage) {
    let a = repository(1, "a");
    let registry = storage.open();
    registry
        .commit(&[put_head(&a, 9), put_leaves(&a, 0..3)])
        .unwrap();
    let other = Op::PutLeaves {
        repository: a.clone(),
        first: 1,
        ids: vec![id(1), id(7), id(3)],
    };
    let conflict = Error::Conflict {
        repository: Box::new(a),
        index: 2,
        have: id(2),
        got: id(7),
    };
    reopened(storage, registry, |registry| {
        assert_eq!(
            registry.commit(std::slice::from_ref(&other)),
            Err(conflict.clone())
        );
        assert_eq!(
            registry.snapshot().unwrap().repositories[0].leaves,
            ids(0..3)
        );
    });
}

fn leaf_and_head_of_one_index_must_agree(storage: &impl Storage) {
    let a = repository(1, "a");
    let registry = storage.open();
    registry.commit(&[put_leaves(&a, 0..3)]).unwrap();
    let other = |index| Op::PutHead {
        repository: a.clone(),
        index,
        id: id(77),
        head: envelope(77),
    };
    assert!(matches!(
        registry.commit(&[other(2)]),
        Err(Error::Conflict { index: 2, .. })
    ));
    registry.commit(&[other(3)]).unwrap();
    assert!(matches!(
        registry.commit(&[put_leaves(&a, 3..4)]),
        Err(Error::Conflict { index: 3, .. })
    ));
}

fn facts_before_the_first_head_are_kept_for_it(storage: &impl Storage) {
    let a = repository(1, "a");
    let registry = storage.open();
    registry
        .commit(&[
            put_leaves(&a, 0..2),
            Op::PutEquivocation {
                repository: a.clone(),
                proof: b"twice".to_vec(),
            },
        ])
        .unwrap();
    assert_eq!(registry.snapshot().unwrap().repositories, []);
    registry.commit(&[put_head(&a, 2)]).unwrap();
    reopened(storage, registry, |registry| {
        let facts = &registry.snapshot().unwrap().repositories[0];
        assert_eq!(facts.leaves, ids(0..2));
        assert_eq!(facts.equivocation.as_deref(), Some(&b"twice"[..]));
    });
}

fn first_evidence_stays(storage: &impl Storage) {
    let a = repository(1, "a");
    let registry = storage.open();
    registry.commit(&[put_head(&a, 0)]).unwrap();
    for proof in [b"first", b"other"] {
        registry
            .commit(&[Op::PutEquivocation {
                repository: a.clone(),
                proof: proof.to_vec(),
            }])
            .unwrap();
    }
    reopened(storage, registry, |registry| {
        let facts = &registry.snapshot().unwrap().repositories[0];
        assert_eq!(facts.equivocation.as_deref(), Some(&b"first"[..]));
    });
}

fn identity_log_only_grows(storage: &impl Storage) {
    let publisher = repository(1, "a").publisher;
    let log = |bytes: &[u8]| Op::PutIdentity {
        publisher,
        events: bytes.iter().copied().map(envelope).collect(),
    };
    let registry = storage.open();
    registry.commit(&[log(&[1])]).unwrap();
    registry.commit(&[log(&[1, 2])]).unwrap();
    registry.commit(&[log(&[1, 2])]).unwrap();
    reopened(storage, registry, |registry| {
        let diverges = |index| Err(Error::IdentityDiverges { publisher, index });
        assert_eq!(registry.commit(&[log(&[1])]), diverges(1));
        assert_eq!(registry.commit(&[log(&[1, 3, 4])]), diverges(1));
        assert_eq!(registry.commit(&[log(&[])]), diverges(0));
        let identities = registry.snapshot().unwrap().identities;
        assert_eq!(identities[0].events, [envelope(1), envelope(2)]);
    });
}

fn object_with_a_wrong_id_is_refused(storage: &impl Storage) {
    let (found, preimage) = object("one");
    let wrong = Op::PutObject {
        id: id(1),
        preimage,
    };
    let registry = storage.open();
    let mismatch = Error::ObjectMismatch { id: id(1), found };
    assert_eq!(registry.commit(&[wrong]), Err(mismatch));
    assert_eq!(registry.object(id(1)), Ok(None));
}

fn deleted_things_are_gone(storage: &impl Storage) {
    let a = repository(1, "a");
    let (manifest, _) = object("manifest");
    let scope = MirrorScope::Repository(a.clone());
    let registry = storage.open();
    registry
        .commit(&[
            put_object("manifest"),
            Op::PutRevision(revision(&a, manifest)),
            Op::PutMirror(mirror(scope.clone())),
            Op::PutPeer(peer(1)),
        ])
        .unwrap();
    let delete = [
        Op::DeleteObject { id: manifest },
        Op::DeleteRevision {
            repository: a,
            revision: manifest,
        },
        Op::DeleteMirror { scope },
        Op::DeletePeer {
            peer: NodeId::new([1; 32]),
        },
    ];
    registry.commit(&delete).unwrap();
    // Deleting what is not there is fine: a batch may be repeated.
    registry.commit(&delete).unwrap();
    reopened(storage, registry, |registry| {
        assert_eq!(registry.snapshot(), Ok(Snapshot::default()));
        assert_eq!(registry.object(manifest), Ok(None));
    });
}

fn revisions_are_replaced_by_name_and_id(storage: &impl Storage) {
    let a = repository(1, "a");
    let mut record = revision(&a, id(1));
    let registry = storage.open();
    registry.commit(&[Op::PutRevision(record.clone())]).unwrap();
    for (state, pin, seed) in [
        (RevisionState::Wanted, Pin::None, false),
        (RevisionState::Complete, Pin::Mirror, true),
        (RevisionState::Wanted, Pin::User, true),
    ] {
        (record.state, record.pin, record.seed) = (state, pin, seed);
        registry.commit(&[Op::PutRevision(record.clone())]).unwrap();
        assert_eq!(registry.snapshot().unwrap().revisions, [record.clone()]);
    }
    reopened(storage, registry, |registry| {
        let snapshot = registry.snapshot().unwrap();
        assert_eq!(snapshot.revisions, [record.clone()]);
        assert_eq!(snapshot.manifests, [], "the manifest is not here yet");
    });
}

fn names_that_fold_alike_are_one_repository(storage: &impl Storage) {
    let registry = storage.open();
    registry
        .commit(&[put_head(&repository(1, "tiny"), 0)])
        .unwrap();
    registry
        .commit(&[put_head(&repository(1, "Tiny"), 1)])
        .unwrap();
    reopened(storage, registry, |registry| {
        let repositories = registry.snapshot().unwrap().repositories;
        assert_eq!(repositories.len(), 1);
        assert_eq!(repositories[0].repository.name.as_str(), "Tiny");
        assert_eq!(
            registry.head(&repository(1, "TINY"), 0),
            Ok(Some(envelope(0)))
        );
    });
}

fn repositories_whose_names_begin_alike_stay_apart(storage: &impl Storage) {
    let (short, long) = (repository(1, "a"), repository(1, "ab"));
    let registry = storage.open();
    registry
        .commit(&[
            put_leaves(&short, 0..2),
            put_head(&short, 2),
            put_leaves(&long, 0..5),
            put_head(&long, 5),
        ])
        .unwrap();
    reopened(storage, registry, |registry| {
        let repositories = registry.snapshot().unwrap().repositories;
        assert_eq!(repositories[0].leaves, ids(0..2));
        assert_eq!(repositories[1].leaves, ids(0..5));
    });
}

fn dht_records_are_kept(storage: &impl Storage) {
    let registry = storage.open();
    let mut anonymous = dht_record(&[0, 0]);
    for record in [dht_record(&[0]), anonymous.clone(), dht_record(b"gone")] {
        registry.put_dht_record(&record).unwrap();
    }
    anonymous.publisher = None;
    registry.put_dht_record(&anonymous).unwrap();
    registry.remove_dht_record(b"gone").unwrap();
    registry.remove_dht_record(b"never there").unwrap();
    registry.sync().unwrap();
    reopened(storage, registry, |registry| {
        assert_eq!(registry.dht_record(&[0]), Ok(Some(dht_record(&[0]))));
        assert_eq!(registry.dht_record(b"gone"), Ok(None));
        assert_eq!(
            registry.dht_records(),
            Ok(vec![dht_record(&[0]), anonymous.clone()])
        );
    });
}

fn dht_providers_are_kept_per_key(storage: &impl Storage) {
    let registry = storage.open();
    let put = |provider: &DhtProvider| registry.put_dht_provider(provider).unwrap();
    for (key, provider) in [
        (&[1, 0][..], 3),
        (&[1], 2),
        (&[1], 1),
        (&[1], 9),
        (&[1, 0, 0], 4),
    ] {
        put(&dht_provider(key, provider));
    }
    let moved = DhtProvider {
        addresses: vec![b"elsewhere".to_vec()],
        ..dht_provider(&[1], 1)
    };
    put(&moved);
    registry.remove_dht_provider(&[1], &[9]).unwrap();
    reopened(storage, registry, |registry| {
        let here = vec![moved.clone(), dht_provider(&[1], 2)];
        assert_eq!(registry.dht_providers(&[1]), Ok(here));
        assert_eq!(
            registry.dht_providers(&[1, 0]),
            Ok(vec![dht_provider(&[1, 0], 3)])
        );
        assert_eq!(registry.dht_providers(&[2]), Ok(vec![]));
        assert_eq!(registry.all_dht_providers().unwrap().len(), 4);
    });
}

fn petnames_are_kept(storage: &impl Storage) {
    let a = repository(1, "Tiny");
    let registry = storage.open();
    registry
        .set_petname("bob", &PetnameTarget::Publisher(a.publisher))
        .unwrap();
    registry
        .set_petname("alice", &PetnameTarget::Publisher(a.publisher))
        .unwrap();
    registry
        .set_petname("alice", &PetnameTarget::Repository(a.clone()))
        .unwrap();
    registry
        .set_petname("gone", &PetnameTarget::Publisher(a.publisher))
        .unwrap();
    registry.remove_petname("gone").unwrap();
    registry.remove_petname("never there").unwrap();
    reopened(storage, registry, |registry| {
        let alice = PetnameTarget::Repository(a.clone());
        assert_eq!(registry.petname("alice"), Ok(Some(alice)));
        assert_eq!(registry.petname("gone"), Ok(None));
        let names: Vec<_> = registry
            .petnames()
            .unwrap()
            .into_iter()
            .map(|p| p.name)
            .collect();
        assert_eq!(names, ["alice", "bob"]);
    });
}

fn settings_are_kept(storage: &impl Storage) {
    let registry = storage.open();
    registry.set_setting("limit", b"1").unwrap();
    registry.set_setting("limit", b"").unwrap();
    reopened(storage, registry, |registry| {
        assert_eq!(registry.setting("limit"), Ok(Some(vec![])));
    });
}

fn blobs_are_kept_with_their_small_trees(storage: &impl Storage) {
    let blob = |byte| BlobHash::new([byte; 32]);
    let record = |size| BlobRecord {
        size,
        written: vec![(0, 3)],
        ..BlobRecord::default()
    };
    let write = |byte, size: Option<u64>, outboard: Option<&[u8]>| BlobWrite {
        blob: blob(byte),
        record: size.map(record),
        outboard: outboard.map(<[u8]>::to_vec),
    };
    let registry = storage.open();
    for writes in [
        [write(2, Some(20), Some(b"tree")), write(1, Some(10), None)],
        [write(2, Some(21), None), write(3, Some(30), Some(b"gone"))],
    ] {
        registry.write_blobs(&writes, Durability::Buffered).unwrap();
    }
    let forget = [write(3, None, None)];
    registry.write_blobs(&forget, Durability::Synced).unwrap();
    reopened(storage, registry, |registry| {
        let kept = vec![(blob(1), record(10)), (blob(2), record(21))];
        assert_eq!(registry.blobs(), Ok(kept));
        assert_eq!(registry.blob(&blob(2)), Ok(Some(record(21))));
        assert_eq!(registry.blob(&blob(3)), Ok(None));
        assert_eq!(registry.outboard(&blob(1)), Ok(None));
        assert_eq!(registry.outboard(&blob(2)), Ok(Some(b"tree".to_vec())));
        assert_eq!(registry.outboard(&blob(3)), Ok(None));
    });
}

fn empty_batch_is_accepted(storage: &impl Storage) {
    let registry = storage.open();
    registry.commit(&[]).unwrap();
    reopened(storage, registry, |registry| {
        assert_eq!(registry.snapshot(), Ok(Snapshot::default()));
    });
}

fn tip(registry: &dyn Registry) -> weft_protocol::sign::Envelope {
    registry.snapshot().unwrap().repositories[0].head.clone()
}
