//! Hashes inside a file, so that a part of it can be checked before the rest has come.
//!
//! A peer sends the inner hashes of a file's BLAKE3 tree along with the bytes. A plain web server does not; what
//! it sends could only be checked when all of it is here. So a manifest may carry one layer of the tree: the
//! hashes of *spans*, power-of-two runs of chunk groups. They are redundant (they merge to the file's hash, and
//! a manifest in which they do not is invalid), so whoever uses them trusts nothing but the file's hash.

use blake3::{
    Hasher,
    hazmat::{self, HasherExt as _, Mode},
};
use minicbor::{Decode, Encode};

use crate::id::BlobHash;

/// The shortest span, 256 KiB: a hash of 32 bytes for less would weigh more than it saves.
pub const SPAN_LOG2_MIN: u8 = 18;
/// The longest span, 64 MiB: what is lost to one wrong byte, and has to fit into memory to be checked.
pub const SPAN_LOG2_MAX: u8 = 26;
/// Spans that a revision is cut into at most, as long as they are not the longest ones: 128 KiB of manifest.
const SPANS_GOAL: u64 = 4_096;
/// Bytes of a hash.
const HASH_LEN: usize = 32;

/// One layer of a file's hash tree.
///
/// # Invariants
/// Only [`Self::check`] says whether it belongs to a file; a decoded one may be anything.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct Spans {
    /// Length of a span: 2 to this power, in bytes.
    #[n(0)]
    log2: u8,
    /// The hashes of all spans in order, 32 bytes each.
    #[cbor(n(1), with = "minicbor::bytes")]
    hashes: Vec<u8>,
}

impl Spans {
    /// How long the spans of a revision of `bytes_total` bytes are, as a power of two.
    pub fn log2_for(bytes_total: u64) -> u8 {
        let mut log2 = SPAN_LOG2_MIN;
        while log2 < SPAN_LOG2_MAX && bytes_total >> log2 > SPANS_GOAL {
            log2 += 1;
        }
        log2
    }

    /// Whether a file of `size` bytes has more than one span: otherwise its own hash is all there is to know.
    pub fn apply_to(size: u64, log2: u8) -> bool {
        count(size, log2) > 1
    }

    /// From the hashes of all spans, in order.
    pub fn new(log2: u8, hashes: &[[u8; HASH_LEN]]) -> Self {
        let hashes = hashes.concat();
        Self { log2, hashes }
    }

    /// Length of a span in bytes; the last one of a file may be shorter.
    pub fn len(&self) -> u64 {
        1_u64.checked_shl(u32::from(self.log2)).unwrap_or(u64::MAX)
    }

    /// Number of spans.
    pub fn count(&self) -> usize {
        self.hashes.len() / HASH_LEN
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Whether these are the spans of the file with this hash and size.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check(&self, blob: &BlobHash, size: u64) -> Result<(), &'static str> {
        if !self.has_good_length() {
            return Err("spans of a length that is not allowed");
        }
        let counted = u64::try_from(self.hashes.len()).ok();
        if !Self::apply_to(size, self.log2)
            || counted != Some(count(size, self.log2).saturating_mul(HASH_LEN as u64))
        {
            return Err("not as many spans as its size makes");
        }
        if self.merge(0, self.count(), true) != Some(*blob.as_bytes()) {
            return Err("spans of another content");
        }
        Ok(())
    }

    /// Whether `bytes` are the content of span `index`.
    pub fn is_right(&self, index: usize, bytes: &[u8]) -> bool {
        let Some(expected) = self.hash(index).filter(|_| self.has_good_length()) else {
            return false;
        };
        let fits = !bytes.is_empty() && bytes.len() as u64 <= self.len();
        // Of a hash that is here, the index is small.
        fits && span_hash(self.len() * index as u64, bytes) == expected
    }

    /// The hash of one span.
    pub fn hash(&self, index: usize) -> Option<[u8; HASH_LEN]> {
        let start = index.checked_mul(HASH_LEN)?;
        let bytes = self.hashes.get(start..start.checked_add(HASH_LEN)?)?;
        bytes.try_into().ok()
    }

    /// The two hashes under the tree node over spans `first..first + count`, which must be one: a left-aligned
    /// run as BLAKE3 makes them, of two spans at least.
    pub fn pair(&self, first: usize, count: usize) -> Option<([u8; HASH_LEN], [u8; HASH_LEN])> {
        let left = left_count(count)?;
        Some((
            self.merge(first, left, false)?,
            self.merge(first.checked_add(left)?, count - left, false)?,
        ))
    }

    fn has_good_length(&self) -> bool {
        (SPAN_LOG2_MIN..=SPAN_LOG2_MAX).contains(&self.log2)
    }

    /// The hash of the tree node over a run of spans.
    fn merge(&self, first: usize, count: usize, is_root: bool) -> Option<[u8; HASH_LEN]> {
        if count == 1 && !is_root {
            return self.hash(first);
        }
        let (left, right) = self.pair(first, count)?;
        Some(if is_root {
            *hazmat::merge_subtrees_root(&left, &right, Mode::Hash).as_bytes()
        } else {
            hazmat::merge_subtrees_non_root(&left, &right, Mode::Hash)
        })
    }
}

/// The hash of the inner tree node over `bytes`, which lie at `offset` in their file, which is longer.
///
/// # Panics
/// If `bytes` are no span: `offset` is a multiple of a power of two of at least 1 KiB that is no shorter than they.
pub fn span_hash(offset: u64, bytes: &[u8]) -> [u8; HASH_LEN] {
    let mut hasher = Hasher::new();
    hasher.set_input_offset(offset);
    hasher.update(bytes);
    hasher.finalize_non_root()
}

fn count(size: u64, log2: u8) -> u64 {
    let len = 1_u64.checked_shl(u32::from(log2)).unwrap_or(u64::MAX);
    size.div_ceil(len)
}

/// How many of `count` leaves stand under the left child: the largest power of two that leaves some for the
/// right one.
fn left_count(count: usize) -> Option<usize> {
    (count > 1).then(|| 1 << (count - 1).ilog2())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LEN: usize = 1 << SPAN_LOG2_MIN;

    fn content(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at / 7) as u8).collect()
    }

    fn spans(content: &[u8]) -> Spans {
        let hashes: Vec<_> = content
            .chunks(LEN)
            .enumerate()
            .map(|(n, bytes)| span_hash((n * LEN) as u64, bytes))
            .collect();
        Spans::new(SPAN_LOG2_MIN, &hashes)
    }

    fn hash(content: &[u8]) -> BlobHash {
        BlobHash::new(*blake3::hash(content).as_bytes())
    }

    #[test]
    fn spans_of_any_length_merge_to_the_hash_of_the_file() {
        for len in [
            LEN + 1,
            2 * LEN,
            2 * LEN + 1024,
            3 * LEN,
            5 * LEN - 1,
            7 * LEN + 1,
        ] {
            let content = content(len);
            let spans = spans(&content);
            assert_eq!(spans.check(&hash(&content), len as u64), Ok(()), "{len}");
            for (n, bytes) in content.chunks(LEN).enumerate() {
                assert!(spans.is_right(n, bytes));
                assert!(!spans.is_right(n + 1, bytes));
                let mut wrong = bytes.to_vec();
                wrong[0] ^= 1;
                assert!(!spans.is_right(n, &wrong));
                assert!(!spans.is_right(n, &bytes[..bytes.len() - 1]));
            }
        }
    }

    #[test]
    fn file_of_one_span_has_none() {
        let content = content(LEN);
        let alone = Spans::new(SPAN_LOG2_MIN, &[span_hash(0, &content)]);
        assert!(alone.check(&hash(&content), LEN as u64).is_err());
        assert!(!Spans::apply_to(LEN as u64, SPAN_LOG2_MIN));
        assert!(!Spans::apply_to(0, SPAN_LOG2_MIN));
    }

    #[test]
    fn spans_that_do_not_fit_are_refused() {
        let content = content(3 * LEN);
        let (hash, size) = (hash(&content), content.len() as u64);
        let good = spans(&content);
        for size in [0, 1, size - LEN as u64, size + 1, u64::MAX] {
            assert!(good.check(&hash, size).is_err(), "{size}");
        }
        for log2 in [
            0,
            SPAN_LOG2_MIN - 1,
            SPAN_LOG2_MIN + 1,
            SPAN_LOG2_MAX + 1,
            255,
        ] {
            let spans = Spans {
                log2,
                ..good.clone()
            };
            assert!(spans.check(&hash, size).is_err(), "{log2}");
        }
        for at in [0, 40, 95] {
            let mut spans = good.clone();
            spans.hashes[at] ^= 1;
            assert!(spans.check(&hash, size).is_err());
        }
        let mut spans = good;
        spans.hashes.pop();
        assert!(spans.check(&hash, size).is_err());
    }

    #[test]
    fn spans_of_a_revision_take_little_room() {
        assert_eq!(Spans::log2_for(0), SPAN_LOG2_MIN);
        assert_eq!(Spans::log2_for(1 << 30), SPAN_LOG2_MIN);
        assert_eq!(Spans::log2_for((1 << 30) + (1 << 18)), SPAN_LOG2_MIN + 1);
        assert_eq!(Spans::log2_for(u64::MAX), SPAN_LOG2_MAX);
    }

    proptest! {
        #[test]
        fn anything_decoded_can_be_asked(log2: u8, hashes: Vec<u8>, size: u64, index: usize) {
            let spans = Spans { log2, hashes };
            prop_assert!(spans.check(&BlobHash::new([7; 32]), size).is_err());
            spans.hash(index);
            spans.pair(index, 5);
            spans.is_right(index, b"x");
        }
    }
}
