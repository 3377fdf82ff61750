use super::*;
use crate::{
    codec::{decode_object, encode},
    sign::SecretKey,
};

const NET: NetworkId = NetworkId(7);

fn secret(n: u8) -> SecretKey {
    SecretKey::from_seed(&[n; 32])
}
fn key(n: u8) -> PublicKey {
    secret(n).public()
}
fn digests(numbers: &[u8]) -> Vec<ObjectId> {
    numbers.iter().map(|n| next_digest(&key(*n))).collect()
}

/// Root key 1, next root key 2, release key 100.
fn inception() -> IdentityEvent {
    IdentityEvent {
        index: 0,
        previous: None,
        root_keys: vec![key(1)],
        root_threshold: 1,
        next_digests: digests(&[2]),
        next_threshold: 1,
        release_keys: vec![key(100)],
        release_threshold: 1,
        freshness_key: Some(key(101)),
        label_key: None,
        serving_keys: vec![],
        aliases: vec!["dns:example.org".to_owned()],
        revocations: vec![],
        created: Timestamp(1),
    }
}

/// The event after `previous`, with root key 2 and next root key 3.
fn rotation(previous: &Envelope) -> IdentityEvent {
    IdentityEvent {
        index: 1,
        previous: Some(previous.id::<IdentityEvent>()),
        root_keys: vec![key(2)],
        next_digests: digests(&[3]),
        ..inception()
    }
}

fn signed(event: &IdentityEvent, signers: &[(u16, u8)]) -> Envelope {
    let secrets: Vec<_> = signers
        .iter()
        .map(|(index, n)| (*index, secret(*n)))
        .collect();
    let signers: Vec<_> = secrets
        .iter()
        .map(|(index, secret)| (*index, secret))
        .collect();
    Envelope::sign(event, NET, &signers)
}

fn first() -> Envelope {
    signed(&inception(), &[(0, 1)])
}

fn verify(events: &[Envelope]) -> Result<IdentityLog, IdentityError> {
    IdentityLog::verify(NET, events)
}

#[test]
fn rotation_by_the_committed_key_is_accepted() {
    let second = signed(&rotation(&first()), &[(0, 2)]);
    let log = verify(&[first(), second.clone()]).expect("valid");
    assert_eq!(
        log.publisher().as_bytes(),
        first().id::<IdentityEvent>().as_bytes()
    );
    assert_eq!(log.len(), 2);
    assert_eq!(log.tip_id(), second.id::<IdentityEvent>());
    assert_eq!(log.event(0), Some(&inception()));
    assert_eq!(log.event_id(2), None);
    let short = verify(&[first()]).expect("valid");
    assert_eq!(
        IdentityLog::verify_from(&short, NET, log.envelopes()),
        Ok(log.clone())
    );
    assert_eq!(short.divergence(&log), None);
}

#[test]
fn thief_of_every_key_in_use_cannot_rotate() {
    let mut stolen = rotation(&first());
    stolen.root_keys = vec![key(1)];
    let events = [first(), signed(&stolen, &[(0, 1)])];
    assert_eq!(
        verify(&events),
        Err(IdentityError::Uncommitted { index: 1 })
    );
    let events = [first(), signed(&rotation(&first()), &[(0, 1)])];
    assert!(matches!(
        verify(&events),
        Err(IdentityError::Signature { index: 1, .. })
    ));
}

#[test]
fn both_thresholds_must_be_met() {
    let mut start = inception();
    start.next_digests = digests(&[2, 3, 4]);
    start.next_threshold = 2;
    let start = signed(&start, &[(0, 1)]);
    let mut next = rotation(&start);
    next.root_keys = vec![key(2), key(3)];
    next.root_threshold = 1;
    let check = |signers: &[(u16, u8)]| verify(&[start.clone(), signed(&next, signers)]);
    assert!(check(&[(0, 2), (1, 3)]).is_ok());
    assert_eq!(
        check(&[(0, 2)]),
        Err(IdentityError::Signature {
            index: 1,
            source: EnvelopeError::TooFew {
                got: 1,
                threshold: 2
            }
        })
    );
}

#[test]
fn order_previous_and_network_are_checked() {
    assert_eq!(verify(&[]), Err(IdentityError::Empty));
    assert_eq!(
        verify(&[first(), first()]),
        Err(IdentityError::Chain { index: 1 })
    );
    let second = signed(&rotation(&first()), &[(0, 2)]);
    assert_eq!(verify(&[second]), Err(IdentityError::Chain { index: 0 }));
    let mut astray = rotation(&first());
    astray.previous = Some(ObjectId::new([9; 32]));
    assert_eq!(
        verify(&[first(), signed(&astray, &[(0, 2)])]),
        Err(IdentityError::Chain { index: 1 })
    );
    assert!(matches!(
        IdentityLog::verify(NetworkId::MAIN, &[first()]),
        Err(IdentityError::Signature { index: 0, .. })
    ));
}

#[test]
fn revoked_key_never_comes_back() {
    let mut second = rotation(&first());
    second.revocations = vec![key(100)];
    let again = signed(&second, &[(0, 2)]);
    assert_eq!(
        verify(&[first(), again]),
        Err(IdentityError::Revoked {
            index: 1,
            key: key(100)
        })
    );
    second.release_keys = vec![key(102)];
    let second = signed(&second, &[(0, 2)]);
    let log = verify(&[first(), second.clone()]).expect("valid");
    assert!(log.is_revoked(&key(100)) && !log.is_revoked(&key(102)));
    let mut third = rotation(&second);
    third.index = 2;
    third.root_keys = vec![key(3)];
    let third = signed(&third, &[(0, 3)]);
    assert_eq!(
        verify(&[first(), second, third]),
        Err(IdentityError::Revoked {
            index: 2,
            key: key(100)
        })
    );
}

#[test]
fn malformed_events_are_refused() {
    let refused = |change: fn(&mut IdentityEvent)| {
        let mut event = inception();
        change(&mut event);
        decode_object::<IdentityEvent>(&encode(&event)).is_err()
    };
    assert!(!refused(|_| {}));
    assert!(refused(|e| e.root_keys.clear()));
    assert!(refused(|e| e.root_threshold = 0));
    assert!(refused(|e| e.root_threshold = 2));
    assert!(refused(|e| e.release_keys = vec![key(1), key(1)]));
    assert!(refused(|e| e.release_keys = (0..10).map(key).collect()));
    assert!(refused(|e| e.next_digests.clear()));
    assert!(refused(|e| e.aliases = vec!["https://example.org".into()]));
    assert!(refused(|e| e.aliases = vec!["dns:".into()]));
    assert!(refused(|e| e.aliases = vec!["dns:a\u{1b}".into()]));
    assert!(refused(|e| e.serving_keys = (0..33).map(key).collect()));
    assert!(refused(|e| e.index = 1));
    assert!(refused(|e| e.previous = Some(ObjectId::new([0; 32]))));
}

#[test]
fn fullest_event_fits_its_cap() {
    let mut event = inception();
    event.root_keys = (0..9).map(key).collect();
    event.next_digests = digests(&[10, 11, 12, 13, 14, 15, 16, 17, 18]);
    event.release_keys = (20..29).map(key).collect();
    event.serving_keys = (40..72).map(key).collect();
    assert!(encode(&event).len() <= limits::IDENTITY_EVENT_LEN_MAX);
}

#[test]
fn logs_that_differ_show_where() {
    let mut other = rotation(&first());
    other.created = Timestamp(2);
    let one = verify(&[first(), signed(&rotation(&first()), &[(0, 2)])]).expect("valid");
    let two = verify(&[first(), signed(&other, &[(0, 2)])]).expect("valid");
    assert_eq!(one.divergence(&two), Some(1));
}

#[test]
fn log_cannot_grow_beyond_its_cap() {
    let events = vec![first(); limits::IDENTITY_EVENTS_MAX + 1];
    assert_eq!(verify(&events), Err(IdentityError::TooLong));
}
