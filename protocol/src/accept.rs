//! Acceptance: the one place that decides whether a head is believed. Pure; every branch tested.
use crate::{freshness::Freshness, head::Head, id::{ObjectId, RepositoryId}, identity::IdentityLog, log::Extension, sign::{Envelope, NetworkId}, time::Timestamp};
/// A self-certifying statement about a repository: what DHT records, gossip and answers carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryRecord {
    /// The publisher's identity log from inception on.
    pub identity: Vec<Envelope>,
    /// The signed head.
    pub head: Envelope,
    /// The newest freshness statement.
    pub freshness: Option<Envelope>,
    /// Proof towards a head the reader may hold.
    pub extension: Option<Extension>,
}
/// Two contradicting signed objects of one publisher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EquivocationProof {
    /// Identity log that names the keys (for an identity fork: the common prefix).
    pub identity: Vec<Envelope>,
    /// Whether heads or identity events contradict.
    pub subject: EquivocationSubject,
    /// One.
    pub first: Envelope,
    /// The other; same position, different id. `first` has the smaller id.
    pub second: Envelope,
}
/// What contradicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EquivocationSubject { /** two heads at one index */ Head, /** two identity events at one position */ Identity }
/// A head that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedHead {
    /// Its id.
    pub id: ObjectId,
    /// What it says.
    pub head: Head,
    /// As signed.
    pub envelope: Envelope,
    /// The valid freshness statement that names it, if any.
    pub freshness: Option<(Freshness, Envelope)>,
}
/// What this node already believes.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The identity log it holds.
    pub identity: Option<&'a IdentityLog>,
    /// The head it holds.
    pub head: Option<&'a AcceptedHead>,
    /// All leaves `0..=head.index`, if it holds them (then a head at `index + 1` needs no extension).
    pub leaves: Option<&'a [ObjectId]>,
    /// Whether the repository is frozen or the identity forked.
    pub frozen: bool,
}
/// What to do with a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A newer head: persist, then expose. `identity` is the longer of the two logs.
    Accept { /// The log.
        identity: IdentityLog, /// The head.
        head: Box<AcceptedHead> },
    /// The head we hold; its freshness is newer than ours if present.
    Same { /// Newer statement.
        freshness: Option<(Freshness, Envelope)>, /// A longer identity log, if the record brought one.
        identity: Option<IdentityLog> },
    /// Older than ours.
    Older,
    /// Newer, but without a proof that it extends ours: ask for one.
    NeedsExtension,
    /// The publisher contradicted itself.
    Equivocation(Box<EquivocationProof>),
    /// Not to be believed.
    Reject(Rejection),
}
/// Why a record is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection { }
/// Judges a record. `expected` is the repository it was asked for.
pub fn judge(_network: NetworkId, _now: Timestamp, _expected: &RepositoryId, _known: Known<'_>, _record: &RepositoryRecord) -> Verdict { todo!() }
impl RepositoryRecord {
    /// Verifies the record on its own, with nothing known (what a DHT node does before storing): which repository, and the head.
    pub fn verify(&self, _network: NetworkId, _now: Timestamp) -> Result<(RepositoryId, IdentityLog, AcceptedHead), Rejection> { todo!() }
}
impl EquivocationProof {
    /// Verifies both sides; returns the publisher and, for heads, the repository and index.
    pub fn verify(&self, _network: NetworkId) -> Result<(crate::id::PublisherId, Option<(RepositoryId, u64)>), Rejection> { todo!() }
}
