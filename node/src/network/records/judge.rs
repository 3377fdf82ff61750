//! What a record is worth, alone and next to another. The rules themselves are `protocol::accept`'s.

use std::cmp::Ordering;

use weft_protocol::{
    accept::{self, EquivocationProof, Known, Rejection, RepositoryRecord, Verdict},
    codec::DecodeError,
    discovery,
    service::DhtKey,
    sign::NetworkId,
    time::Timestamp,
    wire,
};

/// A record that verified, reduced to what the store needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Judged {
    /// Where it belongs.
    pub(crate) key: DhtKey,
    /// Until when its head counts.
    pub(crate) expires: Timestamp,
}

/// How another record stands to the one held under the same key.
#[derive(Debug)]
pub(crate) enum Comparison {
    /// A higher index, or the same head with a newer freshness or a longer identity. With the bytes to
    /// keep: the better head under the longer identity.
    Better(Vec<u8>),
    /// Nothing more than is held.
    Same,
    /// A lower index.
    Worse,
    /// The publisher contradicted itself.
    Contradiction(Box<EquivocationProof>),
    /// Not to be believed by anybody who knows the held one.
    Refused(Rejection),
}

/// Why bytes are no record.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Invalid {
    /// They do not decode.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// They decode and prove nothing.
    #[error(transparent)]
    Rejected(#[from] Rejection),
}

/// Decodes and verifies a record's bytes.
///
/// # Errors
/// Says why they are no record.
pub(crate) fn judge(network: NetworkId, now: Timestamp, value: &[u8]) -> Result<Judged, Invalid> {
    let record: RepositoryRecord = wire::decode(value)?;
    let (repository, _, head) = record.verify(network, now)?;
    Ok(Judged {
        key: discovery::repository_key(&repository),
        expires: head.head.expires,
    })
}

/// Compares a record that verified alone with the one held.
///
/// A store has no leaves, so a higher index counts without a proof that it extends the lower one: those
/// who follow the repository check that.
pub(crate) fn compare(
    network: NetworkId,
    now: Timestamp,
    held: &[u8],
    other_bytes: &[u8],
) -> Comparison {
    let decoded = (
        wire::decode::<RepositoryRecord>(held),
        wire::decode::<RepositoryRecord>(other_bytes),
    );
    let (Ok(held), Ok(other)) = decoded else {
        // Both decoded when they were judged.
        return Comparison::Same;
    };
    let Ok((repository, held_log, held_head)) = held.verify(network, now) else {
        // Its time is over.
        return Comparison::Better(other_bytes.to_vec());
    };
    let judge_by =
        |known: Known<'_>, record| accept::judge(network, now, &repository, known, record);
    let known_log = |log| Known {
        identity: Some(log),
        ..Known::default()
    };

    let (log, head) = match judge_by(known_log(&held_log), &other) {
        Verdict::Accept { identity, head } => (identity, head),
        Verdict::Equivocation(proof) => return Comparison::Contradiction(proof),
        Verdict::Reject(rejection) => return Comparison::Refused(rejection),
        // Only said to those who hold a head.
        Verdict::Same { .. } | Verdict::Older | Verdict::NeedsExtension => return Comparison::Same,
    };
    let better = || Comparison::Better(under(&log, &other, other_bytes));
    // A rotation that silenced the keys of the held head beats it, whatever index a thief gave it.
    if log.len() > held_log.len()
        && let Verdict::Reject(_) = judge_by(known_log(&log), &held)
    {
        return better();
    }
    match head.head.index.cmp(&held_head.head.index) {
        Ordering::Greater => better(),
        Ordering::Less => Comparison::Worse,
        Ordering::Equal if head.id == held_head.id => {
            let issued = |head: &accept::AcceptedHead| {
                head.freshness
                    .as_ref()
                    .map(|(freshness, _)| freshness.issued)
            };
            let newer = (issued(&head), log.len()) > (issued(&held_head), held_log.len());
            if newer { better() } else { Comparison::Same }
        }
        Ordering::Equal => {
            let known = Known {
                head: Some(&held_head),
                ..known_log(&held_log)
            };
            match judge_by(known, &other) {
                Verdict::Equivocation(proof) => Comparison::Contradiction(proof),
                _ => Comparison::Refused(Rejection::IndexTaken {
                    index: head.head.index,
                }),
            }
        }
    }
}

/// The record under the longer of the two identity logs, so that a rotation once known is not lost.
fn under(
    log: &weft_protocol::identity::IdentityLog,
    record: &RepositoryRecord,
    bytes: &[u8],
) -> Vec<u8> {
    if record.identity.len() >= log.len() {
        return bytes.to_vec();
    }
    wire::encode(&RepositoryRecord {
        identity: log.envelopes().to_vec(),
        ..record.clone()
    })
}
