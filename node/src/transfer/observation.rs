//! The observe request of the iroh-blobs protocol: what somebody has of a blob, and every change of it.
//!
//! An item is its length as a varint, then postcard. The first says what is here, each later one what has changed
//! since: chunks that came, and chunks that went.

use std::{io, sync::Arc, time::Duration};

use bao_tree::ChunkRanges;
use iroh::endpoint::{Connection, RecvStream, SendStream};
use iroh_blobs::protocol::{MAX_MESSAGE_SIZE, ObserveItem, ObserveRequest, Request};
use tokio::time::{self, Instant};
use weft_protocol::id::BlobHash;

use super::context::Context;

/// Least time between two items of one answer: a downloading node changes hundreds of times a second.
const ITEM_INTERVAL: Duration = Duration::from_millis(100);

/// Tells what is here of a blob until nobody listens any more.
pub(super) async fn answer(
    context: &Arc<Context>,
    blob: BlobHash,
    send: &mut SendStream,
) -> io::Result<()> {
    let mut changes = context.store.watch(&blob);
    let mut told: Option<ChunkRanges> = None;
    loop {
        changes.mark_unchanged();
        let here = context.blob(blob).await;
        let size = here.as_ref().map_or(0, |blob| blob.size());
        let ranges = here.map_or_else(ChunkRanges::empty, |blob| blob.chunk_ranges());
        let news = match &told {
            Some(told) => told ^ &ranges,
            None => ranges.clone(),
        };
        if told.is_none() || !news.is_empty() {
            let item = ObserveItem { size, ranges: news };
            send.write_all(&frame(&item)?).await?;
            told = Some(ranges);
        }
        let next = Instant::now() + ITEM_INTERVAL;
        let quiet = async {
            time::sleep_until(next).await;
            changes.changed().await
        };
        tokio::select! {
            changed = quiet => changed.map_err(io::Error::other)?,
            _ = send.stopped() => return Ok(()),
            () = context.cancel.cancelled() => return Ok(()),
        }
    }
}

/// Another node's answer.
#[derive(Debug)]
pub(super) struct Observation {
    recv: RecvStream,
}

impl Observation {
    /// Asks.
    pub(super) async fn begin(connection: &Connection, blob: iroh_blobs::Hash) -> io::Result<Self> {
        let (mut send, recv) = connection.open_bi().await?;
        let request = Request::Observe(ObserveRequest::new(blob));
        let request = postcard::to_allocvec(&request).map_err(io::Error::other)?;
        send.write_all(&request).await?;
        send.finish().map_err(io::Error::other)?;
        Ok(Self { recv })
    }

    /// The next item. Not cancel safe.
    pub(super) async fn next(&mut self) -> io::Result<ObserveItem> {
        let mut len = 0_usize;
        for shift in (0..usize::BITS).step_by(7) {
            let mut byte = [0];
            self.recv
                .read_exact(&mut byte)
                .await
                .map_err(io::Error::other)?;
            len |= usize::from(byte[0] & 0x7f) << shift;
            if byte[0] & 0x80 == 0 {
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
        self.recv
            .read_exact(&mut bytes)
            .await
            .map_err(io::Error::other)?;
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
