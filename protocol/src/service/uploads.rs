//! Requests of peers for bytes: which is served next.

use std::ops::Range;

use super::{Output, Service, UploadId};
use crate::id::{BlobHash, NodeId};

impl Service {
    /// A peer asks for bytes of a blob.
    pub(super) fn upload_asked(
        &mut self,
        upload: UploadId,
        peer: NodeId,
        blob: BlobHash,
        bytes: Range<u64>,
    ) {
        match self.revisions.offered(&blob) {
            Some(size) if !self.swarm.is_banned(&peer) => self.swarm(|swarm, ctx| {
                swarm.upload_asked(upload, peer, (blob, size), bytes, ctx);
            }),
            Some(_) | None => self.out.push(Output::RefuseUpload { upload }),
        }
    }
}
