//! The single checks that every judgement is made of.

use super::{Rejection, RepositoryRecord};
use crate::{
    codec,
    freshness::Freshness,
    head::Head,
    id::{ObjectId, PublisherId, RepositoryId},
    identity::{IdentityEvent, IdentityLog},
    limits,
    sign::{Envelope, EnvelopeError, NetworkId, PublicKey},
    time::Timestamp,
};

pub(super) fn publisher(expected: PublisherId, got: PublisherId) -> Result<(), Rejection> {
    if expected == got {
        Ok(())
    } else {
        Err(Rejection::WrongPublisher { expected, got })
    }
}

/// Verifies the identity log of `expected`, from what is `known` on. Of a log that begins with another
/// publisher's inception no more is looked at: a thousand events are a second's work.
pub(super) fn identity(
    network: NetworkId,
    expected: PublisherId,
    known: Option<&IdentityLog>,
    events: &[Envelope],
) -> Result<IdentityLog, Rejection> {
    let (inception, _) = events.split_at_checked(1).unwrap_or_default();
    let is_foreign = inception
        .iter()
        .any(|event| event.id::<IdentityEvent>().as_bytes() != expected.as_bytes());
    let events = if is_foreign { inception } else { events };
    let log = match known {
        Some(ours) => IdentityLog::verify_from(ours, network, events)?,
        None => IdentityLog::verify(network, events)?,
    };
    publisher(expected, log.publisher())?;
    Ok(log)
}

/// Decodes a head and checks all that depends neither on keys nor on the clock.
pub(super) fn open_head(
    envelope: &Envelope,
    expected: &RepositoryId,
) -> Result<(ObjectId, Head), Rejection> {
    let len = codec::encode(envelope).len();
    if len > limits::HEAD_LEN_MAX {
        return Err(Rejection::HeadTooLong(len));
    }
    let head: Head = envelope.decode_body().map_err(Rejection::Head)?;
    let got = head.repository();
    if got != *expected {
        return Err(Rejection::WrongRepository {
            expected: expected.clone(),
            got,
        });
    }
    Ok((envelope.id::<Head>(), head))
}

/// The identity event that the head names, if it is in the log under the id that the head gives.
fn named_event<'a>(log: &'a IdentityLog, head: &Head) -> Result<&'a IdentityEvent, Rejection> {
    let index = head.identity_index;
    if log.event_id(index) != Some(head.identity) {
        return Err(Rejection::UnknownEvent { index });
    }
    log.event(index).ok_or(Rejection::UnknownEvent { index })
}

/// Checks a head's signatures by the rule for today: see the module above.
pub(super) fn signatures(
    network: NetworkId,
    log: &IdentityLog,
    envelope: &Envelope,
    head: &Head,
) -> Result<(), Rejection> {
    let named = named_event(log, head)?;
    let tip = log.tip();
    let threshold = named.release_threshold.max(tip.release_threshold);
    let counts = |key: &PublicKey| tip.release_keys.contains(key) && !log.is_revoked(key);
    envelope
        .verify_counting::<Head>(network, &named.release_keys, usize::from(threshold), counts)
        .map_err(|error| {
            let enough = envelope.signatures.len() >= usize::from(named.release_threshold);
            let dropped = matches!(error, EnvelopeError::TooFew { got, .. } if got < envelope.signatures.len());
            if enough && dropped {
                Rejection::SupersededKeys
            } else {
                Rejection::Signature(error)
            }
        })
}

/// Checks a head's signatures by the rule of its own day: for heads that a newer, verified head vouches for.
pub(super) fn historic_signatures(
    network: NetworkId,
    log: &IdentityLog,
    envelope: &Envelope,
    head: &Head,
) -> Result<(), Rejection> {
    let named = named_event(log, head)?;
    envelope
        .verify::<Head>(
            network,
            &named.release_keys,
            usize::from(named.release_threshold),
        )
        .map_err(Rejection::Signature)
}

pub(super) fn times(now: Timestamp, head: &Head) -> Result<(), Rejection> {
    if head.issued > now.plus(limits::CLOCK_SKEW_MAX) {
        return Err(Rejection::FromFuture {
            issued: head.issued,
        });
    }
    if head.expires <= now {
        return Err(Rejection::Expired {
            expires: head.expires,
        });
    }
    Ok(())
}

/// Checks the record's freshness statement about `head`. A wrong one refuses the record; one that is
/// only past its time, or signed by a freshness key replaced since, is dropped.
pub(super) fn freshness(
    network: NetworkId,
    now: Timestamp,
    log: &IdentityLog,
    head: &Head,
    id: ObjectId,
    record: &RepositoryRecord,
) -> Result<Option<(Freshness, Envelope)>, Rejection> {
    let Some(envelope) = &record.freshness else {
        return Ok(None);
    };
    let freshness: Freshness = envelope.decode_body().map_err(Rejection::Freshness)?;
    let target = (
        freshness.publisher,
        &freshness.name,
        freshness.head,
        freshness.index,
    );
    if target != (head.publisher, &head.name, id, head.index) {
        return Err(Rejection::FreshnessTarget);
    }
    if freshness.is_early(now) {
        return Err(Rejection::FromFuture {
            issued: freshness.issued,
        });
    }
    // An honest holder may have learned of a rotation after it got the statement, so every key since
    // the head was signed is tried; only the newest one counts.
    let since = usize::try_from(head.identity_index).unwrap_or(usize::MAX);
    let keys = log
        .events()
        .iter()
        .skip(since)
        .rev()
        .filter_map(|event| event.freshness_key);
    let mut tried: Option<PublicKey> = None;
    let mut signer = None;
    for key in keys {
        if tried.replace(key) == Some(key) {
            continue;
        }
        if envelope.verify::<Freshness>(network, &[key], 1).is_ok() {
            signer = Some(key);
            break;
        }
    }
    let signer = signer.ok_or(Rejection::FreshnessSignature)?;
    let current = log.tip().freshness_key == Some(signer) && !log.is_revoked(&signer);
    let counts = current && freshness.expires > now;
    Ok(counts.then(|| (freshness, envelope.clone())))
}

/// Whether a freshness statement is signed by the key that counts today.
pub(crate) fn is_by_freshness_key(
    network: NetworkId,
    log: &IdentityLog,
    envelope: &Envelope,
) -> bool {
    log.tip().freshness_key.is_some_and(|key| {
        !log.is_revoked(&key) && envelope.verify::<Freshness>(network, &[key], 1).is_ok()
    })
}
