//! Bytes out: for readers on this machine, and to check what is on disk.

use std::{io, ops::Range, path::PathBuf};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use iroh_blobs::{
    api::blobs::{BlobStatus, EncodedItem},
    protocol::{ChunkRanges, ChunkRangesExt},
};
use weft_protocol::id::BlobHash;

use super::{Handle, context::hash, place};

/// Why bytes could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// They are not here, or not intact.
    #[error("bytes of blob `{blob}` are missing or damaged: {reason}")]
    Missing {
        /// Which blob.
        blob: BlobHash,
        /// What the store said.
        reason: String,
    },
}

impl Handle {
    /// Streams the bytes `range` of a blob, each verified against the blob's hash just before it is handed out.
    /// The range may reach into parts that are not here: then the stream ends with an error at that place.
    pub fn read(
        &self,
        blob: BlobHash,
        range: Range<u64>,
    ) -> impl Stream<Item = Result<Bytes, ReadError>> + Send + use<> {
        let chunks = ChunkRanges::bytes(range.start..range.end);
        let items = self
            .context
            .store
            .export_bao(hash(blob), chunks)
            .stream()
            .boxed();
        items.filter_map(move |item| {
            let bytes = match item {
                EncodedItem::Leaf(leaf) => {
                    let len = leaf.data.len() as u64;
                    let clip = |at: u64| usize::try_from(at.saturating_sub(leaf.offset).min(len));
                    match (clip(range.start), clip(range.end)) {
                        (Ok(start), Ok(end)) if start < end => {
                            Some(Ok(leaf.data.slice(start..end)))
                        }
                        _ => None,
                    }
                }
                EncodedItem::Error(error) => Some(Err(ReadError::Missing {
                    blob,
                    reason: error.to_string(),
                })),
                EncodedItem::Size(_) | EncodedItem::Parent(_) | EncodedItem::Done => None,
            };
            std::future::ready(bytes)
        })
    }

    /// Whether the blob is here, whole, and still what its hash says: reads all of it.
    pub async fn verify(&self, blob: BlobHash, size: u64) -> bool {
        let status = self.context.store.status(hash(blob)).await;
        if !matches!(status, Ok(BlobStatus::Complete { size: stored }) if stored == size) {
            return false;
        }
        match self.verify_file(blob, size).await {
            Ok(intact) => intact,
            // Not a file of the store's own: it is inlined, or lies where it was imported from.
            Err(_) => self.verify_stream(blob, size).await,
        }
    }

    async fn verify_file(&self, blob: BlobHash, size: u64) -> io::Result<bool> {
        let path: PathBuf = self.context.files.data_path(&hash(blob));
        tokio::task::spawn_blocking(move || {
            let metadata = std::fs::symlink_metadata(&path)?;
            Ok(metadata.len() == size && place::hash_file(&path)? == blob)
        })
        .await
        .map_err(io::Error::other)?
    }

    async fn verify_stream(&self, blob: BlobHash, size: u64) -> bool {
        let mut bytes = self.read(blob, 0..size);
        let mut total = 0;
        while let Some(Ok(bytes)) = bytes.next().await {
            total += bytes.len() as u64;
        }
        total == size
    }
}
