//! Identity logs.

use weft_protocol::{
    codec,
    id::ObjectId,
    identity::{IdentityEvent, IdentityLog, next_digest},
    sign::{Envelope, NetworkId, Signature},
};

use super::file::{Vector, VectorFile};
use crate::fixture::{NET, Publisher, RELEASE, RELEASE_NEW, key, secret, sign};

fn begin(name: &str, comment: &str, events: &[Envelope]) -> Vector {
    Vector::new("identity", name, comment, codec::encode(&events.to_vec())).with("network", NET.0)
}

fn check(vector: Vector, events: &[Envelope]) -> Vector {
    let verdict = IdentityLog::verify(NET, events);
    match verdict {
        Ok(log) => vector
            .with("publisher", log.publisher())
            .with("events", log.len())
            .with("tip", log.tip_id())
            .valid(Ok::<_, std::fmt::Error>(())),
        Err(error) => panic!("{error}"),
    }
}

fn refuse(name: &str, comment: &str, events: &[Envelope]) -> Vector {
    let vector = begin(name, comment, events);
    let decoded = codec::decode::<Vec<Envelope>>(vector.bytes(), 1 << 20);
    match decoded {
        Ok(events) => vector.invalid(IdentityLog::verify(NET, &events)),
        Err(error) => vector.invalid(Err::<(), _>(error)),
    }
}

/// An inception that breaks one rule, otherwise well signed.
fn broken(name: &str, comment: &str, change: impl FnOnce(&mut IdentityEvent)) -> Vector {
    refuse(name, comment, &Publisher::with(change).events)
}

pub(super) fn identity() -> VectorFile {
    let first = Publisher::new();
    let mut second = first.clone();
    second.rotate(|event| {
        event.release_keys = vec![key(RELEASE_NEW)];
        event.revocations = vec![key(RELEASE)];
    });
    let mut shared = Publisher::with(|event| {
        event.next_digests = [2, 3, 4].iter().map(|n| next_digest(&key(*n))).collect();
        event.next_threshold = 2;
        event.label_key = Some(key(102));
        event.serving_keys = vec![key(103), key(104)];
        event.aliases = vec![
            "dns:example.org".to_owned(),
            "did:web:example.org".to_owned(),
        ];
    });
    let event = IdentityEvent {
        index: 1,
        previous: shared.events.last().map(Envelope::id::<IdentityEvent>),
        root_keys: vec![key(2), key(4)],
        root_threshold: 2,
        ..shared.tip.clone()
    };
    shared.events.push(sign(&event, &[(0, 2), (1, 4)]));

    let mut vectors = vec![
        check(
            begin(
                "inception",
                "One event; its object id is the publisher id.",
                &first.events,
            ),
            &first.events,
        ),
        check(
            begin(
                "rotation",
                "Root key 2 was committed to; release key 100 is revoked.",
                &second.events,
            ),
            &second.events,
        ),
        check(
            begin(
                "two_of_three",
                "Two of three committed root keys sign.",
                &shared.events,
            ),
            &shared.events,
        ),
    ];
    vectors.extend(refused_chains(&first, &second));
    vectors.extend(refused_forms(&first));
    VectorFile {
        name: "identity",
        about: "A publisher's identity log: a CBOR array of envelopes.\n\
            Key n has the ed25519 seed n repeated 32 times. Event i is signed by root key i + 1.\n\
            Release key 100 (later 110), freshness key 101. Network byte 7.",
        vectors,
    }
}

fn refused_chains(first: &Publisher, second: &Publisher) -> Vec<Vector> {
    let inception = first.events[0].clone();
    let next = |change: &dyn Fn(&mut IdentityEvent), signers: &[(u16, u8)]| {
        let mut event = second.tip.clone();
        change(&mut event);
        vec![inception.clone(), sign(&event, signers)]
    };
    let mut returns = second.clone();
    returns.rotate(|event| event.release_keys = vec![key(RELEASE)]);
    let few = Publisher::with(|event| {
        event.root_keys = vec![key(1), key(5)];
        event.root_threshold = 2;
    });
    let foreign = Envelope::sign(&first.tip, NetworkId::MAIN, &[(0, &secret(1))]);
    vec![
        refuse("empty", "No event.", &[]),
        refuse("wrong_network", "Signed for network 0.", &[foreign]),
        refuse(
            "inception_twice",
            "The second event is the first again.",
            &[inception.clone(), inception.clone()],
        ),
        refuse(
            "no_inception",
            "Begins with the second event.",
            &second.events[1..],
        ),
        refuse(
            "uncommitted_root_key",
            "A thief of root key 1 signs the rotation with it.",
            &next(&|event| event.root_keys = vec![key(1)], &[(0, 1)]),
        ),
        refuse(
            "rotation_by_old_key",
            "Names the new root key, signed by the old one.",
            &next(&|_| {}, &[(0, 1)]),
        ),
        refuse(
            "wrong_previous",
            "The event before it is another one.",
            &next(
                &|event| event.previous = Some(ObjectId::new([9; 32])),
                &[(0, 2)],
            ),
        ),
        refuse(
            "index_skipped",
            "Position 2 follows position 0.",
            &next(&|event| event.index = 2, &[(0, 2)]),
        ),
        refuse(
            "too_few_signatures",
            "One of two root keys signs.",
            &few.events,
        ),
        refuse(
            "unsigned",
            "No signature at all.",
            &[Envelope {
                signatures: vec![],
                ..inception
            }],
        ),
        refuse(
            "revoked_key_returns",
            "Event 2 brings back the key that event 1 revoked.",
            &returns.events,
        ),
    ]
}

fn refused_forms(first: &Publisher) -> Vec<Vector> {
    let inception = &first.events[0];
    let twice = Envelope {
        signatures: vec![inception.signatures[0]; 2],
        ..inception.clone()
    };
    let zero = Envelope {
        signatures: vec![(0, Signature([0; 64]))],
        ..inception.clone()
    };
    let long = respelled(inception, |body| {
        // map(…), key 0, value 0: the value spelled as `18 00`.
        assert_eq!(body.get(1..3), Some(&[0, 0][..]));
        body.splice(2..3, [0x18, 0]);
    });
    let indefinite = respelled(inception, |body| {
        body[0] = 0xbf;
        body.push(0xff);
    });
    let doubled = respelled(inception, |body| {
        body[0] += 1;
        body.splice(1..1, [0, 0]);
    });
    vec![
        refuse("signature_twice", "One key signs twice.", &[twice]),
        refuse("zero_signature", "A signature of zeros.", &[zero]),
        refuse(
            "long_integer",
            "The index is not in its shortest form; well signed.",
            &[long],
        ),
        refuse(
            "indefinite_map",
            "A map of indefinite length; well signed.",
            &[indefinite],
        ),
        refuse("key_twice", "A map key twice; well signed.", &[doubled]),
        broken("threshold_zero", "Nobody has to sign heads.", |e| {
            e.release_threshold = 0;
        }),
        broken(
            "threshold_unreachable",
            "Two of one key have to sign heads.",
            |e| e.release_threshold = 2,
        ),
        broken("release_key_twice", "One key counts twice.", |e| {
            e.release_keys = vec![key(RELEASE); 2];
        }),
        broken(
            "revoked_at_once",
            "Uses a key that it revokes itself.",
            |e| e.revocations = vec![key(RELEASE)],
        ),
        broken("no_next_keys", "Commits to no next key.", |e| {
            e.next_digests.clear();
        }),
        broken("alias_scheme", "An alias of an unknown scheme.", |e| {
            e.aliases = vec!["https://example.org".to_owned()];
        }),
        broken(
            "alias_control",
            "An alias that would clear a terminal.",
            |e| e.aliases = vec!["dns:a\u{1b}[2J".to_owned()],
        ),
    ]
}

/// Another spelling of the same event, signed anew.
fn respelled(event: &Envelope, change: impl FnOnce(&mut Vec<u8>)) -> Envelope {
    let mut body = event.body.clone();
    change(&mut body);
    let mut envelope = Envelope {
        body,
        signatures: vec![],
    };
    envelope.add_signature::<IdentityEvent>(NET, 0, &secret(1));
    envelope
}
