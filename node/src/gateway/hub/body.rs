//! The bytes of a file as a response body, also while they are still on their way here.
//!
//! Clients give up on a silent connection after ten seconds. So no answer begins before its first bytes are here, and
//! of what is here a little is held back: while nothing arrives, it is handed out byte by byte.

use std::{ops::Range, sync::Arc, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;
use weft_protocol::{
    id::{RepositoryId, RevisionId},
    manifest::File,
};

use super::{
    Hub,
    commit::Commit,
    demand::{Progress, Reader},
    reply::Fault,
    repos::Repo,
    upstream::Origin,
};
use crate::{
    transfer::{Local, Reading},
    upstream::{self, Place},
};

/// How long the first bytes may take before the client is told to come again.
pub(super) const FIRST_BYTES: Duration = Duration::from_secs(8);
/// How often it is judged whether a file comes fast enough to wait for all of it.
const JUDGED_EVERY: Duration = Duration::from_secs(1);
/// How long nothing of it may come: peers have to be found first.
const NOTHING_MAX: Duration = Duration::from_secs(3);
/// Silence on a connection that is broken by one byte.
const SILENCE: Duration = Duration::from_secs(4);
/// What is held back to break silences with: enough for half an hour.
const RESERVE: u64 = 450;
/// What is handed on at once.
const STEP: u64 = 1024 * 1024;
/// How long nothing at all may arrive before the connection is given up.
const PATIENCE: Duration = Duration::from_secs(300);

/// Makes the body for some bytes of a file; they are fetched if they are not here. The client waits for the first of
/// them for `patience`.
pub(super) async fn open(
    hub: &Hub,
    repo: &Repo,
    commit: &Commit,
    file: &File,
    bytes: Range<u64>,
    patience: Duration,
) -> Result<Body, Fault> {
    match &repo.origin {
        Some(origin) => from_hub(hub, origin, file, bytes, patience).await,
        None => stream(hub, &repo.id, commit.revision, file, bytes, patience).await,
    }
}

/// Waits for all of a file, while its client waits for headers: at most as long as for first bytes, and not for long if
/// it comes too slowly to be whole by then.
pub(super) async fn whole(hub: &Hub, repo: &Repo, commit: &Commit, file: &File) {
    let transfer = &hub.operations.transfer;
    let mut local = transfer.local(file.blake3, file.size).await;
    if repo.origin.is_some() || local.is_complete() {
        return;
    }
    let reader = hub.demand.read(&hub.operations, &repo.id, commit.revision);
    let mut reading = transfer.reading(file.blake3);
    reading.at(0..file.size).await;
    let began = Instant::now();
    let mut first = None;
    let mut judging = time::interval_at(began + JUDGED_EVERY, JUDGED_EVERY);
    let arrives = async {
        while !local.is_complete() {
            tokio::select! {
                is_open = local.changed() => if !is_open {
                    return;
                },
                _ = judging.tick() => {
                    let left = FIRST_BYTES.saturating_sub(began.elapsed());
                    let promises = match first {
                        None => began.elapsed() < NOTHING_MAX,
                        Some((since, before)) => {
                            let here = local.ready_from(0);
                            // What turns out to be damaged is not here any more.
                            let (came, rest) =
                                (here.saturating_sub(before), file.size.saturating_sub(here));
                            is_in_time(came, Instant::now() - since, rest, left)
                        }
                    };
                    if !promises {
                        return;
                    }
                }
            }
            let here = local.ready_from(0);
            if first.is_none() && here > 0 {
                first = Some((Instant::now(), here));
                judging.reset();
            }
        }
    };
    let waited = time::timeout(FIRST_BYTES, arrives);
    let ended = hub.operations.shutdown.run_until_cancelled(waited).await;
    tracing::debug!(path = %file.path, whole = local.is_complete(), ?ended, "waited for a file");
    drop((reading, reader));
}

/// Whether the rest of a file, of which so much `came` in a time, comes in the time that is `left`.
fn is_in_time(came: u64, taken: Duration, rest: u64, left: Duration) -> bool {
    u128::from(came) * left.as_millis() >= u128::from(rest) * taken.as_millis()
}

async fn stream(
    hub: &Hub,
    repository: &RepositoryId,
    revision: RevisionId,
    file: &File,
    bytes: Range<u64>,
    patience: Duration,
) -> Result<Body, Fault> {
    let shutdown = hub.operations.shutdown.clone();
    let local = hub.operations.transfer.local(file.blake3, file.size).await;
    if local.ready_from(bytes.start) >= bytes.end - bytes.start {
        let ended = shutdown.cancelled_owned();
        return Ok(Body::from_stream(local.read(bytes).take_until(ended)));
    }
    let reader = hub.demand.read(&hub.operations, repository, revision);
    let mut reading = hub.operations.transfer.reading(file.blake3);
    reading.at(bytes.clone()).await;
    let source = Source::Blob {
        local,
        reader,
        reading,
    };
    arriving(hub, source, file, bytes, patience).await
}

/// Makes the body for some bytes of a file of the hub behind this node.
async fn from_hub(
    hub: &Hub,
    origin: &Origin,
    file: &File,
    bytes: Range<u64>,
    patience: Duration,
) -> Result<Body, Fault> {
    let found = origin.file(file.path.as_str());
    let (entry, hash) = found.ok_or_else(|| Fault::Node("the file is gone".to_owned()))?;
    let content = origin.hub.content(hash, entry.size);
    // Of a whole file nobody gets the end before all of it is checked. A part in the middle has no such end: it comes
    // straight from the hub, or out of what is checked.
    let is_part = bytes.end < file.size;
    if is_part {
        content.ask_directly();
    }
    let place = Place::new(&origin.snapshot, entry, origin.token.as_ref());
    let reader = origin.hub.read(content, place, bytes.start);
    let source = Source::File { reader, is_part };
    arriving(hub, source, file, bytes, patience).await
}

/// Whether a client that wants to go on may have got wrong bytes before, and has to begin again.
pub(super) fn must_restart(repo: &Repo, file: &File) -> bool {
    let found = repo.origin.as_ref().and_then(|origin| {
        let (entry, hash) = origin.file(file.path.as_str())?;
        Some(origin.hub.content(hash, entry.size))
    });
    found.is_some_and(|content| content.must_restart())
}

async fn arriving(
    hub: &Hub,
    mut source: Source,
    file: &File,
    bytes: Range<u64>,
    patience: Duration,
) -> Result<Body, Fault> {
    first_bytes(&mut source, bytes.start, file, patience).await?;
    source.begin();
    let arriving = Arriving {
        source,
        at: bytes.start,
        end: bytes.end,
        arrived: Instant::now(),
        handed_out: Instant::now(),
        shutdown: hub.operations.shutdown.clone(),
    };
    Ok(Body::from_stream(stream::try_unfold(
        arriving,
        Arriving::next,
    )))
}

/// Waits until something is here to begin with.
async fn first_bytes(
    source: &mut Source,
    at: u64,
    file: &File,
    patience: Duration,
) -> Result<(), Fault> {
    let mut ended = None;
    let waited = time::timeout(patience, async {
        while source.ready_from(at) == 0 {
            if let Err(reason) = source.changed().await {
                ended = Some(reason);
                return false;
            }
        }
        true
    });
    if let Ok(true) = waited.await {
        return Ok(());
    }
    if let Source::File { reader, .. } = source
        && let Some(refusal) = reader.refusal()
    {
        return Err(refusal.into());
    }
    let reason = source.trouble().or(ended);
    let reason = reason.map_or_else(String::new, |message| format!(": {message}"));
    Err(Fault::Later(format!(
        "`{}` is not here yet{reason}",
        file.path
    )))
}

/// A file that is still on its way.
enum Source {
    /// Of weft: verified as it arrives.
    Blob {
        local: Local,
        /// Keeps the fetch going.
        reader: Reader,
        /// Makes what comes next come first.
        reading: Reading,
    },
    /// Of the hub behind this node: verified when all of it is here.
    File {
        reader: upstream::Reader,
        /// Only something in the middle is wanted.
        is_part: bool,
    },
}

impl Source {
    fn ready_from(&self, at: u64) -> u64 {
        match self {
            Self::Blob { local, .. } => local.ready_from(at),
            Self::File { reader, is_part } => {
                let content = reader.content();
                if *is_part && content.is_hearsay() {
                    return 0;
                }
                content.ready_from(at)
            }
        }
    }

    /// Nothing was handed out so far.
    fn begin(&mut self) {
        if let Self::File { reader, .. } = self {
            reader.begin();
        }
    }

    /// Ends an answer of which a part turned out to be wrong: the rest would make a whole out of it.
    fn check(&self) -> Result<(), std::io::Error> {
        match self {
            Self::File { reader, .. } if reader.is_tainted() => {
                Err(std::io::Error::other("what was sent of the file is wrong"))
            }
            Self::File { .. } | Self::Blob { .. } => Ok(()),
        }
    }

    /// Waits for more of it, or for news of the fetch; an error if nothing can come any more. Cancel safe.
    async fn changed(&mut self) -> Result<(), String> {
        match self {
            Self::Blob { local, reader, .. } => tokio::select! {
                more = local.changed() => match more {
                    true => Ok(()),
                    false => Err("the blob store has ended".to_owned()),
                },
                news = reader.0.changed() => {
                    news.map_err(|_| "the node is shutting down".to_owned())
                }
            },
            Self::File { reader, .. } => reader.changed().await,
        }
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes, std::io::Error> {
        match self {
            Self::Blob { local, .. } => {
                let parts = local.read(range);
                let mut parts: Vec<Bytes> =
                    parts.try_collect().await.map_err(std::io::Error::other)?;
                if parts.len() == 1 {
                    return Ok(parts.swap_remove(0));
                }
                Ok(parts.concat().into())
            }
            Self::File { reader, .. } => {
                let content = Arc::clone(reader.content());
                let read = tokio::task::spawn_blocking(move || content.read_at(&range));
                read.await.map_err(std::io::Error::other)?
            }
        }
    }

    /// The reader goes on from here.
    async fn moved(&mut self, bytes: Range<u64>) {
        match self {
            Self::Blob { reading, .. } => reading.at(bytes).await,
            Self::File { reader, .. } => reader.at(bytes.start),
        }
    }

    /// What went wrong last.
    fn trouble(&self) -> Option<String> {
        match self {
            Self::Blob { reader, .. } => match &*reader.0.borrow() {
                Progress::Failed(message) => Some(message.clone()),
                Progress::Running | Progress::Complete => None,
            },
            Self::File { reader, .. } => reader.trouble(),
        }
    }
}

/// Bytes that are handed out while they arrive.
struct Arriving {
    source: Source,
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
            self.source.check()?;
            let left = self.end - self.at;
            if left == 0 {
                return Ok(None);
            }
            let ready = self.source.ready_from(self.at).min(left);
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
                let reason = self.source.trouble();
                let reason = reason.unwrap_or_else(|| "nothing arrives any more".to_owned());
                return Err(std::io::Error::other(reason));
            }
            let pause = SILENCE.saturating_sub(self.handed_out.elapsed());
            let pause = if ready > 0 { pause } else { SILENCE };
            tokio::select! {
                more = self.source.changed() => more.map_err(std::io::Error::other)?,
                () = time::sleep(pause) => {}
                () = self.shutdown.cancelled() => {
                    return Err(std::io::Error::other("the node is shutting down"));
                }
            }
        }
    }

    async fn hand_out(mut self, len: u64) -> Result<(Bytes, Self), std::io::Error> {
        let bytes = self.source.read(self.at..self.at + len).await?;
        self.source.check()?;
        self.at += len;
        if len > 1 {
            self.source.moved(self.at..self.end).await;
        }
        self.handed_out = Instant::now();
        Ok((bytes, self))
    }
}
