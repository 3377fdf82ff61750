//! The hash tree of one blob, in pre-order without a size prefix: what lies under one node lies in one run.
//!
//! Nodes that were not written yet read as zeros, which verify as nothing.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::Path,
    sync::{Arc, Mutex},
};

use super::{error::Error, files::Handle, lock, tree::Pair};

/// Groups up to which a tree is kept in the registry (4 KiB for 1 MiB of data) instead of a file of its own.
pub(super) const INLINE_GROUPS_MAX: u32 = 64;
/// Bytes of a tree copied at once.
const COPY_LEN: usize = 64 * 1024;
/// Bytes of a pair.
pub(super) const PAIR_LEN: u64 = 64;

/// Where the pairs are.
#[derive(Debug)]
pub(super) enum Outboard {
    /// In memory, and whole in the registry; empty for a blob of one group.
    Inline(Mutex<Vec<u8>>),
    /// In a file.
    File(Handle),
}

/// A tree in use: its file stays open.
#[derive(Debug, Clone)]
pub(super) enum Open<'a> {
    Inline(&'a Mutex<Vec<u8>>),
    File(Arc<File>, &'a Path),
}

impl Outboard {
    /// The bytes to keep in the registry.
    pub(super) fn inline(&self) -> Option<Vec<u8>> {
        match self {
            Self::Inline(bytes) => Some(lock(bytes).clone()),
            Self::File(_) => None,
        }
    }

    /// Makes the file, and keeps it open for writing.
    pub(super) fn hold(&self) -> Result<Option<Arc<File>>, Error> {
        match self {
            Self::Inline(_) => Ok(None),
            Self::File(handle) => match handle.write() {
                Ok(file) => Ok(Some(file)),
                Err(error) => Err(Error::io(handle.path(), error)),
            },
        }
    }

    /// Takes over another tree of the same shape, of `len` bytes.
    pub(super) fn copy_from(&self, other: &Self, len: u64) -> Result<(), Error> {
        let (from, to) = (other.open()?, self.open_to_write()?);
        let mut buffer = [0; COPY_LEN];
        let mut done = 0;
        while done < len {
            let part = usize::try_from(len - done)
                .unwrap_or(COPY_LEN)
                .min(COPY_LEN);
            from.read(done, &mut buffer[..part])?;
            to.write_run(done / PAIR_LEN, &buffer[..part])?;
            done += part as u64;
        }
        Ok(())
    }

    pub(super) fn open(&self) -> Result<Open<'_>, Error> {
        match self {
            Self::Inline(bytes) => Ok(Open::Inline(bytes)),
            Self::File(handle) => match handle.read() {
                Ok(file) => Ok(Open::File(file, handle.path())),
                Err(error) => Err(Error::io(handle.path(), error)),
            },
        }
    }

    pub(super) fn open_to_write(&self) -> Result<Open<'_>, Error> {
        match self {
            Self::Inline(bytes) => Ok(Open::Inline(bytes)),
            Self::File(handle) => match handle.write() {
                Ok(file) => Ok(Open::File(file, handle.path())),
                Err(error) => Err(Error::io(handle.path(), error)),
            },
        }
    }
}

impl Open<'_> {
    /// Reads from `offset` on as much as there is; what lies beyond the end is zeros.
    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        match self {
            Self::Inline(bytes) => {
                let bytes = lock(bytes);
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let there = bytes.get(start..).unwrap_or_default();
                let len = there.len().min(buffer.len());
                let (read, rest) = buffer.split_at_mut(len);
                read.copy_from_slice(&there[..len]);
                rest.fill(0);
            }
            Self::File(file, path) => {
                let mut done = 0;
                while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
                    match file.read_at(rest, offset + done as u64) {
                        Ok(0) => break,
                        Ok(len) => done += len,
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return Err(Error::io(path, error)),
                    }
                }
                buffer[done..].fill(0);
            }
        }
        Ok(())
    }

    /// Writes pairs, given by their position in the tree; neighbours go in one call.
    pub(super) fn write(&self, pairs: &mut [(u64, Pair)]) -> Result<(), Error> {
        pairs.sort_unstable_by_key(|(index, _)| *index);
        let mut run = Vec::with_capacity(pairs.len() * PAIR_LEN as usize);
        let mut start = 0;
        for (index, pair) in pairs.iter() {
            if start + run.len() as u64 / PAIR_LEN != *index && !run.is_empty() {
                self.write_run(start, &run)?;
                run.clear();
            }
            if run.is_empty() {
                start = *index;
            }
            run.extend_from_slice(pair);
        }
        self.write_run(start, &run)
    }

    fn write_run(&self, index: u64, run: &[u8]) -> Result<(), Error> {
        let offset = index * PAIR_LEN;
        match self {
            Self::Inline(bytes) => {
                let mut bytes = lock(bytes);
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                // A node outside the tree has no place; its hashes lead to no group of this blob.
                if let Some(place) = bytes.get_mut(start..start.saturating_add(run.len())) {
                    place.copy_from_slice(run);
                }
                Ok(())
            }
            Self::File(file, path) => file
                .write_all_at(run, offset)
                .map_err(|error| Error::io(path, error)),
        }
    }
}
