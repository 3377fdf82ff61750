//! A sequence of commits, failing at every single operation of the storage in turn.

use weft_protocol::op::{MirrorScope, Op, Snapshot};
use weft_registry::{
    Error, Ledger, Registry,
    failing::{Failing, Failure, Faults},
    mem::MemoryTables,
    tables::Tables,
};

use crate::samples::{
    envelope, mirror, object, peer, put_head, put_leaves, put_object, repository, revision,
};

#[test]
fn batch_is_there_whole_or_not_at_all_whichever_operation_fails() {
    let operations = operations();
    assert!(
        operations > 40,
        "only {operations} operations: too few to show anything"
    );
    for operation in 0..operations {
        for failure in Failure::ALL {
            let tables = MemoryTables::default();
            check(|| tables.clone(), operation, failure);
        }
    }
}

#[cfg(feature = "rocks")]
#[test]
fn batch_on_disk_is_there_whole_or_not_at_all() {
    // A database each is slow: every seventh operation, each time with another failure.
    let failures = Failure::ALL.into_iter().cycle();
    for (operation, failure) in (0..operations()).step_by(7).zip(failures) {
        let directory = tempfile::tempdir().unwrap();
        let open = || weft_registry::rocks::RocksTables::open(directory.path()).unwrap();
        check(open, operation, failure);
    }
}

#[test]
fn full_disk_is_told_from_a_broken_one() {
    for failure in Failure::ALL {
        let faults = Faults::default();
        let tables = Failing::new(MemoryTables::default(), faults.clone());
        let registry = Ledger::open_tables(tables).unwrap();
        faults.fail_at(faults.operations(), failure);
        let error = registry.set_setting("a", b"1").unwrap_err();
        assert_eq!(
            matches!(error, Error::Full { .. }),
            failure == Failure::Full
        );
        assert!(!error.is_refusal());
    }
}

/// Fails at `operation`, opens the same tables without faults, and goes on from there.
fn check<T: Tables>(open: impl Fn() -> T, operation: u64, failure: Failure) {
    let states = states();
    let faults = Faults::default();
    faults.fail_at(operation, failure);
    let done = run(open(), &faults);
    assert!(done < batches().len(), "operation {operation} did not fail");

    let healthy = Ledger::open_tables(open()).unwrap();
    let found = healthy.snapshot().unwrap();
    let whole =
        found == states[done] || failure == Failure::Unacknowledged && found == states[done + 1];
    assert!(
        whole,
        "operation {operation} with {failure:?} left part of batch {done}"
    );

    for batch in &batches()[done..] {
        healthy.commit(batch).unwrap();
    }
    assert_eq!(healthy.snapshot().unwrap(), *states.last().unwrap());
}

/// Commits all batches until one fails, reading everything in between; gives back how many were done.
fn run(tables: impl Tables, faults: &Faults) -> usize {
    let Ok(registry) = Ledger::open_tables(Failing::new(tables, faults.clone())) else {
        return 0;
    };
    let batches = batches();
    let states = states();
    for (done, batch) in batches.iter().enumerate() {
        match registry.snapshot() {
            Ok(snapshot) => assert_eq!(snapshot, states[done]),
            Err(error) => {
                assert!(!error.is_refusal());
                return done;
            }
        }
        if let Err(error) = registry.commit(batch) {
            assert!(!error.is_refusal());
            return done;
        }
    }
    batches.len()
}

/// How many operations all batches take when nothing fails.
fn operations() -> u64 {
    let faults = Faults::default();
    assert_eq!(run(MemoryTables::default(), &faults), batches().len());
    faults.operations()
}

/// What the snapshot must be after each number of batches.
fn states() -> Vec<Snapshot> {
    let registry = Ledger::in_memory();
    let mut states = vec![registry.snapshot().unwrap()];
    for batch in batches() {
        registry.commit(&batch).unwrap();
        states.push(registry.snapshot().unwrap());
    }
    states
}

/// A life: publish, update, mirror, forget. Every batch can be repeated.
fn batches() -> Vec<Vec<Op>> {
    let (a, b) = (repository(1, "a"), repository(2, "b"));
    let manifest = |text| object(text).0;
    let identity = |bytes: &[u8]| Op::PutIdentity {
        publisher: a.publisher,
        events: bytes.iter().copied().map(envelope).collect(),
    };
    vec![
        vec![
            identity(&[1]),
            put_object("one"),
            put_head(&a, 0),
            Op::PutRevision(revision(&a, manifest("one"))),
        ],
        vec![
            identity(&[1, 2]),
            put_object("two"),
            put_leaves(&a, 0..1),
            put_head(&a, 1),
            Op::PutRevision(revision(&a, manifest("two"))),
        ],
        vec![
            Op::PutMirror(mirror(MirrorScope::Publisher(b.publisher))),
            put_leaves(&b, 0..3),
            put_head(&b, 3),
            Op::PutPeer(peer(1)),
            Op::PutPeer(peer(2)),
        ],
        vec![
            Op::DeleteRevision {
                repository: a.clone(),
                revision: manifest("one"),
            },
            Op::DeleteObject {
                id: manifest("one"),
            },
            Op::PutEquivocation {
                repository: b,
                proof: b"twice".to_vec(),
            },
        ],
    ]
}
