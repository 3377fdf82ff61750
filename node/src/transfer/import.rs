//! Files in: taken into the store where they lie.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::sync::watch;
use weft_protocol::{id::BlobHash, service::StorageError};

use super::{Handle, ImportError};
use crate::store::{self, BlobStore, Guard, Observer};

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
    _guard: Guard,
}

impl Handle {
    /// Takes a file into the store by reference: no second copy is made. The file must stay where it is for as long as
    /// it is to be served. Several may be imported at once; as many are hashed as there are cores.
    ///
    /// `progress` is called with the bytes hashed so far.
    ///
    /// # Errors
    /// If the file cannot be read or changes meanwhile, or the store fails.
    pub async fn import(
        &self,
        path: &Path,
        progress: impl FnMut(u64) + Send,
    ) -> Result<Imported, ImportError> {
        self.take_in(path, progress, BlobStore::import).await
    }

    /// Takes a file over: it becomes the store's own and is gone from where it was, on the same file system.
    ///
    /// # Errors
    /// As [`Self::import`].
    pub async fn import_owned(&self, path: &Path) -> Result<Imported, ImportError> {
        self.take_in(path, |_| {}, BlobStore::import_owned).await
    }

    /// Keeps a blob that is here whole from being collected; `None` if it is not.
    pub async fn hold(&self, blob: BlobHash, size: u64) -> Option<ImportGuard> {
        let guard = ImportGuard {
            _guard: self.context.store.guard(&blob),
        };
        let here = self.context.blob(blob).await?;
        (here.is_complete() && here.size() == size).then_some(guard)
    }

    /// The file that holds a blob that is here whole.
    pub async fn path(&self, blob: BlobHash) -> Option<PathBuf> {
        let here = self.context.blob(blob).await?;
        here.is_complete().then(|| here.path().to_owned())
    }

    async fn take_in(
        &self,
        path: &Path,
        mut progress: impl FnMut(u64) + Send,
        import: fn(&BlobStore, &Path, &Observer<'_>) -> Result<store::Imported, ImportError>,
    ) -> Result<Imported, ImportError> {
        let store = self.context.store.clone();
        let (hashed, mut steps) = watch::channel(0);
        // The thread cannot be stopped from outside: it looks whether anybody still waits for it.
        let waiting = Arc::new(());
        let wanted = Arc::downgrade(&waiting);
        let source = path.to_owned();
        let mut importing = tokio::task::spawn_blocking(move || {
            let step = |bytes| {
                hashed.send_replace(bytes);
                wanted.strong_count() > 0
            };
            let observer = Observer {
                progress: Some(&step),
                block: None,
            };
            import(&store, &source, &observer)
        });
        let imported = loop {
            tokio::select! {
                imported = &mut importing => break imported,
                Ok(()) = steps.changed() => progress(*steps.borrow_and_update()),
            }
        };
        let imported = imported.map_err(|error| ImportError::Store {
            path: path.to_owned(),
            source: StorageError::Failed(error.to_string()),
        })??;
        progress(imported.size);
        Ok(Imported {
            blake3: imported.blake3,
            sha256: imported.sha256,
            git_sha1: imported.git_sha1,
            size: imported.size,
            guard: ImportGuard {
                _guard: imported.guard,
            },
        })
    }
}
