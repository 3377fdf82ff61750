//! Who has what and when: the numbers behind reports and pictures. It never changes what happens.

use std::collections::BTreeMap;

use weft_protocol::{
    id::{BlobHash, RevisionId},
    piece_set::PieceSet,
};

use crate::HostId;

/// Running totals of a world.
#[derive(Debug, Default)]
pub struct Census {
    /// How many running hosts have each piece, of the blobs that are watched.
    copies: BTreeMap<BlobHash, Vec<u32>>,
    /// Pieces that running hosts hold of watched blobs.
    held: u64,
    /// When which host completed a revision, in microseconds.
    completed: BTreeMap<RevisionId, Vec<(u64, HostId)>>,
    /// Bytes that crossed the wire.
    pub bytes_moved: u64,
}

impl Census {
    /// Watches a blob from now on, when nobody has anything of it.
    pub fn watch(&mut self, blob: BlobHash, pieces: u32) {
        let pieces = usize::try_from(pieces).unwrap_or(0);
        self.copies.insert(blob, vec![0; pieces]);
    }

    /// How many running hosts have each piece of what is watched.
    pub fn copies(&self) -> impl Iterator<Item = u32> + '_ {
        self.copies.values().flatten().copied()
    }

    /// Pieces of what is watched that running hosts hold together.
    pub fn held(&self) -> u64 {
        self.held
    }

    /// Who completed a revision, in order of time.
    pub fn completions(&self, revision: &RevisionId) -> &[(u64, HostId)] {
        self.completed.get(revision).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn completed(&mut self, now: u64, host: HostId, revision: RevisionId) {
        self.completed
            .entry(revision)
            .or_default()
            .push((now, host));
    }

    pub(crate) fn moved(&mut self, _from: HostId, _to: HostId, bytes: u64) {
        self.bytes_moved += bytes;
    }

    pub(crate) fn gained(&mut self, blob: &BlobHash, piece: u32) {
        let copies = self.copies.get_mut(blob);
        let place = usize::try_from(piece).unwrap_or(usize::MAX);
        if let Some(count) = copies.and_then(|copies| copies.get_mut(place)) {
            *count += 1;
            self.held += 1;
        }
    }

    pub(crate) fn came(&mut self, blob: &BlobHash, have: &PieceSet) {
        for piece in have.iter() {
            self.gained(blob, piece);
        }
    }

    pub(crate) fn went(&mut self, blob: &BlobHash, have: &PieceSet) {
        let Some(copies) = self.copies.get_mut(blob) else {
            return;
        };
        for piece in have.iter() {
            let place = usize::try_from(piece).unwrap_or(usize::MAX);
            if let Some(count) = copies.get_mut(place) {
                *count = count.saturating_sub(1);
                self.held = self.held.saturating_sub(1);
            }
        }
    }
}
