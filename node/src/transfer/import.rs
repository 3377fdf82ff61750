//! Files in: taken into the store where they lie.
//!
//! The store hashes the file for itself; SHA-256 and git's SHA-1, which other hubs want, are computed on a thread
//! beside it from the same pages. A file that changes meanwhile would get hashes of two different contents, so it
//! is looked at before and after.

use std::{
    fs::{File, Metadata},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, Weak},
};

use futures::StreamExt;
use iroh_blobs::{
    BlobFormat,
    api::{
        TempTag,
        blobs::{AddPathOptions, AddProgressItem, ImportMode},
    },
};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use weft_protocol::{id::BlobHash, service::StorageError};

use super::{Handle, fault};

/// Files up to here get a git blob id too: larger ones are LFS files to every client that asks.
const GIT_SHA1_SIZE_MAX: u64 = 10 * 1024 * 1024;
/// What is read at once for hashing.
const READ_LEN: usize = 1024 * 1024;

/// A file that the store has taken in.
#[derive(Debug)]
pub struct Imported {
    /// BLAKE3 of the content.
    pub blake3: BlobHash,
    /// SHA-256 of the content.
    pub sha256: [u8; 32],
    /// Git's id of the content as a blob, for files of up to 10 MiB.
    pub git_sha1: Option<[u8; 20]>,
    /// Bytes.
    pub size: u64,
    /// Keeps the blob from being collected. Drop it once a `Protect` names the blob.
    pub guard: ImportGuard,
}

/// Keeps an imported blob from being collected while it lives.
#[derive(Debug)]
pub struct ImportGuard {
    _tag: TempTag,
}

/// Why a file was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It cannot be read.
    #[error("`{path}` cannot be read")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is a directory, a device or a pipe.
    #[error("`{path}` is not a regular file")]
    NotAFile {
        /// Which file.
        path: PathBuf,
    },
    /// It changed while it was hashed.
    #[error("`{path}` changed while it was being read")]
    Changed {
        /// Which file.
        path: PathBuf,
    },
    /// The store failed.
    #[error("`{path}` could not be taken into the blob store: {source}")]
    Store {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: StorageError,
    },
}

impl Handle {
    /// Takes a file into the store by reference: no second copy is made, unless it is so small (16 KiB) that the
    /// store's database keeps it. The file must stay where it is for as long as it is to be served.
    ///
    /// `progress` is called with the bytes hashed so far.
    ///
    /// # Errors
    /// If the file cannot be read or changes meanwhile, or the store fails.
    pub async fn import(
        &self,
        path: &Path,
        mut progress: impl FnMut(u64) + Send,
    ) -> Result<Imported, ImportError> {
        let unreadable = |source| ImportError::Read {
            path: path.to_owned(),
            source,
        };
        let changed = || ImportError::Changed {
            path: path.to_owned(),
        };
        let broken = |source| ImportError::Store {
            path: path.to_owned(),
            source,
        };
        let absolute = tokio::fs::canonicalize(path).await.map_err(unreadable)?;
        let before = tokio::fs::metadata(&absolute).await.map_err(unreadable)?;
        // The file stays where it is; its tree takes 64 bytes for each 16 KiB.
        let _promise = self
            .context
            .room
            .promise(before.len() / 256)
            .map_err(broken)?;
        if !before.is_file() {
            return Err(ImportError::NotAFile {
                path: path.to_owned(),
            });
        }
        // The thread cannot be stopped from outside: it looks whether anybody still waits for it.
        let waiting = Arc::new(());
        let wanted = Arc::downgrade(&waiting);
        let digests = tokio::task::spawn_blocking({
            let absolute = absolute.clone();
            let size = before.len();
            move || digest(&absolute, size, &wanted)
        });
        let options = AddPathOptions {
            path: absolute.clone(),
            format: BlobFormat::Raw,
            mode: ImportMode::TryReference,
        };
        let mut steps = self
            .context
            .store
            .add_path_with_opts(options)
            .stream()
            .await;
        let mut tag = None;
        while let Some(step) = steps.next().await {
            match step {
                AddProgressItem::OutboardProgress(bytes) => progress(bytes),
                AddProgressItem::Done(done) => tag = Some(done),
                AddProgressItem::Error(error) => {
                    let error = fault::io_storage(&error);
                    return Err(broken(self.context.durable.explain(error).await));
                }
                AddProgressItem::CopyProgress(_)
                | AddProgressItem::Size(_)
                | AddProgressItem::CopyDone => {}
            }
        }
        let Some(tag) = tag else {
            let error = StorageError::Failed("the import was cut short".to_owned());
            return Err(broken(self.context.durable.explain(error).await));
        };
        let digests = digests
            .await
            .map_err(|error| unreadable(io::Error::other(error)))?
            .map_err(unreadable)?;
        let after = tokio::fs::metadata(&absolute).await.map_err(unreadable)?;
        drop(waiting);
        if fingerprint(&before) != fingerprint(&after) || digests.size != before.len() {
            return Err(changed());
        }
        self.context.durable.sync().await.map_err(broken)?;
        progress(digests.size);
        Ok(Imported {
            blake3: BlobHash::new(*tag.hash().as_bytes()),
            sha256: digests.sha256,
            git_sha1: digests.git_sha1,
            size: digests.size,
            guard: ImportGuard { _tag: tag },
        })
    }
}

struct Digests {
    sha256: [u8; 32],
    git_sha1: Option<[u8; 20]>,
    size: u64,
}

fn digest(path: &Path, expected: u64, wanted: &Weak<()>) -> io::Result<Digests> {
    let mut file = File::open(path)?;
    let mut sha256 = Sha256::new();
    let mut git_sha1 = (expected <= GIT_SHA1_SIZE_MAX)
        .then(|| Sha1::new().chain_update(format!("blob {expected}\0")));
    let mut buffer = vec![0; READ_LEN];
    let mut size = 0;
    loop {
        let len = file.read(&mut buffer)?;
        let Some(read) = buffer.get(..len).filter(|read| !read.is_empty()) else {
            break;
        };
        if wanted.strong_count() == 0 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        sha256.update(read);
        if let Some(hasher) = &mut git_sha1 {
            hasher.update(read);
        }
        size += read.len() as u64;
    }
    Ok(Digests {
        sha256: sha256.finalize().into(),
        git_sha1: git_sha1.map(|hasher| hasher.finalize().into()),
        size,
    })
}

/// What changes when a file is written to or replaced.
#[cfg(unix)]
fn fingerprint(metadata: &Metadata) -> impl PartialEq + use<> {
    use std::os::unix::fs::MetadataExt;
    (
        metadata.len(),
        metadata.dev(),
        metadata.ino(),
        (metadata.mtime(), metadata.mtime_nsec()),
    )
}

/// What changes when a file is written to or replaced.
#[cfg(not(unix))]
fn fingerprint(metadata: &Metadata) -> impl PartialEq + use<> {
    (metadata.len(), metadata.modified().ok())
}
