//! Files out: a complete blob shown under a path, without a second copy where the file system allows.
//!
//! The path is a hard link to the store's own file, so it must not be written to: it is made read-only. What
//! cannot be linked (another file system, a file imported by reference) is copied, as a reflink where possible, and checked
//! before it appears under its name.
//!
//! Nothing outside the given root is touched: links on the way are refused, not followed. This guards against
//! what lies on the disk, not against somebody who changes it at the same moment.

use std::{
    ffi::OsString,
    fs::{self, File, Metadata},
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use weft_protocol::{id::BlobHash, path::RepoPath, service::StorageError};

use super::{Handle, fault};
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
        blocking(move || {
            let (parent, name) = prepare(&root, &relative)?;
            let target = parent.join(&name);
            match fs::symlink_metadata(&target) {
                Ok(metadata) => check_present(&target, &metadata, &held).map(|()| Placed::Present),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    show(&held, &parent, &target)
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
        blocking(move || {
            let failed = |error| write_error(&target, &error);
            if !held.is_original() {
                if fs::metadata(&target).is_ok_and(|there| same_file(&there, held.path())) {
                    return Ok(true);
                }
                return lend(held.path(), &target).map_err(failed);
            }
            let temporary = target.with_file_name(temporary_name());
            fs::remove_file(&temporary).ok();
            std::os::unix::fs::symlink(held.path(), &temporary)
                .and_then(|()| fs::rename(&temporary, &target))
                .map_err(failed)?;
            Ok(true)
        })
        .await
    }
}

/// Puts a second name of a file at `target`, over whatever is there. False where there can be none.
pub(crate) fn lend(from: &Path, target: &Path) -> io::Result<bool> {
    let temporary = target.with_file_name(temporary_name());
    fs::remove_file(&temporary).ok();
    if fs::hard_link(from, &temporary).is_err() {
        return Ok(false);
    }
    let done = make_read_only(&temporary).and_then(|()| fs::rename(&temporary, target));
    if done.is_err() {
        fs::remove_file(&temporary).ok();
    }
    done.map(|()| true)
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

/// Makes the directories above the file, one by one and never through a link.
fn prepare(root: &Path, relative: &str) -> Result<(PathBuf, OsString), PlaceError> {
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
    Ok((parent, OsString::from(name)))
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
fn show(held: &Blob, parent: &Path, target: &Path) -> Result<Placed, PlaceError> {
    let temporary = parent.join(temporary_name());
    // One of the same name that a crash left may be a link to another blob, which a copy would write into.
    fs::remove_file(&temporary).ok();
    let is_owned = !held.is_original() && held.size() > 0;
    let shown = if is_owned && fs::hard_link(held.path(), &temporary).is_ok() {
        make_read_only(&temporary)
            .and_then(|()| fs::rename(&temporary, target))
            .map(|()| Placed::Linked)
            .map_err(|error| write_error(target, &error))
    } else {
        copy(held, &temporary)
            .map_err(|error| write_error(target, &error))
            .and_then(|()| install(&temporary, target, held.hash()))
    };
    if shown.is_err() {
        fs::remove_file(&temporary).ok();
    }
    shown
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

/// Gives a finished copy its name, if it is what it should be.
fn install(temporary: &Path, target: &Path, blob: BlobHash) -> Result<Placed, PlaceError> {
    let found = hash_file(temporary).map_err(|error| write_error(temporary, &error))?;
    if found != blob {
        return Err(PlaceError::Damaged(blob));
    }
    fs::rename(temporary, target).map_err(|error| write_error(target, &error))?;
    Ok(Placed::Copied)
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

/// A name that no other placement of this process uses; one left by a crash is removed or ignored.
fn temporary_name() -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!(".weft-{}-{number}.part", std::process::id())
}

fn write_error(path: &Path, error: &io::Error) -> PlaceError {
    PlaceError::Write {
        path: path.to_owned(),
        source: fault::io_storage(error),
    }
}
