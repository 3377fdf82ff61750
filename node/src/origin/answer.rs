//! A whole answer: which ranges to ask the server for, and what to hand on.

use std::ops::Range;

use bytes::Bytes;
use iroh_blobs::protocol::ChunkRanges;
use tokio::sync::mpsc;
use tracing::debug;
use weft_protocol::{id::BlobHash, manifest::Spans, service::TransferError};

use super::{
    Entry, Origin,
    client::{Body, Failure},
    encode::{self, Encoder},
};

/// How often a busy server is asked again within one answer.
const BUSY_TRIES: u32 = 3;

/// What goes wrong on the way.
enum Broken {
    /// The server's doing.
    Origin(Failure),
    /// What came is not what the manifest says.
    Corrupt,
    /// Nobody reads on.
    Unread,
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self::Origin(failure)
    }
}

impl Origin {
    /// Answers a request for whole chunk groups of a blob, as a peer would: the bytes that the data plane's
    /// protocol has after the request go into `sink`, span by span, each of them right.
    ///
    /// Dropping the future ends the request to the server.
    ///
    /// # Errors
    /// What the machine is to hear of the source.
    pub async fn answer(
        &self,
        blob: &BlobHash,
        ranges: ChunkRanges,
        sink: mpsc::Sender<Bytes>,
    ) -> Result<(), TransferError> {
        let Some(entry) = self.files.get(blob) else {
            return Err(TransferError::Unavailable);
        };
        let broken = match self.stream(entry, blob, ranges, &sink).await {
            Ok(()) | Err(Broken::Unread) => return Ok(()),
            Err(broken) => broken,
        };
        let origin = self.name();
        match broken {
            Broken::Origin(failure) => {
                debug!(origin, path = %entry.path, %failure, "an origin did not deliver");
                Err(match failure {
                    Failure::Refused(_) | Failure::Redirect(_) => TransferError::Refused,
                    Failure::Connection(_) => TransferError::Connection,
                    Failure::Busy(_) | Failure::Status(_) | Failure::Answer(_) => {
                        TransferError::Unavailable
                    }
                })
            }
            Broken::Corrupt | Broken::Unread => {
                debug!(origin, path = %entry.path, "an origin sent other bytes");
                Err(TransferError::Corrupt)
            }
        }
    }

    async fn stream(
        &self,
        entry: &Entry,
        blob: &BlobHash,
        ranges: ChunkRanges,
        sink: &mpsc::Sender<Bytes>,
    ) -> Result<(), Broken> {
        let span_len = entry.spans.as_ref().map_or(entry.size, Spans::len);
        let runs = encode::runs(entry.size, span_len, &ranges);
        let mut out = Vec::new();
        let mut encoder = Encoder::new(entry.size, entry.spans.as_ref(), ranges, &mut out);
        for run in runs {
            let mut body = self.open(entry, &run).await?;
            let mut rest = Bytes::new();
            let mut offset = run.start;
            while offset < run.end {
                let len = span_len.min(run.end - offset);
                let span = read(&mut body, &mut rest, len).await?;
                if !entry.is_right(blob, offset / span_len, &span) {
                    return Err(Broken::Corrupt);
                }
                encoder
                    .encode(offset, &span, &mut out)
                    .ok_or(Broken::Corrupt)?;
                let ready = Bytes::from(std::mem::take(&mut out));
                sink.send(ready).await.map_err(|_| Broken::Unread)?;
                offset += len;
            }
        }
        if encoder.is_done() {
            Ok(())
        } else {
            Err(Broken::Corrupt)
        }
    }

    /// Asks for a run, and again after a while if the server is busy.
    async fn open(&self, entry: &Entry, run: &Range<u64>) -> Result<Body, Failure> {
        let mut tries = 0;
        loop {
            let url = self.base.file(&entry.path);
            let failure = match self.client.get(url, run, entry.size).await {
                Ok(body) => return Ok(body),
                Err(failure) => failure,
            };
            match failure.pause() {
                Some(pause) if tries < BUSY_TRIES => {
                    tries += 1;
                    debug!(origin = self.name(), ?pause, "the origin is busy");
                    tokio::time::sleep(pause).await;
                }
                _ => return Err(failure),
            }
        }
    }
}

impl Entry {
    fn is_right(&self, blob: &BlobHash, index: u64, bytes: &[u8]) -> bool {
        match &self.spans {
            Some(spans) => usize::try_from(index).is_ok_and(|index| spans.is_right(index, bytes)),
            None => blake3::hash(bytes).as_bytes() == blob.as_bytes(),
        }
    }
}

/// Reads `len` bytes; what came beyond them stays in `rest`.
async fn read(body: &mut Body, rest: &mut Bytes, len: u64) -> Result<Vec<u8>, Failure> {
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    let mut bytes = Vec::new();
    loop {
        let missing = len - bytes.len();
        bytes.extend_from_slice(&rest.split_to(missing.min(rest.len())));
        if bytes.len() == len {
            return Ok(bytes);
        }
        let next = body.next().await?;
        *rest = next.ok_or(Failure::Answer("too few bytes"))?;
    }
}
