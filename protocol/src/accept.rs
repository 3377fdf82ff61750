//! Acceptance: the one place that decides whether a head is believed. Pure; every branch is
//! tested in `tests/suite/acceptance.rs`.
//!
//! # Which keys count
//! A head names the identity event whose release keys sign it. A signature counts if its key is a
//! release key of that event **and still one of the newest event known to the judge**, and was never
//! revoked; as many must count as the stricter of the two events demands. So a rotation that replaces
//! release keys silences the old ones at once, wherever the new event is known, even for heads that
//! were signed before (the publisher signs its heads again after such a rotation), while a rotation
//! that leaves them alone disturbs nothing. The "newest event known" is the longer of the judge's own
//! log and the record's.
//!
//! # Which head wins
//! A higher index with a proof that it extends the head we hold. A lower index is ignored. At the same
//! index another id is evidence of equivocation if both heads verify under the rule above, and refused
//! otherwise (a thief of superseded keys cannot frame the publisher). Two different identity events at
//! one position are evidence as well.

use minicbor::{Decode, Encode};

use crate::{
    codec::{self, DecodeError},
    freshness::Freshness,
    head::Head,
    id::{ObjectId, PublisherId, RepositoryId},
    identity::{IdentityError, IdentityLog},
    limits,
    log::{self, Extension},
    sign::{Envelope, EnvelopeError, NetworkId},
    time::Timestamp,
};

mod equivocation;
mod revision;
mod verify;

pub use equivocation::{EquivocationProof, EquivocationSubject};
pub(crate) use verify::is_by_freshness_key;

/// A self-certifying statement about a repository: what DHT records, gossip and answers carry.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RepositoryRecord {
    /// The publisher's identity log from inception on.
    #[cbor(
        n(0),
        decode_with = "codec::bounded::<{ limits::IDENTITY_EVENTS_MAX }, _, _>"
    )]
    pub identity: Vec<Envelope>,
    /// The signed head.
    #[n(1)]
    pub head: Envelope,
    /// The newest freshness statement; it must name the head above.
    #[n(2)]
    pub freshness: Option<Envelope>,
    /// Proof towards a head the reader may hold.
    #[n(3)]
    pub extension: Option<Extension>,
}

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
#[derive(Debug, Clone, Copy, Default)]
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
    /// A newer head: persist, then expose.
    Accept {
        /// The longer of the two logs.
        identity: IdentityLog,
        /// The head.
        head: Box<AcceptedHead>,
    },
    /// The head we hold.
    Same {
        /// A statement newer than ours, if the record brought one.
        freshness: Option<(Freshness, Envelope)>,
        /// A longer identity log, if the record brought one.
        identity: Option<IdentityLog>,
    },
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
pub enum Rejection {
    /// The identity log does not verify.
    #[error("the identity log is refused")]
    Identity(#[from] IdentityError),
    /// It is about another publisher than expected.
    #[error("it is about publisher `{got}`, not `{expected}`")]
    WrongPublisher {
        /// Expected.
        expected: PublisherId,
        /// Found.
        got: PublisherId,
    },
    /// It is about another repository than expected.
    #[error("it is about `{got}`, not `{expected}`")]
    WrongRepository {
        /// Expected.
        expected: RepositoryId,
        /// Found.
        got: RepositoryId,
    },
    /// The signed head is longer than any head may be.
    #[error("a signed head of {0} bytes is longer than the {max} allowed", max = limits::HEAD_LEN_MAX)]
    HeadTooLong(usize),
    /// The head is not well formed, or its lifetime is too long.
    #[error("the head is not valid")]
    Head(#[source] DecodeError),
    /// The head names an identity event that the log does not have.
    #[error("the head names identity event {index}, which is not in the log")]
    UnknownEvent {
        /// The named position.
        index: u64,
    },
    /// Wrong network, wrong role, wrong bytes, or too few signatures.
    #[error("the signatures on the head are refused")]
    Signature(#[source] EnvelopeError),
    /// Enough signatures for the event the head names, but by keys that were replaced or revoked since.
    #[error("the head is signed by release keys that were replaced or revoked")]
    SupersededKeys,
    /// Issued later than any clock could say now.
    #[error("it was issued at {issued}, which lies in the future")]
    FromFuture {
        /// When it says.
        issued: Timestamp,
    },
    /// The head's time is over.
    #[error("the head expired at {expires}")]
    Expired {
        /// When.
        expires: Timestamp,
    },
    /// The freshness statement is not well formed.
    #[error("the freshness statement is not valid")]
    Freshness(#[source] DecodeError),
    /// The freshness statement is about another head.
    #[error("the freshness statement is about another head")]
    FreshnessTarget,
    /// The freshness statement is not signed by the publisher's freshness key.
    #[error("the freshness statement is not signed by the freshness key")]
    FreshnessSignature,
    /// Newer, but its log does not contain the head we hold.
    #[error("head {index} does not extend the head that was accepted before")]
    NotAnExtension {
        /// Its index.
        index: u64,
    },
    /// Another head was accepted at this index, and the two do not amount to an equivocation by the current keys.
    #[error("another head was accepted at index {index}")]
    IndexTaken {
        /// The index.
        index: u64,
    },
    /// The repository is frozen, or the identity forked: nothing is accepted any more.
    #[error("the repository is frozen because its publisher contradicted itself")]
    Frozen,
    /// The two objects of an equivocation proof do not contradict each other.
    #[error("the two objects do not contradict each other")]
    NoContradiction,
    /// The proof does not show that the revision was ever a head.
    #[error("the proof does not show that the revision was ever a head")]
    NotIncluded,
}

/// Judges a record. `expected` is the repository it was asked for.
///
/// Nothing is changed by judging. The caller persists what [`Verdict::Accept`] hands back before it
/// shows it to anybody.
pub fn judge(
    network: NetworkId,
    now: Timestamp,
    expected: &RepositoryId,
    known: Known<'_>,
    record: &RepositoryRecord,
) -> Verdict {
    weigh(network, now, expected, known, record).unwrap_or_else(Verdict::Reject)
}

fn weigh(
    network: NetworkId,
    now: Timestamp,
    expected: &RepositoryId,
    known: Known<'_>,
    record: &RepositoryRecord,
) -> Result<Verdict, Rejection> {
    let publisher = expected.publisher;
    let brought = verify::identity(network, publisher, known.identity, &record.identity)?;
    if known.frozen {
        return Err(Rejection::Frozen);
    }
    if let Some(proof) = known
        .identity
        .and_then(|ours| EquivocationProof::of_identities(ours, &brought))
    {
        return Ok(Verdict::Equivocation(Box::new(proof)));
    }
    let longer = known.identity.filter(|ours| ours.len() >= brought.len());
    let is_news = longer.is_none();
    let log = longer.unwrap_or(&brought);

    let (id, head) = verify::open_head(&record.head, expected)?;
    if let Some(ours) = known.head.filter(|ours| ours.id == id) {
        let freshness = verify::freshness(network, now, log, &ours.head, id, record)?;
        let freshness = freshness.filter(|(theirs, _)| {
            ours.freshness
                .as_ref()
                .is_none_or(|(held, _)| held.issued < theirs.issued || held.is_early(now))
        });
        let identity = is_news.then_some(brought);
        return Ok(Verdict::Same {
            freshness,
            identity,
        });
    }
    let verified = verify::signatures(network, log, &record.head, &head)
        .and_then(|()| verify::times(now, &head));
    if known.head.is_some_and(|ours| head.index < ours.head.index) {
        // A peer that lags behind honestly holds what was right once: ignored, not held against it.
        return match verified {
            Ok(()) | Err(Rejection::SupersededKeys | Rejection::Expired { .. }) => {
                Ok(Verdict::Older)
            }
            Err(rejection) => Err(rejection),
        };
    }
    verified?;
    let freshness = verify::freshness(network, now, log, &head, id, record)?;

    if let Some(ours) = known.head {
        if head.index == ours.head.index {
            // Both must hold under the same log: what a thief signs with replaced keys proves nothing.
            return match verify::signatures(network, log, &ours.envelope, &ours.head) {
                Ok(()) => Ok(Verdict::Equivocation(Box::new(
                    EquivocationProof::of_heads(log, &ours.envelope, &record.head),
                ))),
                Err(_) => Err(Rejection::IndexTaken { index: head.index }),
            };
        }
        match extends(ours, known.leaves, &head, record.extension.as_ref()) {
            Some(true) => {}
            Some(false) => return Err(Rejection::NotAnExtension { index: head.index }),
            None => return Ok(Verdict::NeedsExtension),
        }
    }
    let head = AcceptedHead {
        id,
        head,
        envelope: record.head.clone(),
        freshness,
    };
    Ok(Verdict::Accept {
        identity: log.clone(),
        head: Box::new(head),
    })
}

/// Whether `head`, of a higher index, extends `ours`; `None` if that cannot be told from what is here.
fn extends(
    ours: &AcceptedHead,
    leaves: Option<&[ObjectId]>,
    head: &Head,
    extension: Option<&Extension>,
) -> Option<bool> {
    let follows = ours.head.index.checked_add(1) == Some(head.index);
    if follows && head.previous != Some(ours.id) {
        return Some(false);
    }
    if let Some(leaves) = leaves.filter(|leaves| follows && leaves.len() as u64 == head.index) {
        // The leaves are ours, so a log root over them that is right shows all that an extension would.
        return Some(leaves.last() == Some(&ours.id) && log::root(leaves) == head.log_root);
    }
    let extension = extension.filter(|extension| extension.from == ours.head.index)?;
    Some(extension.verify(ours.id, ours.head.log_root, head.index, head.log_root))
}

impl RepositoryRecord {
    /// Verifies the record on its own, with nothing known (what a DHT node does before storing): which repository, and the head.
    ///
    /// The extension is not looked at: it means something only to whoever holds the older head.
    ///
    /// # Errors
    /// Says why the record is not to be believed.
    pub fn verify(
        &self,
        network: NetworkId,
        now: Timestamp,
    ) -> Result<(RepositoryId, IdentityLog, AcceptedHead), Rejection> {
        let repository = self.repository()?;
        let log = verify::identity(network, repository.publisher, None, &self.identity)?;
        let (id, head) = verify::open_head(&self.head, &repository)?;
        verify::signatures(network, &log, &self.head, &head)?;
        verify::times(now, &head)?;
        let freshness = verify::freshness(network, now, &log, &head, id, self)?;
        let head = AcceptedHead {
            id,
            head,
            envelope: self.head.clone(),
            freshness,
        };
        Ok((repository, log, head))
    }

    /// The repository that the head says it is about. Nothing is verified.
    ///
    /// # Errors
    /// If the head does not decode.
    pub fn repository(&self) -> Result<RepositoryId, Rejection> {
        let head: Head = self.head.decode_body().map_err(Rejection::Head)?;
        Ok(head.repository())
    }
}
