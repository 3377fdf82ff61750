//! From a record to a blob: what of it can be believed without looking, and what is compared with its hashes first.

use std::{
    fs,
    os::unix::ffi::OsStringExt,
    path::PathBuf,
    sync::{Arc, Mutex, atomic::Ordering},
};

use tracing::{info, warn};
use weft_protocol::{id::BlobHash, layout::PieceRange, piece_set::PieceSet};
use weft_registry::{BlobRecord, blob::Run};

use super::{
    Inner,
    blob::{Blob, Place, new_outboard},
    error::Error,
    files::{self, Handle},
    outboard::Outboard,
    tree,
    verify::{self, Compared},
};

/// Names the present run of the operating system; random where it has no name, so that nothing is believed across runs.
pub(super) fn boot_id() -> [u8; 16] {
    let named = fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .ok()
        .filter(|text| !text.trim().is_empty())
        .map(|text| blake3::hash(text.trim().as_bytes()));
    let mut id = [0; 16];
    match named {
        Some(hash) => id.copy_from_slice(&hash.as_bytes()[..16]),
        None => fastrand::fill(&mut id),
    }
    id
}

impl Inner {
    /// Reads a blob's record and makes sure of what it says. A blob whose file is gone is not here; its record stays
    /// for the case that the file comes back.
    pub(super) fn load(self: &Arc<Self>, hash: &BlobHash) -> Result<Option<Arc<Blob>>, Error> {
        if tree::is_empty(hash) {
            return Ok(Some(Arc::new(self.nothing(*hash))));
        }
        let Some(record) = self.registry.blob(hash)? else {
            return Ok(None);
        };
        let Some(groups) = tree::groups(record.size) else {
            return Ok(None);
        };
        let path = match &record.original {
            Some(path) => PathBuf::from(std::ffi::OsString::from_vec(path.clone())),
            None => self.files.data(hash),
        };
        let written = set(groups, &record.written);
        let Ok(metadata) = fs::metadata(&path) else {
            return Ok(None);
        };
        let is_untouched = record
            .stamp
            .is_none_or(|stamp| stamp == files::stamp(&metadata));
        let is_same_boot = record.boot == self.boot;
        let certain = match (is_untouched, is_same_boot) {
            (true, true) => written.clone(),
            (true, false) => set(groups, &record.synced),
            (false, _) => PieceSet::empty(groups),
        };
        let blob = self.assemble(*hash, &record, path, certain)?;
        let doubtful = written.difference(&blob.have());
        if !doubtful.is_empty() {
            recheck(self, &blob, &doubtful, files::stamp(&metadata))?;
        }
        Ok(Some(blob))
    }

    fn assemble(
        self: &Arc<Self>,
        hash: BlobHash,
        record: &BlobRecord,
        path: PathBuf,
        certain: PieceSet,
    ) -> Result<Arc<Blob>, Error> {
        let groups = certain.pieces();
        let mut outboard = new_outboard(self, &hash, record.size, groups);
        if let Outboard::Inline(empty) = &outboard
            && let Some(bytes) = self.registry.outboard(&hash)?
            && super::lock(empty).len() == bytes.len()
        {
            outboard = Outboard::Inline(Mutex::new(bytes));
        }
        let place = Place {
            data: Handle::new(path),
            is_original: record.original.is_some(),
            outboard,
            stamp: record.stamp.filter(|_| certain.is_full()),
            is_noted: true,
        };
        let synced = set(groups, &record.synced).intersection(&certain);
        let blob = Blob::new(self, (hash, record.size), place, (certain, synced));
        Ok(Arc::new(blob))
    }

    /// The blob without bytes, which everybody has.
    fn nothing(self: &Arc<Self>, hash: BlobHash) -> Blob {
        let none = PieceSet::empty(0);
        let place = Place {
            data: Handle::new(self.files.data(&hash)),
            is_original: false,
            outboard: Outboard::Inline(Mutex::default()),
            stamp: None,
            is_noted: true,
        };
        Blob::new(self, (hash, 0), place, (none.clone(), none))
    }
}

/// Compares groups with their hashes and counts those that are right as here.
fn recheck(
    inner: &Inner,
    blob: &Arc<Blob>,
    doubtful: &PieceSet,
    stamp: [u64; 4],
) -> Result<(), Error> {
    let bytes: u64 = doubtful
        .runs()
        .map(|run| tree::bytes(run, blob.size))
        .map(|bytes| bytes.end - bytes.start)
        .sum();
    inner.compared.fetch_add(bytes, Ordering::Relaxed);
    info!(blob = %blob.hash.fmt_short(), bytes, "comparing with its hashes what no checkpoint covers");
    let Compared {
        valid: mut right,
        is_tree_wrong,
    } = verify::compare(blob, doubtful)?;
    let was_whole = doubtful.count() + blob.have().count() == doubtful.pieces();
    if is_tree_wrong && was_whole && verify::rebuild(inner, blob)? {
        right = doubtful.clone();
    }
    if right != *doubtful {
        let lost = doubtful.difference(&right);
        warn!(blob = %blob.hash.fmt_short(), groups = lost.count(), "part of a blob is not what it was");
        let mut state = blob.state();
        state.is_damaged = true;
        if blob.is_original {
            // Not ours to mend: it is fetched anew, if at all.
            state.written = PieceSet::empty(doubtful.pieces());
            state.synced = PieceSet::empty(doubtful.pieces());
            right = state.written.clone();
        }
    }
    {
        let mut state = blob.state();
        state.written.insert_all(&right);
        // As it looked before it was read: what changed since then shows.
        state.stamp = state.written.is_full().then_some(stamp);
    }
    blob.touch();
    blob.note()
}

/// Runs of a record as a set; what does not fit the blob is ignored.
fn set(groups: u32, runs: &[Run]) -> PieceSet {
    let mut set = PieceSet::empty(groups);
    for (start, end) in runs {
        set.insert_range(PieceRange {
            start: *start,
            end: *end,
        });
    }
    set
}
