//! A publisher's identity: a small signed log with pre-rotated keys (as in KERI).
use crate::{id::{ObjectId, PublisherId}, sign::{Envelope, NetworkId, PublicKey}, time::Timestamp};
/// One event. Signed by its own `root_keys` (threshold `root_threshold`); from the second event on those keys
/// must be ones whose digests the event before committed to (at least its `next_threshold` of them sign).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityEvent {
    /// Position, 0 for inception.
    pub index: u64,
    /// Id of the event before; absent in inception.
    pub previous: Option<ObjectId>,
    /// Keys in use for the log itself.
    pub root_keys: Vec<PublicKey>,
    /// How many of them must sign.
    pub root_threshold: u16,
    /// BLAKE3 digests (domain separated) of the next root keys.
    pub next_digests: Vec<ObjectId>,
    /// How many of the next keys must sign the next event.
    pub next_threshold: u16,
    /// Keys that sign heads.
    pub release_keys: Vec<PublicKey>,
    /// How many of them must sign.
    pub release_threshold: u16,
    /// The online key that signs freshness.
    pub freshness_key: Option<PublicKey>,
    /// The key that signs labels.
    pub label_key: Option<PublicKey>,
    /// Keys of nodes that serve inference in the publisher's name.
    pub serving_keys: Vec<PublicKey>,
    /// Claimed aliases, `dns:` or `did:web:`.
    pub aliases: Vec<String>,
    /// Revoked release, freshness or label keys.
    pub revocations: Vec<PublicKey>,
    /// When it was made.
    pub created: Timestamp,
}
/// Digest of a future root key.
pub fn next_digest(_key: &PublicKey) -> ObjectId { todo!() }
/// A verified log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityLog { }
/// Why a log is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError { }
impl IdentityLog {
    /// Verifies every event from inception on.
    pub fn verify(_network: NetworkId, _events: &[Envelope]) -> Result<Self, IdentityError> { todo!() }
    /// The publisher's id: the object id of inception.
    pub fn publisher(&self) -> PublisherId { todo!() }
    /// The event at `index`.
    pub fn event(&self, _index: u64) -> Option<&IdentityEvent> { todo!() }
    /// Object id of the event at `index`.
    pub fn event_id(&self, _index: u64) -> Option<ObjectId> { todo!() }
    /// The newest event.
    pub fn tip(&self) -> &IdentityEvent { todo!() }
    /// Object id of the newest event.
    pub fn tip_id(&self) -> ObjectId { todo!() }
    /// The signed events.
    pub fn envelopes(&self) -> &[Envelope] { todo!() }
    /// Appends one event after verifying it.
    pub fn append(&mut self, _network: NetworkId, _event: Envelope) -> Result<(), IdentityError> { todo!() }
}
