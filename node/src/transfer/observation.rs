//! The observe request of the iroh-blobs protocol: what somebody has of a blob, and every change of it.
//!
//! An item is its length as a varint, then postcard. The first says what is here, each later one what has changed
//! since: chunks that came, and chunks that went.

use std::{io, sync::Arc, time::Duration};

use bao_tree::ChunkRanges;
use iroh_blobs::protocol::{MAX_MESSAGE_SIZE, ObserveItem, ObserveRequest, Request};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    sync::watch,
    time::{self, Instant},
};
use weft_protocol::id::BlobHash;

use super::context::{Context, hash};

/// Least time between two items of one answer: a downloading node changes hundreds of times a second.
const ITEM_INTERVAL: Duration = Duration::from_millis(100);

/// What is here of a blob, and how that changes.
#[derive(Debug)]
pub(super) struct Changes {
    context: Arc<Context>,
    blob: BlobHash,
    changed: watch::Receiver<u64>,
    told: Option<ChunkRanges>,
    /// Not before then.
    next_at: Instant,
}

impl Changes {
    pub(super) fn new(context: &Arc<Context>, blob: BlobHash) -> Self {
        Self {
            context: Arc::clone(context),
            blob,
            changed: context.store.watch(&blob),
            told: None,
            next_at: Instant::now(),
        }
    }

    /// The next item as it is sent, when there is one. Not cancel safe.
    pub(super) async fn next(&mut self) -> io::Result<Vec<u8>> {
        loop {
            time::sleep_until(self.next_at).await;
            if self.told.is_some() {
                self.changed.changed().await.map_err(io::Error::other)?;
            }
            self.changed.mark_unchanged();
            let here = self.context.blob(self.blob).await;
            self.next_at = Instant::now() + ITEM_INTERVAL;
            let size = here.as_ref().map_or(0, |blob| blob.size());
            let ranges = here.map_or_else(ChunkRanges::empty, |blob| blob.chunk_ranges());
            let news = match &self.told {
                Some(told) => told ^ &ranges,
                None => ranges.clone(),
            };
            if self.told.is_none() || !news.is_empty() {
                self.told = Some(ranges);
                return frame(&ObserveItem { size, ranges: news });
            }
        }
    }
}

/// Asks for one.
pub(super) fn request(blob: BlobHash) -> io::Result<Vec<u8>> {
    let request = Request::Observe(ObserveRequest::new(hash(blob)));
    postcard::to_allocvec(&request).map_err(io::Error::other)
}

/// Another node's answer, read from whatever carries it.
pub(super) struct Observation {
    recv: Box<dyn AsyncRead + Send + Unpin>,
}

impl Observation {
    pub(super) fn new(recv: impl AsyncRead + Send + Unpin + 'static) -> Self {
        Self {
            recv: Box::new(recv),
        }
    }

    /// The next item. Not cancel safe.
    pub(super) async fn next(&mut self) -> io::Result<ObserveItem> {
        let mut len = 0_usize;
        for shift in (0..usize::BITS).step_by(7) {
            let byte = self.recv.read_u8().await?;
            len |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
            if len > MAX_MESSAGE_SIZE {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        if len > MAX_MESSAGE_SIZE {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut bytes = vec![0; len];
        self.recv.read_exact(&mut bytes).await?;
        postcard::from_bytes(&bytes).map_err(io::Error::other)
    }
}

fn frame(item: &ObserveItem) -> io::Result<Vec<u8>> {
    let bytes = postcard::to_allocvec(item).map_err(io::Error::other)?;
    let mut framed = Vec::with_capacity(bytes.len() + 4);
    let mut rest = bytes.len();
    while rest > 0x7f {
        framed.push(u8::try_from(rest & 0x7f).unwrap_or_default() | 0x80);
        rest >>= 7;
    }
    framed.push(u8::try_from(rest).unwrap_or_default());
    framed.extend_from_slice(&bytes);
    Ok(framed)
}
