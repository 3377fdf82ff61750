//! Comparing bytes on disk with their hashes.

use std::{
    num::NonZero,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use bao_tree::{ChunkRanges, TreeNode, iter::BaoChunk};
use weft_protocol::{id::BlobHash, layout::PieceRange, piece_set::PieceSet};

use super::{
    BlobStore, Inner,
    blob::Blob,
    digest,
    error::Error,
    import::Unfinished,
    lock,
    tree::{self, Hash, Pair},
};

/// Groups compared at once: 1 MiB, which stays in a processor's cache between reading and hashing.
const WINDOW: u32 = 64;

/// What a group should hash to cannot be told.
#[derive(Debug)]
pub(super) enum Wrong {
    /// A parent above these groups does not match.
    Parent(PieceRange),
    /// It cannot be read.
    Unreadable(Error),
}

/// Something that a walk comes to.
#[derive(Debug)]
pub(super) enum Step {
    /// A pair, found right.
    Pair(TreeNode, Pair),
    /// A group, and what it should hash to.
    Group(Hash),
}

/// Walks down the tree to these chunks, checking pairs on the way.
pub(super) fn walk(
    blob: &Blob,
    chunks: &ChunkRanges,
    visit: &mut dyn FnMut(Step),
) -> Result<(), Wrong> {
    let outboard = blob.outboard.open().map_err(Wrong::Unreadable)?;
    let shape = blob.tree();
    let mut above = vec![*blob.hash.as_bytes()];
    for item in shape.ranges_pre_order_chunks_iter_ref(chunks, 0) {
        let hash = above.pop().expect("each item was announced by its parent");
        match item {
            BaoChunk::Parent {
                node,
                is_root,
                left,
                right,
                ..
            } => {
                let mut pair: Pair = [0; 64];
                let index = shape
                    .pre_order_offset(node)
                    .expect("the walk stays in the tree");
                outboard
                    .read(index * super::outboard::PAIR_LEN, &mut pair)
                    .map_err(Wrong::Unreadable)?;
                let (l, r) = tree::split(&pair);
                if tree::parent_hash(&l, &r, is_root) != hash {
                    return Err(Wrong::Parent(tree::below(node)));
                }
                above.extend(right.then_some(r));
                above.extend(left.then_some(l));
                visit(Step::Pair(node, pair));
            }
            BaoChunk::Leaf { .. } => visit(Step::Group(hash)),
        }
    }
    Ok(())
}

/// The hashes of a run of groups as its tree has them, checked up to the root.
pub(super) fn expected(blob: &Blob, run: PieceRange) -> Result<Vec<Hash>, Wrong> {
    let mut wanted = PieceSet::empty(run.end);
    wanted.insert_range(run);
    let mut hashes = Vec::with_capacity(run.len() as usize);
    walk(blob, &tree::chunks(&wanted, blob.size), &mut |step| {
        if let Step::Group(hash) = step {
            hashes.push(hash);
        }
    })?;
    Ok(hashes)
}

/// What comparing showed.
#[derive(Debug)]
pub(super) struct Compared {
    /// Groups that are what they should be.
    pub(super) valid: PieceSet,
    /// Whether some of the others could not be judged, because the tree above them is wrong.
    pub(super) is_tree_wrong: bool,
}

/// Compares groups with their hashes. Uses all cores.
pub(super) fn compare(blob: &Blob, groups: &PieceSet) -> Result<Compared, Error> {
    let mut windows = Vec::new();
    for run in groups.runs() {
        for start in (run.start..run.end).step_by(WINDOW as usize) {
            let end = run.end.min(start.saturating_add(WINDOW));
            windows.push(PieceRange { start, end });
        }
    }
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let next = AtomicUsize::new(0);
    let compared = Mutex::new(Compared {
        valid: PieceSet::empty(groups.pieces()),
        is_tree_wrong: false,
    });
    let failure = Mutex::new(None);
    thread::scope(|scope| {
        for _ in 0..threads.min(windows.len().div_ceil(4)) {
            scope.spawn(|| {
                let mut buffer = Vec::new();
                while let Some(window) = windows.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(error) = compare_run(blob, *window, &mut buffer, &compared) {
                        *lock(&failure) = Some(error);
                        return;
                    }
                }
            });
        }
    });
    match lock(&failure).take() {
        Some(error) => Err(error),
        None => Ok(compared
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)),
    }
}

fn compare_run(
    blob: &Blob,
    window: PieceRange,
    buffer: &mut Vec<u8>,
    compared: &Mutex<Compared>,
) -> Result<(), Error> {
    let mut todo = vec![window];
    while let Some(run) = todo.pop().filter(|run| !run.is_empty()) {
        let hashes = match expected(blob, run) {
            Ok(hashes) => hashes,
            Err(Wrong::Unreadable(error)) => return Err(error),
            Err(Wrong::Parent(wrong)) => {
                lock(compared).is_tree_wrong = true;
                // Its neighbours may be fine.
                let (start, end) = (run.start.max(wrong.start), run.end.min(wrong.end));
                let before = PieceRange { end: start, ..run };
                let after = PieceRange { start: end, ..run };
                todo.extend([before, after].into_iter().filter(|part| !part.is_empty()));
                continue;
            }
        };
        let bytes = tree::bytes(run, blob.size);
        buffer.resize(usize::try_from(bytes.end - bytes.start).unwrap_or(0), 0);
        let read = blob.read_some(bytes.start, buffer)?;
        for ((group, data), hash) in (run.start..)
            .zip(buffer[..read].chunks(tree::GROUP_LEN as usize))
            .zip(hashes)
        {
            let bytes = tree::bytes(
                PieceRange {
                    start: group,
                    end: group + 1,
                },
                blob.size,
            );
            let is_whole = data.len() as u64 == bytes.end - bytes.start;
            let is_root = blob.size <= tree::GROUP_LEN;
            if is_whole && tree::leaf_hash(bytes.start, data, is_root) == hash {
                lock(compared).valid.insert(group);
            }
        }
    }
    Ok(())
}

/// Hashes the whole file; if it is the blob, its tree replaces the stored one. Says whether it is.
pub(super) fn rebuild(inner: &Inner, blob: &Blob) -> Result<bool, Error> {
    let file = blob
        .data
        .read()
        .map_err(|error| Error::io(blob.path(), error))?;
    let tree = Unfinished::new(inner, blob.size, blob.groups())?;
    let built = {
        let outboard = tree.outboard.open_to_write()?;
        digest::rebuild(&file, blob.size, &outboard)
    };
    match built {
        Ok(hash) if hash == *blob.hash.as_bytes() => {
            blob.outboard
                .copy_from(&tree.outboard, blob.tree().outboard_size())?;
            Ok(true)
        }
        Ok(_) | Err(digest::Failure::Length) => Ok(false),
        Err(digest::Failure::Read(error)) => Err(Error::io(blob.path(), error)),
        Err(digest::Failure::Write(error)) => Err(error),
    }
}

impl BlobStore {
    /// Whether the blob is here, whole, and still what its hash says: reads all of it, on all cores. What is not stops
    /// being here.
    ///
    /// # Errors
    /// If the disk fails.
    pub(crate) fn verify(&self, hash: &BlobHash, size: u64) -> Result<bool, Error> {
        let Some(blob) = self.inner.blob(hash)? else {
            return Ok(false);
        };
        if blob.size != size || !blob.is_complete() {
            return Ok(false);
        }
        verify(&self.inner, &blob)
    }
}

fn verify(inner: &Inner, blob: &Arc<Blob>) -> Result<bool, Error> {
    let all = PieceSet::full(blob.groups());
    let Compared {
        valid,
        is_tree_wrong,
    } = compare(blob, &all)?;
    if valid == all || (is_tree_wrong && rebuild(inner, blob)?) {
        return Ok(true);
    }
    for run in all.difference(&valid).runs() {
        blob.damaged(run);
    }
    Ok(false)
}
