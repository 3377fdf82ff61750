//! Evidence of contradictions, and proofs that a revision was once a head.

use weft_protocol::{
    accept::{EquivocationProof, EquivocationSubject, Rejection},
    head::Head,
    identity::{IdentityError, IdentityEvent},
    log,
    sign::Envelope,
    wire::RevisionProof,
};

use crate::fixture::{NET, Publisher, RELEASE, RELEASE_NEW, Repository, earlier, id, key, sign};

/// Two heads at index 1, in the order of their ids.
fn two_heads() -> (Repository, Envelope, Envelope) {
    let repository = Repository::of_length(1);
    let one = sign(&repository.next_head(10), &[(0, RELEASE)]);
    let two = sign(&repository.next_head(20), &[(0, RELEASE)]);
    if one.id::<Head>() < two.id::<Head>() {
        (repository, one, two)
    } else {
        (repository, two, one)
    }
}

fn proof() -> (Repository, EquivocationProof) {
    let (repository, first, second) = two_heads();
    let identity = repository.publisher.events.clone();
    let subject = EquivocationSubject::Head;
    (
        repository,
        EquivocationProof {
            identity,
            subject,
            first,
            second,
        },
    )
}

#[test]
fn two_heads_at_one_index_prove_an_equivocation_in_one_order_only() {
    let (repository, proof) = proof();
    assert_eq!(
        proof.verify(NET),
        Ok((repository.publisher.id(), Some((repository.id(), 1))))
    );
    let swapped = EquivocationProof {
        first: proof.second.clone(),
        second: proof.first.clone(),
        ..proof
    };
    assert_eq!(swapped.verify(NET), Err(Rejection::NoContradiction));
}

#[test]
fn one_head_twice_or_two_indices_prove_nothing() {
    let (_, proof) = proof();
    let twice = EquivocationProof {
        second: proof.first.clone(),
        ..proof.clone()
    };
    assert_eq!(twice.verify(NET), Err(Rejection::NoContradiction));
    let long = Repository::of_length(2);
    let apart = EquivocationProof {
        first: long.heads[0].clone(),
        second: long.heads[1].clone(),
        ..proof
    };
    assert_eq!(apart.verify(NET), Err(Rejection::NoContradiction));
}

#[test]
fn heads_of_two_repositories_prove_nothing() {
    let (repository, mut proof) = proof();
    let mut other = repository.next_head(30);
    other.name = "other".parse().expect("valid");
    proof.second = sign(&other, &[(0, RELEASE)]);
    assert!(matches!(
        proof.verify(NET),
        Err(Rejection::WrongRepository { .. })
    ));
}

#[test]
fn forged_side_proves_nothing() {
    let (repository, mut proof) = proof();
    proof.second = sign(&repository.next_head(30), &[(0, RELEASE_NEW)]);
    let verdict = proof.verify(NET);
    assert!(matches!(
        verdict,
        Err(Rejection::Signature(_) | Rejection::NoContradiction)
    ));
    proof.identity = Publisher::with(|event| event.created = earlier(1)).events;
    assert!(matches!(
        proof.verify(NET),
        Err(Rejection::WrongPublisher { .. })
    ));
}

#[test]
fn proof_by_replaced_keys_convinces_only_who_does_not_know_the_rotation() {
    let (repository, proof) = proof();
    let mut rotated = repository.publisher.clone();
    rotated.rotate(|event| event.release_keys = vec![key(RELEASE_NEW)]);
    assert!(
        proof
            .verify_with(NET, Some(&repository.publisher.log()))
            .is_ok()
    );
    assert_eq!(
        proof.verify_with(NET, Some(&rotated.log())),
        Err(Rejection::SupersededKeys)
    );
}

#[test]
fn two_events_at_one_position_prove_a_fork() {
    let base = Publisher::new();
    let (mut one, mut two) = (base.clone(), base.clone());
    one.rotate(|event| event.created = earlier(5));
    two.rotate(|event| event.created = earlier(6));
    let proof = EquivocationProof::of_identities(&one.log(), &two.log()).expect("they fork");
    assert_eq!(proof.verify(NET), Ok((base.id(), None)));
    assert!(proof.first.id::<IdentityEvent>() < proof.second.id::<IdentityEvent>());
    assert_eq!(
        EquivocationProof::of_identities(&one.log(), &base.log()),
        None
    );
    let stranger = Publisher::with(|event| event.created = earlier(1));
    assert_eq!(
        EquivocationProof::of_identities(&one.log(), &stranger.log()),
        None
    );

    let twice = EquivocationProof {
        second: proof.first.clone(),
        ..proof.clone()
    };
    assert_eq!(twice.verify(NET), Err(Rejection::NoContradiction));
    let elsewhere = EquivocationProof {
        identity: one.events,
        ..proof
    };
    assert_eq!(
        elsewhere.verify(NET),
        Err(Rejection::Identity(IdentityError::Chain { index: 2 }))
    );
}

fn revision_proof(repository: &Repository, index: usize, tip: usize) -> RevisionProof {
    RevisionProof {
        identity: repository.publisher.events.clone(),
        head: repository.heads[index].clone(),
        tip: Some(repository.heads[tip].clone()),
        inclusion: log::prove_inclusion(&repository.ids[..tip], index as u64),
    }
}

#[test]
fn old_revision_is_proven_by_inclusion_even_after_a_rotation() {
    let mut repository = Repository::of_length(3);
    repository
        .publisher
        .rotate(|event| event.release_keys = vec![key(RELEASE_NEW)]);
    repository.publish(3, RELEASE_NEW);
    let proof = revision_proof(&repository, 1, 3);
    let (log, head) = proof.verify(NET, &repository.id(), &id(1)).expect("valid");
    assert_eq!((log.len(), head.index), (2, 1));
    assert_eq!(
        proof.verify(NET, &repository.id(), &id(2)),
        Err(Rejection::NotIncluded)
    );
    let stale = RevisionProof {
        tip: None,
        inclusion: None,
        ..proof
    };
    assert_eq!(
        stale.verify(NET, &repository.id(), &id(1)),
        Err(Rejection::SupersededKeys)
    );
}

#[test]
fn tip_proves_its_own_revision() {
    let repository = Repository::of_length(2);
    let proof = RevisionProof {
        tip: None,
        inclusion: None,
        ..revision_proof(&repository, 0, 1)
    };
    let (_, head) = proof.verify(NET, &repository.id(), &id(0)).expect("valid");
    assert_eq!(head.index, 0);
}

#[test]
fn half_a_proof_or_a_foreign_log_proves_nothing() {
    let repository = Repository::of_length(4);
    let mut fork = Repository::of_length(1);
    for n in 50..53 {
        fork.publish(n, RELEASE);
    }
    let check = |proof: RevisionProof| proof.verify(NET, &repository.id(), &id(1)).map(|_| ());
    let whole = revision_proof(&repository, 1, 3);
    assert_eq!(check(whole.clone()), Ok(()));
    let half = RevisionProof {
        inclusion: None,
        ..whole.clone()
    };
    assert_eq!(check(half), Err(Rejection::NotIncluded));
    let half = RevisionProof {
        tip: None,
        ..whole.clone()
    };
    assert_eq!(check(half), Err(Rejection::NotIncluded));
    let foreign = RevisionProof {
        tip: Some(fork.heads[3].clone()),
        ..whole
    };
    assert_eq!(check(foreign), Err(Rejection::NotIncluded));
}
