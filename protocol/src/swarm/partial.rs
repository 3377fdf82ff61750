//! Downloads of which only that is fetched which somebody reads: one file of a large revision, one range of a file.

use super::{Context, Swarm, blob::Blob, download::Download, window::Readers};
use crate::{
    id::{BlobHash, RevisionId},
    service::{Output, RequestId},
};

impl Swarm {
    /// Fetches all of a revision from now on, or only what is read of it.
    pub(crate) fn set_partial(
        &mut self,
        revision: &RevisionId,
        partial: bool,
        ctx: &mut Context<'_>,
    ) {
        let Some(download) = self.downloads.get_mut(revision) else {
            return;
        };
        if download.partial == partial {
            return;
        }
        download.partial = partial;
        if partial {
            // A reader waits for the first byte, not for further providers.
            download.gathering = None;
            self.rest_unread(ctx);
        }
        self.dirty.downloads = true;
        self.dirty.everybody = true;
        self.schedule(ctx);
    }

    /// Whether a blob is fetched only as far as it is read.
    pub(super) fn is_partial(&self, blob: &Blob) -> bool {
        blob.wanted_by.iter().all(|revision| {
            let download = self.downloads.get(revision);
            download.is_some_and(|download| download.partial)
        })
    }

    /// Lays down what nobody reads any more and nobody wants as a whole.
    pub(super) fn rest_unread(&mut self, ctx: &mut Context<'_>) {
        for hash in self.active.clone() {
            let unread = !self.readers.blobs().any(|read| *read == hash);
            let partial = self.blobs.get(&hash).is_some_and(|b| self.is_partial(b));
            if unread && partial {
                self.rest(&hash, ctx);
            }
        }
    }

    fn rest(&mut self, hash: &BlobHash, ctx: &mut Context<'_>) {
        let owed: Vec<RequestId> = self.requests.of_blob(hash).map(|(r, _)| r).collect();
        for request in owed {
            self.cancel(request, ctx);
        }
        self.active.retain(|active| active != hash);
        self.dirty.downloads = true;
        let Some(blob) = self.blobs.get_mut(hash) else {
            return;
        };
        for peer in blob.rest() {
            ctx.out.push(Output::Unobserve { peer, blob: *hash });
        }
        for revision in &blob.wanted_by {
            if let Some(download) = self.downloads.get_mut(revision)
                && !download.waiting.contains(hash)
            {
                download.waiting.push_front(*hash);
            }
        }
    }
}

impl Download {
    /// The blob to become active next.
    pub(super) fn next(&mut self, readers: &Readers, active: &[BlobHash]) -> Option<BlobHash> {
        if !self.partial {
            return self.waiting.pop_front();
        }
        let mut read = readers.blobs();
        read.find(|blob| self.incomplete.contains(*blob) && !active.contains(*blob))
            .copied()
    }
}
