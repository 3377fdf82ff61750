//! Copies between blobs, of honest and of lying plans.

use std::{collections::BTreeMap, ops::Range};

use weft_protocol::{
    delta::{self, Held, Plan},
    id::{BlobHash, ObjectId, PublisherId, RepositoryId},
    manifest::{Card, File, Kind, Manifest, Role, Spans, Tensor, span_hash},
    time::Timestamp,
};

use super::fixture::{Disk, GROUP, MIB, Reference, have};
use crate::store::{BlobStore, Copies, Observer};

/// A tensor: where it lies, how long it is, and what is said of its content.
type Said = (usize, usize, u8);

fn manifest(blob: &Reference, tensors: &[Said]) -> Manifest {
    let tensor = |(offset, len, content): &Said| Tensor {
        file: 0,
        name: format!("t{offset}"),
        dtype: "U8".to_owned(),
        shape: vec![*len as u64],
        offset: *offset as u64,
        len: *len as u64,
        blake3: ObjectId::new([*content; 32]),
    };
    Manifest {
        repository: RepositoryId {
            publisher: PublisherId::new([1; 32]),
            name: "m".parse().unwrap(),
        },
        kind: Kind::Model,
        parents: vec![],
        files: vec![File {
            path: "m.safetensors".parse().unwrap(),
            size: blob.size(),
            blake3: blob.hash,
            sha256: [0; 32],
            git_sha1: None,
            role: Role::Weights,
            spans: None,
            chunks: None,
        }],
        card: Card::default(),
        tensors: tensors.iter().map(tensor).collect(),
        message: String::new(),
        created: Timestamp(1),
    }
}

fn plan(target: (&Reference, &[Said]), source: (&Reference, &[Said])) -> Plan {
    let mut held = Held::default();
    held.add(&manifest(source.0, source.1), |_| true);
    let plans: BTreeMap<BlobHash, Plan> = delta::plan(&manifest(target.0, target.1), &held);
    plans.into_values().next().unwrap()
}

/// A target that holds `source` from byte `at` on, between bytes of its own.
fn around(source: &Reference, at: usize, tail: usize) -> Reference {
    let mut data = Reference::new(99, at + source.data.len() + tail).data;
    data[at..at + source.data.len()].copy_from_slice(&source.data);
    Reference::of(data)
}

fn copy(store: &BlobStore, target: &Reference, plan: &Plan, spans: Option<&Spans>) -> u64 {
    let copied = std::cell::Cell::new(0);
    let copies = Copies {
        plan,
        spans,
        progress: &|bytes| {
            copied.set(copied.get() + bytes);
            true
        },
    };
    store.copy(&target.hash, target.size(), copies).unwrap();
    copied.get()
}

fn fetch_probes(store: &BlobStore, target: &Reference, plan: &Plan) {
    let probes: Vec<Range<usize>> = plan
        .probes()
        .iter()
        .map(|groups| groups.start as usize..groups.end as usize)
        .collect();
    target.fetch_runs(store, &probes);
}

#[test]
fn what_is_copied_is_proven_by_the_groups_beside_it() {
    for (at, len, tail) in [
        (0, 9 * GROUP, 3 * GROUP),
        (1_000, 9 * GROUP + 5, 1_000),
        (5 * GROUP, 40 * MIB, 7 * GROUP),
        (77, 17 * MIB, 0),
        // At whole blocks, which files share where they can.
        (3 * 4096, 17 * MIB, 3),
    ] {
        let (disk, source) = (Disk::new(), Reference::new(1, len));
        let target = around(&source, at, tail);
        let plan = plan((&target, &[(at, len, 7)]), (&source, &[(0, len, 7)]));
        let store = disk.open();
        let path = disk.write("source", &source.data);
        store.import_owned(&path, &Observer::default()).unwrap();
        assert_eq!(
            copy(&store, &target, &plan, None),
            0,
            "nothing proves it yet"
        );
        fetch_probes(&store, &target, &plan);
        assert_eq!(copy(&store, &target, &plan, None), plan.bytes());
        assert_eq!(copy(&store, &target, &plan, None), 0, "it is here now");
        let missing = target.groups() - have(&store, &target.hash).len();
        assert!(missing <= (at + tail).div_ceil(GROUP));
        target.fetch(&store, 0..target.groups());
        assert!(store.verify(&target.hash, target.size()).unwrap());
        drop(store);
        let blob = disk.open().blob(&target.hash).unwrap();
        assert!(blob.read_verified(0..u64::MAX).unwrap() == target.data);
    }
}

#[test]
fn whole_blob_is_proven_by_its_name() {
    let (disk, source) = (Disk::new(), Reference::new(1, 3 * MIB + 17));
    let target = Reference::of(source.data[17..].to_vec());
    let len = 3 * MIB;
    let plan = plan((&target, &[(0, len, 7)]), (&source, &[(17, len, 7)]));
    let store = disk.open();
    source.import(&disk, &store, "source");
    assert_eq!(copy(&store, &target, &plan, None), target.size());
    assert!(store.blob(&target.hash).unwrap().is_complete());
    assert!(store.verify(&target.hash, target.size()).unwrap());
}

#[test]
fn spans_prove_what_no_peer_did() {
    let (disk, source) = (Disk::new(), Reference::new(1, 4 * MIB));
    let target = around(&source, 300_000, 100_000);
    let plan = plan(
        (&target, &[(300_000, 4 * MIB, 7)]),
        (&source, &[(0, 4 * MIB, 7)]),
    );
    let hashes: Vec<_> = (0_u64..)
        .step_by(1 << 18)
        .zip(target.data.chunks(1 << 18))
        .map(|(offset, bytes)| span_hash(offset, bytes))
        .collect();
    let spans = Spans::new(18, &hashes);
    let store = disk.open();
    source.import(&disk, &store, "source");
    // Whole spans inside the copy: all but the two at its ends.
    let copied = copy(&store, &target, &plan, Some(&spans));
    assert!(copied >= 4 * MIB as u64 - 2 * (1 << 18), "{copied}");
    assert!(!store.blob(&target.hash).unwrap().is_complete());
    target.fetch(&store, 0..target.groups());
    assert!(store.verify(&target.hash, target.size()).unwrap());
}

#[test]
fn lies_and_damage_are_left_to_the_network() {
    let (disk, source) = (Disk::new(), Reference::new(1, 2 * MIB));
    let target = around(&source, 5 * GROUP, 2 * MIB);
    // The second tensor is not what it is said to be; the source of the first is damaged in one place.
    let said = [(5 * GROUP, MIB, 7), (5 * GROUP + 2 * MIB, MIB, 8)];
    let plan = plan((&target, &said), (&source, &[(0, MIB, 7), (MIB, MIB, 8)]));
    let store = disk.open();
    let path = source.import(&disk, &store, "source");
    let mut damaged = source.data.clone();
    damaged[40 * GROUP] ^= 1;
    // Written under the store's eyes: it does not look again.
    store.blob(&source.hash).unwrap();
    std::fs::write(path, damaged).unwrap();
    fetch_probes(&store, &target, &plan);
    let copied = copy(&store, &target, &plan, None);
    assert!((1..MIB as u64).contains(&copied), "{copied}");
    let here = have(&store, &target.hash);
    assert!(!here.contains(&45) && !here.contains(&(5 + 128 + 20)));
    target.fetch(&store, 0..target.groups());
    assert!(store.verify(&target.hash, target.size()).unwrap());
}

#[test]
fn source_that_is_not_here_is_no_error() {
    let (disk, source) = (Disk::new(), Reference::new(1, MIB));
    let target = around(&source, GROUP, GROUP);
    let plan = plan((&target, &[(GROUP, MIB, 7)]), (&source, &[(0, MIB, 7)]));
    let store = disk.open();
    fetch_probes(&store, &target, &plan);
    assert_eq!(copy(&store, &target, &plan, None), 0);
}
