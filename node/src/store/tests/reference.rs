//! Trees and encodings are those of bao-tree, bit for bit, so any client of the protocol understands them.

use bao_tree::{ChunkNum, ChunkRanges, io::sync::encode_ranges_validated};

use super::fixture::{Disk, GROUP, MIB, Reference, encoded};
use crate::store::BLOCK_SIZE;

/// Around every edge: nothing, chunks, groups, a tree in the registry, a tree in a file.
const SIZES: [usize; 14] = [
    1,
    1_023,
    1_025,
    GROUP - 1,
    GROUP,
    GROUP + 1,
    2 * GROUP,
    3 * GROUP + 77,
    10 * GROUP - 1_024,
    MIB,
    MIB + 1,
    65 * GROUP,
    2 * MIB + 5_000,
    3 * MIB,
];

#[test]
fn block_size_is_that_of_iroh_blobs() {
    assert_eq!(BLOCK_SIZE, iroh_blobs::store::IROH_BLOCK_SIZE);
}

#[test]
fn tree_of_an_imported_file_is_the_reference_tree() {
    let disk = Disk::new();
    let store = disk.open();
    for (seed, size) in (0..).zip(SIZES) {
        let reference = Reference::new(seed, size);
        reference.import(&disk, &store, &format!("f{seed}"));
        check_tree(&store, &reference);
    }
}

#[test]
fn tree_of_a_fetched_blob_is_the_reference_tree() {
    let disk = Disk::new();
    let store = disk.open();
    for (seed, size) in (20..).zip(SIZES) {
        let reference = Reference::new(seed, size);
        // Last group first, then all.
        let groups = reference.groups();
        assert!(reference.fetch_runs(&store, &[groups - 1..groups, 0..groups]));
        check_tree(&store, &reference);
    }
}

#[test]
fn encoding_is_the_reference_encoding_for_any_ranges() {
    let disk = Disk::new();
    let store = disk.open();
    let mut random = fastrand::Rng::with_seed(7);
    for (seed, size) in (40..).zip(SIZES) {
        let reference = Reference::new(seed, size);
        reference.import(&disk, &store, &format!("f{seed}"));
        let blob = store.blob(&reference.hash).unwrap();
        let chunks = (size as u64).div_ceil(1024);
        let mut all = vec![
            ChunkRanges::all(),
            ChunkRanges::empty(),
            ChunkRanges::from(ChunkNum(chunks - 1)..),
            ChunkRanges::from(ChunkNum(chunks + 5)..),
        ];
        for _ in 0..20 {
            let mut ranges = ChunkRanges::empty();
            for _ in 0..random.u32(1..4) {
                let start = random.u64(0..chunks + 2);
                let end = start + random.u64(1..40);
                ranges |= ChunkRanges::from(ChunkNum(start)..ChunkNum(end));
            }
            all.push(ranges);
        }
        for ranges in all {
            let mut expected = Vec::new();
            encode_ranges_validated(
                &reference.data[..],
                &reference.outboard,
                &ranges,
                &mut expected,
            )
            .unwrap();
            for len in [32 * 1024, 200_000] {
                let found = encoded(&blob, &ranges, len).unwrap();
                assert!(found == expected, "{size} bytes, {ranges:?}");
            }
        }
    }
}

#[test]
fn blob_without_bytes_is_always_here() {
    let disk = Disk::new();
    let store = disk.open();
    let nothing = Reference::new(0, 0);
    let blob = store.blob(&nothing.hash).unwrap();
    assert!(blob.is_complete());
    assert!(encoded(&blob, &ChunkRanges::all(), MIB).unwrap().is_empty());
    assert!(store.verify(&nothing.hash, 0).unwrap());
    nothing.import(&disk, &store, "empty");
    assert!(store.begin(&Reference::new(1, 1).hash, 0, 0).is_err());
}

fn check_tree(store: &crate::store::BlobStore, reference: &Reference) {
    let blob = store.blob(&reference.hash).unwrap();
    assert!(blob.is_complete());
    for node in reference.tree().pre_order_nodes_iter() {
        let Some(at) = reference.tree().pre_order_offset(node) else {
            continue;
        };
        let found = blob.pair(at).unwrap().unwrap();
        let at = usize::try_from(at * 64).unwrap();
        assert_eq!(found, reference.outboard.data[at..at + 64]);
    }
    let whole = blob.read_verified(0..u64::MAX).unwrap();
    assert!(whole == reference.data);
    let mut unchecked = vec![0; reference.data.len()];
    blob.read_at(0, &mut unchecked).unwrap();
    assert!(unchecked == reference.data);
    let (start, end) = (reference.size() / 3, reference.size() * 2 / 3);
    let part = blob.read_verified(start..end).unwrap();
    assert!(part == reference.data[start as usize..end as usize]);
}
