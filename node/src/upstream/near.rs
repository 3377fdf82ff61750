//! With others on the site: who has a file, who is to fetch it from the hub, and what they are answered.
//!
//! Whoever wants a file says so before asking, and asks twice before fetching; of those who want it at the same time the
//! one with the highest rank goes. So of any two at least one sees the other in time, and the hub is asked once.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{
    FutureExt, StreamExt,
    future::{self, BoxFuture},
    stream,
};
use tokio::time;
use weft_protocol::{
    diversity,
    id::NodeId,
    wire::near::{Answer, ContentHash, Question, Stage},
};

use super::{Key, Upstream, content::Content, lock};
use crate::transfer::{Answerer, Reply, is_near};

/// Nodes near here that are asked.
const PEERS_MAX: usize = 16;
/// A node of the same site answers in this time or is not waited for.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(700);
/// Bytes handed on at once.
const PART_LEN: u64 = 256 * 1024;
/// A file that does not grow for this long is somebody else's to wait for.
const STALL: Duration = Duration::from_secs(5);

/// Whom to get a file from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    Hub,
    Near(NodeId),
    /// Somebody else is about to begin.
    Wait,
}

impl Upstream {
    /// Connected nodes of this site.
    async fn near_peers(&self) -> Vec<NodeId> {
        let peers = self.service.view(|service| service.peers()).await;
        let near = |address: &str| diversity::ip(address).is_some_and(is_near);
        let peers = peers.into_iter().flatten();
        let near = peers
            .filter(|peer| near(&peer.address))
            .map(|peer| peer.peer);
        near.take(PEERS_MAX).collect()
    }

    /// Asks all nodes near here at once; those who answer in time.
    pub(super) async fn ask_all(&self, question: &Question) -> Vec<(NodeId, Answer)> {
        let ask = |peer: NodeId| async move {
            let asked = time::timeout(ANSWER_TIMEOUT, self.transfer.ask_near(peer, question));
            let (answer, _) = asked.await.ok()?.ok()?;
            Some((peer, answer))
        };
        let asked = self.near_peers().await.into_iter().map(ask);
        future::join_all(asked)
            .await
            .into_iter()
            .flatten()
            .collect()
    }

    fn is_public(&self, hash: &ContentHash) -> bool {
        lock(&self.public).contains(hash)
    }

    /// Finds out whom to get a file from, and says so to those who ask.
    pub(super) async fn choose(&self, content: &Content) -> Choice {
        let (direct, stage) = {
            let state = lock(&content.state);
            (state.direct, state.stage)
        };
        if direct || stage == Stage::Fetches || !self.is_public(&content.hash) {
            content.set_stage(Stage::Fetches);
            return Choice::Hub;
        }
        let question = Question::Stage {
            content: content.hash,
            size: content.size,
        };
        let own = rank(&content.hash, &self.node);
        for stage in [Stage::Wants, Stage::Chosen] {
            content.set_stage(stage);
            let mut ahead = false;
            let mut sources = Vec::new();
            for (peer, answer) in self.ask_all(&question).await {
                let Answer::Stage { stage } = answer else {
                    continue;
                };
                match stage {
                    Stage::Has | Stage::Fetches if !content.avoids(&peer) => {
                        sources.push((stage, fastrand::u32(..), peer));
                    }
                    Stage::Wants | Stage::Chosen => ahead |= rank(&content.hash, &peer) > own,
                    Stage::Nothing | Stage::Follows | Stage::Has | Stage::Fetches => {}
                }
            }
            // Whole ones first, any of them.
            if let Some((_, _, peer)) = sources.into_iter().max() {
                content.set_stage(Stage::Follows);
                return Choice::Near(peer);
            }
            if ahead {
                content.set_stage(Stage::Wants);
                return Choice::Wait;
            }
        }
        content.set_stage(Stage::Fetches);
        Choice::Hub
    }
}

fn rank(hash: &ContentHash, node: &NodeId) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    match hash {
        ContentHash::Sha256(sha256) => hasher.update(sha256),
        ContentHash::GitSha1(sha1) => hasher.update(sha1),
    };
    hasher.update(node.as_bytes());
    *hasher.finalize().as_bytes()
}

impl Answerer for Upstream {
    fn answer(self: Arc<Self>, question: Question) -> BoxFuture<'static, Reply> {
        let reply = |answer| Reply { answer, body: None };
        async move {
            match question {
                Question::Snapshot { key } => {
                    let held = tokio::task::spawn_blocking(move || self.named(&Key(key))).await;
                    let held = held.ok().flatten();
                    // Only what the hub itself said is passed on, and only once.
                    let told = held.filter(|held| held.public && held.first_hand);
                    let json = told.and_then(|told| serde_json::to_vec(&*told).ok());
                    reply(json.map_or(Answer::Nothing, |json| Answer::Snapshot { json }))
                }
                Question::Stage { content, .. } | Question::Bytes { content, .. }
                    if !self.is_public(&content) =>
                {
                    reply(Answer::Nothing)
                }
                Question::Stage { content, size } => {
                    let stage = lock(&self.content(content, size).state).stage;
                    reply(Answer::Stage { stage })
                }
                Question::Bytes {
                    content,
                    size,
                    start,
                } => Reply {
                    answer: Answer::Bytes,
                    body: Some(bytes(self.content(content, size), start)),
                },
            }
        }
        .boxed()
    }
}

/// The bytes of a file from a place on, also those that come soon.
fn bytes(content: Arc<Content>, start: u64) -> stream::BoxStream<'static, Bytes> {
    let changes = content.watch();
    stream::unfold(
        (content, changes, start),
        |(content, mut changes, at)| async move {
            if at >= content.size {
                return None;
            }
            loop {
                changes.mark_unchanged();
                let ready = lock(&content.state).have.ready_from(at).min(PART_LEN);
                if ready > 0 {
                    let reading = Arc::clone(&content);
                    let range = at..at + ready;
                    let read = tokio::task::spawn_blocking(move || reading.read_at(&range));
                    let bytes = read.await.ok()?.ok()?;
                    return Some((bytes, (content, changes, at + ready)));
                }
                time::timeout(STALL, changes.changed()).await.ok()?.ok()?;
            }
        },
    )
    .boxed()
}
