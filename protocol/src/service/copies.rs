//! Which revisions that are here may share content with one that is wanted.

use std::cmp::Reverse;

use super::Service;
use crate::{id::RevisionId, op::RevisionState};

/// Revisions looked through for one download: reading their manifests takes about a second.
const RELATIVES_MAX: usize = 256;

impl Service {
    /// Complete revisions, likeliest relatives first: those of the same repository, of the same publisher, then what was
    /// used last.
    pub(super) fn relatives(&self, revision: &RevisionId) -> Vec<RevisionId> {
        let Some(wanted) = self.revisions.get(revision) else {
            return Vec::new();
        };
        let repository = &wanted.latest.repository;
        let is_here = |id: &RevisionId, state| id != revision && state == RevisionState::Complete;
        let mut relatives: Vec<_> = self
            .revisions
            .iter()
            .filter(|(id, held)| !held.leaving && is_here(id, held.latest.state))
            .map(|(id, held)| {
                let other = &held.latest.repository;
                let is_near = (other == repository, other.publisher == repository.publisher);
                (Reverse((is_near, held.latest.used)), *id)
            })
            .collect();
        relatives.sort_unstable();
        relatives.truncate(RELATIVES_MAX);
        relatives.into_iter().map(|(_, id)| id).collect()
    }
}
