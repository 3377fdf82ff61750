//! One copy for this node and for clients with a cache of their own: if the user names that cache (`gateway.hf_cache`), a
//! large file that is here, or will be within seconds, has a second name in it before a client that asks about it is answered,
//! and the client, which looks there first, takes no bytes. One that came while a client read it is shared afterwards.

use std::{path::PathBuf, sync::Arc, time::Duration};

use axum::body::Body;
use futures::TryStreamExt;
use tokio::{runtime::Handle, time};
use weft_protocol::{id::BlobHash, manifest::File, path::RepoPath};

use super::{
    Hub,
    commit::{Commit, content_id, lfs},
    repos::Repo,
};
use crate::{
    operations::{Operations, link},
    upstream::Content,
};

/// When a client is looked for that has taken the last byte: it has to give the file its name first.
const LOOKS: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(10),
    Duration::from_secs(60),
];

/// A file's place in the cache of clients.
pub(super) struct Place {
    operations: Arc<Operations>,
    root: PathBuf,
    commit: String,
    path: RepoPath,
    id: String,
    size: u64,
    source: Source,
}

enum Source {
    Blob(BlobHash),
    File(Arc<Content>),
}

impl Place {
    /// `None` if there is no cache to share with, or for small files.
    pub(super) fn of(hub: &Hub, repo: &Repo, commit: &Commit, file: &File) -> Option<Self> {
        let cache = hub.operations.config.hf_cache.as_ref()?;
        lfs(file)?;
        let folder = format!(
            "{}s--{}",
            repo.name.kind.singular(),
            repo.name.id().replace('/', "--")
        );
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if !folder.chars().all(is_plain) {
            return None;
        }
        Some(Self {
            operations: Arc::clone(&hub.operations),
            root: cache.join(folder),
            commit: commit.id(),
            path: file.path.clone(),
            id: content_id(file),
            size: file.size,
            source: match &repo.origin {
                None => Source::Blob(file.blake3),
                Some(origin) => {
                    let (entry, hash) = origin.file(file.path.as_str())?;
                    Source::File(origin.hub.content(hash, entry.size))
                }
            },
        })
    }

    fn blob(&self) -> PathBuf {
        self.root.join("blobs").join(&self.id)
    }

    /// Shows the file where the client looks first, if it is here.
    pub(super) async fn show(&self) {
        let is_here = match &self.source {
            Source::Blob(blob) => {
                let local = self.operations.transfer.local(*blob, self.size).await;
                local.is_complete()
            }
            Source::File(content) => content.is_complete(),
        };
        if !is_here {
            return;
        }
        match self.lend().await {
            Ok(true) => {}
            Ok(false) => return,
            Err(reason) => {
                tracing::warn!(%reason, "a file cannot be shared with the cache of Hugging Face clients");
                return;
            }
        }
        let (snapshot, path, id) = (
            self.root.join("snapshots").join(&self.commit),
            self.path.clone(),
            self.id.clone(),
        );
        let linked = tokio::task::spawn_blocking(move || link(&snapshot, &path, &id));
        if let Ok(Err(error)) = linked.await {
            tracing::warn!(%error, "a file cannot be shown in the cache of Hugging Face clients");
        }
    }

    /// Puts the file's name into the cache; whether it is there.
    async fn lend(&self) -> Result<bool, String> {
        let blob = self.blob();
        let folder = blob.clone();
        let made = tokio::task::spawn_blocking(move || {
            folder.parent().map_or(Ok(()), std::fs::create_dir_all)
        });
        match made.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(error.to_string()),
            Err(error) => return Err(error.to_string()),
        }
        let transfer = &self.operations.transfer;
        let lent = match &self.source {
            Source::Blob(hash) => transfer.lend(*hash, blob).await,
            Source::File(content) => transfer.lend_file(content.path().to_owned(), blob).await,
        };
        lent.map_err(|error| error.to_string())
    }

    /// When `len` bytes of `body` have been taken, the copy that the client made of them gives way to this node's.
    pub(super) fn share_after(self, body: Body, len: u64) -> Body {
        let mut watch = Watch {
            place: Some(self),
            left: len,
        };
        let counted = body
            .into_data_stream()
            .inspect_ok(move |part| watch.took(part.len()));
        Body::from_stream(counted)
    }

    async fn share(self) {
        for wait in LOOKS {
            tokio::select! {
                () = time::sleep(wait) => {}
                () = self.operations.shutdown.cancelled() => return,
            }
            let size = self.size;
            let there = tokio::fs::symlink_metadata(self.blob()).await;
            if there.is_ok_and(|there| there.is_file() && there.len() == size) {
                return self.show().await;
            }
        }
    }
}

/// Sees the end of a body: a server drops it after the last byte, and does not ask whether more comes.
struct Watch {
    place: Option<Place>,
    left: u64,
}

impl Watch {
    fn took(&mut self, len: usize) {
        self.left = self.left.saturating_sub(len as u64);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let place = self.place.take().filter(|_| self.left == 0);
        if let (Some(place), Ok(runtime)) = (place, Handle::try_current()) {
            runtime.spawn(place.share());
        }
    }
}
