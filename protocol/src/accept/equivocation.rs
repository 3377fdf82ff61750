//! Evidence that a publisher contradicted itself.

use minicbor::{Decode, Encode};

use super::{Rejection, verify};
use crate::{
    codec,
    head::Head,
    id::{PublisherId, RepositoryId},
    identity::{IdentityEvent, IdentityLog},
    limits,
    sign::{Envelope, NetworkId},
};

/// Two contradicting signed objects of one publisher.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct EquivocationProof {
    /// Identity log that names the keys (for an identity fork: the common prefix).
    #[cbor(
        n(0),
        decode_with = "codec::bounded::<{ limits::IDENTITY_EVENTS_MAX }, _, _>"
    )]
    pub identity: Vec<Envelope>,
    /// Whether heads or identity events contradict.
    #[n(1)]
    pub subject: EquivocationSubject,
    /// One.
    #[n(2)]
    pub first: Envelope,
    /// The other; same position, different id. `first` has the smaller id.
    #[n(3)]
    pub second: Envelope,
}

/// What contradicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum EquivocationSubject {
    /// Two heads at one index.
    #[n(0)]
    Head,
    /// Two identity events at one position.
    #[n(1)]
    Identity,
}

impl EquivocationProof {
    /// Makes the proof from two heads that were verified under `log`.
    pub(super) fn of_heads(log: &IdentityLog, one: &Envelope, other: &Envelope) -> Self {
        let (first, second) = ordered(one, other, Envelope::id::<Head>);
        let identity = log.envelopes().to_vec();
        Self {
            identity,
            subject: EquivocationSubject::Head,
            first,
            second,
        }
    }

    /// Makes the proof from two verified logs of one publisher, if they diverge.
    pub fn of_identities(one: &IdentityLog, other: &IdentityLog) -> Option<Self> {
        if one.publisher() != other.publisher() {
            return None;
        }
        let at = one.divergence(other)?;
        let (identity, rest) = one.envelopes().split_at_checked(at)?;
        let (one, other) = (rest.first()?, other.envelopes().get(at)?);
        let (first, second) = ordered(one, other, Envelope::id::<IdentityEvent>);
        let subject = EquivocationSubject::Identity;
        Some(Self {
            identity: identity.to_vec(),
            subject,
            first,
            second,
        })
    }

    /// Verifies both sides; returns the publisher and, for heads, the repository and index.
    ///
    /// Time plays no role: a contradiction does not expire.
    ///
    /// # Errors
    /// Says why the proof proves nothing.
    pub fn verify(
        &self,
        network: NetworkId,
    ) -> Result<(PublisherId, Option<(RepositoryId, u64)>), Rejection> {
        self.verify_with(network, None)
    }

    /// As [`EquivocationProof::verify`], for a judge who holds an identity log of the publisher. If that is
    /// longer than the proof's, heads must verify under it: a thief of replaced release keys who leaves out
    /// the rotation proves nothing to those who know of it.
    ///
    /// # Errors
    /// Says why the proof proves nothing.
    pub fn verify_with(
        &self,
        network: NetworkId,
        known: Option<&IdentityLog>,
    ) -> Result<(PublisherId, Option<(RepositoryId, u64)>), Rejection> {
        let log = IdentityLog::verify(network, &self.identity)?;
        let publisher = log.publisher();
        match self.subject {
            EquivocationSubject::Head => {
                let longer = known.filter(|known| {
                    known.publisher() == publisher
                        && known.len() > log.len()
                        && known.divergence(&log).is_none()
                });
                let about = self.verify_heads(network, longer.unwrap_or(&log))?;
                Ok((publisher, Some(about)))
            }
            EquivocationSubject::Identity => {
                self.verify_events(network, &log)?;
                Ok((publisher, None))
            }
        }
    }

    fn verify_heads(
        &self,
        network: NetworkId,
        log: &IdentityLog,
    ) -> Result<(RepositoryId, u64), Rejection> {
        let claimed: Head = self.first.decode_body().map_err(Rejection::Head)?;
        let repository = claimed.repository();
        verify::publisher(log.publisher(), repository.publisher)?;
        let (first_id, first) = verify::open_head(&self.first, &repository)?;
        let (second_id, second) = verify::open_head(&self.second, &repository)?;
        if first.index != second.index || first_id >= second_id {
            return Err(Rejection::NoContradiction);
        }
        verify::signatures(network, log, &self.first, &first)?;
        verify::signatures(network, log, &self.second, &second)?;
        Ok((repository, first.index))
    }

    fn verify_events(&self, network: NetworkId, log: &IdentityLog) -> Result<(), Rejection> {
        if self.first.id::<IdentityEvent>() >= self.second.id::<IdentityEvent>() {
            return Err(Rejection::NoContradiction);
        }
        for event in [&self.first, &self.second] {
            log.clone().append(network, event.clone())?;
        }
        Ok(())
    }
}

fn ordered<K: Ord>(
    one: &Envelope,
    other: &Envelope,
    id: impl Fn(&Envelope) -> K,
) -> (Envelope, Envelope) {
    if id(one) <= id(other) {
        (one.clone(), other.clone())
    } else {
        (other.clone(), one.clone())
    }
}
