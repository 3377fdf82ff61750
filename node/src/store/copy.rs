//! Bytes of blobs that are here into one that is not: read, compared with the hash tree of the target, written.
//!
//! A plan says where equal bytes are said to be; nobody vouches for it. From the root of the target's tree on every pair
//! is checked on the way down to the subtrees that can be copied, and what is read for one is written only if it hashes
//! to what the pair above says. What cannot be checked or does not match is left alone, for the network to bring.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, IoSlice},
    num::NonZero,
    ops::Range,
    sync::Arc,
    thread,
};

use tracing::debug;
use weft_protocol::{
    delta::{self, Groups, Plan, Source},
    id::BlobHash,
    layout::PieceRange,
    manifest::Spans,
};

use super::{
    BlobStore,
    blob::Blob,
    collect::Guard,
    error::Error,
    files,
    tree::{self, GROUP_LEN, Hash, Pair},
    write::{Parent, Writer},
};

/// What is read, hashed and written at once. A larger subtree is read twice: once to be judged, once to be written.
const BLOCK_LEN: u64 = 16 * 1024 * 1024;
/// A block of every file system that shares them between files.
const SHARED_BLOCK: u64 = 4096;
/// Less than this is not worth sharing: it would only leave many small pieces on the disk.
const SHARED_MIN: u64 = 64 * 1024;
/// Groups hashed by one thread at least: less is not worth a thread.
const GROUPS_PER_THREAD: usize = 64;

/// What to copy into a blob.
#[derive(Clone, Copy)]
pub(crate) struct Copies<'a> {
    pub(crate) plan: &'a Plan,
    /// A layer of the target's tree, if its manifest has one: what it proves needs nobody else.
    pub(crate) spans: Option<&'a Spans>,
    /// Told of bytes that were copied; says whether to go on.
    pub(crate) progress: &'a dyn Fn(u64) -> bool,
}

impl BlobStore {
    /// Copies what can be checked into a blob of `size` bytes.
    ///
    /// # Errors
    /// If the target cannot be written to. A source that cannot be read is no error.
    pub(crate) fn copy(&self, hash: &BlobHash, size: u64, copies: Copies<'_>) -> Result<(), Error> {
        let writer = self.begin(hash, size, copies.plan.bytes())?;
        let mut copier = Copier {
            store: self,
            target: Arc::clone(writer.blob()),
            writer,
            copies,
            sources: HashMap::new(),
            buffer: Vec::new(),
            judged: HashMap::new(),
            above: Vec::new(),
            is_stopped: false,
            shares: false,
        };
        copier.shares = copier.can_share();
        let root = Node {
            groups: 0..size.div_ceil(GROUP_LEN),
            index: 0,
        };
        let done = copier.descend(&root, hash.as_bytes());
        copier.writer.finish()?;
        done
    }
}

/// A node of the tree, by the groups below it and its place in the pre-order.
#[derive(Debug, Clone)]
struct Node {
    groups: Groups,
    index: u64,
}

impl Node {
    /// The nodes below; `None` for a group. Left is the largest power of two that leaves right some.
    fn children(&self) -> Option<[Self; 2]> {
        let count = self.groups.end - self.groups.start;
        if count < 2 {
            return None;
        }
        let left = count.div_ceil(2).next_power_of_two();
        let middle = self.groups.start + left;
        Some([
            Self {
                groups: self.groups.start..middle,
                index: self.index + 1,
            },
            Self {
                groups: middle..self.groups.end,
                // `left - 1` parents lie between.
                index: self.index + left,
            },
        ])
    }

    fn is_root(&self) -> bool {
        self.index == 0
    }

    fn below(&self) -> PieceRange {
        let clip = |group: u64| u32::try_from(group).unwrap_or(u32::MAX);
        PieceRange {
            start: clip(self.groups.start),
            end: clip(self.groups.end),
        }
    }

    fn parent(&self, pair: Pair) -> Parent {
        Parent {
            below: self.below(),
            index: self.index,
            pair,
        }
    }
}

struct Copier<'a> {
    store: &'a BlobStore,
    target: Arc<Blob>,
    writer: Writer,
    copies: Copies<'a>,
    /// Blobs that were read from, kept meanwhile; `None` if one is not here.
    sources: HashMap<BlobHash, Option<(Arc<Blob>, Guard)>>,
    buffer: Vec<u8>,
    /// Pairs of a large subtree that was read and found right, above its blocks.
    judged: HashMap<u64, Pair>,
    /// Pairs on the way from the root to where the copier is.
    above: Vec<Parent>,
    is_stopped: bool,
    /// Whether what lies at the same place of a block takes no space here.
    shares: bool,
}

impl Copier<'_> {
    /// Looks for subtrees to copy below a node whose hash is known.
    fn descend(&mut self, node: &Node, expected: &Hash) -> Result<(), Error> {
        let runs = self.copies.plan.runs();
        let first = runs.partition_point(|run| run.end <= node.groups.start);
        let run = runs.get(first).filter(|run| run.start < node.groups.end);
        let Some(run) = run.filter(|_| !self.is_stopped) else {
            return Ok(());
        };
        if run.start <= node.groups.start && node.groups.end <= run.end {
            return self.subtree(node, expected);
        }
        let (Some(children), Some(pair)) = (node.children(), self.pair(node, expected)?) else {
            return Ok(());
        };
        let (left, right) = tree::split(&pair);
        self.above.push(node.parent(pair));
        let done = self
            .descend(&children[0], &left)
            .and_then(|()| self.descend(&children[1], &right));
        self.above.pop();
        done
    }

    /// The hashes of a node's children, from the manifest or from what came before, if they are right.
    fn pair(&self, node: &Node, expected: &Hash) -> Result<Option<Pair>, Error> {
        let bytes = delta::bytes(&node.groups, self.target.size());
        let from_spans = || {
            let spans = self.copies.spans?;
            let len = spans.len();
            if bytes.end - bytes.start <= len {
                return None;
            }
            let first = usize::try_from(bytes.start / len).ok()?;
            let count = usize::try_from((bytes.end - bytes.start).div_ceil(len)).ok()?;
            let (left, right) = spans.pair(first, count)?;
            let mut pair = [0; 64];
            pair[..32].copy_from_slice(&left);
            pair[32..].copy_from_slice(&right);
            Some(pair)
        };
        let is_right = |pair: &Pair| {
            let (left, right) = tree::split(pair);
            tree::parent_hash(&left, &right, node.is_root()) == *expected
        };
        match from_spans().filter(is_right) {
            Some(pair) => Ok(Some(pair)),
            None => Ok(self.target.pair(node.index)?.filter(is_right)),
        }
    }

    /// Copies everything below a node, if it is right.
    fn subtree(&mut self, node: &Node, expected: &Hash) -> Result<(), Error> {
        if self.target.have().contains_range(node.below()) {
            return Ok(());
        }
        if len(node) <= BLOCK_LEN {
            return self.block(node, expected);
        }
        self.judged.clear();
        if self.judge(node) == Some(*expected) {
            return self.settle(node, expected);
        }
        self.leave(node);
        Ok(())
    }

    /// The hash of what is said to belong below a node.
    fn judge(&mut self, node: &Node) -> Option<Hash> {
        match node.children().filter(|_| len(node) > BLOCK_LEN) {
            Some([left, right]) => {
                let mut pair = [0; 64];
                pair[..32].copy_from_slice(&self.judge(&left)?);
                pair[32..].copy_from_slice(&self.judge(&right)?);
                self.judged.insert(node.index, pair);
                let (left, right) = tree::split(&pair);
                Some(tree::parent_hash(&left, &right, node.is_root()))
            }
            None => {
                self.read(node)?;
                Some(hash(node, &self.buffer, &mut Vec::new()))
            }
        }
    }

    /// Copies what was judged, block by block.
    fn settle(&mut self, node: &Node, expected: &Hash) -> Result<(), Error> {
        if self.is_stopped {
            return Ok(());
        }
        let children = node.children().zip(self.judged.get(&node.index).copied());
        let Some((children, pair)) = children.filter(|_| len(node) > BLOCK_LEN) else {
            return self.block(node, expected);
        };
        let (left, right) = tree::split(&pair);
        self.above.push(node.parent(pair));
        let done = self
            .settle(&children[0], &left)
            .and_then(|()| self.settle(&children[1], &right));
        self.above.pop();
        done
    }

    /// Copies a subtree that fits into memory, if it is right.
    fn block(&mut self, node: &Node, expected: &Hash) -> Result<(), Error> {
        let mut parents = self.above.clone();
        let is_right =
            self.read(node).is_some() && hash(node, &self.buffer, &mut parents) == *expected;
        if !is_right {
            self.leave(node);
            return Ok(());
        }
        let bytes = delta::bytes(&node.groups, self.target.size());
        let (start, len) = (bytes.start, bytes.end - bytes.start);
        let shared = self.shared(node);
        let buffer = &self.buffer;
        let place = |file: &File| put(file, start, buffer, &shared);
        self.writer
            .write_by((start, len), parents.into_iter(), place)?;
        self.is_stopped |= !(self.copies.progress)(bytes.end - bytes.start);
        Ok(())
    }

    /// Reads what is said to belong below a node; `None` if it is not to be had.
    fn read(&mut self, node: &Node) -> Option<()> {
        let wanted = delta::bytes(&node.groups, self.target.size());
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(usize::try_from(wanted.end - wanted.start).ok()?, 0);
        let mut rest = buffer.as_mut_slice();
        let mut is_read = !self.is_stopped;
        for copy in self.copies.plan.copies(&node.groups) {
            let len = usize::try_from(copy.target.end - copy.target.start).ok()?;
            let (part, others) = rest.split_at_mut_checked(len)?;
            rest = others;
            match copy.source {
                Source::Zeros => part.fill(0),
                Source::Held { blob, offset } => {
                    let source = self.source(&blob);
                    is_read &= source.is_some_and(|source| source.read_at(offset, part).is_ok());
                }
            }
        }
        is_read &= rest.is_empty();
        self.buffer = buffer;
        is_read.then_some(())
    }

    fn can_share(&self) -> bool {
        // Tests take the way of sharing on every file system: what it brings must be right there as well.
        let file = self.target.data.read();
        cfg!(test) || file.is_ok_and(|file| files::shares_extents(&file))
    }

    /// Parts below a node that can be shared with the store's own files, which nobody writes to between being read and
    /// being shared: whole blocks at the same place of a block.
    fn shared(&mut self, node: &Node) -> Vec<Shared> {
        let copies = self.copies.plan.copies(&node.groups);
        let copies: Vec<_> = copies.filter(|_| self.shares).collect();
        let mut shared = Vec::new();
        for copy in copies {
            let Source::Held { blob, offset } = copy.source else {
                continue;
            };
            let start = copy.target.start.next_multiple_of(SHARED_BLOCK);
            let end = copy.target.end / SHARED_BLOCK * SHARED_BLOCK;
            let offset = offset + (start - copy.target.start);
            let fits = start + SHARED_MIN <= end && offset.is_multiple_of(SHARED_BLOCK);
            let source = self
                .source(&blob)
                .filter(|blob| fits && !blob.is_original());
            if let Some(Ok(file)) = source.map(|blob| blob.data.read()) {
                shared.push(Shared {
                    target: start..end,
                    file,
                    offset,
                });
            }
        }
        shared
    }

    fn source(&mut self, hash: &BlobHash) -> Option<Arc<Blob>> {
        let store = self.store;
        let source = self.sources.entry(*hash).or_insert_with(|| {
            // Kept first, looked at then.
            let guard = store.guard(hash);
            store.blob(hash).map(|blob| (blob, guard))
        });
        source.as_ref().map(|(blob, _)| Arc::clone(blob))
    }

    fn leave(&self, node: &Node) {
        if !self.is_stopped {
            debug!(
                blob = %self.target.hash().fmt_short(),
                groups = ?node.groups,
                "what is here is not what the tensor index says; it is fetched"
            );
        }
    }
}

/// Bytes of a target that can be the same bytes on the disk as those of a source.
struct Shared {
    target: Range<u64>,
    file: Arc<File>,
    offset: u64,
}

/// Writes `data` at `start`: what can be shared is, the rest is copied from `data`.
fn put(file: &File, start: u64, data: &[u8], shared: &[Shared]) -> io::Result<()> {
    let mut done = start;
    let part = |range: Range<u64>| {
        let at = |offset: u64| usize::try_from(offset - start).unwrap_or(usize::MAX);
        data.get(at(range.start)..at(range.end)).unwrap_or_default()
    };
    for Shared {
        target,
        file: source,
        offset,
    } in shared
    {
        if files::share(source, *offset, file, target.clone()).is_ok() {
            let before = [IoSlice::new(part(done..target.start))];
            files::write_all_at(file, &before, done)?;
            done = target.end;
        }
    }
    let rest = [IoSlice::new(part(done..start + data.len() as u64))];
    files::write_all_at(file, &rest, done)
}

fn len(node: &Node) -> u64 {
    (node.groups.end - node.groups.start).saturating_mul(GROUP_LEN)
}

/// The hash of a node over `data`; the pairs inside are added to `pairs`. Uses all cores.
fn hash(node: &Node, data: &[u8], pairs: &mut Vec<Parent>) -> Hash {
    let is_root = node.is_root() && node.children().is_none();
    let groups: Vec<&[u8]> = data.chunks(GROUP_LEN as usize).collect();
    let mut hashes = vec![[0; 32]; groups.len()];
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let share = groups.len().div_ceil(threads).max(GROUPS_PER_THREAD);
    let fill = |first: u64, groups: &[&[u8]], hashes: &mut [Hash]| {
        for ((group, hash), n) in groups.iter().zip(hashes).zip(first..) {
            *hash = tree::leaf_hash(n * GROUP_LEN, group, is_root);
        }
    };
    let first_of = |n: usize| node.groups.start + (n * share) as u64;
    let shares = || groups.chunks(share).enumerate();
    if groups.len() <= share {
        fill(first_of(0), &groups, &mut hashes);
    } else {
        thread::scope(|scope| {
            for ((n, groups), hashes) in shares().zip(hashes.chunks_mut(share)) {
                scope.spawn(move || fill(first_of(n), groups, hashes));
            }
        });
    }
    combine(node, node.groups.start, &hashes, pairs)
}

fn combine(node: &Node, first: u64, hashes: &[Hash], pairs: &mut Vec<Parent>) -> Hash {
    let Some([left, right]) = node.children() else {
        let at = usize::try_from(node.groups.start - first).unwrap_or(usize::MAX);
        return hashes.get(at).copied().unwrap_or_default();
    };
    let left = combine(&left, first, hashes, pairs);
    let right = combine(&right, first, hashes, pairs);
    let mut pair = [0; 64];
    pair[..32].copy_from_slice(&left);
    pair[32..].copy_from_slice(&right);
    pairs.push(node.parent(pair));
    tree::parent_hash(&left, &right, node.is_root())
}
