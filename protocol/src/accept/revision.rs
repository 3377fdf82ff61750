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
        let log = IdentityLog::verify(network, &self.identity)?;
        verify::publisher(repository.publisher, log.publisher())?;
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
