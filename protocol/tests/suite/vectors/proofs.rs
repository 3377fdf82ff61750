//! Merkle proofs, equivocation proofs and proofs of old revisions.

use weft_protocol::{
    accept::{EquivocationProof, EquivocationSubject, Rejection},
    codec,
    head::Head,
    id::ObjectId,
    log::{self, ConsistencyProof, InclusionProof},
    sign::Envelope,
    wire::{self, RevisionProof},
};

use super::file::{Vector, VectorFile};
use crate::fixture::{NET, Publisher, RELEASE, RELEASE_NEW, Repository, earlier, id, key, sign};

#[derive(Debug)]
struct Wrong;
impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the proof does not hold")
    }
}
impl std::error::Error for Wrong {}

fn leaves(count: u8) -> Vec<ObjectId> {
    (0..count).map(id).collect()
}

fn root(count: u8) -> Vector {
    let root = log::root(&leaves(count));
    Vector::new(
        "root",
        &format!("root_of_{count}"),
        "Leaf i is the byte i, 32 times.",
        codec::encode(&root),
    )
    .with("size", count)
    .valid(Ok::<_, Wrong>(()))
}

fn inclusion(index: u8, size: u8) -> Vector {
    let all = leaves(size);
    let proof = log::prove_inclusion(&all, u64::from(index)).expect("inside");
    inclusion_of(
        &format!("leaf_{index}_of_{size}"),
        id(index),
        index,
        size,
        log::root(&all),
        &proof,
    )
    .valid(Ok::<_, Wrong>(()))
}

fn inclusion_of(
    name: &str,
    leaf: ObjectId,
    index: u8,
    size: u8,
    root: ObjectId,
    proof: &InclusionProof,
) -> Vector {
    Vector::new(
        "inclusion",
        name,
        "Sibling hashes from the leaf to the root.",
        codec::encode(proof),
    )
    .with("leaf", leaf)
    .with("index", index)
    .with("size", size)
    .with("root", root)
}

fn consistency(old: u8, size: u8) -> Vector {
    let all = leaves(size);
    let proof = log::prove_consistency(&all, u64::from(old)).expect("a prefix");
    let old_root = log::root(&leaves(old));
    consistency_of(
        &format!("prefix_{old}_of_{size}"),
        old,
        old_root,
        size,
        log::root(&all),
        &proof,
    )
    .valid(Ok::<_, Wrong>(()))
}

fn consistency_of(
    name: &str,
    old: u8,
    old_root: ObjectId,
    size: u8,
    root: ObjectId,
    proof: &ConsistencyProof,
) -> Vector {
    Vector::new(
        "consistency",
        name,
        "Hashes in the order of RFC 6962.",
        codec::encode(proof),
    )
    .with("old_size", old)
    .with("old_root", old_root)
    .with("size", size)
    .with("root", root)
}

pub(super) fn log() -> VectorFile {
    let all = leaves(7);
    let top = log::root(&all);
    let good = log::prove_inclusion(&all, 3).expect("inside");
    let steady = log::prove_consistency(&all, 5).expect("a prefix");
    let refuse = |name: &str, leaf, index: u8, proof: &InclusionProof| {
        let holds = log::verify_inclusion(leaf, u64::from(index), 7, top, proof);
        inclusion_of(name, leaf, index, 7, top, proof).invalid(if holds {
            Ok(())
        } else {
            Err(Wrong)
        })
    };
    let refuse_prefix = |name: &str, old: u8, old_root, proof: &ConsistencyProof| {
        let holds = log::verify_consistency(u64::from(old), old_root, 7, top, proof);
        consistency_of(name, old, old_root, 7, top, proof).invalid(if holds {
            Ok(())
        } else {
            Err(Wrong)
        })
    };
    let longer = |path: &[ObjectId]| path.iter().copied().chain([id(0)]).collect::<Vec<_>>();
    let mut vectors: Vec<_> = [0, 1, 2, 3, 4, 5, 7, 8, 13].map(root).into();
    vectors.extend(
        [
            (0, 1),
            (0, 2),
            (1, 2),
            (2, 3),
            (3, 7),
            (6, 7),
            (4, 8),
            (12, 13),
        ]
        .map(|(i, n)| inclusion(i, n)),
    );
    vectors.extend(
        [
            (0, 3),
            (1, 2),
            (3, 3),
            (2, 4),
            (3, 7),
            (4, 7),
            (6, 8),
            (8, 13),
        ]
        .map(|(m, n)| consistency(m, n)),
    );
    vectors.extend([
        refuse("other_leaf", id(4), 3, &good),
        refuse("other_index", id(3), 2, &good),
        refuse("index_outside", id(3), 7, &good),
        refuse(
            "inclusion_too_long",
            id(3),
            3,
            &InclusionProof {
                path: longer(&good.path),
            },
        ),
        refuse(
            "inclusion_too_short",
            id(3),
            3,
            &InclusionProof {
                path: good.path[1..].to_vec(),
            },
        ),
        refuse_prefix("rewritten_past", 5, id(9), &steady),
        refuse_prefix("other_prefix", 4, log::root(&leaves(5)), &steady),
        refuse_prefix("larger_than_the_tree", 8, log::root(&leaves(8)), &steady),
        refuse_prefix(
            "consistency_too_long",
            5,
            log::root(&leaves(5)),
            &ConsistencyProof {
                path: longer(&steady.path),
            },
        ),
        refuse_prefix(
            "consistency_empty",
            5,
            log::root(&leaves(5)),
            &ConsistencyProof { path: vec![] },
        ),
    ]);
    VectorFile {
        name: "log",
        about: "The repository log: roots, inclusion and consistency proofs (CBOR arrays of hashes).",
        vectors,
    }
}

fn two_heads(repository: &Repository) -> (Envelope, Envelope) {
    let one = sign(&repository.next_head(10), &[(0, RELEASE)]);
    let two = sign(&repository.next_head(20), &[(0, RELEASE)]);
    if one.id::<Head>() < two.id::<Head>() {
        (one, two)
    } else {
        (two, one)
    }
}

pub(super) fn equivocation() -> VectorFile {
    let repository = Repository::of_length(1);
    let (first, second) = two_heads(&repository);
    let identity = repository.publisher.events.clone();
    let subject = EquivocationSubject::Head;
    let heads = EquivocationProof {
        identity,
        subject,
        first,
        second,
    };
    let (mut one, mut two) = (Publisher::new(), Publisher::new());
    one.rotate(|event| event.created = earlier(5));
    two.rotate(|event| event.created = earlier(6));
    let events = EquivocationProof::of_identities(&one.log(), &two.log()).expect("they fork");

    let begin = |name: &str, comment: &str, proof: &EquivocationProof| {
        Vector::new("equivocation", name, comment, wire::encode(proof)).with("network", NET.0)
    };
    let accept = |name: &str, comment: &str, proof: &EquivocationProof| {
        let (publisher, about) = proof.verify(NET).expect("valid");
        let mut vector = begin(name, comment, proof).with("publisher", publisher);
        if let Some((repository, index)) = about {
            vector = vector.with("repository", repository).with("index", index);
        }
        vector.valid(Ok::<_, Rejection>(()))
    };
    let refuse = |name: &str, comment: &str, proof: &EquivocationProof| {
        begin(name, comment, proof).invalid(proof.verify(NET))
    };
    let swapped = EquivocationProof {
        first: heads.second.clone(),
        second: heads.first.clone(),
        ..heads.clone()
    };
    let twice = EquivocationProof {
        second: heads.first.clone(),
        ..heads.clone()
    };
    let apart = {
        let long = Repository::of_length(2);
        let mut pair = [long.heads[0].clone(), long.heads[1].clone()];
        pair.sort_by_key(Envelope::id::<Head>);
        let [first, second] = pair;
        EquivocationProof {
            first,
            second,
            ..heads.clone()
        }
    };
    let forged = {
        let mut proof = heads.clone();
        proof.second.signatures = sign(&repository.next_head(20), &[(0, RELEASE_NEW)]).signatures;
        proof
    };
    let replaced = {
        let mut publisher = repository.publisher;
        publisher.rotate(|event| event.release_keys = vec![key(RELEASE_NEW)]);
        EquivocationProof {
            identity: publisher.events,
            ..heads.clone()
        }
    };
    let mislabelled = EquivocationProof {
        subject: EquivocationSubject::Identity,
        ..heads.clone()
    };
    let misplaced = EquivocationProof {
        identity: one.events,
        ..events.clone()
    };
    VectorFile {
        name: "equivocation",
        about: "Proofs that a publisher contradicted itself.",
        vectors: vec![
            accept("heads", "Two heads at index 1.", &heads),
            accept("identity", "Two identity events at position 1.", &events),
            refuse("swapped", "The smaller id must stand first.", &swapped),
            refuse(
                "one_head_twice",
                "One head does not contradict itself.",
                &twice,
            ),
            refuse("two_indices", "Heads at different indices.", &apart),
            refuse("forged_side", "One side is signed by a stranger.", &forged),
            refuse(
                "replaced_keys",
                "Both sides are signed by keys that the log replaced.",
                &replaced,
            ),
            refuse(
                "wrong_subject",
                "Heads passed off as identity events.",
                &mislabelled,
            ),
            refuse(
                "wrong_prefix",
                "The log is longer than the common prefix.",
                &misplaced,
            ),
        ],
    }
}

pub(super) fn revision() -> VectorFile {
    let mut repository = Repository::of_length(3);
    repository
        .publisher
        .rotate(|event| event.release_keys = vec![key(RELEASE_NEW)]);
    repository.publish(3, RELEASE_NEW);
    let old = RevisionProof {
        identity: repository.publisher.events.clone(),
        head: repository.heads[1].clone(),
        tip: Some(repository.heads[3].clone()),
        inclusion: log::prove_inclusion(&repository.ids[..3], 1),
    };
    let tip = RevisionProof {
        head: repository.heads[3].clone(),
        tip: None,
        inclusion: None,
        ..old.clone()
    };
    let begin = |name: &str, comment: &str, proof: &RevisionProof, n: u8| {
        Vector::new("revision", name, comment, codec::encode(proof))
            .with("network", NET.0)
            .with("repository", repository.id())
            .with("revision", id(n))
    };
    let accept = |name: &str, comment: &str, proof: &RevisionProof, n: u8| {
        let verdict = proof.verify(NET, &repository.id(), &id(n)).map(|_| ());
        begin(name, comment, proof, n).valid(verdict)
    };
    let refuse = |name: &str, comment: &str, proof: &RevisionProof, n: u8| {
        begin(name, comment, proof, n).invalid(proof.verify(NET, &repository.id(), &id(n)))
    };
    let bare = RevisionProof {
        tip: None,
        inclusion: None,
        ..old.clone()
    };
    let half = RevisionProof {
        inclusion: None,
        ..old.clone()
    };
    let other = RevisionProof {
        head: repository.heads[2].clone(),
        ..old.clone()
    };
    VectorFile {
        name: "revision",
        about: "Proofs that a revision was once a head. Nothing in them expires.",
        vectors: vec![
            accept(
                "old_head",
                "Head 1, signed by keys replaced since, in the log of head 3.",
                &old,
                1,
            ),
            accept("tip", "The revision is the tip's own.", &tip, 3),
            refuse(
                "other_revision",
                "The head names another revision.",
                &old,
                2,
            ),
            refuse(
                "no_tip",
                "Replaced keys, and no newer head to vouch.",
                &bare,
                1,
            ),
            refuse("half", "A tip without an inclusion proof.", &half, 1),
            refuse("not_included", "The proof is for another head.", &other, 2),
        ],
    }
}
