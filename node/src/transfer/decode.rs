//! What a peer answers to a request for bytes of a blob: read, verified, and cut into runs for the store.
//!
//! Pure code. Bytes go in as they come from a connection, in pieces of any length; out come contiguous runs of
//! verified content, hundreds of KiB each, with the hash pairs that prove them. Nothing that does not verify gets
//! out, and what verified before something did not is still handed out.

use bao_tree::{
    BaoTree, BlockSize, ChunkNum, ChunkRanges, TreeNode,
    iter::{BaoChunk, ResponseIter},
};
use blake3::hazmat::{self, HasherExt, Mode};
use weft_protocol::layout::Layout;

/// Verification grain: 16 chunks of 1 KiB, as everywhere in iroh-blobs.
const BLOCK_SIZE: BlockSize = BlockSize::from_chunk_log(4);

/// Content handed to the store at once; less if a piece is shorter, for what was not handed over is lost in a crash.
pub(super) const RUN_LEN: usize = 512 * 1024;

/// Verified content of a blob.
#[derive(Debug)]
pub(super) struct Run<'a> {
    /// Where it belongs.
    pub(super) offset: u64,
    /// The bytes.
    pub(super) data: &'a [u8],
    /// The hash pairs that came before them in this answer and were not handed out yet.
    pub(super) parents: &'a [(TreeNode, [u8; 64])],
}

/// Why decoding ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DecodeError<E> {
    /// The peer says that the blob has another size.
    Size(u64),
    /// A hash pair does not verify.
    Parent(TreeNode),
    /// Content does not verify.
    Leaf(ChunkNum),
    /// There is more than was asked for.
    Surplus,
    /// A run could not be stored.
    Store(E),
}

/// An answer being read.
#[derive(Debug)]
pub(super) struct Decoder {
    size: u64,
    items: ResponseIter,
    /// Hashes of subtrees to come, the next one last.
    expected: Vec<blake3::Hash>,
    wants: Wants,
    /// A size or hash pair that came in parts.
    small: [u8; 64],
    small_len: usize,
    /// Content: verified up to `verified`, then what has come of the next leaf.
    data: Vec<u8>,
    run_len: usize,
    verified: usize,
    offset: u64,
    parents: Vec<(TreeNode, [u8; 64])>,
}

#[derive(Debug, Clone, Copy)]
enum Wants {
    Size,
    Parent {
        node: TreeNode,
        is_root: bool,
        left: bool,
        right: bool,
    },
    Leaf {
        start: ChunkNum,
        len: usize,
        is_root: bool,
    },
    Nothing,
}

impl Decoder {
    /// Expects the answer to a request for `ranges` of the blob `root`, which has `size` bytes.
    pub(super) fn new(root: blake3::Hash, size: u64, mut ranges: ChunkRanges) -> Self {
        let tree = BaoTree::new(size, BLOCK_SIZE);
        let last = ChunkNum(tree.chunks().0.saturating_sub(1));
        if ranges.contains(&last) {
            // A range that reaches the last chunk has no end, for the one who answers as well.
            ranges |= ChunkRanges::from(last..);
        }
        let piece_len = usize::try_from(Layout::new(size).piece_len).unwrap_or(RUN_LEN);
        let run_len = piece_len.min(RUN_LEN);
        Self {
            size,
            items: ResponseIter::new(tree, ranges),
            expected: vec![root],
            wants: Wants::Size,
            small: [0; 64],
            small_len: 0,
            data: Vec::with_capacity(run_len),
            run_len,
            verified: 0,
            offset: 0,
            parents: Vec::new(),
        }
    }

    /// Whether everything that was asked for has come.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.wants, Wants::Nothing)
    }

    /// Takes bytes of the answer; runs that became long enough go to `store`. Returns how many bytes of content were
    /// found right.
    ///
    /// # Errors
    /// The first thing that is not as it should be. What verified before can still be had by [`Self::flush`].
    pub(super) fn feed<E>(
        &mut self,
        mut input: &[u8],
        store: &mut dyn FnMut(Run<'_>) -> Result<(), E>,
    ) -> Result<u64, DecodeError<E>> {
        let mut found = 0;
        while !input.is_empty() {
            match self.wants {
                Wants::Size => {
                    if let Some(bytes) = self.collect(&mut input, 8) {
                        let claimed = u64::from_le_bytes(first(&bytes));
                        if claimed != self.size {
                            return Err(DecodeError::Size(claimed));
                        }
                        self.next(store)?;
                    }
                }
                Wants::Parent {
                    node,
                    is_root,
                    left,
                    right,
                } => {
                    if let Some(pair) = self.collect(&mut input, 64) {
                        self.parent(node, is_root, &pair, (left, right))
                            .ok_or(DecodeError::Parent(node))?;
                        self.next(store)?;
                    }
                }
                Wants::Leaf {
                    start,
                    len,
                    is_root,
                } => {
                    let missing = self.verified + len - self.data.len();
                    let (taken, rest) = input.split_at(missing.min(input.len()));
                    self.data.extend_from_slice(taken);
                    input = rest;
                    if taken.len() == missing {
                        let leaf = hash(start, &self.data[self.verified..], is_root);
                        if self.expected.pop() != Some(leaf) {
                            self.data.truncate(self.verified);
                            return Err(DecodeError::Leaf(start));
                        }
                        self.verified = self.data.len();
                        found += len as u64;
                        self.next(store)?;
                    }
                }
                Wants::Nothing => return Err(DecodeError::Surplus),
            }
        }
        Ok(found)
    }

    /// Hands out what is verified and was not handed out yet.
    ///
    /// # Errors
    /// What `store` says.
    pub(super) fn flush<E>(
        &mut self,
        store: &mut dyn FnMut(Run<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.verified == 0 {
            // Hash pairs wait for the leaves that they lead to.
            return Ok(());
        }
        let stored = store(Run {
            offset: self.offset,
            data: &self.data[..self.verified],
            parents: &self.parents,
        });
        self.offset += self.verified as u64;
        // Nothing or a part of a leaf stays.
        self.data.drain(..self.verified);
        self.verified = 0;
        self.parents.clear();
        stored
    }

    /// Gathers a short item; `None` until it is whole.
    fn collect(&mut self, input: &mut &[u8], len: usize) -> Option<[u8; 64]> {
        let (taken, rest) = input.split_at((len - self.small_len).min(input.len()));
        self.small[self.small_len..self.small_len + taken.len()].copy_from_slice(taken);
        self.small_len += taken.len();
        *input = rest;
        (self.small_len == len).then(|| {
            self.small_len = 0;
            self.small
        })
    }

    fn parent(
        &mut self,
        node: TreeNode,
        is_root: bool,
        pair: &[u8; 64],
        (left, right): (bool, bool),
    ) -> Option<()> {
        let (left_hash, right_hash) = (first::<32>(pair), first::<32>(&pair[32..]));
        let actual = if is_root {
            hazmat::merge_subtrees_root(&left_hash, &right_hash, Mode::Hash)
        } else {
            hazmat::merge_subtrees_non_root(&left_hash, &right_hash, Mode::Hash).into()
        };
        if self.expected.pop() != Some(actual) {
            return None;
        }
        if right {
            self.expected.push(right_hash.into());
        }
        if left {
            self.expected.push(left_hash.into());
        }
        self.parents.push((node, *pair));
        Some(())
    }

    /// Moves on to the next item, handing out the run if it is long enough or the next leaf lies elsewhere.
    fn next<E>(
        &mut self,
        store: &mut dyn FnMut(Run<'_>) -> Result<(), E>,
    ) -> Result<(), DecodeError<E>> {
        self.wants = match self.items.next() {
            Some(BaoChunk::Parent {
                node,
                is_root,
                left,
                right,
                ..
            }) => Wants::Parent {
                node,
                is_root,
                left,
                right,
            },
            Some(BaoChunk::Leaf {
                start_chunk,
                size,
                is_root,
                ..
            }) => {
                let here = start_chunk.to_bytes();
                if self.verified + size > self.run_len || here != self.offset + self.verified as u64
                {
                    self.flush(store).map_err(DecodeError::Store)?;
                    self.offset = here;
                }
                Wants::Leaf {
                    start: start_chunk,
                    len: size,
                    is_root,
                }
            }
            None => Wants::Nothing,
        };
        if self.is_done() {
            self.flush(store).map_err(DecodeError::Store)?;
        }
        Ok(())
    }
}

/// The hash of a leaf, which is at most one chunk group.
fn hash(start: ChunkNum, data: &[u8], is_root: bool) -> blake3::Hash {
    if is_root {
        return blake3::hash(data);
    }
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(start.to_bytes());
    hasher.update(data);
    hasher.finalize_non_root().into()
}

fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut first = [0; N];
    first.copy_from_slice(&bytes[..N]);
    first
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, ops::Range};

    use bao_tree::io::{outboard::PreOrderMemOutboard, sync::encode_ranges_validated};
    use iroh_blobs::protocol::ChunkRangesExt;

    use super::*;

    struct Sample {
        bytes: Vec<u8>,
        outboard: PreOrderMemOutboard,
    }

    impl Sample {
        fn new(len: usize) -> Self {
            let mut bytes = vec![0; len];
            blake3::Hasher::new().finalize_xof().fill(&mut bytes);
            let outboard = PreOrderMemOutboard::create(&bytes, BLOCK_SIZE);
            Self { bytes, outboard }
        }

        fn ranges(range: &Range<u64>) -> ChunkRanges {
            ChunkRanges::bytes(range.start..range.end)
        }

        fn encode(&self, range: &Range<u64>) -> Vec<u8> {
            let mut out = (self.bytes.len() as u64).to_le_bytes().to_vec();
            let ranges = Self::ranges(range);
            encode_ranges_validated(&self.bytes[..], &self.outboard, &ranges, &mut out).unwrap();
            out
        }

        fn decoder(&self, range: &Range<u64>) -> Decoder {
            let ranges = Self::ranges(range);
            Decoder::new(self.outboard.root, self.bytes.len() as u64, ranges)
        }
    }

    /// Runs with their places, nodes of hash pairs, and whether it was all.
    type Decoded = (
        Vec<(u64, Vec<u8>)>,
        Vec<TreeNode>,
        Result<bool, DecodeError<Infallible>>,
    );

    /// Feeds `encoded` in steps; what came out, and how it ended.
    fn decode(mut decoder: Decoder, encoded: &[u8], step: usize) -> Decoded {
        let mut runs = Vec::new();
        let mut nodes = Vec::new();
        let mut store = |run: Run<'_>| {
            runs.push((run.offset, run.data.to_vec()));
            nodes.extend(run.parents.iter().map(|(node, _)| *node));
            Ok(())
        };
        let mut ended = Ok(());
        for chunk in encoded.chunks(step) {
            ended = decoder.feed(chunk, &mut store).map(|_| ());
            if ended.is_err() {
                break;
            }
        }
        decoder.flush(&mut store).unwrap();
        let ended = ended.map(|()| decoder.is_done());
        (runs, nodes, ended)
    }

    const GROUP: u64 = 16 * 1024;

    #[test]
    fn answer_is_decoded_however_it_is_chopped_up() {
        for len in [1, 1024, 16_384, 16_385, 40_000, 2_000_000] {
            let sample = Sample::new(len);
            let all = 0..len as u64;
            let encoded = sample.encode(&all);
            for step in [1, 63, 1_000, 16_384, encoded.len()] {
                if step < 63 && len > 100_000 {
                    continue;
                }
                let (runs, nodes, ended) = decode(sample.decoder(&all), &encoded, step);
                assert_eq!(ended, Ok(true), "{len} by {step}");
                let mut joined = Vec::new();
                for (offset, data) in &runs {
                    assert_eq!(*offset, joined.len() as u64);
                    assert!(data.len() <= RUN_LEN);
                    joined.extend_from_slice(data);
                }
                assert_eq!(joined, sample.bytes);
                assert_eq!(nodes.len() as u64, (len as u64).div_ceil(GROUP) - 1);
            }
        }
    }

    #[test]
    fn range_in_the_middle_is_one_run_at_its_place() {
        let sample = Sample::new(1_000_000);
        let range = 5 * GROUP..9 * GROUP;
        let encoded = sample.encode(&range);
        let (runs, nodes, ended) = decode(sample.decoder(&range), &encoded, 1_000);
        assert_eq!(ended, Ok(true));
        assert_eq!(runs.len(), 1);
        assert_eq!(runs[0].0, range.start);
        let expected = &sample.bytes[range.start as usize..range.end as usize];
        assert_eq!(runs[0].1, expected);
        // Every pair between the root and the leaves came along.
        assert!(nodes.len() >= 6);
    }

    #[test]
    fn flipped_bit_ends_the_answer_and_keeps_what_was_right() {
        let sample = Sample::new(300_000);
        let all = 0..300_000;
        let encoded = sample.encode(&all);
        for at in (0..encoded.len()).step_by(4_999) {
            let mut damaged = encoded.clone();
            damaged[at] ^= 1;
            let (runs, _, ended) = decode(sample.decoder(&all), &damaged, 10_000);
            assert!(ended.is_err(), "{at}");
            for (offset, data) in runs {
                let offset = offset as usize;
                assert_eq!(data, sample.bytes[offset..offset + data.len()]);
            }
        }
    }

    #[test]
    fn short_answer_is_not_done_and_a_long_one_is_refused() {
        let sample = Sample::new(50_000);
        let all = 0..50_000;
        let mut encoded = sample.encode(&all);
        let (_, _, ended) = decode(sample.decoder(&all), &encoded[..encoded.len() - 1], 7_000);
        assert_eq!(ended, Ok(false));
        encoded.push(0);
        let (_, _, ended) = decode(sample.decoder(&all), &encoded, 7_000);
        assert_eq!(ended, Err(DecodeError::Surplus));
    }

    #[test]
    fn decoder_survives_any_bytes() {
        let sample = Sample::new(200_000);
        let all = 0..200_000;
        let encoded = sample.encode(&all);
        let mut random = fastrand::Rng::with_seed(9);
        for _ in 0..200 {
            let mut bytes = encoded.clone();
            for _ in 0..random.usize(1..5) {
                let at = random.usize(..bytes.len());
                bytes[at] = random.u8(..);
            }
            bytes.truncate(random.usize(..bytes.len()));
            let _ = decode(sample.decoder(&all), &bytes, random.usize(1..50_000));
        }
    }
}
