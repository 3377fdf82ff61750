//! What the wire says for ranges of a blob: hash pairs and leaves in pre-order, checked as they are produced.

use std::{fs::File, io::IoSliceMut, os::unix::fs::FileExt, sync::Arc};

use bao_tree::{
    BaoTree, ChunkRanges, TreeNode,
    io::sync::truncate_ranges,
    iter::{BaoChunk, ResponseIter},
};
use weft_protocol::{layout::PieceRange, piece_set::PieceSet};

use super::{
    blob::Blob,
    error::Error,
    outboard::PAIR_LEN,
    tree::{self, GROUP_CHUNKS, GROUP_LEN, Hash, Pair},
};

/// Pairs read ahead: in pre-order they follow each other as they are sent.
const PAIRS_AHEAD: usize = 128;
/// The smallest buffer that surely takes one more item.
const BUFFER_LEN_MIN: usize = 32 * 1024;

/// Encodes ranges of one blob, some at a time.
#[derive(Debug)]
pub(crate) struct Encoder {
    blob: Arc<Blob>,
    shape: BaoTree,
    items: ResponseIter,
    /// An item that did not fit any more.
    next: Option<BaoChunk>,
    /// What the items to come must hash to.
    above: Vec<Hash>,
    pairs: PairsAhead,
    /// The group of which only parts are asked for.
    part: Option<(u64, Vec<u8>)>,
    data: Option<Arc<File>>,
}

/// What one call produced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Encoded {
    /// Bytes in the buffer; none at the end.
    pub(crate) len: usize,
    /// Bytes of the blob among them.
    pub(crate) payload: u64,
}

#[derive(Debug, Default)]
struct PairsAhead {
    first: u64,
    bytes: Vec<u8>,
}

/// A leaf to be read into its place in the buffer.
struct Leaf<'a> {
    offset: u64,
    place: &'a mut [u8],
    hash: Hash,
    is_root: bool,
}

impl Blob {
    /// Encodes these ranges as the iroh-blobs protocol sends them, without the size in front.
    pub(crate) fn encode(self: &Arc<Self>, ranges: &ChunkRanges) -> Encoder {
        let shape = self.tree();
        let wanted = truncate_ranges(ranges, self.size);
        let wanted = ChunkRanges::new(wanted.boundaries().iter().copied().collect())
            .expect("a part of sorted boundaries is sorted");
        Encoder {
            blob: Arc::clone(self),
            shape,
            items: ResponseIter::new(shape, wanted),
            next: None,
            above: vec![*self.hash.as_bytes()],
            pairs: PairsAhead::default(),
            part: None,
            data: None,
        }
    }
}

impl Encoder {
    /// Fills `buffer` with what comes next: whole pairs and leaves, as many as fit, read straight into their place.
    ///
    /// # Errors
    /// [`Error::Missing`] at the first group that is not here, [`Error::Damaged`] if a group or a pair is not what it
    /// should be; then nothing in the buffer may be sent.
    ///
    /// # Panics
    /// If the buffer is smaller than 32 KiB.
    pub(crate) fn fill(&mut self, buffer: &mut [u8]) -> Result<Encoded, Error> {
        assert!(
            buffer.len() >= BUFFER_LEN_MIN,
            "an item must fit into the buffer"
        );
        let have = self.blob.have();
        let mut rest = &mut *buffer;
        let mut encoded = Encoded { len: 0, payload: 0 };
        let mut leaves = Vec::new();
        while let Some(item) = self.next.take().or_else(|| self.items.next()) {
            let (group, len) = match &item {
                BaoChunk::Parent { node, .. } => (node.chunk_range().start.0 / GROUP_CHUNKS, 64),
                BaoChunk::Leaf {
                    start_chunk, size, ..
                } => (start_chunk.0 / GROUP_CHUNKS, *size),
            };
            if len > rest.len() {
                self.next = Some(item);
                break;
            }
            if let Some(offset) = self.first_missing(&item, group, &have) {
                self.next = Some(item);
                if encoded.len > 0 {
                    // What comes before it can be sent.
                    break;
                }
                return Err(Error::Missing {
                    blob: self.blob.hash,
                    offset,
                });
            }
            let (place, after) = std::mem::take(&mut rest).split_at_mut(len);
            rest = after;
            encoded.len += len;
            match item {
                BaoChunk::Parent {
                    node,
                    is_root,
                    left,
                    right,
                    ..
                } => match self.shape.pre_order_offset(node) {
                    Some(index) => {
                        place.copy_from_slice(&self.pair(node, index, is_root, (left, right))?);
                    }
                    None => self.inner_pair(node, group, place)?,
                },
                BaoChunk::Leaf {
                    start_chunk,
                    size,
                    is_root,
                    ..
                } => {
                    encoded.payload += len as u64;
                    let offset = start_chunk.to_bytes();
                    let run = tree::bytes(one(group), self.blob.size);
                    if offset == run.start && size as u64 == run.end - run.start {
                        leaves.push(Leaf {
                            offset,
                            place,
                            hash: self.above.pop().unwrap_or_default(),
                            is_root,
                        });
                    } else {
                        let start = usize::try_from(offset - run.start).unwrap_or(usize::MAX);
                        let data = self.part(group)?;
                        place.copy_from_slice(&data[start..start + size]);
                    }
                }
            }
        }
        self.read(&mut leaves)?;
        for leaf in &leaves {
            if tree::leaf_hash(leaf.offset, leaf.place, leaf.is_root) != leaf.hash {
                return Err(self.blob.wrong(one(leaf.offset / GROUP_LEN)));
            }
        }
        Ok(encoded)
    }

    /// The first byte of an item that is not here. A pair is here if anything below it is.
    fn first_missing(&self, item: &BaoChunk, group: u64, have: &PieceSet) -> Option<u64> {
        if have.is_full() {
            return None;
        }
        let below = match item {
            BaoChunk::Parent { node, .. } => tree::below(*node),
            BaoChunk::Leaf { .. } => one(group),
        };
        (!tree::intersects(have, below)).then_some(group * GROUP_LEN)
    }

    /// A stored pair, checked; what lies below is announced.
    fn pair(
        &mut self,
        node: TreeNode,
        index: u64,
        is_root: bool,
        (left, right): (bool, bool),
    ) -> Result<Pair, Error> {
        let hash = self.above.pop().unwrap_or_default();
        let mut pair = self.pairs.get(&self.blob, index, false)?;
        let (mut l, mut r) = tree::split(&pair);
        if tree::parent_hash(&l, &r, is_root) != hash {
            // It may have been written since it was read ahead.
            pair = self.pairs.get(&self.blob, index, true)?;
            (l, r) = tree::split(&pair);
            if tree::parent_hash(&l, &r, is_root) != hash {
                return Err(self.blob.wrong(tree::below(node)));
            }
        }
        self.above.extend(right.then_some(r));
        self.above.extend(left.then_some(l));
        Ok(pair)
    }

    /// A pair inside of a group: not stored but computed from the group.
    fn inner_pair(&mut self, node: TreeNode, group: u64, place: &mut [u8]) -> Result<(), Error> {
        let start = node.chunk_range().start.to_bytes();
        let mid = node.mid().to_bytes();
        let end = node.chunk_range().end.to_bytes();
        let base = group * GROUP_LEN;
        let data = self.part(group)?;
        let clip = |at: u64| {
            usize::try_from(at - base)
                .unwrap_or(usize::MAX)
                .min(data.len())
        };
        let left = tree::leaf_hash(start, &data[clip(start)..clip(mid)], false);
        let right = tree::leaf_hash(mid, &data[clip(mid)..clip(end)], false);
        place[..32].copy_from_slice(&left);
        place[32..].copy_from_slice(&right);
        Ok(())
    }

    /// A group of which only parts are asked for, read and checked when the first of them is.
    fn part(&mut self, group: u64) -> Result<&[u8], Error> {
        if self.part.as_ref().is_none_or(|(n, _)| *n != group) {
            let hash = self.above.pop().unwrap_or_default();
            let run = tree::bytes(one(group), self.blob.size);
            let mut data = vec![0; usize::try_from(run.end - run.start).unwrap_or(0)];
            let read = self.blob.read_some(run.start, &mut data)?;
            let is_root = self.blob.size <= GROUP_LEN;
            if read < data.len() || tree::leaf_hash(run.start, &data, is_root) != hash {
                return Err(self.blob.wrong(one(group)));
            }
            self.part = Some((group, data));
        }
        Ok(self.part.as_ref().map_or(&[], |(_, data)| data))
    }

    /// Reads leaves: those that follow each other in the file with one call.
    fn read(&mut self, leaves: &mut [Leaf<'_>]) -> Result<(), Error> {
        let follows = |a: &Leaf<'_>, b: &Leaf<'_>| a.offset + a.place.len() as u64 == b.offset;
        for run in leaves.chunk_by_mut(|a, b| follows(a, b)) {
            let Some(offset) = run.first().map(|leaf| leaf.offset) else {
                continue;
            };
            let wanted: usize = run.iter().map(|leaf| leaf.place.len()).sum();
            if wanted == 0 {
                continue;
            }
            let file = self.file()?;
            let mut slices: Vec<_> = run
                .iter_mut()
                .map(|leaf| IoSliceMut::new(leaf.place))
                .collect();
            let read = rustix::io::retry_on_intr(|| rustix::io::preadv(&file, &mut slices, offset));
            if read != Ok(wanted) {
                self.read_each(&file, run)?;
            }
        }
        Ok(())
    }

    /// The slow way, which finds out what is wrong.
    fn read_each(&self, file: &File, run: &mut [Leaf<'_>]) -> Result<(), Error> {
        for leaf in run {
            if let Err(error) = file.read_exact_at(leaf.place, leaf.offset) {
                return Err(match error.kind() {
                    std::io::ErrorKind::UnexpectedEof => {
                        self.blob.wrong(one(leaf.offset / GROUP_LEN))
                    }
                    _ => Error::io(self.blob.path(), error),
                });
            }
        }
        Ok(())
    }

    fn file(&mut self) -> Result<Arc<File>, Error> {
        if let Some(file) = &self.data {
            return Ok(Arc::clone(file));
        }
        let file = self
            .blob
            .data
            .read()
            .map_err(|error| Error::io(self.blob.path(), error))?;
        self.data = Some(Arc::clone(&file));
        Ok(file)
    }
}

impl PairsAhead {
    fn get(&mut self, blob: &Blob, index: u64, anew: bool) -> Result<Pair, Error> {
        let place = |first: u64| usize::try_from((index - first) * PAIR_LEN).unwrap_or(usize::MAX);
        let is_read = index >= self.first && place(self.first) < self.bytes.len();
        if anew || !is_read {
            self.bytes.resize(PAIRS_AHEAD * PAIR_LEN as usize, 0);
            self.first = index;
            blob.outboard
                .open()?
                .read(index * PAIR_LEN, &mut self.bytes)?;
        }
        let at = place(self.first);
        let mut pair = [0; 64];
        pair.copy_from_slice(&self.bytes[at..at + 64]);
        Ok(pair)
    }
}

fn one(group: u64) -> PieceRange {
    let start = u32::try_from(group).unwrap_or(u32::MAX);
    PieceRange {
        start,
        end: start.saturating_add(1),
    }
}
