//! Measures a data directory: bytes on disk by area, hard links counted once.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use serde::Serialize;

/// Bytes of one block in `st_blocks`, whatever the file system's own block size.
const BLOCK_LEN: u64 = 512;

/// One entry of the data directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Area {
    pub(crate) name: String,
    pub(crate) bytes: u64,
}

/// Bytes that the disk of `path`, or of its nearest existing parent, has left for this user.
pub(crate) fn free_bytes(path: &Path) -> Option<u64> {
    let existing = path.ancestors().find(|path| path.exists())?;
    let statistics = rustix::fs::statvfs(existing).ok()?;
    statistics.f_bavail.checked_mul(statistics.f_frsize)
}

/// Sizes of the data directory's entries, largest first. `blobs` comes before `repositories`, so that a file with
/// a name in both counts as a blob.
pub(crate) fn areas(home: &Path) -> io::Result<Vec<Area>> {
    let mut entries: Vec<PathBuf> = match fs::read_dir(home) {
        Ok(entries) => entries
            .map(|entry| entry.map(|e| e.path()))
            .collect::<Result<_, _>>()?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(e),
    };
    entries.sort();
    let mut seen = BTreeSet::new();
    let mut areas = Vec::new();
    for path in entries {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let bytes = measure(&path, &mut seen)?;
        areas.push(Area { name, bytes });
    }
    areas.sort_by_key(|area| std::cmp::Reverse(area.bytes));
    Ok(areas)
}

/// Bytes on disk of a tree. Follows no links; what vanishes while it is measured counts nothing.
fn measure(path: &Path, seen: &mut BTreeSet<(u64, u64)>) -> io::Result<u64> {
    let gone = |e: io::Error| {
        if e.kind() == io::ErrorKind::NotFound {
            Ok(0)
        } else {
            Err(e)
        }
    };
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(e) => return gone(e),
    };
    if metadata.nlink() > 1 && metadata.is_file() && !seen.insert((metadata.dev(), metadata.ino()))
    {
        return Ok(0);
    }
    let mut bytes = metadata.blocks() * BLOCK_LEN;
    if metadata.is_dir() {
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(e) => return gone(e),
        };
        for entry in entries {
            bytes += measure(&entry?.path(), seen)?;
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_name_of_a_file_costs_nothing() {
        let home = tempfile::tempdir().unwrap();
        let (blobs, views) = (home.path().join("blobs"), home.path().join("repositories"));
        fs::create_dir(&blobs).unwrap();
        fs::create_dir(&views).unwrap();
        fs::write(blobs.join("a"), vec![1; 1_000_000]).unwrap();
        fs::hard_link(blobs.join("a"), views.join("model")).unwrap();
        let areas = areas(home.path()).unwrap();
        let bytes = |name: &str| areas.iter().find(|area| area.name == name).unwrap().bytes;
        assert!(bytes("blobs") >= 1_000_000);
        assert!(bytes("repositories") < 100_000);
    }

    #[test]
    fn missing_home_uses_nothing_and_has_a_disk() {
        let home = tempfile::tempdir().unwrap();
        let missing = home.path().join("not/yet");
        assert_eq!(areas(&missing).unwrap(), []);
        assert!(free_bytes(&missing).is_some());
    }
}
