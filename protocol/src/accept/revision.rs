//! Believing that a revision was once a head, however old it is.

use super::{Rejection, verify};
use crate::{
    head::Head,
    id::{RepositoryId, RevisionId},
    identity::IdentityLog,
    log,
    sign::NetworkId,
    wire::RevisionProof,
};

impl RevisionProof {
    /// Verifies that `revision` was the head of `repository` at some index, and returns that head.
    ///
    /// Nothing here expires. With a tip, the tip must be signed by keys that count today and the older
    /// head by the keys of its own day; without one, the head is the tip.
    ///
    /// # Errors
    /// Says why the proof does not show it.
    pub fn verify(
        &self,
        network: NetworkId,
        repository: &RepositoryId,
        revision: &RevisionId,
    ) -> Result<(IdentityLog, Head), Rejection> {
        self.verify_with(network, repository, revision, None)
    }

    /// As [`RevisionProof::verify`], for a judge who holds an identity log of the publisher. If that is longer
    /// than the proof's, it decides which keys count; if the two contradict each other, nothing is believed.
    ///
    /// # Errors
    /// Says why the proof does not show it.
    pub fn verify_with(
        &self,
        network: NetworkId,
        repository: &RepositoryId,
        revision: &RevisionId,
        known: Option<&IdentityLog>,
    ) -> Result<(IdentityLog, Head), Rejection> {
        let mut log = verify::identity(network, repository.publisher, None, &self.identity)?;
        if let Some(known) = known {
            if known.divergence(&log).is_some() {
                return Err(Rejection::Frozen);
            }
            if known.len() > log.len() {
                log = known.clone();
            }
        }
        let (id, head) = verify::open_head(&self.head, repository)?;
        if head.manifest != *revision {
            return Err(Rejection::NotIncluded);
        }
        match (&self.tip, &self.inclusion) {
            (None, None) => verify::signatures(network, &log, &self.head, &head)?,
            (Some(tip), Some(inclusion)) => {
                let (_, newest) = verify::open_head(tip, repository)?;
                verify::signatures(network, &log, tip, &newest)?;
                verify::historic_signatures(network, &log, &self.head, &head)?;
                let (size, root) = (newest.index, newest.log_root);
                if !log::verify_inclusion(id, head.index, size, root, inclusion) {
                    return Err(Rejection::NotIncluded);
                }
            }
            (Some(_), None) | (None, Some(_)) => return Err(Rejection::NotIncluded),
        }
        Ok((log, head))
    }
}
