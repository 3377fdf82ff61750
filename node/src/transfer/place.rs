//! Files out: a complete blob shown under a path, without a second copy where the file system allows.
//!
//! The path is a hard link to the store's own file, so it must not be written to: it is made read-only. What
//! cannot be linked (another file system, a file imported by reference) is copied, as a reflink where possible, and checked
//! before it appears under its name.
//!
//! Nothing outside the given root is touched: links on the way are refused, not followed. This guards against
//! what lies on the disk, not against somebody who changes it at the same moment.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use weft_protocol::{id::BlobHash, path::RepoPath, service::StorageError};

use super::{Handle, fault, parts::Parts};
use crate::store::Blob;

/// What is read at once for hashing.
const READ_LEN: usize = 1024 * 1024;

/// How a blob came to its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed {
    /// As a second name of the store's own file; takes no space.
    Linked,
    /// As a copy (a reflink where the file system has them).
    Copied,
    /// It was there already.
    Present,
}

/// Why a blob was not placed.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// The store does not have all of it.
    #[error("blob `{0}` is not complete")]
    Incomplete(BlobHash),
    /// The store's copy no longer has the right content.
    #[error("the stored copy of blob `{0}` does not match its hash")]
    Damaged(BlobHash),
    /// A link or a special file stands in the way.
    #[error("`{0}` is not a directory of its own")]
    NotADirectory(PathBuf),
    /// Another file has the name.
    #[error("`{0}` exists with other content")]
    Occupied(PathBuf),
    /// The file system said no.
    #[error("`{path}` cannot be written: {source}")]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        source: StorageError,
    },
}

impl Handle {
    /// Shows a complete blob as `root`/`path`. Parent directories are made; an existing file with the same
    /// content is left as it is; the file appears whole or not at all.
    ///
    /// # Errors
    /// If the blob is incomplete or damaged, something else stands at the path or in the way, or the disk fails.
    pub async fn place(
        &self,
        blob: BlobHash,
        root: &Path,
        path: &RepoPath,
    ) -> Result<Placed, PlaceError> {
        let Some(held) = self.context.blob(blob).await else {
            return Err(PlaceError::Incomplete(blob));
        };
        if !held.is_complete() {
            return Err(if held.is_damaged() {
                PlaceError::Damaged(blob)
            } else {
                PlaceError::Incomplete(blob)
            });
        }
        let root = root.to_owned();
        let relative = path.as_str().to_owned();
        let parts = Arc::clone(&self.context.parts);
        blocking(move || {
            let target = prepare(&root, &relative)?;
            match fs::symlink_metadata(&target) {
                Ok(metadata) => check_present(&target, &metadata, &held).map(|()| Placed::Present),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    show(&held, &target, &parts)
                }
                Err(error) => Err(write_error(&target, &error)),
            }
        })
        .await
    }
}

impl Handle {
    /// Puts a name for a complete blob at `target`, over whatever is there, without taking space: a hard link to the
    /// store's own file, a symbolic one to the user's. False where neither can be.
    ///
    /// # Errors
    /// If the file system fails.
    pub async fn lend(&self, blob: BlobHash, target: PathBuf) -> Result<bool, PlaceError> {
        let held = self.context.blob(blob).await;
        let Some(held) = held.filter(|held| held.is_complete() && held.size() > 0) else {
            return Ok(false);
        };
        let parts = Arc::clone(&self.context.parts);
        blocking(move || {
            let lent = if !held.is_original() {
                let there = fs::metadata(&target);
                if there.is_ok_and(|there| same_file(&there, held.path())) {
                    return Ok(true);
                }
                lend(held.path(), &target, &parts)
            } else {
                parts.beside(&target).and_then(|part| {
                    std::os::unix::fs::symlink(held.path(), part.path())?;
                    part.finish(&target).map(|()| true)
                })
            };
            lent.map_err(|error| write_error(&target, &error))
        })
        .await
    }

    /// The same for a file that is no blob.
    ///
    /// # Errors
    /// If the file system fails.
    pub(crate) async fn lend_file(
        &self,
        from: PathBuf,
        target: PathBuf,
    ) -> Result<bool, PlaceError> {
        let parts = Arc::clone(&self.context.parts);
        blocking(move || lend(&from, &target, &parts).map_err(|error| write_error(&target, &error)))
            .await
    }
}

/// Puts a second name of a file at `target`, over whatever is there. False where there can be none.
fn lend(from: &Path, target: &Path, parts: &Parts) -> io::Result<bool> {
    let part = parts.beside(target)?;
    if fs::hard_link(from, part.path()).is_err() {
        return Ok(false);
    }
    make_read_only(part.path())?;
    part.finish(target).map(|()| true)
}

impl Handle {
    /// The file that holds a complete blob, for somebody who only reads it. One of the user's own is hashed once more if
    /// it does not look as it did.
    ///
    /// # Errors
    /// If the blob is incomplete or damaged, or the disk fails.
    pub(crate) async fn whole_file(&self, blob: BlobHash) -> Result<PathBuf, PlaceError> {
        let held = self.context.blob(blob).await;
        let held = held.filter(|held| held.is_complete());
        let held = held.ok_or(PlaceError::Incomplete(blob))?;
        blocking(move || {
            let path = held.path().to_owned();
            if !held.is_unchanged() {
                let found = hash_file(&path).map_err(|error| write_error(&path, &error))?;
                if found != blob {
                    return Err(PlaceError::Damaged(blob));
                }
            }
            Ok(path)
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PlaceError> + Send + 'static,
) -> Result<T, PlaceError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(PlaceError::Write {
            path: PathBuf::new(),
            source: StorageError::Failed(error.to_string()),
        }),
    }
}

/// Makes the directories above the file, one by one and never through a link. Where the file goes.
fn prepare(root: &Path, relative: &str) -> Result<PathBuf, PlaceError> {
    fs::create_dir_all(root).map_err(|error| write_error(root, &error))?;
    // The root itself is the user's choice, links and all.
    let mut parent = root
        .canonicalize()
        .map_err(|error| write_error(root, &error))?;
    let (directories, name) = relative.rsplit_once('/').unwrap_or(("", relative));
    for component in directories.split('/').filter(|part| !part.is_empty()) {
        parent.push(component);
        match fs::create_dir(&parent) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let metadata =
                    fs::symlink_metadata(&parent).map_err(|error| write_error(&parent, &error))?;
                if !metadata.is_dir() {
                    return Err(PlaceError::NotADirectory(parent));
                }
            }
            Err(error) => return Err(write_error(&parent, &error)),
        }
    }
    Ok(parent.join(name))
}

/// Accepts what is at the path already if it is a plain file with the blob's content.
fn check_present(target: &Path, metadata: &Metadata, held: &Blob) -> Result<(), PlaceError> {
    let occupied = || PlaceError::Occupied(target.to_owned());
    if !metadata.is_file() || metadata.len() != held.size() {
        return Err(occupied());
    }
    if !held.is_original() && same_file(metadata, held.path()) {
        return Ok(());
    }
    let found = hash_file(target).map_err(|error| write_error(target, &error))?;
    if found == held.hash() {
        Ok(())
    } else {
        Err(occupied())
    }
}

/// Makes the file appear: as a link if the bytes are the store's own, as a copy if they are the user's.
fn show(held: &Blob, target: &Path, parts: &Parts) -> Result<Placed, PlaceError> {
    let failed = |error| write_error(target, &error);
    if !held.is_original() && held.size() > 0 {
        // Before it has a second name, as nobody may be found to write through that one.
        match make_read_only(held.path()).and_then(|()| fs::hard_link(held.path(), target)) {
            Ok(()) => return Ok(Placed::Linked),
            // Somebody else was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let metadata = fs::symlink_metadata(target).map_err(failed)?;
                return check_present(target, &metadata, held).map(|()| Placed::Present);
            }
            // Another file system, or one without second names.
            Err(_) => {}
        }
    }
    let part = parts.beside(target).map_err(failed)?;
    copy(held, part.path()).map_err(failed)?;
    // The copy gets its name if it is what it should be.
    let found = hash_file(part.path()).map_err(failed)?;
    if found != held.hash() {
        return Err(PlaceError::Damaged(held.hash()));
    }
    part.finish(target).map_err(failed)?;
    Ok(Placed::Copied)
}

/// Copies a blob, without taking space where the file system shares what is equal.
fn copy(held: &Blob, temporary: &Path) -> io::Result<()> {
    if held.size() == 0 {
        return File::create(temporary).map(drop);
    }
    fs::copy(held.path(), temporary)?;
    // The user's own permissions are for the user's own file.
    let mut permissions = fs::metadata(temporary)?.permissions();
    permissions.set_mode(0o644);
    fs::set_permissions(temporary, permissions)
}

/// BLAKE3 of a file's content.
pub(super) fn hash_file(path: &Path) -> io::Result<BlobHash> {
    let mut file = File::open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; READ_LEN];
    loop {
        let len = file.read(&mut buffer)?;
        match buffer.get(..len) {
            Some(read) if !read.is_empty() => hasher.update(read),
            _ => return Ok(BlobHash::new(hasher.finalize().into())),
        };
    }
}

fn make_read_only(path: &Path) -> io::Result<()> {
    let mut permissions = fs::metadata(path)?.permissions();
    if permissions.readonly() {
        return Ok(());
    }
    permissions.set_readonly(true);
    fs::set_permissions(path, permissions)
}

#[cfg(unix)]
fn same_file(metadata: &Metadata, owned: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(owned)
        .is_ok_and(|owned| owned.dev() == metadata.dev() && owned.ino() == metadata.ino())
}

#[cfg(not(unix))]
fn same_file(_metadata: &Metadata, _owned: &Path) -> bool {
    false
}

fn write_error(path: &Path, error: &io::Error) -> PlaceError {
    PlaceError::Write {
        path: path.to_owned(),
        source: fault::io_storage(error),
    }
}
