//! Bundles of chunks and lists of files, as `hf_xet` writes them. Everything is checked for its length; nothing is trusted.

use std::ops::Range;

use super::lz4;

/// What stands before each chunk.
const CHUNK_HEAD_LEN: usize = 8;
/// Every entry of a list.
const ENTRY_LEN: usize = 48;
/// What a list begins with.
const SHARD_TAG: &[u8; 14] = b"HFRepoMetaData";
/// In a file's flags: each of its parts has an entry more.
const WITH_VERIFICATION: u32 = 1 << 31;
/// The file has one entry more, with its SHA-256.
const WITH_SHA256: u32 = 1 << 30;
/// A bundle unpacked: what clients make has 64 MiB at most.
const UNPACKED_MAX: u64 = 256 * 1024 * 1024;

/// A bundle of packed chunks.
pub(super) struct Xorb<'a>(Vec<Chunk<'a>>);

struct Chunk<'a> {
    scheme: u8,
    packed: &'a [u8],
    len: usize,
}

/// Some chunks of a bundle, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Term {
    /// The bundle's name, as in its address.
    pub(super) xorb: String,
    /// Unpacked bytes.
    pub(super) len: u64,
    /// Which chunks.
    pub(super) range: Range<usize>,
}

/// A file of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) sha256: [u8; 32],
    pub(super) terms: Vec<Term>,
}

/// The files of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileList(pub(super) Vec<Listed>);

impl<'a> Xorb<'a> {
    /// Finds the chunks of a bundle; `None` if it is none.
    pub(super) fn parse(mut bytes: &'a [u8]) -> Option<Self> {
        let mut chunks = Vec::new();
        while !bytes.is_empty() {
            let (head, rest) = bytes.split_first_chunk::<CHUNK_HEAD_LEN>()?;
            let [version, p0, p1, p2, scheme, l0, l1, l2] = *head;
            let number = |bytes: [u8; 3]| {
                let [a, b, c] = bytes;
                usize::try_from(u32::from_le_bytes([a, b, c, 0])).ok()
            };
            if version != 0 {
                return None;
            }
            let (packed, rest) = rest.split_at_checked(number([p0, p1, p2])?)?;
            chunks.push(Chunk {
                scheme,
                packed,
                len: number([l0, l1, l2])?,
            });
            bytes = rest;
        }
        Some(Self(chunks))
    }

    /// Some of its chunks, unpacked.
    pub(super) fn bytes(&self, range: Range<usize>, len: u64) -> Option<Vec<u8>> {
        let chunks = self.0.get(range)?;
        let sum: u64 = chunks.iter().map(|chunk| chunk.len as u64).sum();
        if sum != len || sum > UNPACKED_MAX {
            return None;
        }
        let mut bytes = Vec::with_capacity(usize::try_from(len).ok()?);
        for chunk in chunks {
            let unpacked = chunk.unpack()?;
            if unpacked.len() != chunk.len {
                return None;
            }
            bytes.extend_from_slice(&unpacked);
        }
        Some(bytes)
    }
}

impl Chunk<'_> {
    fn unpack(&self) -> Option<Vec<u8>> {
        match self.scheme {
            0 => Some(self.packed.to_vec()),
            1 => lz4::frame(self.packed, self.len),
            2 => Some(ungrouped(&lz4::frame(self.packed, self.len)?)),
            _ => None,
        }
    }
}

/// First all first bytes of four, then all second ones, and so on: back in order.
fn ungrouped(grouped: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; grouped.len()];
    let mut from = grouped.iter();
    for first in 0..4 {
        for slot in bytes.iter_mut().skip(first).step_by(4) {
            *slot = from.next().copied().unwrap_or_default();
        }
    }
    bytes
}

impl FileList {
    /// Reads the files of a list; `None` if it is none.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (head, mut rest) = bytes.split_first_chunk::<ENTRY_LEN>()?;
        head.starts_with(SHARD_TAG).then_some(())?;
        let mut files = Vec::new();
        loop {
            let (hash, flags, count) = entry(&mut rest)?;
            if hash == [0xff; 32] {
                return Some(Self(files));
            }
            let count = usize::try_from(count.first().copied()?).ok()?;
            let mut terms = Vec::new();
            for _ in 0..count {
                let (xorb, _, [len, start, end]) = entry(&mut rest)?;
                terms.push(Term {
                    xorb: name(&xorb),
                    len: u64::from(len),
                    range: usize::try_from(start).ok()?..usize::try_from(end).ok()?,
                });
            }
            if flags & WITH_VERIFICATION != 0 {
                rest = rest.get(count.checked_mul(ENTRY_LEN)?..)?;
            }
            if flags & WITH_SHA256 == 0 {
                return None;
            }
            let (sha256, _, _) = entry(&mut rest)?;
            let sha256 = data_encoding::HEXLOWER.decode(name(&sha256).as_bytes());
            files.push(Listed {
                sha256: sha256.ok()?.try_into().ok()?,
                terms,
            });
        }
    }
}

/// A hash and four numbers.
fn entry(rest: &mut &[u8]) -> Option<([u8; 32], u32, [u32; 3])> {
    let (hash, after) = rest.split_first_chunk::<32>()?;
    let (numbers, after) = after.split_first_chunk::<16>()?;
    let mut words = numbers.chunks_exact(4).filter_map(|word| {
        let word: [u8; 4] = word.try_into().ok()?;
        Some(u32::from_le_bytes(word))
    });
    let found = (
        *hash,
        words.next()?,
        [words.next()?, words.next()?, words.next()?],
    );
    *rest = after;
    Some(found)
}

/// A hash as they write it: four numbers of eight bytes, little-endian each.
fn name(hash: &[u8; 32]) -> String {
    let mut bytes = *hash;
    for word in bytes.chunks_exact_mut(8) {
        word.reverse();
    }
    data_encoding::HEXLOWER.encode(&bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn chunks_come_back_in_order() {
        let mut bytes = vec![0, 3, 0, 0, 0, 3, 0, 0];
        bytes.extend(b"abc");
        bytes.extend([0, 1, 0, 0, 0, 1, 0, 0, b'd']);
        let xorb = Xorb::parse(&bytes).unwrap();
        assert_eq!(xorb.bytes(0..2, 4).unwrap(), b"abcd");
        assert_eq!(xorb.bytes(1..2, 1).unwrap(), b"d");
        assert!(xorb.bytes(0..2, 5).is_none() && xorb.bytes(0..3, 4).is_none());
        assert!(Xorb::parse(&bytes[..bytes.len() - 1]).is_none());
        assert_eq!(ungrouped(b"aebfcgd"), b"abcdefg"[..].to_vec());
    }

    #[test]
    fn a_list_names_files_and_their_parts() {
        let mut bytes = SHARD_TAG.to_vec();
        bytes.resize(ENTRY_LEN, 0);
        let mut put = |hash: [u8; 32], numbers: [u32; 4]| {
            bytes.extend(hash);
            bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        };
        put([1; 32], [WITH_SHA256 | WITH_VERIFICATION, 1, 0, 0]);
        let mut xorb = [0; 32];
        xorb[0] = 0xab;
        put(xorb, [0, 10, 2, 5]);
        put([3; 32], [0; 4]);
        put([4; 32], [0; 4]);
        put([0xff; 32], [0; 4]);
        let list = FileList::parse(&bytes).unwrap();
        let term = Term {
            xorb: format!("{}ab{}", "0".repeat(14), "0".repeat(48)),
            len: 10,
            range: 2..5,
        };
        let file = Listed {
            sha256: [4; 32],
            terms: vec![term],
        };
        assert_eq!(list, FileList(vec![file]));
    }

    proptest! {
        #[test]
        fn anything_can_be_tried(bytes: Vec<u8>, range: Range<usize>, len: u64) {
            if let Some(xorb) = Xorb::parse(&bytes) {
                let _ = xorb.bytes(range, len);
            }
            let mut list = SHARD_TAG.to_vec();
            list.resize(ENTRY_LEN, 0);
            list.extend(bytes);
            let _ = FileList::parse(&list);
        }
    }
}
