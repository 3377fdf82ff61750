//! Chunks: a file cut where its content says so, so that what two versions of it share is found wherever it moved.
//!
//! For files without tensors. A cut depends on the 64 bytes before it and on how far the last cut is, so bytes that were
//! put in or taken out move the cuts near them and no others. Cuts are found with a gear hash as in FastCDC (Xia et al.,
//! "FastCDC: a Fast and Efficient Content-Defined Chunking Approach for Data Deduplication", USENIX ATC 2016), without
//! its second mask.
//!
//! The list is a hint of its publisher's: it says where to look, and what is found there is checked against the file's
//! own hash tree ([`crate::delta`]). So eight bytes of a hash are enough, and a wrong list costs no more than the looking.

use std::sync::LazyLock;

use minicbor::{Decode, Encode};

/// Usual length of the shortest chunks, 64 KiB: smaller ones are lost to the borders of groups of 16 KiB.
pub const CHUNK_LOG2_MIN: u8 = 16;
/// Usual length of the longest chunks, 64 MiB.
pub const CHUNK_LOG2_MAX: u8 = 26;
/// Chunks that the cut files of a revision have at most, as long as they are not the longest ones: 48 KiB of manifest.
const CHUNKS_GOAL: u64 = 4_096;
/// Bytes of an entry: the chunk's length and its hash.
const ENTRY_LEN: usize = 4 + HASH_LEN;
const HASH_LEN: usize = 8;
/// Bytes that a cut depends on.
const WINDOW: u64 = 64;

/// The first bytes of a chunk's BLAKE3.
pub type ChunkHash = [u8; HASH_LEN];

/// What each byte adds to the gear hash: 256 numbers that look random and that everybody has.
static GEAR: LazyLock<[u64; 256]> = LazyLock::new(|| {
    let mut bytes = [0; 256 * 8];
    blake3::Hasher::new_derive_key("weft chunks gear 1")
        .finalize_xof()
        .fill(&mut bytes);
    let mut numbers = bytes.chunks_exact(8).map(|number| {
        let number = number.try_into().unwrap_or_default();
        u64::from_le_bytes(number)
    });
    std::array::from_fn(|_| numbers.next().unwrap_or_default())
});

/// The chunks of one file in order.
///
/// # Invariants
/// Only [`Self::check`] says whether it can belong to a file; a decoded one may be anything.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Chunks {
    /// The usual length of a chunk: 2 to this power, in bytes.
    #[n(0)]
    log2: u8,
    /// For each chunk its length, 4 bytes little-endian, and the first 8 bytes of its BLAKE3.
    #[cbor(n(1), with = "minicbor::bytes")]
    entries: Vec<u8>,
}

/// One chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// First byte in the file.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
    /// Of those bytes.
    pub hash: ChunkHash,
}

impl Chunks {
    /// How long the chunks are when files of `bytes_total` bytes together are cut.
    pub fn log2_for(bytes_total: u64) -> u8 {
        let mut log2 = CHUNK_LOG2_MIN;
        while log2 < CHUNK_LOG2_MAX && bytes_total >> log2 > CHUNKS_GOAL {
            log2 += 1;
        }
        log2
    }

    /// Whether a file of `size` bytes is long enough to be cut.
    pub fn apply_to(size: u64) -> bool {
        size >> CHUNK_LOG2_MIN >= 2
    }

    /// The usual length of a chunk, as a power of two.
    pub fn log2(&self) -> u8 {
        self.log2
    }

    /// All chunks in order.
    pub fn iter(&self) -> impl Iterator<Item = Chunk> + '_ {
        let mut offset = 0_u64;
        self.entries.chunks_exact(ENTRY_LEN).map(move |entry| {
            let (len, hash) = entry.split_at(4);
            let len = u32::from_le_bytes(len.try_into().unwrap_or_default()).into();
            let chunk = Chunk {
                offset,
                len,
                hash: hash.try_into().unwrap_or_default(),
            };
            offset = offset.saturating_add(len);
            chunk
        })
    }

    /// Whether these can be the chunks of a file of `size` bytes. Their hashes nobody can check without the file.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check(&self, size: u64) -> Result<(), &'static str> {
        if !(CHUNK_LOG2_MIN..=CHUNK_LOG2_MAX).contains(&self.log2)
            || !self.entries.len().is_multiple_of(ENTRY_LEN)
        {
            return Err("chunks of a length that is not allowed");
        }
        let mut end = 0;
        for chunk in self.iter() {
            end = chunk.offset.saturating_add(chunk.len);
            let is_last = end == size;
            if chunk.len > len_max(self.log2) || chunk.len < len_min(self.log2) && !is_last {
                return Err("a chunk that is too short or too long");
            }
        }
        match end == size {
            true => Ok(()),
            false => Err("chunks that do not add up to its size"),
        }
    }
}

/// Cuts bytes as they come.
#[derive(Debug)]
pub struct Chunker {
    log2: u8,
    /// Of the bytes since the last cut.
    gear: u64,
    len: u64,
    hasher: blake3::Hasher,
    entries: Vec<u8>,
}

impl Chunker {
    /// For chunks of usually 2^`log2` bytes: a quarter of it at least and four times as much at most. Lengths beyond
    /// [`CHUNK_LOG2_MIN`] and [`CHUNK_LOG2_MAX`] are taken for these.
    pub fn new(log2: u8) -> Self {
        Self {
            log2: log2.clamp(CHUNK_LOG2_MIN, CHUNK_LOG2_MAX),
            gear: 0,
            len: 0,
            hasher: blake3::Hasher::new(),
            entries: Vec::new(),
        }
    }

    /// Takes the next bytes of the file.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while let Some(cut) = self.next_cut(bytes) {
            let (chunk, rest) = bytes.split_at(cut.min(bytes.len()));
            self.hasher.update(chunk);
            self.cut();
            bytes = rest;
        }
        self.hasher.update(bytes);
    }

    /// The chunks of all bytes taken.
    pub fn finish(mut self) -> Chunks {
        if self.len > 0 {
            self.cut();
        }
        Chunks {
            log2: self.log2,
            entries: self.entries,
        }
    }

    /// Where the chunk ends that is under way; if not in these bytes, they are counted in.
    fn next_cut(&mut self, bytes: &[u8]) -> Option<usize> {
        let (min, max) = (len_min(self.log2), len_max(self.log2));
        // What lies more than a window before the first place for a cut has no say.
        let skipped = (min - WINDOW).saturating_sub(self.len);
        let skipped = usize::try_from(skipped).map_or(bytes.len(), |len| len.min(bytes.len()));
        self.len += skipped as u64;
        let shift = 64 - u32::from(self.log2);
        let gear = &*GEAR;
        let mut hash = self.gear;
        for (at, byte) in bytes.iter().enumerate().skip(skipped) {
            hash = (hash << 1).wrapping_add(gear.get(usize::from(*byte)).copied().unwrap_or(0));
            self.len += 1;
            if self.len >= min && (hash >> shift == 0 || self.len == max) {
                return Some(at + 1);
            }
        }
        self.gear = hash;
        None
    }

    fn cut(&mut self) {
        let len = u32::try_from(self.len).unwrap_or(u32::MAX);
        self.entries.extend(len.to_le_bytes());
        let hash = self.hasher.finalize();
        self.entries.extend(hash.as_bytes().iter().take(HASH_LEN));
        self.hasher.reset();
        (self.gear, self.len) = (0, 0);
    }
}

fn len_min(log2: u8) -> u64 {
    (1 << log2) / 4
}

fn len_max(log2: u8) -> u64 {
    (1 << log2) * 4
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const KIB: usize = 1024;

    fn random(seed: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        blake3::Hasher::new()
            .update(&seed.to_le_bytes())
            .finalize_xof()
            .fill(&mut bytes);
        bytes
    }

    fn chunks(bytes: &[u8]) -> Chunks {
        let mut chunker = Chunker::new(CHUNK_LOG2_MIN);
        chunker.push(bytes);
        chunker.finish()
    }

    fn hashes(chunks: &Chunks) -> BTreeSet<ChunkHash> {
        chunks.iter().map(|chunk| chunk.hash).collect()
    }

    #[test]
    fn chunks_are_about_as_long_as_they_are_said_to_be() {
        let chunks = chunks(&random(1, 64 * 64 * KIB));
        let count = chunks.iter().count();
        assert!((40..=80).contains(&count), "{count}");
        assert_eq!(chunks.check(64 * 64 * KIB as u64), Ok(()));
    }

    #[test]
    fn bytes_put_in_change_the_chunks_around_them_only() {
        let old = random(2, 4096 * KIB);
        let new = [&old[..1_000_003], b"something new", &old[1_000_003..]].concat();
        let (old, new) = (chunks(&old), chunks(&new));
        let fresh = hashes(&new).difference(&hashes(&old)).count();
        assert!(
            (1..=4).contains(&fresh),
            "{fresh} of {}",
            new.iter().count()
        );
    }

    #[test]
    fn content_without_change_is_cut_at_the_longest() {
        let chunks = chunks(&vec![7; 600 * KIB]);
        let lens: Vec<_> = chunks.iter().map(|chunk| chunk.len / KIB as u64).collect();
        assert_eq!(lens, [256, 256, 88]);
    }

    #[test]
    fn lists_that_cannot_be_are_found() {
        let good = chunks(&random(3, 400 * KIB));
        let size = 400 * KIB as u64;
        assert!(good.check(size + 1).is_err() && good.check(size - 1).is_err());
        let with = |change: fn(&mut Chunks)| {
            let mut bad = good.clone();
            change(&mut bad);
            bad.check(size)
        };
        assert!(with(|chunks| chunks.log2 = CHUNK_LOG2_MIN - 1).is_err());
        assert!(with(|chunks| chunks.log2 = CHUNK_LOG2_MAX + 1).is_err());
        assert!(with(|chunks| chunks.entries.push(0)).is_err());
        assert!(with(|chunks| chunks.entries.truncate(12)).is_err());
        assert!(with(|chunks| chunks.entries[..4].fill(0)).is_err());
        assert!(with(|chunks| chunks.entries[..4].fill(0xff)).is_err());
        assert!(with(|chunks| chunks.entries.clear()).is_err());
    }

    proptest! {
        #[test]
        fn pieces_in_which_bytes_come_do_not_matter(
            seed: u64,
            cuts in proptest::collection::vec(0_usize..300 * KIB, 0..8),
        ) {
            let bytes = random(seed, 300 * KIB);
            let mut cuts = cuts;
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut chunker = Chunker::new(CHUNK_LOG2_MIN);
            for pair in cuts.windows(2) {
                chunker.push(&bytes[pair[0]..pair[1]]);
            }
            prop_assert_eq!(chunker.finish(), chunks(&bytes));
        }
    }
}
