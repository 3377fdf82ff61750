//! Verified bytes into a blob.

use std::{
    fs::File,
    io::{self, IoSlice},
    os::unix::fs::MetadataExt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bao_tree::TreeNode;
use tracing::debug;
use weft_protocol::{
    id::BlobHash,
    layout::{Layout, PieceRange},
};

use super::{
    BlobStore,
    blob::{Blob, STREAMED_MIN},
    error::Error,
    files,
    room::Promise,
    tree::{self, GROUP_LEN, Pair},
};

/// What a caller gathers before it writes.
const BUFFERED_MAX: u64 = 512 * 1024;

/// One stream's way into a blob; any number of them may write to one at once. While it lives the blob is not collected.
#[derive(Debug)]
pub(crate) struct Writer {
    blob: Arc<Blob>,
    /// Keeps the file open; none for a blob that is whole.
    data: Option<Arc<File>>,
    _outboard: Option<Arc<File>>,
    _promise: Promise,
    is_noted: AtomicBool,
    /// Bytes written since the last note.
    unnoted: AtomicU64,
    /// At so many of them it is time for one: what is not noted when the process ends is fetched again, and that is to be
    /// less than a piece, with what the caller still has in its buffers.
    note_at: u64,
}

/// A hash pair and its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parent {
    /// The groups below its node.
    pub(super) below: PieceRange,
    /// Its place in the pre-order of the tree.
    pub(super) index: u64,
    pub(super) pair: Pair,
}

/// How things stood when a writer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Finished {
    /// Whether the whole blob is here.
    pub(crate) is_complete: bool,
}

impl BlobStore {
    /// Makes ready to write `bytes` bytes of a blob of `size` bytes, which begins to be if it is new.
    ///
    /// # Errors
    /// [`Error::Full`] if that would eat into the reserve, [`Error::Size`] if the blob is known with another size, or a
    /// failure of the disk.
    pub(crate) fn begin(&self, hash: &BlobHash, size: u64, bytes: u64) -> Result<Writer, Error> {
        let inner = &self.inner;
        if size == 0 && !tree::is_empty(hash) {
            // Nobody can have it.
            return Err(Error::Missing {
                blob: *hash,
                offset: 0,
            });
        }
        // Counted as written to from here on.
        let blob = inner.blob_to_write(hash, size)?;
        let mut writer = Writer {
            blob: Arc::clone(&blob),
            data: None,
            _outboard: None,
            _promise: Promise::default(),
            is_noted: AtomicBool::new(true),
            unnoted: AtomicU64::new(0),
            note_at: Layout::new(size).piece_len.saturating_sub(BUFFERED_MAX),
        };
        if blob.is_complete() {
            return Ok(writer);
        }
        let data = blob
            .data
            .write()
            .map_err(|error| Error::io(blob.path(), error))?;
        let fits = |file: &File| file.metadata().is_ok_and(|m| m.blocks() * 512 >= size);
        if !blob.is_allocated.load(Ordering::Acquire) && !fits(&data) {
            writer._promise = inner.room.promise(bytes)?;
            // Beyond the promise: parts of a file that does not fit may still be wanted.
            let is_large = size >= STREAMED_MIN && blob.have().is_empty();
            if is_large && !blob.is_allocated.swap(true, Ordering::AcqRel) {
                let allocated = inner.room.has(size) && files::allocate(&data, size);
                blob.is_allocated.store(allocated, Ordering::Release);
            }
        }
        writer._outboard = blob.outboard.hold()?;
        writer.data = Some(data);
        Ok(writer)
    }
}

impl Writer {
    /// What it writes into.
    pub(super) fn blob(&self) -> &Arc<Blob> {
        &self.blob
    }

    /// Stores a run that was verified. `leaves` lie one behind the other, the first byte at `offset`; they are whole
    /// groups, or end with the blob. `parents` are the hash pairs above them that came with them: all of them from the
    /// root on, except those that an earlier run through this writer had. Trusts the caller.
    ///
    /// # Errors
    /// [`Error::Full`] and other failures of the disk: then nothing of this run counts as here.
    pub(crate) fn write_verified(
        &self,
        offset: u64,
        leaves: &[IoSlice<'_>],
        parents: &[(TreeNode, Pair)],
    ) -> Result<(), Error> {
        let shape = self.blob.tree();
        let parents = parents.iter().filter_map(|(node, pair)| {
            Some(Parent {
                below: tree::below(*node),
                index: shape.pre_order_offset(*node)?,
                pair: *pair,
            })
        });
        self.write(offset, leaves, parents)
    }

    /// The same, of parents that have a place already.
    pub(super) fn write(
        &self,
        offset: u64,
        leaves: &[IoSlice<'_>],
        parents: impl Iterator<Item = Parent>,
    ) -> Result<(), Error> {
        let len = leaves.iter().map(|leaf| leaf.len() as u64).sum();
        let write = |file: &File| files::write_all_at(file, leaves, offset);
        self.write_by((offset, len), parents, write)
    }

    /// The same, of bytes that `write` puts into the file.
    pub(super) fn write_by(
        &self,
        (offset, len): (u64, u64),
        parents: impl Iterator<Item = Parent>,
        write: impl FnOnce(&File) -> io::Result<()>,
    ) -> Result<(), Error> {
        let blob = &self.blob;
        let bytes = offset..offset.saturating_add(len);
        let ends_well = bytes.end.is_multiple_of(GROUP_LEN) || bytes.end == blob.size;
        if !offset.is_multiple_of(GROUP_LEN) || !ends_well || bytes.end > blob.size {
            return Err(Error::Unaligned {
                blob: blob.hash,
                offset,
            });
        }
        let Some(data) = &self.data else {
            return Ok(());
        };
        let groups = tree::touched(&bytes);
        let mut new_parents = {
            let state = blob.state();
            if len > 0 && state.written.contains_range(groups) {
                return Ok(());
            }
            // Whatever is here has all its parents here.
            parents
                .filter(|parent| !tree::intersects(&state.written, parent.below))
                .map(|parent| (parent.index, parent.pair))
                .collect::<Vec<_>>()
        };
        if !new_parents.is_empty() {
            blob.outboard.open_to_write()?.write(&mut new_parents)?;
        }
        if len == 0 {
            return Ok(());
        }
        write(data).map_err(|error| Error::io(blob.path(), error))?;
        self.is_noted.store(false, Ordering::Release);
        blob.trail(data, bytes);
        blob.add(groups);
        if self.unnoted.fetch_add(len, Ordering::AcqRel) + len >= self.note_at {
            self.unnoted.store(0, Ordering::Release);
            if let Err(error) = blob.note() {
                // The bytes are here; whoever finishes hears of it if it lasts.
                debug!(blob = %blob.hash.fmt_short(), "not noted: {error}");
            }
        }
        Ok(())
    }

    /// Notes in the registry what is here by now, which the end of the process does not take back.
    ///
    /// # Errors
    /// If the registry fails; what was written is noted with the next checkpoint.
    pub(crate) fn finish(self) -> Result<Finished, Error> {
        self.is_noted.store(true, Ordering::Release);
        self.blob.note()?;
        Ok(Finished {
            is_complete: self.blob.is_complete(),
        })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !*self.is_noted.get_mut()
            && let Err(error) = self.blob.note()
        {
            debug!(blob = %self.blob.hash.fmt_short(), "not noted: {error}");
        }
        self.blob.writers.fetch_sub(1, Ordering::AcqRel);
    }
}
