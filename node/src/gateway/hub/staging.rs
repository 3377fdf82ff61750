//! Uploads on their way into a revision: files named by their SHA-256, whole and checked before they get that name.
//!
//! They lie in the data directory until a commit names them; then the blob store takes them over. What a killed upload
//! left under a name of its own is swept away at the next start.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use futures::StreamExt;
use sha2::{Digest, Sha256};
use tokio::{fs, io::AsyncWriteExt, time};
use weft_protocol::id::BlobHash;

use super::reply::Fault;
use crate::transfer::{self, Imported};

/// How long a client may send nothing in the middle of a body.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Ends names of what is not whole.
const PART: &str = "part";

/// Uploads whose place in the blob store is remembered: what one commit took over another may name as well.
const TAKEN_MAX: usize = 10_000;

/// The folder of uploads.
#[derive(Debug)]
pub(super) struct Staging {
    root: PathBuf,
    /// What the blob store took over in this run.
    taken: Mutex<BTreeMap<[u8; 32], Taken>>,
    /// One after the other, so that two commits do not take the same file.
    turn: tokio::sync::Mutex<()>,
}

/// Content that the blob store has, or had.
#[derive(Debug, Clone, Copy)]
struct Taken {
    blake3: BlobHash,
    git_sha1: Option<[u8; 20]>,
    size: u64,
}

/// A SHA-256, as clients write it.
pub(super) fn parse_oid(text: &str) -> Result<[u8; 32], Fault> {
    let bytes = HEXLOWER.decode(text.as_bytes()).ok();
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| Fault::Invalid(format!("`{text}` is not a SHA-256")))
}

impl Staging {
    /// Names the folder and removes what earlier runs did not finish.
    pub(super) fn new(root: PathBuf) -> Self {
        let left = std::fs::read_dir(&root).into_iter().flatten().flatten();
        for entry in left {
            if entry.path().extension().is_some_and(|end| end == PART) {
                // Only space is lost if it stays.
                let _ = std::fs::remove_file(entry.path());
            }
        }
        Self {
            root,
            taken: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// Hands an upload over to the blob store, which keeps it while the answer lives; `None` if it was not uploaded.
    pub(super) async fn take(
        &self,
        transfer: &transfer::Handle,
        sha256: &[u8; 32],
    ) -> Result<Option<Imported>, Fault> {
        let _turn = self.turn.lock().await;
        if self.size(sha256).await.is_some() {
            let one = transfer.import_owned(&self.path(sha256)).await;
            let one = one.map_err(|error| crate::error::import(&error))?;
            if one.sha256 != *sha256 {
                let name = HEXLOWER.encode(sha256);
                return Err(Fault::Node(format!(
                    "the upload `{name}` was damaged on disk"
                )));
            }
            let (blake3, git_sha1, size) = (one.blake3, one.git_sha1, one.size);
            let mut taken = self.lock();
            if taken.len() >= TAKEN_MAX {
                taken.pop_first();
            }
            taken.insert(
                *sha256,
                Taken {
                    blake3,
                    git_sha1,
                    size,
                },
            );
            return Ok(Some(one));
        }
        let Some(taken) = self.taken(sha256) else {
            return Ok(None);
        };
        let guard = transfer.hold(taken.blake3, taken.size).await;
        Ok(guard.map(|guard| Imported {
            blake3: taken.blake3,
            sha256: *sha256,
            git_sha1: taken.git_sha1,
            size: taken.size,
            guard,
        }))
    }

    /// The size of content that need not be uploaded.
    pub(super) async fn uploaded(
        &self,
        transfer: &transfer::Handle,
        sha256: &[u8; 32],
    ) -> Option<u64> {
        if let Some(size) = self.size(sha256).await {
            return Some(size);
        }
        let taken = self.taken(sha256)?;
        let held = transfer.hold(taken.blake3, taken.size).await;
        held.map(|_| taken.size)
    }

    fn taken(&self, sha256: &[u8; 32]) -> Option<Taken> {
        self.lock().get(sha256).copied()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<[u8; 32], Taken>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a file with this hash is or will be.
    fn path(&self, sha256: &[u8; 32]) -> PathBuf {
        self.root.join(HEXLOWER.encode(sha256))
    }

    /// The folder of bundles of chunks.
    pub(super) fn xorbs(&self) -> PathBuf {
        self.root.join("xorbs")
    }

    /// Where a bundle of chunks is; `None` if that is no name for one.
    pub(super) fn xorb(&self, hash: &str) -> Option<PathBuf> {
        parse_oid(hash).ok()?;
        Some(self.xorbs().join(hash))
    }

    /// Gives a file its name, if it is what it should be.
    pub(super) async fn keep_part(&self, part: Part, sha256: &[u8; 32]) -> Result<(), Fault> {
        part.finish(&self.root, Some(sha256)).await.map(drop)
    }

    /// The size of a file that is here, whole.
    async fn size(&self, sha256: &[u8; 32]) -> Option<u64> {
        let metadata = fs::metadata(self.path(sha256)).await.ok()?;
        metadata.is_file().then_some(metadata.len())
    }

    /// A file to write to that has no name of its own yet.
    pub(super) async fn begin(&self) -> Result<Part, Fault> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        fs::create_dir_all(&self.root)
            .await
            .map_err(|e| failed(&e))?;
        let name = format!("{}-{number}.{PART}", std::process::id());
        let path = self.root.join(name);
        let file = fs::File::create(&path).await.map_err(|e| failed(&e))?;
        Ok(Part {
            path,
            file: Some(file),
            hasher: Sha256::new(),
            size: 0,
        })
    }

    /// Takes a whole body: refused if it is not of this hash and size.
    pub(super) async fn receive(
        &self,
        sha256: &[u8; 32],
        size: u64,
        body: Body,
    ) -> Result<(), Fault> {
        let mut part = self.begin().await?;
        let mut frames = body.into_data_stream();
        loop {
            let frame = time::timeout(SILENCE_MAX, frames.next()).await;
            match frame.map_err(|_| Fault::TooSlow)? {
                None => break,
                Some(Err(error)) => return Err(Fault::Invalid(format!("the body: {error}"))),
                Some(Ok(frame)) => part.write(frame, size).await?,
            }
        }
        if part.size != size {
            let message = format!("the body has {} bytes, not {size}", part.size);
            return Err(Fault::Invalid(message));
        }
        part.finish(&self.root, Some(sha256)).await.map(drop)
    }

    /// Takes bytes that are here already; gives their hash.
    pub(super) async fn keep(&self, bytes: Vec<u8>) -> Result<[u8; 32], Fault> {
        let size = bytes.len() as u64;
        let mut part = self.begin().await?;
        part.write(bytes.into(), size).await?;
        part.finish(&self.root, None).await
    }
}

/// A file that is not whole yet; removed when dropped.
#[derive(Debug)]
pub(super) struct Part {
    path: PathBuf,
    file: Option<fs::File>,
    hasher: Sha256,
    size: u64,
}

impl Part {
    /// Adds bytes, up to `size_max` in all.
    pub(super) async fn write(&mut self, bytes: Bytes, size_max: u64) -> Result<(), Fault> {
        self.size = self.size.saturating_add(bytes.len() as u64);
        if self.size > size_max {
            return Err(Fault::TooLarge(format!(
                "more than the {size_max} bytes announced"
            )));
        }
        self.hasher.update(&bytes);
        match &mut self.file {
            Some(file) => file.write_all(&bytes).await.map_err(|e| failed(&e)),
            None => Ok(()),
        }
    }

    /// Gives the file its name, if it is what it should be.
    pub(super) async fn finish(
        mut self,
        root: &Path,
        expected: Option<&[u8; 32]>,
    ) -> Result<[u8; 32], Fault> {
        let sha256: [u8; 32] = self.hasher.clone().finalize().into();
        if expected.is_some_and(|expected| *expected != sha256) {
            let shown = HEXLOWER.encode(&sha256);
            return Err(Fault::Invalid(format!(
                "the content has the SHA-256 {shown}"
            )));
        }
        if let Some(mut file) = self.file.take() {
            file.flush().await.map_err(|e| failed(&e))?;
            file.sync_data().await.map_err(|e| failed(&e))?;
        }
        let target = root.join(HEXLOWER.encode(&sha256));
        // One that is there has the same content, and somebody may be reading it.
        if fs::metadata(&target).await.is_err() {
            fs::rename(&self.path, &target)
                .await
                .map_err(|e| failed(&e))?;
        }
        Ok(sha256)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Gone already if it got its name.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn failed(error: &io::Error) -> Fault {
    Fault::Node(match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the disk is full: nothing was published".to_owned()
        }
        _ => format!("an upload cannot be written: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_is_whole_and_right_gets_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let staging = Staging::new(directory.path().join("uploads"));
        let sha256: [u8; 32] = Sha256::digest(b"content").into();

        let wrong = staging.receive(&sha256, 7, Body::from("c0ntent")).await;
        assert!(matches!(wrong, Err(Fault::Invalid(_))), "{wrong:?}");
        let short = staging.receive(&sha256, 7, Body::from("conten")).await;
        assert!(matches!(short, Err(Fault::Invalid(_))), "{short:?}");
        let long = staging.receive(&sha256, 7, Body::from("content!")).await;
        assert!(matches!(long, Err(Fault::TooLarge(_))), "{long:?}");
        assert_eq!(staging.size(&sha256).await, None);
        assert_eq!(
            std::fs::read_dir(directory.path().join("uploads"))
                .unwrap()
                .count(),
            0
        );

        staging
            .receive(&sha256, 7, Body::from("content"))
            .await
            .unwrap();
        staging
            .receive(&sha256, 7, Body::from("content"))
            .await
            .unwrap();
        assert_eq!(staging.size(&sha256).await, Some(7));
        assert_eq!(
            std::fs::read_dir(directory.path().join("uploads"))
                .unwrap()
                .count(),
            1
        );
    }

    #[tokio::test]
    async fn what_a_killed_upload_left_is_swept_away() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().to_owned();
        std::fs::write(root.join("1-2.part"), "x").unwrap();
        std::fs::write(root.join("a".repeat(64)), "x").unwrap();
        Staging::new(root.clone());
        assert_eq!(std::fs::read_dir(root).unwrap().count(), 1);
    }
}
