use proptest::prelude::*;

use super::*;
use crate::{
    codec::Object,
    id::{PublisherId, RepositoryId},
    manifest::{CHUNK_LOG2_MIN, Card, Chunker, File, Kind, Role},
    time::Timestamp,
};

const G: u64 = GROUP_LEN;

/// Bytes before a tensor, its content named by a letter, its length.
type Content = (u64, char, u64);

/// A revision of files; a file is a hash, the bytes behind its tensors, and those.
fn revision(files: &[(u8, u64, &[Content])]) -> Manifest {
    let (mut listed, mut tensors) = (Vec::new(), Vec::new());
    for (at, (hash, tail, contents)) in files.iter().enumerate() {
        let mut offset = 0;
        for (n, (gap, content, len)) in contents.iter().enumerate() {
            offset += gap;
            tensors.push(Tensor {
                file: at as u32,
                name: format!("t{n}"),
                dtype: "U8".to_owned(),
                shape: vec![*len],
                offset,
                len: *len,
                blake3: ObjectId::new([*content as u8; 32]),
            });
            offset += len;
        }
        listed.push(File {
            path: format!("{at}.safetensors").parse().unwrap(),
            size: offset + tail,
            blake3: BlobHash::new([*hash; 32]),
            sha256: [*hash; 32],
            git_sha1: None,
            role: Role::Weights,
            spans: None,
            chunks: None,
        });
    }
    let manifest = Manifest {
        repository: RepositoryId {
            publisher: PublisherId::new([1; 32]),
            name: "m".parse().unwrap(),
        },
        kind: Kind::Model,
        parents: vec![],
        files: listed,
        card: Card::default(),
        tensors,
        message: String::new(),
        created: Timestamp(1),
    };
    assert_eq!(manifest.validate(), Ok(()));
    manifest
}

fn held(manifest: &Manifest) -> Held {
    let mut held = Held::default();
    held.add(manifest, |_| true);
    held
}

fn only(plans: BTreeMap<BlobHash, Plan>) -> Plan {
    assert_eq!(plans.len(), 1, "{plans:?}");
    plans.into_values().next().unwrap()
}

#[test]
fn fine_tune_takes_what_did_not_change() {
    let base = revision(&[(
        1,
        0,
        &[(1_000, 'a', 10 * G), (0, 'b', 9 * G), (0, 'c', 20 * G)],
    )]);
    let tuned = revision(&[(
        2,
        0,
        &[(1_100, 'a', 10 * G), (0, 'x', 9 * G), (0, 'c', 20 * G)],
    )]);
    let plan = only(plan(&tuned, &held(&base)));
    // The groups with the header, with `x` and with the ends of `a` and `c` are left to the network.
    assert_eq!(plan.runs(), [1..10, 20..40]);
    assert_eq!(plan.probes(), [0..1, 10..11, 19..20]);
    assert_eq!(plan.bytes(), 9 * G + 19 * G + 1_100);
    let copies: Vec<_> = plan.copies(&(1..2)).collect();
    let source = Source::Held {
        blob: BlobHash::new([1; 32]),
        offset: G - 100,
    };
    assert_eq!(
        copies,
        [Copy {
            target: G..2 * G,
            source
        }]
    );
}

#[test]
fn shards_come_from_each_other() {
    let one = revision(&[(1, 0, &[(500, 'a', 8 * G), (0, 'b', 8 * G), (0, 'c', 8 * G)])]);
    let two = revision(&[
        (2, 0, &[(300, 'c', 8 * G)]),
        (3, 0, &[(400, 'b', 8 * G), (0, 'a', 8 * G)]),
    ]);
    for (from, to) in [(&one, &two), (&two, &one)] {
        let plans = plan(to, &held(from));
        assert_eq!(plans.len(), to.files.len());
        for plan in plans.values() {
            // All but the group with the header.
            let groups = plan.size.div_ceil(G);
            assert_eq!(plan.runs(), std::slice::from_ref(&(1..groups)));
            assert_eq!(plan.probes(), std::slice::from_ref(&(0..1)));
        }
    }
}

#[test]
fn padding_between_tensors_does_not_end_a_run() {
    let base = revision(&[(1, 0, &[(0, 'a', 8 * G - 20), (20, 'b', 8 * G)])]);
    let padded = revision(&[(2, 9, &[(32, 'a', 8 * G - 20), (20, 'b', 8 * G)])]);
    let padded = only(plan(&padded, &held(&base)));
    assert_eq!(padded.runs(), std::slice::from_ref(&(1..16)));
    let sources: Vec<_> = padded.copies(&(7..9)).map(|copy| copy.source).collect();
    assert_eq!(sources.len(), 3);
    assert_eq!(sources[1], Source::Zeros);
    // So many bytes are no padding.
    let far = revision(&[(2, 0, &[(32, 'a', 8 * G - 20), (200, 'b', 8 * G)])]);
    assert_eq!(only(plan(&far, &held(&base))).runs(), [1..8, 9..17]);
}

#[test]
fn nothing_is_planned_from_nothing_for_little_or_from_itself() {
    let base = revision(&[(1, 0, &[(0, 'a', 8 * G)])]);
    assert!(plan(&base, &Held::default()).is_empty());
    assert!(plan(&base, &held(&base)).is_empty());
    let small = revision(&[(2, 0, &[(1, 'a', 4 * G), (0, 'z', G)])]);
    let base = revision(&[(1, 0, &[(0, 'a', 4 * G)])]);
    assert!(plan(&small, &held(&base)).is_empty());
    // Equal content of another length is another tensor.
    let other = revision(&[(2, 0, &[(1, 'a', 9 * G)])]);
    assert!(plan(&other, &held(&base)).is_empty());
}

#[test]
fn overlapping_claims_are_left_to_the_network() {
    let base = revision(&[(1, 0, &[(0, 'a', 8 * G), (0, 'b', 8 * G)])]);
    let mut lying = revision(&[(2, 0, &[(0, 'a', 8 * G), (0, 'b', 8 * G)])]);
    lying.tensors[1].offset = 5;
    lying.tensors[1].len = 8 * G;
    let plan = only(plan(&lying, &held(&base)));
    assert_eq!(plan.runs(), std::slice::from_ref(&(0..8)));
}

#[test]
fn whole_blob_is_checked_by_its_name() {
    let base = revision(&[(1, 0, &[(7, 'a', 8 * G)])]);
    let bare = revision(&[(2, 0, &[(0, 'a', 8 * G)])]);
    let plan = only(plan(&bare, &held(&base)));
    assert_eq!(plan.probes(), []);
    let whole = Subtree {
        groups: 0..8,
        is_root: true,
    };
    assert_eq!(plan.subtrees(&(0..8)), [whole]);
}

/// The children of a node, by the rule of BLAKE3's paper, written the other way round.
fn children(node: &Groups) -> [Groups; 2] {
    let mut left = 1;
    while left * 2 < node.end - node.start {
        left *= 2;
    }
    [node.start..node.start + left, node.start + left..node.end]
}

/// Every node whose hash a peer sends along with `group`: the children of all nodes above it.
fn sent_with(group: u64, count: u64) -> Vec<Groups> {
    let mut node = 0..count;
    let mut sent = Vec::new();
    while node.end - node.start > 1 {
        let both = children(&node);
        sent.extend(both.clone());
        let [left, right] = both;
        node = if left.contains(&group) { left } else { right };
    }
    sent
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn hashes_of_all_subtrees_come_with_the_probes(
        tensors in proptest::collection::vec((any::<bool>(), 1_u64..12 * G), 1..12), header in 0_u64..3 * G, tail in 0_u64..G
    ) {
        let letters = ('a'..).zip(&tensors);
        let contents: Vec<_> = letters
            .map(|(letter, (_, len))| (if letter == 'a' { header } else { 0 }, letter, *len))
            .collect();
        let target = revision(&[(2, tail, &contents)]);
        let kept: Vec<_> = contents.iter().zip(&tensors).filter(|(_, (kept, _))| *kept).map(|(content, _)| *content).collect();
        let base = revision(&[(1, 1, &kept)]);
        let count = target.files[0].size.div_ceil(G);
        for plan in plan(&target, &held(&base)).values() {
            let sent: Vec<_> = plan.probes().into_iter().flatten().flat_map(|group| sent_with(group, count)).collect();
            for run in plan.runs() {
                prop_assert!(run.end <= count && run.end - run.start >= RUN_GROUPS_MIN);
                let subtrees = plan.subtrees(run);
                let mut at = run.start;
                for subtree in &subtrees {
                    prop_assert_eq!(subtree.groups.start, at);
                    at = subtree.groups.end;
                    prop_assert!(subtree.is_root || sent.contains(&subtree.groups), "{:?}", subtree);
                }
                prop_assert_eq!(at, run.end);
                prop_assert!(subtrees.len() <= 2 * 64);
                // Copies cover exactly the bytes of the run.
                let wanted = bytes(run, plan.size);
                let mut at = wanted.start;
                for copy in plan.copies(run) {
                    prop_assert_eq!(copy.target.start, at);
                    at = copy.target.end;
                }
                prop_assert_eq!(at, wanted.end);
            }
            for probe in plan.probes().into_iter().flatten() {
                prop_assert!(plan.runs().iter().all(|run| !run.contains(&probe)));
            }
        }
    }
}

#[test]
fn chunks_of_an_older_version_are_found_where_they_moved() {
    let mut old = vec![0; 2 * 1024 * 1024];
    blake3::Hasher::new()
        .update(b"content")
        .finalize_xof()
        .fill(&mut old);
    let at = 700_001;
    let new = [&old[..at], b"put in", &old[at..]].concat();
    let cut = |bytes: &[u8]| {
        let mut chunker = Chunker::new(CHUNK_LOG2_MIN);
        chunker.push(bytes);
        chunker.finish()
    };
    let mut manifest = revision(&[(2, new.len() as u64, &[])]);
    manifest.files[0].chunks = Some(cut(&new));
    assert_eq!(manifest.validate(), Ok(()));

    let source = BlobHash::new([1; 32]);
    let mut held = Held::default();
    held.add_chunks(source, &cut(&old));
    let plans = plan(&manifest, &held);
    let plan = &plans[&manifest.files[0].blake3];
    assert!(plan.bytes() > new.len() as u64 - 512 * 1024, "{plan:?}");
    let mut copied = new.clone();
    for run in plan.runs() {
        let bytes = bytes(run, new.len() as u64);
        copied[bytes.start as usize..bytes.end as usize].fill(0);
        for copy in plan.copies(run) {
            let Source::Held { blob, offset } = copy.source else {
                panic!("no padding between chunks");
            };
            assert_eq!(blob, source);
            let len = (copy.target.end - copy.target.start) as usize;
            let bytes = &old[offset as usize..][..len];
            copied[copy.target.start as usize..copy.target.end as usize].copy_from_slice(bytes);
        }
    }
    assert_eq!(copied, new);
}
