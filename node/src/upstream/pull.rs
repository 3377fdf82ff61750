//! Fetching one file for as long as somebody reads it: from whom, from where on, and again after every failure.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::FutureExt;
use tokio::time;
use weft_protocol::{
    id::NodeId,
    wire::near::{Answer, Question, Stage},
};

use super::{
    Upstream,
    client::{Download, Trouble},
    content::{Checked, Content},
    lock,
    near::Choice,
};
use crate::transfer::NearBody;

/// How long a file is fetched on after its last reader: clients come back after a short while.
const LINGER: Duration = Duration::from_secs(20);
/// Silence of the hub after which it is asked anew.
const HUB_SILENCE: Duration = Duration::from_secs(20);
/// Silence of a node near here after which another way is looked for.
const NEAR_SILENCE: Duration = Duration::from_secs(4);
/// Before the second try; doubles with each failure.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(8);
/// Failures one after the other without a byte after which readers are told.
const FAILURES_MAX: u32 = 12;
/// Files with a wrong hash after which readers are told.
const WRONG_MAX: u32 = 3;
/// While somebody else is about to be chosen.
const TURN: Duration = Duration::from_millis(150);
/// Bytes gathered for one write.
const WRITE_LEN: usize = 512 * 1024;
/// A reader this little ahead of a stream is waited for rather than jumped to.
const SOON: u64 = 16 * 1024 * 1024;

/// A stream of bytes from somewhere.
enum Stream {
    Hub(Download),
    Near(NodeId, NearBody),
}

/// Why one try brought no more.
enum Failed {
    Hub(Trouble),
    Near(NodeId, String),
    Disk(std::io::Error),
}

impl Upstream {
    /// Fetches a file in a task of its own.
    pub(super) fn pull(self: &Arc<Self>, content: Arc<Content>) {
        let (upstream, shutdown) = (Arc::clone(self), self.shutdown.clone());
        tokio::spawn(async move {
            let pulling = upstream.pull_on(&content);
            if shutdown.run_until_cancelled(pulling).await.is_none() {
                lock(&content.state).running = false;
            }
            let noting = Arc::clone(&content);
            // Lost, it only makes the next run fetch more.
            let _ = tokio::task::spawn_blocking(move || {
                if !noting.is_complete() && noting.bytes_here() > 0 {
                    let _ = noting.note();
                }
            })
            .await;
        });
    }

    async fn pull_on(self: &Arc<Self>, content: &Arc<Content>) {
        let (mut failures, mut wrong) = (0_u32, 0_u32);
        loop {
            if content.deserted_for() >= LINGER && self.ended(content, None) {
                return;
            }
            let at = content.next_gap();
            if at >= content.size {
                match self.check(content).await {
                    Ok(Checked::Right) => {
                        self.ended(content, None);
                        return;
                    }
                    Ok(Checked::Wrong) => {
                        wrong += 1;
                        let told = self.told_wrong(content);
                        if wrong >= WRONG_MAX {
                            self.give_up(content, told);
                            return;
                        }
                        lock(&content.state).trouble = Some(told);
                        continue;
                    }
                    Err(error) => return self.give_up(content, disk(&error)),
                }
            }
            let before = content.bytes_here();
            let tried = match self.choose(content).await {
                Choice::Wait => {
                    time::sleep(TURN).await;
                    continue;
                }
                Choice::Hub => self.from_hub(content, at).await,
                Choice::Near(peer) => self.from_near(content, peer, at).await,
            };
            let Err(failed) = tried else {
                failures = 0;
                continue;
            };
            if content.bytes_here() > before {
                failures = 0;
            }
            content.set_stage(Stage::Wants);
            failures += 1;
            let mut pause = (PAUSE * (1 << failures.min(6))).min(PAUSE_MAX);
            match failed {
                Failed::Disk(error) => return self.give_up(content, disk(&error)),
                Failed::Near(peer, reason) => {
                    tracing::debug!(peer = %peer.fmt_short(), reason, "a node near here fails");
                    content.avoid(peer);
                    pause = PAUSE;
                }
                Failed::Hub(trouble) => {
                    tracing::debug!(%trouble, "a file does not come");
                    // Others may have it.
                    lock(&content.state).direct = false;
                    let text = trouble.to_string();
                    if !trouble.may_pass() {
                        lock(&content.state).refusal = Some(trouble);
                        return self.give_up(content, text);
                    }
                    if failures >= FAILURES_MAX {
                        return self.give_up(content, text);
                    }
                    pause = pause.max(trouble.pause().unwrap_or_default().min(PAUSE_MAX));
                    lock(&content.state).trouble = Some(text);
                }
            }
            content.tell();
            time::sleep(pause).await;
        }
    }

    /// Ends a task; false if somebody came back meanwhile.
    fn ended(&self, content: &Content, trouble: Option<String>) -> bool {
        let mut state = lock(&content.state);
        if trouble.is_none() && !state.is_complete && !state.is_deserted() {
            return false;
        }
        state.running = false;
        state.trouble = trouble;
        if !state.is_complete {
            state.stage = Stage::Nothing;
        }
        drop(state);
        content.tell();
        true
    }

    fn give_up(&self, content: &Content, trouble: String) {
        tracing::warn!(trouble, "a file of the hub cannot be had");
        self.ended(content, Some(trouble));
    }

    /// What to say of a file with a wrong hash, and whom not to ask again.
    fn told_wrong(&self, content: &Content) -> String {
        let mut state = lock(&content.state);
        let near = std::mem::take(&mut state.from_near);
        state.direct = true;
        let hub = self.name();
        let told = match near {
            true => "nodes near here sent other bytes than the hub promised".to_owned(),
            false => format!("{hub} sends other bytes than it promised: their hash is wrong"),
        };
        tracing::warn!(told, size = content.size, "a file is fetched again");
        told
    }

    async fn check(&self, content: &Arc<Content>) -> std::io::Result<Checked> {
        let content = Arc::clone(content);
        let checked = tokio::task::spawn_blocking(move || content.check()).await;
        checked.unwrap_or_else(|error| Err(std::io::Error::other(error)))
    }

    async fn from_hub(self: &Arc<Self>, content: &Arc<Content>, at: u64) -> Result<(), Failed> {
        let Some(place) = lock(&content.state).place.clone() else {
            return Ok(());
        };
        let file = (place.kind, &*place.id, &*place.commit, &*place.path);
        let asked = self
            .client
            .download(file, at, content.size, place.token.as_ref());
        let download = match time::timeout(HUB_SILENCE, asked).await {
            Ok(download) => download.map_err(Failed::Hub)?,
            Err(_) => return Err(Failed::Hub(self.silence())),
        };
        self.take(content, at, Stream::Hub(download)).await
    }

    async fn from_near(
        self: &Arc<Self>,
        content: &Arc<Content>,
        peer: NodeId,
        at: u64,
    ) -> Result<(), Failed> {
        let question = Question::Bytes {
            content: content.hash,
            size: content.size,
            start: at,
        };
        let asked = time::timeout(NEAR_SILENCE, self.transfer.ask_near(peer, &question)).await;
        let failed = |reason: &str| Failed::Near(peer, reason.to_owned());
        match asked {
            Ok(Ok((Answer::Bytes, body))) => self.take(content, at, Stream::Near(peer, body)).await,
            Ok(Ok(_)) => Err(failed("it does not have it any more")),
            Ok(Err(error)) => Err(failed(&error.to_string())),
            Err(_) => Err(failed("it is silent")),
        }
    }

    fn silence(&self) -> Trouble {
        Trouble::Unreachable {
            hub: self.name(),
            reason: "it has been silent for too long".to_owned(),
        }
    }

    /// Writes what a stream brings, until there is no gap any more where it is or nobody waits for what it brings.
    async fn take(
        self: &Arc<Self>,
        content: &Arc<Content>,
        start: u64,
        mut stream: Stream,
    ) -> Result<(), Failed> {
        let end = lock(&content.state).have.gap_end(start, content.size);
        let (mut at, mut buffer) = (start, Vec::new());
        while at + (buffer.len() as u64) < end {
            let ready = stream.next().now_or_never();
            let part = match ready {
                Some(part) => part,
                None => {
                    self.write(content, &mut at, &mut buffer, &stream).await?;
                    let silence = match &stream {
                        Stream::Hub(_) => HUB_SILENCE,
                        Stream::Near(..) => NEAR_SILENCE,
                    };
                    match (time::timeout(silence, stream.next()).await, &stream) {
                        (Ok(part), _) => part,
                        (Err(_), Stream::Hub(_)) => Err(Failed::Hub(self.silence())),
                        (Err(_), Stream::Near(peer, _)) => {
                            Err(Failed::Near(*peer, "it is silent".to_owned()))
                        }
                    }
                }
            };
            match part {
                Ok(Some(bytes)) => {
                    let room = end - at - buffer.len() as u64;
                    let len = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
                    buffer.extend_from_slice(bytes.get(..len).unwrap_or_default());
                }
                other => {
                    self.write(content, &mut at, &mut buffer, &stream).await?;
                    return match (other, &stream) {
                        (Err(failed), _) => Err(failed),
                        (Ok(_), Stream::Near(peer, _)) if at < end => {
                            Err(Failed::Near(*peer, "it has no more".to_owned()))
                        }
                        (Ok(_), _) => Ok(()),
                    };
                }
            }
            if buffer.len() >= WRITE_LEN {
                self.write(content, &mut at, &mut buffer, &stream).await?;
                let unwanted = matches!(stream, Stream::Near(..)) && lock(&content.state).direct;
                if unwanted || content.is_elsewhere(at, SOON) || content.deserted_for() >= LINGER {
                    return Ok(());
                }
            }
        }
        self.write(content, &mut at, &mut buffer, &stream).await
    }

    async fn write(
        &self,
        content: &Arc<Content>,
        at: &mut u64,
        buffer: &mut Vec<u8>,
        stream: &Stream,
    ) -> Result<(), Failed> {
        if buffer.is_empty() {
            return Ok(());
        }
        let (offset, bytes) = (*at, std::mem::take(buffer));
        *at += bytes.len() as u64;
        let (from, near) = match stream {
            // One source like any other where rates are kept.
            Stream::Hub(_) => (NodeId::new([0; 32]), false),
            Stream::Near(peer, _) => (*peer, true),
        };
        let (transfer, content) = (self.transfer.clone(), Arc::clone(content));
        let written = tokio::task::spawn_blocking(move || {
            transfer.let_in(from, bytes.len());
            content.write_at(offset, &bytes, near)
        });
        let written = written
            .await
            .unwrap_or_else(|e| Err(std::io::Error::other(e)));
        written.map_err(Failed::Disk)
    }
}

impl Stream {
    /// Cancel safe.
    async fn next(&mut self) -> Result<Option<Bytes>, Failed> {
        match self {
            Self::Hub(download) => download.next().await.map_err(Failed::Hub),
            Self::Near(peer, body) => {
                let peer = *peer;
                let next = body.next().await;
                next.map_err(|error| Failed::Near(peer, error.to_string()))
            }
        }
    }
}

fn disk(error: &std::io::Error) -> String {
    format!("the disk says: {error}")
}
