//! One blob on its way here.

use std::collections::BTreeMap;

use super::{peers::Retry, picker};
use crate::{
    id::{NodeId, RevisionId},
    layout::Layout,
    piece_set::PieceSet,
};

/// An incomplete blob.
///
/// # Invariants
/// `counts` has one entry for each piece and matches `available` while the blob is active.
#[derive(Debug)]
pub(crate) struct Blob {
    pub(crate) layout: Layout,
    /// What is here; unknown until the store was inspected.
    pub(crate) have: Option<PieceSet>,
    /// Downloads that wait for it.
    pub(crate) wanted_by: Vec<RevisionId>,
    /// What observed peers have; `None` until their first report.
    pub(crate) available: BTreeMap<NodeId, Option<PieceSet>>,
    /// Peers that failed with this blob.
    pub(crate) retries: BTreeMap<NodeId, Retry>,
    counts: Vec<u16>,
}

impl Blob {
    pub(crate) fn new(size: u64) -> Self {
        Self {
            layout: Layout::new(size),
            have: None,
            wanted_by: Vec::new(),
            available: BTreeMap::new(),
            retries: BTreeMap::new(),
            counts: Vec::new(),
        }
    }

    /// Pieces that are not here, nothing while that is unknown.
    pub(crate) fn missing(&self) -> PieceSet {
        self.have.as_ref().map_or_else(
            || PieceSet::empty(self.layout.pieces()),
            PieceSet::complement,
        )
    }

    /// Bytes that are here.
    pub(crate) fn bytes_have(&self) -> u64 {
        self.have
            .iter()
            .flat_map(PieceSet::runs)
            .map(|run| self.layout.len(run))
            .sum()
    }

    /// How many observed peers have each piece.
    pub(crate) fn counts(&self) -> &[u16] {
        &self.counts
    }

    /// Takes in what a peer has. Returns false if that peer is not observed.
    pub(crate) fn set_available(&mut self, peer: NodeId, have: &PieceSet) -> bool {
        let pieces = self.layout.pieces();
        let Some(entry) = self.available.get_mut(&peer) else {
            return false;
        };
        *entry = Some(have.resized(pieces));
        self.recount();
        true
    }

    /// Forgets what a peer has.
    pub(crate) fn remove_available(&mut self, peer: &NodeId) -> bool {
        let known = self.available.remove(peer).is_some();
        if known {
            self.recount();
        }
        known
    }

    /// What a peer has of what is missing here.
    pub(crate) fn useful(&self, peer: &NodeId) -> Option<PieceSet> {
        let have = self.available.get(peer)?.as_ref()?;
        Some(self.missing().intersection(have))
    }

    fn recount(&mut self) {
        self.counts = picker::counts(
            self.layout.pieces(),
            self.available.values().filter_map(Option::as_ref),
        );
    }
}
