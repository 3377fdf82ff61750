//! A whole revision at once: what `weft fetch` and `weft publish --from` want.

use std::{path::PathBuf, sync::Arc, time::Duration};

use futures::{StreamExt, TryStreamExt, stream};
use tokio::time;

use super::{Entry, Snapshot, Token, Upstream, content::Place};

/// Files that are fetched at once: small ones are mostly waiting.
const FILES_AT_ONCE: usize = 4;
/// How often it is told how far it is.
const TELL_EVERY: Duration = Duration::from_millis(200);

impl Upstream {
    /// Fetches all files of a revision and gives where each lies, in order. `tell` hears how many bytes are here.
    ///
    /// # Errors
    /// Why one of them cannot be had.
    pub(crate) async fn fetch_all(
        self: &Arc<Self>,
        snapshot: &Snapshot,
        token: Option<&Token>,
        tell: impl Fn(u64),
    ) -> Result<Vec<PathBuf>, String> {
        let files = stream::iter(snapshot.files.clone());
        let fetched = files
            .map(|file| self.fetch_one(snapshot, file, token))
            .buffered(FILES_AT_ONCE)
            .try_collect::<Vec<_>>();
        let mut fetched = std::pin::pin!(fetched);
        let mut ticks = time::interval(TELL_EVERY);
        loop {
            tokio::select! {
                fetched = &mut fetched => {
                    tell(self.bytes_here(snapshot));
                    return fetched;
                }
                _ = ticks.tick() => tell(self.bytes_here(snapshot)),
            }
        }
    }

    /// Bytes of a revision that are here.
    pub(crate) fn bytes_here(&self, snapshot: &Snapshot) -> u64 {
        let contents = snapshot.files.iter().filter_map(|file| {
            let content = self.content(file.content()?, file.size);
            Some(content.bytes_here())
        });
        contents.sum()
    }

    async fn fetch_one(
        self: &Arc<Self>,
        snapshot: &Snapshot,
        file: Entry,
        token: Option<&Token>,
    ) -> Result<PathBuf, String> {
        let hash = file.content().ok_or("a file without a hash")?;
        let content = self.content(hash, file.size);
        let place = Place::new(snapshot, &file, token);
        let mut reader = self.read(Arc::clone(&content), place, 0);
        while !content.is_complete() {
            let changed = reader.changed().await;
            changed.map_err(|reason| format!("`{}`: {reason}", file.path))?;
        }
        Ok(content.path().to_owned())
    }
}

impl Place {
    /// Where a file of a snapshot is.
    pub(crate) fn new(snapshot: &Snapshot, file: &Entry, token: Option<&Token>) -> Self {
        Self {
            kind: snapshot.kind,
            id: snapshot.id.clone(),
            commit: snapshot.commit.clone(),
            path: file.path.clone(),
            token: token.cloned(),
        }
    }
}
