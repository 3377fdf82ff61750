//! The bytes of a file as a response body, also while they are still on their way here.
//!
//! Clients give up on a silent connection after ten seconds. So no answer begins before its first bytes are here, and
//! of what is here a little is held back: while nothing arrives, it is handed out byte by byte.

use std::{ops::Range, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::{
    sync::watch,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;
use weft_protocol::{
    id::{RepositoryId, RevisionId},
    manifest::File,
};

use super::{
    Hub,
    demand::{Progress, Reader},
    reply::Fault,
};
use crate::transfer::Local;

/// How long the first bytes may take before the client is told to come again.
const FIRST_BYTES: Duration = Duration::from_secs(8);
/// Silence on a connection that is broken by one byte.
const SILENCE: Duration = Duration::from_secs(4);
/// What is held back to break silences with: enough for half an hour.
const RESERVE: u64 = 450;
/// What is handed on at once.
const STEP: u64 = 1024 * 1024;
/// How long nothing at all may arrive before the connection is given up.
const PATIENCE: Duration = Duration::from_secs(300);

/// Makes the body for some bytes of a file; they are fetched if they are not here.
pub(super) async fn stream(
    hub: &Hub,
    repository: &RepositoryId,
    revision: RevisionId,
    file: &File,
    bytes: Range<u64>,
) -> Result<Body, Fault> {
    let shutdown = hub.operations.shutdown.clone();
    let mut local = hub.operations.transfer.local(file.blake3, file.size).await;
    if local.ready_from(bytes.start) >= bytes.end - bytes.start {
        let ended = shutdown.cancelled_owned();
        return Ok(Body::from_stream(local.read(bytes).take_until(ended)));
    }
    let reader = hub.demand.read(&hub.operations, repository, revision);
    first_bytes(&mut local, reader.0.clone(), bytes.start, file).await?;
    let arriving = Arriving {
        local,
        reader,
        at: bytes.start,
        end: bytes.end,
        arrived: Instant::now(),
        handed_out: Instant::now(),
        shutdown,
    };
    Ok(Body::from_stream(stream::try_unfold(
        arriving,
        Arriving::next,
    )))
}

/// Waits until something is here to begin with.
async fn first_bytes(
    local: &mut Local,
    mut progress: watch::Receiver<Progress>,
    at: u64,
    file: &File,
) -> Result<(), Fault> {
    let mut failure = None;
    let waited = time::timeout(FIRST_BYTES, async {
        while local.ready_from(at) == 0 {
            tokio::select! {
                more = local.changed() => if !more { return false },
                changed = progress.changed() => {
                    if let Progress::Failed(message) = &*progress.borrow_and_update() {
                        failure = Some(message.clone());
                    }
                    // The fetch has ended with the node.
                    if changed.is_err() { return false }
                }
            }
        }
        true
    });
    if let Ok(true) = waited.await {
        return Ok(());
    }
    let reason = failure.map_or_else(String::new, |message| format!(": {message}"));
    Err(Fault::Later(format!(
        "`{}` is not here yet{reason}",
        file.path
    )))
}

/// Bytes that are handed out while they arrive.
struct Arriving {
    local: Local,
    /// Keeps the fetch going.
    reader: Reader,
    at: u64,
    end: u64,
    /// When something new was last here to hand out.
    arrived: Instant,
    /// When anything was last handed out.
    handed_out: Instant,
    shutdown: CancellationToken,
}

impl Arriving {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, std::io::Error> {
        loop {
            let left = self.end - self.at;
            if left == 0 {
                return Ok(None);
            }
            let ready = self.local.ready_from(self.at).min(left);
            let spare = if ready == left {
                ready
            } else {
                ready.saturating_sub(RESERVE)
            };
            if spare > 0 {
                self.arrived = Instant::now();
                return self.hand_out(spare.min(STEP)).await.map(Some);
            }
            if ready > 0 && self.handed_out.elapsed() >= SILENCE {
                return self.hand_out(1).await.map(Some);
            }
            if self.arrived.elapsed() >= PATIENCE {
                return Err(std::io::Error::other(self.reason()));
            }
            let pause = SILENCE.saturating_sub(self.handed_out.elapsed());
            let pause = if ready > 0 { pause } else { SILENCE };
            tokio::select! {
                more = self.local.changed() => if !more {
                    return Err(std::io::Error::other("the blob store has ended"));
                },
                () = time::sleep(pause) => {}
                () = self.shutdown.cancelled() => {
                    return Err(std::io::Error::other("the node is shutting down"));
                }
            }
        }
    }

    async fn hand_out(mut self, len: u64) -> Result<(Bytes, Self), std::io::Error> {
        let parts = self.local.read(self.at..self.at + len);
        let mut parts: Vec<Bytes> = parts.try_collect().await.map_err(std::io::Error::other)?;
        self.at += len;
        self.handed_out = Instant::now();
        if parts.len() == 1 {
            return Ok((parts.swap_remove(0), self));
        }
        Ok((parts.concat().into(), self))
    }

    fn reason(&self) -> String {
        match &*self.reader.0.borrow() {
            Progress::Failed(message) => message.clone(),
            Progress::Running | Progress::Complete => "nothing arrives any more".to_owned(),
        }
    }
}
