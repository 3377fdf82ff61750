//! A publisher's identity: a small signed log with pre-rotated keys (as in KERI).
//!
//! The publisher's id is the object id of the first event. Each event commits to digests of the root
//! keys that may sign the next one, so that whoever steals every key in use still cannot rotate the
//! identity: the next keys have never been shown to anybody. Two events at one position are a fork;
//! [`crate::accept`] turns it into evidence.
//!
//! # Invariants
//! An [`IdentityLog`] holds at least the inception event, and every event in it was verified. A key
//! that an event revokes never comes back in a later event.

use std::collections::BTreeSet;

use minicbor::{Decode, Encode};

use crate::{
    codec::{DecodeError, Object, bounded, is_plain_text},
    id::{ObjectId, PublisherId},
    limits,
    sign::{Envelope, EnvelopeError, NetworkId, PublicKey},
    time::Timestamp,
};

#[cfg(test)]
mod tests;

/// One event. Signed by its own `root_keys` (threshold `root_threshold`); from the second event on those keys
/// must be ones whose digests the event before committed to (at least its `next_threshold` of them sign).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct IdentityEvent {
    /// Position, 0 for inception.
    #[n(0)]
    pub index: u64,
    /// Id of the event before; absent in inception.
    #[n(1)]
    pub previous: Option<ObjectId>,
    /// Keys in use for the log itself.
    #[cbor(n(2), decode_with = "bounded::<{ limits::KEYS_PER_ROLE_MAX }, _, _>")]
    pub root_keys: Vec<PublicKey>,
    /// How many of them must sign.
    #[n(3)]
    pub root_threshold: u16,
    /// BLAKE3 digests (domain separated) of the next root keys.
    #[cbor(n(4), decode_with = "bounded::<{ limits::KEYS_PER_ROLE_MAX }, _, _>")]
    pub next_digests: Vec<ObjectId>,
    /// How many of the next keys must sign the next event.
    #[n(5)]
    pub next_threshold: u16,
    /// Keys that sign heads.
    #[cbor(n(6), decode_with = "bounded::<{ limits::KEYS_PER_ROLE_MAX }, _, _>")]
    pub release_keys: Vec<PublicKey>,
    /// How many of them must sign.
    #[n(7)]
    pub release_threshold: u16,
    /// The online key that signs freshness.
    #[n(8)]
    pub freshness_key: Option<PublicKey>,
    /// The key that signs labels.
    #[n(9)]
    pub label_key: Option<PublicKey>,
    /// Keys of nodes that serve inference in the publisher's name.
    #[cbor(n(10), decode_with = "bounded::<{ limits::SERVING_KEYS_MAX }, _, _>")]
    pub serving_keys: Vec<PublicKey>,
    /// Claimed aliases, `dns:` or `did:web:`.
    #[cbor(n(11), decode_with = "bounded::<{ limits::ALIASES_MAX }, _, _>")]
    pub aliases: Vec<String>,
    /// Revoked release, freshness, label or serving keys.
    #[cbor(n(12), decode_with = "bounded::<{ limits::REVOCATIONS_MAX }, _, _>")]
    pub revocations: Vec<PublicKey>,
    /// When it was made.
    #[n(13)]
    pub created: Timestamp,
}

/// Digest of a future root key: BLAKE3 of `"weft/next-key/v1\0"` and the key.
pub fn next_digest(key: &PublicKey) -> ObjectId {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"weft/next-key/v1\0");
    hasher.update(&key.0);
    ObjectId::new(*hasher.finalize().as_bytes())
}

impl IdentityEvent {
    /// All keys in a role that can be revoked.
    fn role_keys(&self) -> impl Iterator<Item = &PublicKey> {
        let single = self.freshness_key.iter().chain(&self.label_key);
        self.release_keys
            .iter()
            .chain(single)
            .chain(&self.serving_keys)
    }
}

impl Object for IdentityEvent {
    const TYPE: &'static str = "ident";
    const LEN_MAX: usize = limits::IDENTITY_EVENT_LEN_MAX;

    fn validate(&self) -> Result<(), String> {
        if (self.index == 0) != self.previous.is_none() {
            return Err("the first event, and only the first, has no event before it".to_owned());
        }
        if self.index >= limits::IDENTITY_EVENTS_MAX as u64 {
            return Err(format!("index {} is beyond the longest log", self.index));
        }
        role("root", &self.root_keys, self.root_threshold)?;
        role("next root", &self.next_digests, self.next_threshold)?;
        role("release", &self.release_keys, self.release_threshold)?;
        distinct("serving", &self.serving_keys, limits::SERVING_KEYS_MAX)?;
        distinct("revoked", &self.revocations, limits::REVOCATIONS_MAX)?;
        distinct("alias", &self.aliases, limits::ALIASES_MAX)?;
        for alias in &self.aliases {
            let name = alias
                .strip_prefix("dns:")
                .or_else(|| alias.strip_prefix("did:web:"));
            let named = name.is_some_and(|name| !name.is_empty());
            if !named || alias.len() > limits::ALIAS_LEN_MAX || !is_plain_text(alias, false) {
                return Err("an alias is not a `dns:` or `did:web:` name".to_owned());
            }
        }
        Ok(())
    }
}

/// Checks that a role has 1 to 9 different keys and a threshold they can reach.
fn role<T: Ord>(what: &str, keys: &[T], threshold: u16) -> Result<(), String> {
    distinct(what, keys, limits::KEYS_PER_ROLE_MAX)?;
    if threshold == 0 || usize::from(threshold) > keys.len() {
        return Err(format!(
            "{threshold} of {} {what} keys cannot sign",
            keys.len()
        ));
    }
    Ok(())
}

fn distinct<T: Ord>(what: &str, items: &[T], max: usize) -> Result<(), String> {
    let set: BTreeSet<_> = items.iter().collect();
    if items.len() > max {
        return Err(format!(
            "{} {what} entries are more than the {max} allowed",
            items.len()
        ));
    }
    if set.len() != items.len() {
        return Err(format!("a {what} entry stands twice"));
    }
    Ok(())
}

/// A verified log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityLog {
    publisher: PublisherId,
    events: Vec<IdentityEvent>,
    ids: Vec<ObjectId>,
    envelopes: Vec<Envelope>,
    revoked: BTreeSet<PublicKey>,
}

/// Why a log is refused. `index` is the event's position in the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// No event at all.
    #[error("the identity log is empty")]
    Empty,
    /// More events than [`limits::IDENTITY_EVENTS_MAX`].
    #[error("the identity log has more than {max} events", max = limits::IDENTITY_EVENTS_MAX)]
    TooLong,
    /// The event is not well formed.
    #[error("identity event {index} is not valid")]
    Event {
        /// Which.
        index: usize,
        /// Why.
        #[source]
        source: DecodeError,
    },
    /// The event states another position, or another event before it.
    #[error("identity event {index} does not follow the event before it")]
    Chain {
        /// Which.
        index: usize,
    },
    /// A root key to which the event before did not commit.
    #[error("identity event {index} uses a root key that was not committed to")]
    Uncommitted {
        /// Which.
        index: usize,
    },
    /// The event is not signed as its own or the previous event demands.
    #[error("identity event {index} is not signed as it must be")]
    Signature {
        /// Which.
        index: usize,
        /// Why.
        #[source]
        source: EnvelopeError,
    },
    /// The event uses a key that it or an earlier event revoked.
    #[error("identity event {index} uses the revoked key `{key}`")]
    Revoked {
        /// Which.
        index: usize,
        /// Which key.
        key: PublicKey,
    },
}

impl IdentityLog {
    /// Verifies every event from inception on.
    ///
    /// # Errors
    /// Says which event breaks which rule.
    pub fn verify(network: NetworkId, events: &[Envelope]) -> Result<Self, IdentityError> {
        let (inception, later) = events.split_first().ok_or(IdentityError::Empty)?;
        if events.len() > limits::IDENTITY_EVENTS_MAX {
            return Err(IdentityError::TooLong);
        }
        let mut log = Self::begin(network, inception)?;
        for event in later {
            log.append(network, event.clone())?;
        }
        Ok(log)
    }

    /// As [`IdentityLog::verify`], but takes over what `known` verified already if it is literally the same.
    ///
    /// # Errors
    /// Says which event breaks which rule.
    pub fn verify_from(
        known: &Self,
        network: NetworkId,
        events: &[Envelope],
    ) -> Result<Self, IdentityError> {
        let Some(later) = events.strip_prefix(known.envelopes.as_slice()) else {
            return Self::verify(network, events);
        };
        let mut log = known.clone();
        for event in later {
            log.append(network, event.clone())?;
        }
        Ok(log)
    }

    fn begin(network: NetworkId, inception: &Envelope) -> Result<Self, IdentityError> {
        let id = inception.id::<IdentityEvent>();
        let mut log = Self {
            publisher: PublisherId::new(*id.as_bytes()),
            events: Vec::new(),
            ids: Vec::new(),
            envelopes: Vec::new(),
            revoked: BTreeSet::new(),
        };
        log.append(network, inception.clone())?;
        Ok(log)
    }

    /// Appends one event after verifying it. On an error the log is unchanged.
    ///
    /// # Errors
    /// Says which rule the event breaks.
    pub fn append(&mut self, network: NetworkId, event: Envelope) -> Result<(), IdentityError> {
        let index = self.events.len();
        if index >= limits::IDENTITY_EVENTS_MAX {
            return Err(IdentityError::TooLong);
        }
        let decoded: IdentityEvent = event
            .decode_body()
            .map_err(|source| IdentityError::Event { index, source })?;
        if decoded.index != index as u64 || decoded.previous != self.ids.last().copied() {
            return Err(IdentityError::Chain { index });
        }
        let mut threshold = decoded.root_threshold;
        if let Some(previous) = self.events.last() {
            let committed = |key| previous.next_digests.contains(&next_digest(key));
            if !decoded.root_keys.iter().all(committed) {
                return Err(IdentityError::Uncommitted { index });
            }
            threshold = threshold.max(previous.next_threshold);
        }
        event
            .verify::<IdentityEvent>(network, &decoded.root_keys, usize::from(threshold))
            .map_err(|source| IdentityError::Signature { index, source })?;
        let gone =
            |key: &&PublicKey| self.revoked.contains(*key) || decoded.revocations.contains(key);
        if let Some(key) = decoded.role_keys().find(gone) {
            return Err(IdentityError::Revoked { index, key: *key });
        }
        self.revoked.extend(&decoded.revocations);
        self.ids.push(event.id::<IdentityEvent>());
        self.events.push(decoded);
        self.envelopes.push(event);
        Ok(())
    }

    /// The publisher's id: the object id of inception.
    pub fn publisher(&self) -> PublisherId {
        self.publisher
    }
    /// Number of events, at least one.
    #[expect(clippy::len_without_is_empty, reason = "a log is never empty")]
    pub fn len(&self) -> usize {
        self.events.len()
    }
    /// All events from inception on.
    pub fn events(&self) -> &[IdentityEvent] {
        &self.events
    }
    /// Ids of all events.
    pub fn ids(&self) -> &[ObjectId] {
        &self.ids
    }
    /// The event at `index`.
    pub fn event(&self, index: u64) -> Option<&IdentityEvent> {
        self.events.get(usize::try_from(index).ok()?)
    }
    /// Object id of the event at `index`.
    pub fn event_id(&self, index: u64) -> Option<ObjectId> {
        self.ids.get(usize::try_from(index).ok()?).copied()
    }
    /// The newest event.
    pub fn tip(&self) -> &IdentityEvent {
        self.events
            .last()
            .expect("a log holds at least its inception")
    }
    /// Object id of the newest event.
    pub fn tip_id(&self) -> ObjectId {
        *self.ids.last().expect("a log holds at least its inception")
    }
    /// The signed events.
    pub fn envelopes(&self) -> &[Envelope] {
        &self.envelopes
    }
    /// Whether any event revoked `key`.
    pub fn is_revoked(&self, key: &PublicKey) -> bool {
        self.revoked.contains(key)
    }
    /// Position of the first event in which two logs of one publisher differ, if they do.
    pub fn divergence(&self, other: &Self) -> Option<usize> {
        self.ids.iter().zip(&other.ids).position(|(a, b)| a != b)
    }
}
