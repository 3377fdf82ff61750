//! Heads, freshness statements, and the records that carry both.

use weft_protocol::{
    accept::{Known, Rejection, RepositoryRecord, Verdict, judge},
    codec,
    freshness::Freshness,
    head::Head,
    log,
    sign::{Envelope, NetworkId},
    wire,
};

use super::file::{Vector, VectorFile};
use crate::fixture::{
    DAY, FRESHNESS, NET, NOW, Publisher, RELEASE, RELEASE_NEW, Repository, earlier, id, key, later,
    secret, sign,
};

fn head_vector(name: &str, comment: &str, repository: &Repository, head: &Envelope) -> Vector {
    Vector::new("head", name, comment, codec::encode(head))
        .with("network", NET.0)
        .with("now", NOW)
        .with("repository", repository.id())
        .with_hex("identity", &codec::encode(&repository.publisher.events))
}

fn accept_head(name: &str, comment: &str, repository: &Repository, head: &Envelope) -> Vector {
    let verdict = repository.wrap(head.clone()).verify(NET, NOW);
    let decoded: Head = head.decode_body().expect("valid");
    head_vector(name, comment, repository, head)
        .with("id", head.id::<Head>())
        .with("index", decoded.index)
        .valid(verdict.map(|_| ()))
}

fn refuse_head(name: &str, comment: &str, repository: &Repository, head: &Envelope) -> Vector {
    let record = repository.wrap(head.clone());
    let verdict: Result<(), Rejection> =
        match judge(NET, NOW, &repository.id(), Known::default(), &record) {
            Verdict::Reject(rejection) => Err(rejection),
            other => panic!("{name}: {other:?}"),
        };
    head_vector(name, comment, repository, head).invalid(verdict)
}

/// The next head of a repository of one, changed and signed by the release key.
fn changed(name: &str, comment: &str, change: impl FnOnce(&mut Head)) -> Vector {
    let repository = Repository::of_length(1);
    let mut head = repository.next_head(1);
    change(&mut head);
    refuse_head(name, comment, &repository, &sign(&head, &[(0, RELEASE)]))
}

pub(super) fn head() -> VectorFile {
    let three = Repository::of_length(3);
    let mut two_keys = Repository::new(Publisher::with(|event| {
        event.release_keys = vec![key(RELEASE), key(RELEASE_NEW)];
        event.release_threshold = 2;
    }));
    let both = Head {
        refs: Some(id(50)),
        ..two_keys.next_head(0)
    };
    two_keys.push(sign(&both, &[(0, RELEASE), (1, RELEASE_NEW)]));
    let mut kept = three.clone();
    kept.publisher
        .rotate(|event| event.aliases = vec!["dns:example.org".to_owned()]);
    let mut replaced = three.clone();
    replaced
        .publisher
        .rotate(|event| event.release_keys = vec![key(RELEASE_NEW)]);
    let mut renewed = replaced.clone();
    renewed.publish(3, RELEASE_NEW);

    let base = Repository::of_length(1);
    let next = base.next_head(1);
    let by = |signer| sign(&next, &[(0, signer)]);
    let foreign = Envelope::sign(&next, NetworkId::MAIN, &[(0, &secret(RELEASE))]);
    let unsorted = {
        let mut head = two_keys.heads[0].clone();
        head.signatures.reverse();
        head
    };
    let unfolded = {
        let mut body = codec::encode(&next);
        let at = body
            .windows(4)
            .position(|w| w == b"tiny")
            .expect("it is there");
        body[at] = b'T';
        let mut head = Envelope {
            body,
            signatures: vec![],
        };
        head.add_signature::<Head>(NET, 0, &secret(RELEASE));
        head
    };
    let vectors = vec![
        accept_head(
            "first",
            "Index 0: no head before it, an empty log.",
            &three,
            &three.heads[0],
        ),
        accept_head(
            "third",
            "Index 2: the log root covers heads 0 and 1.",
            &three,
            &three.heads[2],
        ),
        accept_head(
            "two_signatures",
            "Two of two release keys; names a references object.",
            &two_keys,
            &two_keys.heads[0],
        ),
        accept_head(
            "older_event_same_keys",
            "Signed under event 0; event 1 kept the release keys.",
            &kept,
            &kept.heads[2],
        ),
        accept_head(
            "after_rotation",
            "Signed by the key that event 1 brought.",
            &renewed,
            &renewed.heads[3],
        ),
        refuse_head("wrong_network", "Signed for network 0.", &base, &foreign),
        refuse_head(
            "wrong_role_freshness",
            "Signed by the freshness key.",
            &base,
            &by(FRESHNESS),
        ),
        refuse_head("wrong_role_root", "Signed by the root key.", &base, &by(1)),
        refuse_head(
            "unknown_key",
            "Signed by key index 1 of one.",
            &base,
            &sign(&next, &[(1, RELEASE)]),
        ),
        refuse_head("unsigned", "No signature.", &base, &sign(&next, &[])),
        refuse_head(
            "too_few_signatures",
            "One of two.",
            &two_keys,
            &sign(&both, &[(0, RELEASE)]),
        ),
        refuse_vec(
            "unsorted_signatures",
            "Signatures not in the order of key indices.",
            &two_keys,
            &unsorted,
        ),
        refuse_head(
            "replaced_key",
            "Signed under event 0; event 1 replaced the release key.",
            &replaced,
            &replaced.heads[2],
        ),
        refuse_head(
            "unfolded_name",
            "The name is not written folded; well signed.",
            &base,
            &unfolded,
        ),
        changed("wrong_repository", "Another name.", |h| {
            h.name = "other".parse().expect("valid");
        }),
        changed("unknown_event", "Names identity event 1 of one.", |h| {
            h.identity_index = 1;
        }),
        changed(
            "wrong_event_id",
            "Names an event id that is not in the log.",
            |h| h.identity = id(9),
        ),
        changed(
            "from_the_future",
            "Issued more than ten minutes ahead.",
            |h| h.issued = later(601),
        ),
        changed("expired", "Its time is over.", |h| h.expires = NOW),
        changed("lives_too_long", "Valid for more than 400 days.", |h| {
            h.expires = later(400 * DAY);
        }),
        changed(
            "expires_before_issued",
            "Expires before it is issued.",
            |h| h.expires = earlier(2 * DAY),
        ),
        changed("no_previous", "A later head without one before it.", |h| {
            h.previous = None;
        }),
        changed("index_too_high", "Beyond the longest log.", |h| {
            h.index = 65_536;
        }),
    ];
    let mut vectors = vectors;
    let mut first = Repository::of_length(0).next_head(0);
    first.log_root = id(1);
    let empty = Repository::of_length(0);
    vectors.push(refuse_head(
        "first_with_a_past",
        "Index 0 with a log root that is not the empty tree's.",
        &empty,
        &sign(&first, &[(0, RELEASE)]),
    ));
    VectorFile {
        name: "head",
        about: "Signed heads: one envelope each. `identity` is the publisher's log (see identity.txt).",
        vectors,
    }
}

/// For envelopes that do not even decode.
fn refuse_vec(name: &str, comment: &str, repository: &Repository, head: &Envelope) -> Vector {
    let vector = head_vector(name, comment, repository, head);
    let verdict = wire::decode::<Envelope>(vector.bytes());
    vector.invalid(verdict)
}

fn freshness_vector(
    name: &str,
    comment: &str,
    repository: &Repository,
    freshness: &Envelope,
) -> (Vector, Result<bool, Rejection>) {
    let record = RepositoryRecord {
        freshness: Some(freshness.clone()),
        ..repository.record(0, None)
    };
    let verdict = record
        .verify(NET, NOW)
        .map(|(_, _, head)| head.freshness.is_some());
    let vector = Vector::new("freshness", name, comment, codec::encode(freshness))
        .with("network", NET.0)
        .with("now", NOW)
        .with("repository", repository.id())
        .with_hex("identity", &codec::encode(&repository.publisher.events))
        .with_hex("head", &codec::encode(&repository.heads[0]));
    (vector, verdict)
}

/// A statement that is dropped although its record stands.
#[derive(Debug)]
struct Dropped;
impl std::fmt::Display for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("dropped: its time is over, or its key was replaced")
    }
}
impl std::error::Error for Dropped {}

pub(super) fn freshness() -> VectorFile {
    let repository = Repository::of_length(1);
    let mut rotated = repository.clone();
    rotated
        .publisher
        .rotate(|event| event.freshness_key = Some(key(120)));
    let base = repository.freshness(0);
    let accept = |name: &str, comment: &str, repository: &Repository, signer| {
        let (vector, verdict) =
            freshness_vector(name, comment, repository, &sign(&base, &[(0, signer)]));
        assert_eq!(verdict, Ok(true), "{name}");
        vector
            .with("index", base.index)
            .valid(Ok::<_, Rejection>(()))
    };
    let refuse =
        |name: &str, comment: &str, repository: &Repository, freshness: &Freshness, signer| {
            let (vector, verdict) =
                freshness_vector(name, comment, repository, &sign(freshness, &[(0, signer)]));
            match verdict {
                Ok(true) => panic!("{name} should be refused"),
                Ok(false) => vector.invalid(Err::<(), _>(Dropped)),
                Err(rejection) => vector.invalid(Err::<(), _>(rejection)),
            }
        };
    let with = |change: fn(&mut Freshness)| {
        let mut freshness = base.clone();
        change(&mut freshness);
        freshness
    };
    let foreign = Envelope::sign(&base, NetworkId::MAIN, &[(0, &secret(FRESHNESS))]);
    let (foreign, verdict) = freshness_vector(
        "wrong_network",
        "Signed for network 0.",
        &repository,
        &foreign,
    );
    let vectors = vec![
        accept(
            "current",
            "Signed by the freshness key.",
            &repository,
            FRESHNESS,
        ),
        accept(
            "after_rotation",
            "Signed by the freshness key that event 1 brought.",
            &rotated,
            120,
        ),
        foreign.invalid(verdict),
        refuse(
            "replaced_key",
            "Signed by a freshness key replaced since.",
            &rotated,
            &base,
            FRESHNESS,
        ),
        refuse(
            "wrong_role",
            "Signed by the release key.",
            &repository,
            &base,
            RELEASE,
        ),
        refuse(
            "other_head",
            "About another head.",
            &repository,
            &with(|f| f.head = id(1)),
            FRESHNESS,
        ),
        refuse(
            "other_index",
            "About another index.",
            &repository,
            &with(|f| f.index = 1),
            FRESHNESS,
        ),
        refuse(
            "other_repository",
            "About another repository.",
            &repository,
            &with(|f| f.name = "other".parse().expect("valid")),
            FRESHNESS,
        ),
        refuse(
            "expired",
            "Its time is over.",
            &repository,
            &with(|f| f.expires = NOW),
            FRESHNESS,
        ),
        refuse(
            "from_the_future",
            "Issued more than ten minutes ahead.",
            &repository,
            &with(|f| f.issued = later(601)),
            FRESHNESS,
        ),
        refuse(
            "lives_too_long",
            "Valid for more than 48 hours.",
            &repository,
            &with(|f| f.expires = later(48 * 3_600)),
            FRESHNESS,
        ),
    ];
    VectorFile {
        name: "freshness",
        about: "Signed freshness statements: one envelope each, about the head given in `head`.",
        vectors,
    }
}

/// What a node that holds `known` says to `record`; only acceptance counts as valid.
fn judged(
    name: &str,
    comment: &str,
    repository: &Repository,
    known: Option<&RepositoryRecord>,
    record: &RepositoryRecord,
) -> (Vector, Verdict) {
    let mut vector = Vector::new("record", name, comment, wire::encode(record))
        .with("network", NET.0)
        .with("now", NOW)
        .with("repository", repository.id());
    let held = known.map(|known| known.verify(NET, NOW).expect("valid"));
    if let Some(known) = known {
        vector = vector.with_hex("known", &wire::encode(known));
    }
    let known = held
        .as_ref()
        .map_or_else(Known::default, |(_, log, head)| Known {
            identity: Some(log),
            head: Some(head),
            ..Known::default()
        });
    let verdict = judge(NET, NOW, &repository.id(), known, record);
    (vector, verdict)
}

#[derive(Debug)]
struct NotAccepted(String);
impl std::fmt::Display for NotAccepted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::error::Error for NotAccepted {}

pub(super) fn record() -> VectorFile {
    let repository = Repository::of_length(6);
    let known = repository.record(2, None);
    let mut fork = Repository::of_length(2);
    for n in 60..64 {
        fork.publish(n, RELEASE);
    }
    let mut renewed = Repository::of_length(3);
    renewed.publisher.rotate(|event| {
        event.release_keys = vec![key(RELEASE_NEW)];
        event.revocations = vec![key(RELEASE)];
    });
    renewed.publish(9, RELEASE_NEW);
    let fresh = {
        let freshness = Some(sign(&repository.freshness(5), &[(0, FRESHNESS)]));
        RepositoryRecord {
            freshness,
            ..repository.record(5, Some(2))
        }
    };
    let wrong_freshness = {
        let freshness = Some(sign(&repository.freshness(4), &[(0, FRESHNESS)]));
        RepositoryRecord {
            freshness,
            ..repository.record(5, Some(2))
        }
    };
    let misplaced = RepositoryRecord {
        extension: log::prove_extension(&repository.ids[..5], 3),
        ..repository.record(5, None)
    };
    let accept = |name: &str,
                  comment: &str,
                  repository: &Repository,
                  known: Option<&RepositoryRecord>,
                  record: &RepositoryRecord| {
        let (vector, verdict) = judged(name, comment, repository, known, record);
        match verdict {
            Verdict::Accept { head, .. } => vector
                .with("id", head.id)
                .with("index", head.head.index)
                .with("fresh", head.freshness.is_some())
                .valid(Ok::<_, Rejection>(())),
            other => panic!("{name}: {other:?}"),
        }
    };
    let refuse = |name: &str, comment: &str, record: &RepositoryRecord| {
        let (vector, verdict) = judged(name, comment, &repository, Some(&known), record);
        match verdict {
            Verdict::Accept { .. } => panic!("{name} should not be accepted"),
            Verdict::Reject(rejection) => vector.invalid(Err::<(), _>(rejection)),
            Verdict::Equivocation(_) => {
                vector.invalid(Err::<(), _>(NotAccepted("an equivocation".to_owned())))
            }
            other @ (Verdict::Older | Verdict::NeedsExtension | Verdict::Same { .. }) => {
                let text = format!("{other:?}");
                let word = text.split([' ', '{']).next().unwrap_or_default().to_owned();
                vector.invalid(Err::<(), _>(NotAccepted(word)))
            }
        }
    };
    VectorFile {
        name: "record",
        about: "Repository records, as DHT, gossip and answers carry them.\n\
            `known` is what the judge holds, if anything. Valid means: accepted as a newer head.",
        vectors: vec![
            accept(
                "newcomer",
                "Nothing is known.",
                &repository,
                None,
                &repository.record(5, None),
            ),
            accept(
                "extension",
                "Head 5 for a holder of head 2.",
                &repository,
                Some(&known),
                &repository.record(5, Some(2)),
            ),
            accept(
                "next",
                "Head 3 for a holder of head 2.",
                &repository,
                Some(&known),
                &repository.record(3, Some(2)),
            ),
            accept(
                "fresh",
                "With a freshness statement.",
                &repository,
                Some(&known),
                &fresh,
            ),
            accept(
                "rotated",
                "Brings a rotation that revokes the old release key.",
                &renewed,
                Some(&known),
                &renewed.record(3, Some(2)),
            ),
            refuse(
                "no_extension",
                "Newer, but without a proof.",
                &repository.record(5, None),
            ),
            refuse(
                "extension_from_elsewhere",
                "The proof starts at another head.",
                &misplaced,
            ),
            refuse(
                "rewritten_log",
                "The log does not contain head 2.",
                &fork.record(5, Some(2)),
            ),
            refuse("fork", "Another head at index 2.", &fork.record(2, None)),
            refuse("rollback", "An older head.", &repository.record(1, None)),
            refuse(
                "wrong_freshness",
                "The statement is about another head.",
                &wrong_freshness,
            ),
        ],
    }
}
