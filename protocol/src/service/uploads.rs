//! Requests of peers for bytes: which is served next.

use std::ops::Range;

use super::{Output, Service, UploadId};
use crate::id::{BlobHash, NodeId};

impl Service {
    /// A peer asks for bytes of a blob that is offered.
    pub(super) fn upload_asked(
        &mut self,
        upload: UploadId,
        _peer: NodeId,
        _blob: BlobHash,
        _bytes: Range<u64>,
    ) {
        self.out.push(Output::StartUpload { upload });
    }

    /// A started upload moves.
    pub(super) fn upload_progressed(&mut self, _upload: UploadId, _bytes: u64) {}

    /// A request is over.
    pub(super) fn upload_ended(&mut self, _upload: UploadId, _bytes: u64) {}
}
