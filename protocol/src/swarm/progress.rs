//! How far downloads are, for whoever watches.

use std::collections::BTreeSet;

use super::Swarm;
use crate::{
    id::{NodeId, RevisionId},
    time::Instant,
};

/// A summary of one download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) bytes_total: u64,
    pub(crate) bytes_done: u64,
    pub(crate) bytes_reused: u64,
    pub(crate) bytes_fetched: u64,
    pub(crate) bytes_missing: u64,
    pub(crate) peers_active: u32,
    pub(crate) peers_known: u32,
    pub(crate) sources: Vec<(NodeId, u64)>,
}

impl Swarm {
    /// Verified bytes received from a connected peer, and transfers in flight from it.
    pub(crate) fn peer(&self, peer: &NodeId) -> (u64, u32) {
        self.peers
            .get(peer)
            .map_or((0, 0), |peer| (peer.bytes_received, peer.in_flight))
    }

    /// Peers that have or fetch something of a revision, as far as its download shows.
    pub(crate) fn known_peers(&self, revision: &RevisionId) -> BTreeSet<NodeId> {
        let Some(download) = self.downloads.get(revision) else {
            return BTreeSet::new();
        };
        let observed = self
            .active
            .iter()
            .filter(|hash| download.incomplete.contains(*hash))
            .filter_map(|hash| self.blobs.get(hash))
            .flat_map(|blob| blob.neighbours().iter())
            .filter(|(_, n)| n.have.as_ref().is_some_and(|have| !have.is_empty()))
            .map(|(peer, _)| *peer);
        observed.chain(download.sources.keys().copied()).collect()
    }

    /// When bytes of a download last arrived, and whether somebody is asked for more.
    pub(crate) fn activity(&self, revision: &RevisionId) -> Option<(Instant, bool)> {
        let download = self.downloads.get(revision)?;
        let asked = self.active.iter().any(|hash| {
            let is_busy = |blob: &super::Blob| blob.live > 0 || blob.is_being_copied();
            let live = self.blobs.get(hash).is_some_and(is_busy);
            live && download.incomplete.contains(hash)
        });
        Some((download.progressed, asked))
    }

    /// How far a download is.
    pub(crate) fn progress(&self, revision: &RevisionId) -> Option<Progress> {
        let download = self.downloads.get(revision)?;
        let active: BTreeSet<NodeId> = self
            .requests
            .iter()
            .filter(|(_, t)| !t.cancelled && download.incomplete.contains(&t.blob))
            .map(|(_, t)| t.peer)
            .collect();
        Some(Progress {
            bytes_total: download.bytes_total,
            bytes_done: download.bytes_done,
            bytes_reused: download.bytes_reused,
            bytes_fetched: download.bytes_fetched,
            bytes_missing: download.bytes_missing(),
            peers_active: u32::try_from(active.len()).unwrap_or(u32::MAX),
            peers_known: u32::try_from(self.known_peers(revision).len()).unwrap_or(u32::MAX),
            sources: download.sources_ranked(),
        })
    }
}
