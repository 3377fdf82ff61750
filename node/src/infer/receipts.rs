//! Receipts of answers that peers gave, with what is needed to check them: one file each, the newest only.
//!
//! They are as private as the prompts in them, and lie where only this user reads.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Mutex,
    time::SystemTime,
};

use weft_protocol::{
    id::{NodeId, ObjectId},
    infer::{Complaint, Receipt, receipt::Kept},
    sign::NetworkId,
    time::Timestamp,
    wire,
};

use crate::files;

/// Receipts that are kept; older ones go.
const RECEIPTS_MAX: usize = 512;
/// What a file is called behind its id.
const END: &str = "receipt";

/// All of them.
#[derive(Debug)]
pub(crate) struct Receipts {
    directory: PathBuf,
    network: NetworkId,
    /// One writer at a time.
    writing: Mutex<()>,
}

/// One of them.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) id: ObjectId,
    pub(crate) receipt: Receipt,
    pub(crate) kept: Kept,
}

impl Receipts {
    pub(crate) fn new(directory: PathBuf, network: NetworkId) -> Self {
        Self {
            directory,
            network,
            writing: Mutex::new(()),
        }
    }

    /// Keeps a receipt, and forgets the oldest ones when there are too many. Blocks.
    pub(crate) fn put(&self, id: ObjectId, kept: &Kept) -> io::Result<()> {
        let _writing = self.writing.lock();
        files::private_folder(&self.directory)?;
        let path = self.directory.join(format!("{id}.{END}"));
        files::write_private(&path, &wire::encode(kept))?;
        let mut all = self.paths()?;
        if all.len() > RECEIPTS_MAX {
            all.sort();
            for (_, old) in all.iter().take(all.len().saturating_sub(RECEIPTS_MAX)) {
                fs::remove_file(old)?;
            }
        }
        Ok(())
    }

    /// All that can be read, the newest first. Blocks.
    pub(crate) fn all(&self) -> io::Result<Vec<Found>> {
        let mut paths = self.paths()?;
        paths.sort();
        let found = paths.iter().rev().filter_map(|(_, path)| self.read(path));
        Ok(found.collect())
    }

    /// The one whose id begins like this. Blocks.
    pub(crate) fn find(&self, start: &str) -> io::Result<Vec<Found>> {
        let begins = |path: &Path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with(start))
        };
        let paths = self.paths()?;
        let matching = paths.iter().filter(|(_, path)| begins(path));
        Ok(matching.filter_map(|(_, path)| self.read(path)).collect())
    }

    /// Reads a receipt out of bytes; none if its signature is wrong.
    pub(crate) fn open(&self, bytes: &[u8]) -> Option<Found> {
        let kept: Kept = wire::decode(bytes).ok()?;
        let receipt = Receipt::open(self.network, &kept.receipt).ok()?;
        Some(Found {
            id: receipt.id(),
            receipt,
            kept,
        })
    }

    /// Whom complaints are about, and since when. Blocks.
    pub(crate) fn accused(&self) -> Vec<(NodeId, Timestamp)> {
        let all = self.all().unwrap_or_default();
        let complaints = all.iter().filter_map(|found| {
            let complaint = found.kept.complaint.as_ref()?;
            Complaint::open(self.network, complaint).ok()
        });
        complaints
            .map(|complaint| (complaint.node, complaint.issued))
            .collect()
    }

    fn read(&self, path: &Path) -> Option<Found> {
        self.open(&fs::read(path).ok()?)
    }

    fn paths(&self) -> io::Result<Vec<(SystemTime, PathBuf)>> {
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut paths = Vec::new();
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            if path.extension().is_some_and(|end| end == END) {
                paths.push((entry.metadata()?.modified()?, path));
            }
        }
        Ok(paths)
    }
}
