//! Files of the hub that nothing holds: nobody reads them now, and they are shown nowhere.

use std::{collections::BTreeSet, io, os::unix::fs::MetadataExt, sync::Arc};

use super::{Snapshot, Upstream, content, lock, snapshot};

/// What of one revision takes space and can go.
pub(crate) struct Loose {
    pub(crate) snapshot: Snapshot,
    pub(crate) bytes: u64,
}

impl Upstream {
    /// Finds what can go, and removes it unless this is a rehearsal. What was said of the revisions stays: their files
    /// come again when they are read.
    ///
    /// # Errors
    /// If the disk fails.
    pub(crate) fn let_go(&self, dry_run: bool) -> io::Result<Vec<Loose>> {
        // While it is held nobody begins to read.
        let mut contents = lock(&self.contents);
        let mut seen = BTreeSet::new();
        let mut gone = Vec::new();
        for snapshot in self.all_snapshots()? {
            let mut bytes = 0;
            for hash in snapshot.files.iter().filter_map(snapshot::Entry::content) {
                let is_read = contents
                    .get(&hash)
                    .is_some_and(|content| Arc::strong_count(content) > 1);
                if is_read || !seen.insert(hash) {
                    continue;
                }
                for path in content::places(&self.root.join("files"), hash) {
                    let found = match std::fs::symlink_metadata(&path) {
                        Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                        found => found?,
                    };
                    // One with a second name is shown in a folder or a cache; to remove it would free nothing.
                    if found.nlink() > 1 {
                        continue;
                    }
                    bytes += found.len();
                    if !dry_run {
                        std::fs::remove_file(&path)?;
                        contents.remove(&hash);
                    }
                }
            }
            if bytes > 0 {
                gone.push(Loose { snapshot, bytes });
            }
        }
        Ok(gone)
    }
}
