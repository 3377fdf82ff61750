//! How much disk a set of directories really takes: each inode counted once, in blocks, like `du`.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use anyhow::Result;

/// Bytes of disk under these directories together.
///
/// # Errors
/// When something cannot be read.
pub fn usage(directories: &[&Path]) -> Result<u64> {
    let mut seen = BTreeSet::new();
    let mut bytes = 0;
    let mut waiting: Vec<PathBuf> = directories.iter().map(|path| path.to_path_buf()).collect();
    while let Some(path) = waiting.pop() {
        // Databases delete files while we walk.
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            continue;
        };
        if metadata.is_dir() {
            waiting.extend(fs::read_dir(&path)?.flatten().map(|entry| entry.path()));
        } else if seen.insert((metadata.dev(), metadata.ino())) {
            // `st_blocks` counts units of 512 bytes whatever the file system's block is.
            bytes += metadata.blocks() * 512;
        }
    }
    Ok(bytes)
}

/// All files below a directory.
///
/// # Errors
/// When something cannot be read.
pub fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(path) = waiting.pop() {
        // As above.
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            continue;
        };
        if metadata.is_dir() {
            waiting.extend(fs::read_dir(&path)?.flatten().map(|entry| entry.path()));
        } else {
            found.push(path);
        }
    }
    Ok(found)
}

/// Copies a directory tree, for two nodes that begin with one past.
///
/// # Errors
/// When something cannot be read or written.
pub fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
