//! What is known of one blob while somebody works with it.

use std::{
    collections::VecDeque,
    fs::{self, File},
    ops::Range,
    path::Path,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use bao_tree::{BaoTree, ChunkRanges};
use tokio::sync::watch;
use tracing::error;
use weft_protocol::{
    id::BlobHash,
    layout::{Layout, PieceRange},
    piece_set::PieceSet,
};
use weft_registry::{BlobRecord, BlobWrite, Durability};

use super::{
    Inner,
    error::Error,
    files::{self, Handle},
    lock,
    outboard::{INLINE_GROUPS_MAX, Outboard, PAIR_LEN},
    tree,
};

/// Larger files are written past the page cache: they would only push out what the machine's owner uses, and memory that
/// was given back a moment ago is far cheaper to write to than memory nobody has touched yet.
pub(super) const STREAMED_MIN: u64 = 64 * 1024 * 1024;
/// Written bytes of a streamed file that stay in memory: what other peers ask for next, and time for the disk.
const TRAIL_LEN: u64 = 64 * 1024 * 1024;

/// One blob: its size, its file, its tree, and which of its groups are here.
#[derive(Debug)]
pub(crate) struct Blob {
    pub(super) hash: BlobHash,
    pub(super) size: u64,
    /// Whether the file is the user's.
    pub(super) is_original: bool,
    pub(super) data: Handle,
    pub(super) outboard: Outboard,
    pub(super) inner: Weak<Inner>,
    pub(super) writers: AtomicUsize,
    /// Whether it waits for a checkpoint.
    pub(super) is_dirty: AtomicBool,
    /// Whether the space for the whole file is taken.
    pub(super) is_allocated: AtomicBool,
    state: Mutex<State>,
    /// Held while a record is made and written, so that an older one never replaces a newer.
    noting: Mutex<()>,
    trail: Mutex<VecDeque<Range<u64>>>,
    changes: watch::Sender<u64>,
}

/// Which groups are here.
#[derive(Debug)]
pub(super) struct State {
    pub(super) written: PieceSet,
    pub(super) synced: PieceSet,
    /// What the file looked like when it was last known to be right and whole.
    pub(super) stamp: Option<[u64; 4]>,
    /// Something that was here turned out wrong.
    pub(super) is_damaged: bool,
    /// Removed or replaced: what still holds it must not write records any more.
    pub(super) is_gone: bool,
    outboard_noted: bool,
}

/// Where the bytes of a blob are.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) data: Handle,
    pub(super) is_original: bool,
    pub(super) outboard: Outboard,
    pub(super) stamp: Option<[u64; 4]>,
    /// Whether the registry has the tree, if it is to.
    pub(super) is_noted: bool,
}

impl Blob {
    pub(super) fn new(
        inner: &Arc<Inner>,
        (hash, size): (BlobHash, u64),
        place: Place,
        (written, synced): (PieceSet, PieceSet),
    ) -> Self {
        Self {
            hash,
            size,
            is_original: place.is_original,
            data: place.data,
            outboard: place.outboard,
            inner: Arc::downgrade(inner),
            writers: AtomicUsize::new(0),
            is_dirty: AtomicBool::new(false),
            is_allocated: AtomicBool::new(false),
            state: Mutex::new(State {
                outboard_noted: place.is_noted,
                written,
                synced,
                stamp: place.stamp,
                is_damaged: false,
                is_gone: false,
            }),
            noting: Mutex::default(),
            trail: Mutex::default(),
            changes: inner.index.slot(&hash).sender(),
        }
    }

    /// Its name.
    pub(crate) fn hash(&self) -> BlobHash {
        self.hash
    }

    /// Its bytes, here or not.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The shape of its hash tree.
    pub(crate) fn tree(&self) -> BaoTree {
        tree::tree(self.size)
    }

    /// The file that holds it.
    pub(crate) fn path(&self) -> &Path {
        self.data.path()
    }

    /// Whether that file is the user's own.
    pub(crate) fn is_original(&self) -> bool {
        self.is_original
    }

    /// Whether the file still looks as it did when all of it was found right. What is not the user's own nobody else
    /// changes.
    pub(crate) fn is_unchanged(&self) -> bool {
        if !self.is_original {
            return true;
        }
        let stamp = fs::metadata(self.path()).map(|metadata| files::stamp(&metadata));
        stamp.is_ok_and(|stamp| lock(&self.state).stamp == Some(stamp))
    }

    /// The groups that are here.
    pub(crate) fn have(&self) -> PieceSet {
        lock(&self.state).written.clone()
    }

    /// Whether all of these bytes are here.
    pub(crate) fn has(&self, bytes: &Range<u64>) -> bool {
        let groups = tree::touched(bytes);
        bytes.end <= self.size && lock(&self.state).written.contains_range(groups)
    }

    /// How many bytes from `offset` on are here without a gap.
    pub(crate) fn ready_from(&self, offset: u64) -> u64 {
        let group = offset / tree::GROUP_LEN;
        lock(&self.state)
            .written
            .runs()
            .find(|run| (u64::from(run.start)..u64::from(run.end)).contains(&group))
            .map_or(0, |run| {
                tree::bytes(run, self.size).end.saturating_sub(offset)
            })
    }

    /// Whether all of it is here.
    pub(crate) fn is_complete(&self) -> bool {
        lock(&self.state).written.is_full()
    }

    /// Whether something that was here turned out wrong, in this run.
    pub(crate) fn is_damaged(&self) -> bool {
        lock(&self.state).is_damaged
    }

    /// The pieces that are here whole.
    pub(crate) fn pieces(&self, layout: Layout) -> PieceSet {
        tree::pieces(&lock(&self.state).written, layout)
    }

    /// The chunks that are here, as the observe protocol says it.
    pub(crate) fn chunk_ranges(&self) -> ChunkRanges {
        tree::chunks(&lock(&self.state).written, self.size)
    }

    /// Whether nothing of it is here and nobody writes to it.
    pub(super) fn is_unused(&self) -> bool {
        self.have().is_empty() && self.writers.load(Ordering::Acquire) == 0
    }

    pub(super) fn groups(&self) -> u32 {
        lock(&self.state).written.pieces()
    }

    pub(super) fn state(&self) -> std::sync::MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Counts groups as here.
    pub(super) fn add(self: &Arc<Self>, groups: PieceRange) {
        {
            let mut state = lock(&self.state);
            state.written.insert_range(groups);
            state.outboard_noted = false;
        }
        self.touch();
    }

    /// Counts groups as gone, because they are wrong: all of them if the file is not ours to mend.
    pub(super) fn damaged(self: &Arc<Self>, groups: PieceRange) {
        {
            let mut state = lock(&self.state);
            state.is_damaged = true;
            state.stamp = None;
            if self.is_original {
                state.written = PieceSet::empty(state.written.pieces());
                state.synced = state.written.clone();
            } else {
                state.written.remove_range(groups);
                state.synced.remove_range(groups);
            }
        }
        error!(
            blob = %self.hash.fmt_short(),
            "a blob on this disk no longer matches its hash and is not sent; `weft verify` names the file"
        );
        self.touch();
        self.note().ok();
    }

    /// Tells watchers, and queues for the next checkpoint.
    pub(super) fn touch(self: &Arc<Self>) {
        self.changes.send_modify(|n| *n = n.wrapping_add(1));
        if !self.is_dirty.swap(true, Ordering::AcqRel)
            && let Some(inner) = self.inner.upgrade()
        {
            inner.checkpoints.add(Arc::clone(self));
        }
    }

    /// Writes into the registry what is here now. Survives the end of the process.
    pub(super) fn note(&self) -> Result<(), Error> {
        let Some(inner) = self.inner.upgrade() else {
            return Ok(());
        };
        let _order = lock(&self.noting);
        let wants_stamp = {
            let state = lock(&self.state);
            state.stamp.is_none() && state.written.is_full() && !self.is_original
        };
        let stamp = wants_stamp
            .then(|| fs::metadata(self.data.path()).ok())
            .flatten()
            .map(|metadata| files::stamp(&metadata));
        let (record, outboard) = {
            let mut state = lock(&self.state);
            if state.is_gone {
                return Ok(());
            }
            state.stamp = stamp.or(state.stamp).filter(|_| state.written.is_full());
            let outboard = (!state.outboard_noted).then(|| self.outboard.inline());
            state.outboard_noted = true;
            (self.record(&state, inner.boot), outboard.flatten())
        };
        let write = BlobWrite {
            blob: self.hash,
            record: Some(record),
            outboard: outboard.filter(|bytes| !bytes.is_empty()),
        };
        let noted = inner.registry.write_blobs(&[write], Durability::Buffered);
        if noted.is_err() {
            lock(&self.state).outboard_noted = false;
        }
        Ok(noted?)
    }

    /// Makes sure that no record follows, and returns when one under way is written.
    pub(super) fn retire(&self) {
        lock(&self.state).is_gone = true;
        drop(lock(&self.noting));
        self.changes.send_modify(|n| *n = n.wrapping_add(1));
    }

    fn record(&self, state: &State, boot: [u8; 16]) -> BlobRecord {
        let runs = |set: &PieceSet| set.runs().map(|run| (run.start, run.end)).collect();
        BlobRecord {
            size: self.size,
            original: self.is_original.then(|| {
                use std::os::unix::ffi::OsStrExt;
                self.data.path().as_os_str().as_bytes().to_vec()
            }),
            stamp: state.stamp,
            synced: runs(&state.synced),
            written: runs(&state.written),
            boot,
        }
    }

    /// Keeps a large file from filling the page cache: what was written goes to disk at once, and what was written a
    /// while ago, and is on disk by now, gives its memory back.
    pub(super) fn trail(&self, file: &File, written: Range<u64>) {
        if self.size < STREAMED_MIN {
            return;
        }
        files::let_go(file, written.start, written.end - written.start);
        let mut trail = lock(&self.trail);
        trail.push_back(written);
        let mut len: u64 = trail.iter().map(|part| part.end - part.start).sum();
        while len > TRAIL_LEN
            && let Some(part) = trail.pop_front()
        {
            len -= part.end - part.start;
            files::let_go(file, part.start, part.end - part.start);
        }
    }
}

/// The tree of a blob that is new here.
pub(super) fn new_outboard(inner: &Inner, hash: &BlobHash, size: u64, groups: u32) -> Outboard {
    if groups <= INLINE_GROUPS_MAX {
        let len = u64::from(groups.saturating_sub(1)) * PAIR_LEN;
        debug_assert_eq!(len, tree::tree(size).outboard_size());
        Outboard::Inline(Mutex::new(vec![
            0;
            usize::try_from(len).unwrap_or_default()
        ]))
    } else {
        Outboard::File(Handle::new(inner.files.outboard(hash)))
    }
}
