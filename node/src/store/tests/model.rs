//! Any order of writes, repetitions, restarts and losses of power, against a plain set of groups.

use std::collections::BTreeSet;

use bao_tree::ChunkRanges;
use proptest::prelude::*;

use super::fixture::{Disk, GROUP, Reference, encoded, have};
use crate::store::{BlobStore, Error};

#[derive(Debug, Clone)]
enum Step {
    /// Writes runs of groups through one writer, and notes them or not before it is dropped.
    Write {
        runs: Vec<(usize, usize)>,
        note: bool,
    },
    /// Two writers take turns.
    Interleave {
        a: (usize, usize),
        b: (usize, usize),
    },
    Checkpoint,
    /// Ends in order and opens again.
    Reopen,
    /// The process ends as it is.
    Crash,
    /// The machine ends; what the disk had got is all there, but nobody knows.
    PowerLoss,
    /// The same, and this group had not got to the disk.
    PowerLossOf(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let run = || (0_usize..80, 1_usize..20);
    let step = prop_oneof![
        6 => (prop::collection::vec(run(), 1..4), any::<bool>())
            .prop_map(|(runs, note)| Step::Write { runs, note }),
        2 => (run(), run()).prop_map(|(a, b)| Step::Interleave { a, b }),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Reopen),
        1 => Just(Step::Crash),
        1 => Just(Step::PowerLoss),
        1 => (0_usize..80).prop_map(Step::PowerLossOf),
    ];
    prop::collection::vec(step, 1..14)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn what_is_here_is_what_was_written(
        size in prop_oneof![1_usize..3 * GROUP, 60 * GROUP..75 * GROUP],
        steps in steps(),
    ) {
        check(&Reference::new(1, size), &steps);
    }
}

fn check(reference: &Reference, steps: &[Step]) {
    let disk = Disk::new();
    let mut losses = 0;
    let mut store = disk.open();
    let groups = reference.groups();
    let mut model = BTreeSet::new();
    let mut synced = BTreeSet::new();
    let clip = |(start, len): (usize, usize)| start % groups..(start % groups + len).min(groups);
    for step in steps {
        match step {
            Step::Write { runs, note } => {
                let writer = store.begin(&reference.hash, reference.size(), 0).unwrap();
                for run in runs {
                    reference.write(&writer, clip(*run)).unwrap();
                    model.extend(clip(*run));
                }
                if *note {
                    let finished = writer.finish().unwrap();
                    assert_eq!(finished.is_complete, model.len() == groups);
                }
            }
            Step::Interleave { a, b } => {
                let begin = || store.begin(&reference.hash, reference.size(), 0).unwrap();
                let (one, two) = (begin(), begin());
                for (writer, run) in [(&one, *a), (&two, *b), (&one, *b), (&two, *a)] {
                    reference.write(writer, clip(run)).unwrap();
                    model.extend(clip(run));
                }
            }
            Step::Checkpoint => {
                store.checkpoint().unwrap();
                assert_eq!(store.uncovered(), 0);
                synced.clone_from(&model);
            }
            Step::Reopen => {
                store.close();
                drop(store);
                synced.clone_from(&model);
                losses += 1;
                store = disk.open_after(losses);
            }
            Step::Crash => {
                drop(store);
                store = disk.open_after(losses);
            }
            Step::PowerLoss => {
                drop(store);
                losses += 1;
                store = disk.open_after(losses);
            }
            Step::PowerLossOf(group) => {
                let group = group % groups;
                let path = store.owned_path(&reference.hash);
                drop(store);
                if model.contains(&group) && !synced.contains(&group) {
                    lose(reference, &path, group);
                    model.remove(&group);
                }
                losses += 1;
                store = disk.open_after(losses);
            }
        }
        compare(reference, &store, &model);
    }
}

/// A group that never came to the disk reads as zeros.
fn lose(reference: &Reference, path: &std::path::Path, group: usize) {
    use std::os::unix::fs::FileExt;
    let bytes = reference.bytes(&(group..group + 1));
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.write_all_at(&vec![0; bytes.len()], bytes.start as u64)
        .unwrap();
}

fn compare(reference: &Reference, store: &BlobStore, model: &BTreeSet<usize>) {
    let found: Vec<_> = have(store, &reference.hash);
    let expected: Vec<_> = model.iter().map(|group| *group as u32).collect();
    assert_eq!(found, expected);
    let Some(blob) = store.blob(&reference.hash) else {
        return;
    };
    assert_eq!(blob.is_complete(), model.len() == reference.groups());
    for group in [0, reference.groups() / 2, reference.groups() - 1] {
        let bytes = reference.bytes(&(group..group + 1));
        let read = blob.read_verified(bytes.start as u64..bytes.end as u64);
        match read {
            Ok(read) => assert!(model.contains(&group) && read == reference.data[bytes]),
            Err(Error::Missing { .. }) => assert!(!model.contains(&group)),
            Err(error) => panic!("{error}"),
        }
    }
    let all = encoded(&blob, &ChunkRanges::all(), 64 * 1024);
    assert_eq!(all.is_ok(), blob.is_complete());
    assert!(!matches!(all, Err(Error::Damaged { .. })));
    // What is here can be sent whatever is not.
    encoded(&blob, &blob.chunk_ranges(), 64 * 1024).unwrap();
}
