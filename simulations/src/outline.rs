//! What others need to know of a host, side by side: a host itself is large, and what happens between two would look at
//! both.

use std::collections::BTreeMap;

use weft_protocol::{
    id::{BlobHash, NodeId},
    piece_set::PieceSet,
};

use crate::{HostId, Link, World};

/// One host, as others see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outline {
    pub(crate) node: NodeId,
    /// Counts starts and ends of its process.
    pub(crate) epoch: u32,
    pub(crate) latency_ms: u32,
    pub(crate) region: u8,
}

impl Outline {
    pub(crate) fn new(node: NodeId, link: &Link) -> Self {
        Self {
            node,
            epoch: 0,
            latency_ms: u32::try_from(link.latency_ms).unwrap_or(u32::MAX),
            region: link.region,
        }
    }

    /// Milliseconds one way to another host.
    pub(crate) fn latency(&self, other: &Self) -> u64 {
        let near = u64::from(self.latency_ms) + u64::from(other.latency_ms);
        near + Link::between(self.region, other.region)
    }
}

/// Which pieces of which blob each host has, a row of bits for each.
#[derive(Debug, Default)]
pub(crate) struct Holdings(BTreeMap<BlobHash, Rows>);

/// Rows of one blob.
#[derive(Debug)]
pub(crate) struct Rows {
    words: usize,
    bits: Vec<u64>,
}

impl Holdings {
    fn rows(&mut self, blob: BlobHash, pieces: u32) -> &mut Rows {
        self.0.entry(blob).or_insert_with(|| Rows {
            words: pieces.div_ceil(64) as usize,
            bits: Vec::new(),
        })
    }

    /// A host has a piece from now on.
    pub(crate) fn insert(&mut self, host: HostId, blob: BlobHash, piece: u32, pieces: u32) {
        let rows = self.rows(blob, pieces);
        let at = host.0 * rows.words + (piece / 64) as usize;
        if rows.bits.len() <= at {
            rows.bits.resize((host.0 + 1) * rows.words, 0);
        }
        if let Some(word) = rows.bits.get_mut(at) {
            *word |= 1 << (piece % 64);
        }
    }

    /// A host has these pieces from now on.
    pub(crate) fn insert_all(&mut self, host: HostId, blob: BlobHash, have: &PieceSet) {
        for piece in have.iter() {
            self.insert(host, blob, piece, have.pieces());
        }
    }

    /// A host let go of all but these blobs; they are sorted.
    pub(crate) fn keep(&mut self, host: HostId, kept: &[BlobHash]) {
        for (blob, rows) in &mut self.0 {
            if kept.binary_search(blob).is_err() {
                let row = host.0 * rows.words..(host.0 + 1) * rows.words;
                rows.bits
                    .get_mut(row)
                    .into_iter()
                    .for_each(|row| row.fill(0));
            }
        }
    }

    /// The rows of a blob.
    pub(crate) fn of(&self, blob: &BlobHash) -> Option<&Rows> {
        self.0.get(blob)
    }
}

impl Rows {
    /// Whether a host lacks one of some pieces.
    pub(crate) fn lacks(&self, host: HostId, pieces: &[u32]) -> bool {
        let row = self.bits.get(host.0 * self.words..);
        let row = row.unwrap_or_default();
        let has = |piece: &u32| {
            let word = row.get((piece / 64) as usize).copied().unwrap_or(0);
            word & (1 << (piece % 64)) != 0
        };
        !pieces.iter().all(has)
    }
}

impl World {
    /// A host as others see it.
    pub(crate) fn outline(&self, id: HostId) -> &Outline {
        self.outlines.get(id.0).expect("a host of this world")
    }

    /// A process began or ended.
    pub(crate) fn count_epoch(&mut self, id: HostId) {
        let epoch = u32::try_from(self.host(id).epoch).unwrap_or(u32::MAX);
        if let Some(outline) = self.outlines.get_mut(id.0) {
            outline.epoch = epoch;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOB: BlobHash = BlobHash::new([1; 32]);

    #[test]
    fn rows_say_who_lacks_what() {
        let mut holdings = Holdings::default();
        holdings.insert(HostId(2), BLOB, 70, 100);
        holdings.insert_all(HostId(0), BLOB, &PieceSet::full(100));
        let lacks = |holdings: &Holdings, host, pieces: &[u32]| {
            let rows = holdings.of(&BLOB).unwrap();
            rows.lacks(HostId(host), pieces)
        };
        assert!(!lacks(&holdings, 2, &[70]) && lacks(&holdings, 2, &[70, 71]));
        assert!(!lacks(&holdings, 0, &[0, 99]) && lacks(&holdings, 1, &[0]));
        assert!(lacks(&holdings, 9, &[0]), "one who has nothing yet");
        holdings.keep(HostId(2), &[BLOB]);
        assert!(!lacks(&holdings, 2, &[70]));
        holdings.keep(HostId(2), &[]);
        assert!(lacks(&holdings, 2, &[70]) && !lacks(&holdings, 0, &[99]));
    }
}
