//! Every branch of `accept::judge`.

use weft_protocol::{
    accept::{EquivocationSubject, Known, Rejection, RepositoryRecord, Verdict, judge},
    codec::DecodeError,
    freshness::Freshness,
    head::Head,
    identity::{IdentityError, IdentityLog},
    log,
    sign::{Envelope, EnvelopeError, NetworkId, Signature},
};

use crate::fixture::{
    DAY, FRESHNESS, NET, NOW, Publisher, RELEASE, RELEASE_NEW, Repository, earlier, id, key, later,
    sign,
};

/// Judges with nothing known.
fn fresh(repository: &Repository, record: &RepositoryRecord) -> Verdict {
    judge(NET, NOW, &repository.id(), Known::default(), record)
}

/// Judges for a follower of head `index` who holds no leaves.
fn follow(repository: &Repository, index: usize, record: &RepositoryRecord) -> Verdict {
    follow_with(repository, index, record, |known| known)
}

fn follow_with(
    repository: &Repository,
    index: usize,
    record: &RepositoryRecord,
    change: impl for<'a> FnOnce(Known<'a>) -> Known<'a>,
) -> Verdict {
    let (identity, head) = (repository.publisher.log(), repository.accepted(index));
    let known = Known {
        identity: Some(&identity),
        head: Some(&head),
        leaves: None,
        frozen: false,
    };
    judge(NET, NOW, &repository.id(), change(known), record)
}

fn accepted_index(verdict: &Verdict) -> Option<u64> {
    match verdict {
        Verdict::Accept { head, .. } => Some(head.head.index),
        other => panic!("expected acceptance, got {other:?}"),
    }
}

fn rejection(verdict: Verdict) -> Rejection {
    match verdict {
        Verdict::Reject(rejection) => rejection,
        other => panic!("expected a rejection, got {other:?}"),
    }
}

/// What becomes of the next head after `change`, signed as told, for a newcomer.
fn judge_changed(change: impl FnOnce(&mut Head), signers: &[(u16, u8)]) -> Verdict {
    let repository = Repository::of_length(1);
    let mut head = repository.next_head(9);
    change(&mut head);
    fresh(&repository, &repository.wrap(sign(&head, signers)))
}

// Which head wins.

#[test]
fn newcomer_accepts_any_verified_head() {
    let repository = Repository::of_length(3);
    let verdict = fresh(&repository, &repository.record(2, None));
    assert_eq!(accepted_index(&verdict), Some(2));
}

#[test]
fn newer_head_with_an_extension_is_accepted() {
    let repository = Repository::of_length(6);
    for from in 0..5 {
        let record = repository.record(5, Some(from));
        let verdict = follow(&repository, usize::try_from(from).expect("small"), &record);
        assert_eq!(accepted_index(&verdict), Some(5));
    }
}

#[test]
fn next_head_is_accepted_by_a_holder_of_all_leaves() {
    let repository = Repository::of_length(4);
    let leaves = &repository.ids[..3];
    let (identity, head) = (repository.publisher.log(), repository.accepted(2));
    let known = Known {
        identity: Some(&identity),
        head: Some(&head),
        leaves: Some(leaves),
        frozen: false,
    };
    let verdict = judge(
        NET,
        NOW,
        &repository.id(),
        known,
        &repository.record(3, None),
    );
    assert_eq!(accepted_index(&verdict), Some(3));
}

#[test]
fn newer_head_without_a_usable_extension_needs_one() {
    let repository = Repository::of_length(5);
    let bare = repository.record(4, None);
    assert_eq!(follow(&repository, 1, &bare), Verdict::NeedsExtension);
    let from_elsewhere = repository.record(4, Some(2));
    assert_eq!(
        follow(&repository, 1, &from_elsewhere),
        Verdict::NeedsExtension
    );
    let next = repository.record(4, None);
    assert_eq!(follow(&repository, 3, &next), Verdict::NeedsExtension);
}

#[test]
fn head_of_a_rewritten_log_is_refused() {
    let repository = Repository::of_length(2);
    let mut fork = Repository::of_length(1);
    fork.publish(77, RELEASE);
    fork.publish(78, RELEASE);
    fork.publish(79, RELEASE);
    let refused = |record| rejection(follow(&repository, 1, record));
    let with_extension = fork.record(3, Some(1));
    assert_eq!(
        refused(&with_extension),
        Rejection::NotAnExtension { index: 3 }
    );
    // The next head names the one before it, so no proof is needed to see the fork.
    assert_eq!(
        refused(&fork.record(2, None)),
        Rejection::NotAnExtension { index: 2 }
    );
}

#[test]
fn next_head_with_a_wrong_log_root_is_refused_by_a_holder_of_leaves() {
    let mut repository = Repository::of_length(3);
    let mut head = repository.next_head(9);
    head.log_root = id(66);
    let known_leaves = repository.ids.clone();
    repository.push(sign(&head, &[(0, RELEASE)]));
    let (identity, ours) = (repository.publisher.log(), repository.accepted(2));
    let known = Known {
        identity: Some(&identity),
        head: Some(&ours),
        leaves: Some(&known_leaves),
        frozen: false,
    };
    let verdict = judge(
        NET,
        NOW,
        &repository.id(),
        known,
        &repository.record(3, None),
    );
    assert_eq!(rejection(verdict), Rejection::NotAnExtension { index: 3 });
}

#[test]
fn lower_index_is_older_and_changes_nothing() {
    let repository = Repository::of_length(3);
    assert_eq!(
        follow(&repository, 2, &repository.record(1, None)),
        Verdict::Older
    );
}

#[test]
fn older_head_of_a_peer_that_lags_behind_is_ignored_but_a_forged_one_refused() {
    let before = Repository::of_length(1);
    let mut after = before.clone();
    after
        .publisher
        .rotate(|event| event.release_keys = vec![key(RELEASE_NEW)]);
    after.publish(2, RELEASE_NEW);
    let lagging = before.record(0, None);
    assert_eq!(follow(&after, 1, &lagging), Verdict::Older);
    let forged = after.wrap(sign(
        &Repository::of_length(0).next_head(9),
        &[(0, FRESHNESS)],
    ));
    assert!(matches!(
        rejection(follow(&after, 1, &forged)),
        Rejection::Signature(_)
    ));
}

#[test]
fn same_head_is_the_same_even_if_it_expired_since() {
    let repository = Repository::of_length(1);
    let (identity, head) = (repository.publisher.log(), repository.accepted(0));
    let known = Known {
        identity: Some(&identity),
        head: Some(&head),
        ..Known::default()
    };
    let same = Verdict::Same {
        freshness: None,
        identity: None,
    };
    let record = repository.record(0, None);
    assert_eq!(judge(NET, NOW, &repository.id(), known, &record), same);
    assert_eq!(
        judge(NET, later(400 * DAY), &repository.id(), known, &record),
        same
    );
}

#[test]
fn same_head_brings_only_news() {
    let repository = Repository::of_length(1);
    let statement = |issued| {
        let freshness = Freshness {
            issued: earlier(issued),
            ..repository.freshness(0)
        };
        sign(&freshness, &[(0, FRESHNESS)])
    };
    let with = |issued| RepositoryRecord {
        freshness: Some(statement(issued)),
        ..repository.record(0, None)
    };
    let identity = repository.publisher.log();
    let (_, _, head) = with(100).verify(NET, NOW).expect("valid");
    let known = Known {
        identity: Some(&identity),
        head: Some(&head),
        ..Known::default()
    };
    let brought = |issued| match judge(NET, NOW, &repository.id(), known, &with(issued)) {
        Verdict::Same {
            freshness,
            identity: None,
        } => freshness.map(|(f, _)| f.issued),
        other => panic!("{other:?}"),
    };
    assert_eq!(brought(50), Some(earlier(50)));
    assert_eq!(brought(100), None);
    assert_eq!(brought(200), None);
}

#[test]
fn same_head_can_bring_a_longer_identity() {
    let repository = Repository::of_length(1);
    let mut rotated = repository.clone();
    rotated
        .publisher
        .rotate(|event| event.release_keys = vec![key(RELEASE_NEW)]);
    match follow(&repository, 0, &rotated.record(0, None)) {
        Verdict::Same {
            freshness: None,
            identity: Some(log),
        } => assert_eq!(log.len(), 2),
        other => panic!("{other:?}"),
    }
}

#[test]
fn two_heads_at_one_index_are_an_equivocation() {
    let repository = Repository::of_length(2);
    let mut fork = Repository::of_length(1);
    fork.publish(77, RELEASE);
    match follow(&repository, 1, &fork.record(1, None)) {
        Verdict::Equivocation(proof) => {
            assert_eq!(proof.subject, EquivocationSubject::Head);
            let about = Some((repository.id(), 1));
            assert_eq!(proof.verify(NET), Ok((repository.publisher.id(), about)));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn thief_of_replaced_keys_cannot_frame_the_publisher() {
    let repository = Repository::of_length(1);
    let stolen = sign(&Repository::of_length(0).next_head(66), &[(0, RELEASE)]);
    let mut rotated = repository.clone();
    rotated
        .publisher
        .rotate(|event| event.release_keys = vec![key(RELEASE_NEW)]);
    let (identity, ours) = (rotated.publisher.log(), repository.accepted(0));
    let known = Known {
        identity: Some(&identity),
        head: Some(&ours),
        ..Known::default()
    };
    // With or without the rotation in the thief's record: the judge knows of it.
    for record in [rotated.wrap(stolen.clone()), repository.wrap(stolen)] {
        let verdict = judge(NET, NOW, &repository.id(), known, &record);
        assert_eq!(rejection(verdict), Rejection::SupersededKeys);
    }
}

#[test]
fn index_taken_under_older_keys_is_not_taken_again() {
    let repository = Repository::of_length(1);
    let mut rotated = Repository::new(repository.publisher.clone());
    rotated
        .publisher
        .rotate(|event| event.release_keys = vec![key(RELEASE_NEW)]);
    rotated.publish(66, RELEASE_NEW);
    let verdict = follow(&repository, 0, &rotated.record(0, None));
    assert_eq!(rejection(verdict), Rejection::IndexTaken { index: 0 });
}

#[test]
fn frozen_repository_accepts_nothing() {
    let repository = Repository::of_length(2);
    for index in [0, 1] {
        let record = repository.record(index, Some(0));
        let verdict = follow_with(&repository, 0, &record, |known| Known {
            frozen: true,
            ..known
        });
        assert_eq!(rejection(verdict), Rejection::Frozen);
    }
}

// Who speaks.

#[test]
fn broken_identity_log_is_refused() {
    let repository = Repository::of_length(1);
    let mut record = repository.record(0, None);
    record.identity.clear();
    assert_eq!(
        rejection(fresh(&repository, &record)),
        Rejection::Identity(IdentityError::Empty)
    );
    let mut record = repository.record(0, None);
    record.identity[0].signatures[0].1 = Signature([0; 64]);
    let refused = rejection(fresh(&repository, &record));
    assert!(matches!(
        refused,
        Rejection::Identity(IdentityError::Signature { index: 0, .. })
    ));
    // A judge who holds the right one does not wave a broken one through.
    let refused = rejection(follow(&repository, 0, &record));
    assert!(matches!(refused, Rejection::Identity(_)));
}

#[test]
fn forked_identity_is_an_equivocation() {
    let base = Repository::of_length(1);
    let (mut one, mut two) = (base.clone(), base.clone());
    one.publisher.rotate(|event| event.created = earlier(5));
    two.publisher.rotate(|event| event.created = earlier(6));
    two.publisher.rotate(|_| {});
    match follow(&one, 0, &two.record(0, None)) {
        Verdict::Equivocation(proof) => {
            assert_eq!(proof.subject, EquivocationSubject::Identity);
            assert_eq!(proof.identity.len(), 1);
            assert_eq!(proof.verify(NET), Ok((base.publisher.id(), None)));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn another_publisher_or_name_is_refused() {
    let repository = Repository::of_length(1);
    let stranger = Repository::new(Publisher::with(|event| event.created = earlier(3)));
    let verdict = judge(
        NET,
        NOW,
        &stranger.id(),
        Known::default(),
        &repository.record(0, None),
    );
    assert_eq!(
        rejection(verdict),
        Rejection::WrongPublisher {
            expected: stranger.publisher.id(),
            got: repository.publisher.id()
        }
    );
    let mut expected = repository.id();
    expected.name = "other".parse().expect("valid");
    let verdict = judge(
        NET,
        NOW,
        &expected,
        Known::default(),
        &repository.record(0, None),
    );
    assert_eq!(
        rejection(verdict),
        Rejection::WrongRepository {
            expected,
            got: repository.id()
        }
    );
    // A head of a stranger inside the right publisher's record.
    let mut mixed = stranger;
    mixed.publish(1, RELEASE);
    let verdict = fresh(&repository, &repository.wrap(mixed.heads[0].clone()));
    assert!(matches!(
        rejection(verdict),
        Rejection::WrongRepository { .. }
    ));
}

#[test]
fn name_is_compared_folded() {
    let repository = Repository::of_length(1);
    let mut expected = repository.id();
    expected.name = "TINY".parse().expect("valid");
    let verdict = judge(
        NET,
        NOW,
        &expected,
        Known::default(),
        &repository.record(0, None),
    );
    assert_eq!(accepted_index(&verdict), Some(0));
}

#[test]
fn long_or_malformed_head_is_refused() {
    let repository = Repository::of_length(1);
    let mut long = repository.heads[0].clone();
    long.signatures = (0..9).map(|at| (at, Signature([0; 64]))).collect();
    long.body.extend([0; 400]);
    let verdict = fresh(&repository, &repository.wrap(long));
    assert!(matches!(rejection(verdict), Rejection::HeadTooLong(_)));
    let mut broken = repository.heads[0].clone();
    broken.body.push(0);
    let verdict = fresh(&repository, &repository.wrap(broken));
    assert_eq!(
        rejection(verdict),
        Rejection::Head(DecodeError::Trailing(1))
    );
}

#[test]
fn identity_event_that_is_not_in_the_log_is_refused() {
    let unknown = |change: fn(&mut Head)| rejection(judge_changed(change, &[(0, RELEASE)]));
    assert_eq!(
        unknown(|head| head.identity_index = 1),
        Rejection::UnknownEvent { index: 1 }
    );
    assert_eq!(
        unknown(|head| head.identity = id(9)),
        Rejection::UnknownEvent { index: 0 }
    );
    assert_eq!(
        unknown(|head| head.identity_index = u64::MAX),
        Rejection::UnknownEvent { index: u64::MAX }
    );
}

#[test]
fn wrong_network_is_refused() {
    let repository = Repository::of_length(1);
    let foreign = Envelope::sign(
        &repository.next_head(1),
        NetworkId::MAIN,
        &[(0, &crate::fixture::secret(RELEASE))],
    );
    let verdict = fresh(&repository, &repository.wrap(foreign));
    assert_eq!(
        rejection(verdict),
        Rejection::Signature(EnvelopeError::WrongSignature(0))
    );
    let verdict = judge(
        NetworkId::MAIN,
        NOW,
        &repository.id(),
        Known::default(),
        &repository.record(0, None),
    );
    assert!(matches!(rejection(verdict), Rejection::Identity(_)));
}

#[test]
fn wrong_role_is_refused() {
    let refused = |signers: &[(u16, u8)]| rejection(judge_changed(|_| {}, signers));
    for role in [1, FRESHNESS] {
        assert_eq!(
            refused(&[(0, role)]),
            Rejection::Signature(EnvelopeError::WrongSignature(0))
        );
    }
    assert_eq!(
        refused(&[(1, FRESHNESS)]),
        Rejection::Signature(EnvelopeError::UnknownKey { index: 1, keys: 1 })
    );
}

#[test]
fn too_few_signatures_are_refused() {
    let publisher = Publisher::with(|event| {
        event.release_keys = vec![key(RELEASE), key(RELEASE_NEW)];
        event.release_threshold = 2;
    });
    let mut repository = Repository::new(publisher);
    let head = repository.next_head(1);
    repository.push(sign(&head, &[(0, RELEASE)]));
    let few = Rejection::Signature(EnvelopeError::TooFew {
        got: 1,
        threshold: 2,
    });
    assert_eq!(
        rejection(fresh(&repository, &repository.record(0, None))),
        few
    );
    repository.heads[0].add_signature::<Head>(NET, 1, &crate::fixture::secret(RELEASE_NEW));
    let verdict = fresh(&repository, &repository.record(0, None));
    assert_eq!(accepted_index(&verdict), Some(0));
    let unsigned = Envelope {
        signatures: vec![],
        ..repository.heads[0].clone()
    };
    let verdict = fresh(&repository, &repository.wrap(unsigned));
    assert!(matches!(
        rejection(verdict),
        Rejection::Signature(EnvelopeError::TooFew { .. })
    ));
}

#[test]
fn replaced_release_key_cannot_publish_where_the_rotation_is_known() {
    let mut repository = Repository::of_length(1);
    repository.publish(66, RELEASE);
    let mut rotated = repository.clone();
    rotated
        .publisher
        .rotate(|event| event.release_keys = vec![key(RELEASE_NEW)]);
    // The record itself brings the rotation.
    let record = rotated.record(1, Some(0));
    assert_eq!(
        rejection(fresh(&rotated, &record)),
        Rejection::SupersededKeys
    );
    // The record hides the rotation, but the judge knows of it.
    let (identity, ours) = (rotated.publisher.log(), repository.accepted(0));
    let known = Known {
        identity: Some(&identity),
        head: Some(&ours),
        ..Known::default()
    };
    let verdict = judge(
        NET,
        NOW,
        &repository.id(),
        known,
        &repository.record(1, Some(0)),
    );
    assert_eq!(rejection(verdict), Rejection::SupersededKeys);
}

#[test]
fn new_key_publishes_after_a_rotation_with_the_old_keys_thrown_away() {
    let before = Repository::of_length(1);
    let mut after = before.clone();
    after.publisher.rotate(|event| {
        event.release_keys = vec![key(RELEASE_NEW)];
        event.revocations = vec![key(RELEASE)];
    });
    after.publish(2, RELEASE_NEW);
    let verdict = follow(&before, 0, &after.record(1, Some(0)));
    match verdict {
        Verdict::Accept { identity, head } => {
            assert_eq!(identity.len(), 2);
            assert_eq!(head.head.index, 1);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn revoked_key_never_counts() {
    let publisher = Publisher::with(|event| {
        event.release_keys = vec![key(RELEASE), key(RELEASE_NEW)];
    });
    let mut repository = Repository::new(publisher);
    repository.publish(1, RELEASE);
    repository.publisher.rotate(|event| {
        event.release_keys = vec![key(RELEASE_NEW)];
        event.revocations = vec![key(RELEASE)];
    });
    let refused = rejection(fresh(&repository, &repository.record(0, None)));
    assert_eq!(refused, Rejection::SupersededKeys);
    // A second signature by a key that still counts heals it.
    repository.heads[0].add_signature::<Head>(NET, 1, &crate::fixture::secret(RELEASE_NEW));
    let verdict = fresh(&repository, &repository.record(0, None));
    assert_eq!(accepted_index(&verdict), Some(0));
}

#[test]
fn rotation_that_keeps_the_release_keys_disturbs_nothing() {
    let mut repository = Repository::of_length(2);
    repository
        .publisher
        .rotate(|event| event.aliases = vec!["dns:example.org".to_owned()]);
    let verdict = fresh(&repository, &repository.record(1, None));
    assert_eq!(accepted_index(&verdict), Some(1));
}

#[test]
fn stricter_threshold_of_the_newest_event_applies_to_older_heads() {
    let mut repository = Repository::of_length(1);
    repository.publisher.rotate(|event| {
        event.release_keys = vec![key(RELEASE), key(RELEASE_NEW)];
        event.release_threshold = 2;
    });
    let refused = rejection(fresh(&repository, &repository.record(0, None)));
    assert_eq!(
        refused,
        Rejection::Signature(EnvelopeError::TooFew {
            got: 1,
            threshold: 2
        })
    );
}

#[test]
fn shorter_log_of_the_record_is_replaced_by_ours() {
    let mut repository = Repository::of_length(2);
    let short = repository.record(1, Some(0));
    repository.publisher.rotate(|_| {});
    match follow(&repository, 0, &short) {
        Verdict::Accept { identity, .. } => assert_eq!(identity, repository.publisher.log()),
        other => panic!("{other:?}"),
    }
}

// When.

#[test]
fn head_from_the_future_is_refused_beyond_clock_skew() {
    let issued = |seconds| judge_changed(|head| head.issued = later(seconds), &[(0, RELEASE)]);
    assert_eq!(accepted_index(&issued(600)), Some(1));
    assert_eq!(
        rejection(issued(601)),
        Rejection::FromFuture { issued: later(601) }
    );
}

#[test]
fn expired_head_is_refused() {
    let expires = |at| judge_changed(|head| head.expires = at, &[(0, RELEASE)]);
    assert_eq!(accepted_index(&expires(later(1))), Some(1));
    assert_eq!(rejection(expires(NOW)), Rejection::Expired { expires: NOW });
}

#[test]
fn head_that_lives_too_long_is_refused() {
    let verdict = judge_changed(|head| head.expires = later(400 * DAY), &[(0, RELEASE)]);
    assert!(matches!(
        rejection(verdict),
        Rejection::Head(DecodeError::Invalid(_))
    ));
}

// Freshness.

fn with_freshness(change: impl FnOnce(&mut Freshness), signer: u8) -> Verdict {
    let repository = Repository::of_length(1);
    let mut freshness = repository.freshness(0);
    change(&mut freshness);
    let freshness = Some(sign(&freshness, &[(0, signer)]));
    let record = RepositoryRecord {
        freshness,
        ..repository.record(0, None)
    };
    fresh(&repository, &record)
}

fn kept_freshness(verdict: Verdict) -> bool {
    match verdict {
        Verdict::Accept { head, .. } => head.freshness.is_some(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn valid_freshness_is_kept_and_a_lapsed_one_dropped() {
    assert!(kept_freshness(with_freshness(|_| {}, FRESHNESS)));
    assert!(!kept_freshness(with_freshness(
        |f| f.expires = NOW,
        FRESHNESS
    )));
}

#[test]
fn wrong_freshness_refuses_the_record() {
    let refused = |change: fn(&mut Freshness), signer| rejection(with_freshness(change, signer));
    assert_eq!(
        refused(|f| f.head = id(1), FRESHNESS),
        Rejection::FreshnessTarget
    );
    assert_eq!(
        refused(|f| f.index = 5, FRESHNESS),
        Rejection::FreshnessTarget
    );
    assert_eq!(refused(|_| {}, RELEASE), Rejection::FreshnessSignature);
    assert_eq!(
        refused(|f| f.issued = later(700), FRESHNESS),
        Rejection::FromFuture { issued: later(700) }
    );
    assert!(matches!(
        refused(|f| f.expires = later(50 * 3_600), FRESHNESS),
        Rejection::Freshness(DecodeError::Invalid(_))
    ));
}

#[test]
fn freshness_by_a_key_replaced_since_is_dropped_not_punished() {
    let mut repository = Repository::of_length(1);
    let freshness = Some(sign(&repository.freshness(0), &[(0, FRESHNESS)]));
    repository
        .publisher
        .rotate(|event| event.freshness_key = Some(key(120)));
    let record = RepositoryRecord {
        freshness,
        ..repository.record(0, None)
    };
    assert!(!kept_freshness(fresh(&repository, &record)));
    let renewed = Some(sign(&repository.freshness(0), &[(0, 120)]));
    let record = RepositoryRecord {
        freshness: renewed,
        ..record
    };
    assert!(kept_freshness(fresh(&repository, &record)));
}

#[test]
fn freshness_of_an_identity_without_a_freshness_key_is_refused() {
    let mut repository = Repository::new(Publisher::with(|event| event.freshness_key = None));
    repository.publish(1, RELEASE);
    let freshness = Some(sign(&repository.freshness(0), &[(0, FRESHNESS)]));
    let record = RepositoryRecord {
        freshness,
        ..repository.record(0, None)
    };
    assert_eq!(
        rejection(fresh(&repository, &record)),
        Rejection::FreshnessSignature
    );
}

// The record on its own.

#[test]
fn record_verifies_on_its_own_without_its_extension() {
    let repository = Repository::of_length(3);
    let mut record = repository.record(2, Some(0));
    if let Some(extension) = &mut record.extension {
        extension.inclusion.path.clear();
    }
    let (about, log, head) = record.verify(NET, NOW).expect("valid");
    assert_eq!(about, repository.id());
    assert_eq!(
        log,
        IdentityLog::verify(NET, &repository.publisher.events).expect("valid")
    );
    assert_eq!(head.id, repository.ids[2]);
    assert_eq!(log::root(&repository.ids[..2]), head.head.log_root);
}

#[test]
fn a_log_of_another_publisher_is_not_worth_its_signatures() {
    let repository = Repository::of_length(1);
    let mut stranger = Publisher::with(|event| event.created = earlier(3));
    stranger.rotate(|_| {});
    // Somebody who looks at this signature has looked too far.
    stranger.events[1].signatures[0].1 = Signature([7; 64]);
    let record = RepositoryRecord {
        identity: stranger.events,
        ..repository.record(0, None)
    };
    let rejected = rejection(fresh(&repository, &record));
    assert!(
        matches!(rejected, Rejection::WrongPublisher { .. }),
        "{rejected:?}"
    );
}

#[test]
fn record_of_another_publisher_than_its_head_says_does_not_verify() {
    let repository = Repository::of_length(1);
    let stranger = Publisher::with(|event| event.created = earlier(3));
    let record = RepositoryRecord {
        identity: stranger.events,
        ..repository.record(0, None)
    };
    assert!(matches!(
        record.verify(NET, NOW),
        Err(Rejection::WrongPublisher { .. })
    ));
}

#[test]
fn record_verification_names_the_same_faults_as_judging() {
    let repository = Repository::of_length(1);
    let late = repository.record(0, None).verify(NET, later(400 * DAY));
    assert!(matches!(late, Err(Rejection::Expired { .. })));
    let foreign = repository.record(0, None).verify(NetworkId(8), NOW);
    assert!(matches!(foreign, Err(Rejection::Identity(_))));
    let mut broken = repository.record(0, None);
    broken.head.body.clear();
    assert!(matches!(broken.verify(NET, NOW), Err(Rejection::Head(_))));
}

// All together.

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn accepted_index_never_falls_and_never_jumps_into_another_past(
        held in 0_usize..5, shared in 0_usize..6, offered in 0_usize..6, from in 0_u64..6
    ) {
        let ours = Repository::of_length(5);
        // Shares the first heads with ours and continues differently.
        let mut other = Repository::of_length(u8::try_from(shared).expect("small"));
        for n in shared..6 {
            other.publish(u8::try_from(100 + n).expect("small"), RELEASE);
        }
        match follow(&ours, held, &other.record(offered, Some(from))) {
            Verdict::Accept { head, .. } => {
                proptest::prop_assert!(head.head.index > held as u64);
                proptest::prop_assert!(held < shared, "the head held is not in that log");
            }
            Verdict::Same { .. } => proptest::prop_assert_eq!(ours.ids[held], other.ids[offered]),
            Verdict::Older => proptest::prop_assert!(offered < held),
            Verdict::Equivocation(_) => {
                proptest::prop_assert_eq!(held, offered);
                proptest::prop_assert!(held >= shared);
            }
            Verdict::NeedsExtension => proptest::prop_assert_ne!(from, held as u64),
            Verdict::Reject(rejection) => {
                let index = offered as u64;
                proptest::prop_assert_eq!(rejection, Rejection::NotAnExtension { index });
                proptest::prop_assert!(held >= shared);
            }
        }
    }
}
