//! Bytes out of a blob.

use std::{io, ops::Range, os::unix::fs::FileExt, sync::Arc};

use bao_tree::TreeNode;
use bytes::Bytes;
use weft_protocol::{layout::PieceRange, piece_set::PieceSet};

use super::{
    blob::Blob,
    error::Error,
    outboard::PAIR_LEN,
    tree::{self, Pair},
    verify::{self, Step, Wrong},
};

/// 16 KiB.
const GROUP_LOG2: u32 = 14;

impl Blob {
    /// Reads bytes as they are on disk, without a look at their hashes.
    ///
    /// # Errors
    /// If they are not here, or the file is shorter than it should be.
    pub(crate) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let end = offset.saturating_add(buffer.len() as u64);
        if !self.has(&(offset..end)) {
            return Err(self.missing(offset..end));
        }
        if self.read_some(offset, buffer)? < buffer.len() {
            let short = io::ErrorKind::UnexpectedEof.into();
            return Err(Error::io(self.path(), short));
        }
        Ok(())
    }

    /// Reads bytes and checks each group that they touch up to the blob's hash.
    ///
    /// # Errors
    /// If they are not here, or not what they should be; then they stop being here.
    pub(crate) fn read_verified(self: &Arc<Self>, range: Range<u64>) -> Result<Bytes, Error> {
        let range = range.start.min(self.size)..range.end.min(self.size);
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        if !self.has(&range) {
            return Err(self.missing(range));
        }
        let run = tree::touched(&range);
        let bytes = tree::bytes(run, self.size);
        let hashes = match verify::expected(self, run) {
            Ok(hashes) => hashes,
            Err(Wrong::Unreadable(error)) => return Err(error),
            Err(Wrong::Parent(wrong)) => return Err(self.wrong(wrong)),
        };
        let mut buffer = vec![0; usize::try_from(bytes.end - bytes.start).unwrap_or(0)];
        let read = self.read_some(bytes.start, &mut buffer)?;
        let is_root = self.size <= tree::GROUP_LEN;
        let groups = buffer.chunks(tree::GROUP_LEN as usize).zip(run.start..);
        for ((data, group), hash) in groups.zip(&hashes) {
            let start = u64::from(group) * tree::GROUP_LEN;
            let is_there = start - bytes.start + data.len() as u64 <= read as u64;
            if !is_there || tree::leaf_hash(start, data, is_root) != *hash {
                return Err(self.wrong(PieceRange {
                    start: group,
                    end: group + 1,
                }));
            }
        }
        let clip = |at: u64| usize::try_from(at - bytes.start).unwrap_or(usize::MAX);
        Ok(Bytes::from(buffer).slice(clip(range.start)..clip(range.end)))
    }

    /// All pairs above subtrees of 2^`log2` bytes (16 KiB at least), checked.
    ///
    /// # Errors
    /// If the tree cannot be read, or is wrong; then what lies below stops being here.
    pub(crate) fn pairs_above(self: &Arc<Self>, log2: u8) -> Result<Vec<(TreeNode, Pair)>, Error> {
        let log2 = u32::from(log2).clamp(GROUP_LOG2, u64::BITS - 1);
        // The way down to the first group of each subtree passes all that is wanted.
        let mut firsts = PieceSet::empty(self.groups());
        for group in (0..self.groups()).step_by(1 << (log2 - GROUP_LOG2).min(31)) {
            firsts.insert(group);
        }
        let mut pairs = Vec::new();
        let walked = verify::walk(self, &tree::chunks(&firsts, self.size), &mut |step| {
            // A node of level n is over 2^(n+1) chunks of 2^10 bytes.
            if let Step::Pair(node, pair) = step
                && node.level() + 10 >= log2
            {
                pairs.push((node, pair));
            }
        });
        match walked {
            Ok(()) => Ok(pairs),
            Err(Wrong::Unreadable(error)) => Err(error),
            Err(Wrong::Parent(wrong)) => Err(self.wrong(wrong)),
        }
    }

    /// The hashes of a node's children as they were stored, unchecked; `None` if they are not known. The node is named
    /// by its place in the pre-order of the tree.
    ///
    /// # Errors
    /// If the tree cannot be read.
    pub(super) fn pair(&self, index: u64) -> Result<Option<Pair>, Error> {
        let mut pair = [0; 64];
        match self.outboard.open() {
            Ok(outboard) => outboard.read(index * PAIR_LEN, &mut pair)?,
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok((pair != [0; 64]).then_some(pair))
    }

    /// Reads as much as the file has.
    pub(super) fn read_some(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Error> {
        let fail = |error| Error::io(self.path(), error);
        if buffer.is_empty() {
            return Ok(0);
        }
        let file = self.data.read().map_err(fail)?;
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, offset + done as u64) {
                Ok(0) => break,
                Ok(len) => done += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(fail(error)),
            }
        }
        Ok(done)
    }

    /// The error for bytes that are not all here.
    pub(super) fn missing(&self, range: Range<u64>) -> Error {
        let mut groups = tree::touched(&range);
        let have = self.have();
        while !groups.is_empty() && have.contains(groups.start) {
            groups.start += 1;
        }
        Error::Missing {
            blob: self.hash,
            offset: (u64::from(groups.start) * tree::GROUP_LEN).max(range.start),
        }
    }

    /// Counts groups as gone and gives the error that says so.
    pub(super) fn wrong(self: &Arc<Self>, groups: PieceRange) -> Error {
        self.damaged(groups);
        Error::Damaged {
            blob: self.hash,
            offset: tree::bytes(groups, self.size).start,
        }
    }
}
