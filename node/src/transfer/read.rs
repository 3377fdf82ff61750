//! Bytes out: for readers on this machine, and to check what is on disk.

use std::ops::Range;

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use weft_protocol::id::BlobHash;

use super::Handle;
use crate::store::{BlobStore, Error};

/// Bytes read and checked at once.
const PART_LEN: u64 = 512 * 1024;
/// The same at the beginning: somebody waits for the first byte. Each part is twice as long as the one before.
const FIRST_PART_LEN: u64 = 32 * 1024;

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
        let store = self.context.store.clone();
        stream::unfold(Some((range, FIRST_PART_LEN)), move |state| {
            let store = store.clone();
            async move {
                let (rest, len) = state.filter(|(rest, _)| !rest.is_empty())?;
                let read =
                    tokio::task::spawn_blocking(move || part(&store, &blob, rest, len)).await;
                let next = PART_LEN.min(2 * len);
                match read {
                    Ok(Ok((bytes, _))) if bytes.is_empty() => None,
                    Ok(Ok((bytes, rest))) => Some((Ok(bytes), Some((rest, next)))),
                    Ok(Err(error)) => Some((Err(missing(blob, error.to_string())), None)),
                    Err(error) => Some((Err(missing(blob, error.to_string())), None)),
                }
            }
        })
        .boxed()
    }

    /// Whether the blob is here, whole, and still what its hash says: reads all of it.
    pub async fn verify(&self, blob: BlobHash, size: u64) -> bool {
        let store = self.context.store.clone();
        let verified = tokio::task::spawn_blocking(move || store.verify(&blob, size)).await;
        matches!(verified, Ok(Ok(true)))
    }
}

/// Reads the first part of a range; what is left of it comes with the bytes.
fn part(
    store: &BlobStore,
    hash: &BlobHash,
    range: Range<u64>,
    len: u64,
) -> Result<(Bytes, Range<u64>), Error> {
    let blob = store.blob(hash).ok_or(Error::Missing {
        blob: *hash,
        offset: range.start,
    })?;
    // Parts end where groups do, so that none is read twice.
    let next = (range.start / len + 1) * len;
    let mut part = range.start..range.end.min(next);
    if !blob.has(&(part.start..part.end.min(blob.size())))
        && let Err(Error::Missing { offset, .. }) = blob.read_verified(part.clone())
        && offset > part.start
    {
        // What is here comes first.
        part.end = offset;
    }
    let bytes = blob.read_verified(part.clone())?;
    Ok((bytes, part.end..range.end))
}

fn missing(blob: BlobHash, reason: String) -> ReadError {
    ReadError::Missing { blob, reason }
}
