//! Streams between nodes of one site that are about files of other hubs ([`weft_protocol::wire::near`]): on a QUIC
//! connection of their own, and with nobody beyond the site.
//!
//! What is asked and answered is for `upstream` to know; here it is carried. Bytes keep to the same rates as all others.

use std::{
    collections::BTreeMap,
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, future::BoxFuture, stream::BoxStream};
use iroh::endpoint::{Connection, ReadExactError, RecvStream, SendStream};
use tokio::{sync::Semaphore, time};
use tracing::{debug, trace};
use weft_protocol::{
    diversity::{Reach, reach},
    id::NodeId,
    wire::{
        self, Message as _,
        near::{Answer, Question},
    },
};

use super::{Handle, context::Context, peers::CLOSE_IDLE};

/// The protocol's name.
pub(super) const ALPN: &[u8] = b"weft/near/1";
/// A node of the same site answers a handshake at once.
const DIAL_TIMEOUT: Duration = Duration::from_secs(2);
/// Who has come a moment ago is not known by address before it introduced itself.
const ADDRESS_TIMEOUT: Duration = Duration::from_millis(400);
/// Who could not be reached is left alone for this long.
const RETRY_AFTER: Duration = Duration::from_secs(20);
/// Time to say what is wanted.
const PATIENCE: Duration = Duration::from_secs(10);
/// Questions of one connection that are answered at once; more wait.
const ANSWERS_MAX: usize = 64;
/// Bytes read from a stream at once.
const READ_LEN: usize = 256 * 1024;

/// Whoever knows the answers.
pub(crate) trait Answerer: Send + Sync + fmt::Debug {
    /// Answers one question of a node near here.
    fn answer(self: Arc<Self>, question: Question) -> BoxFuture<'static, Reply>;
}

/// An answer, and what follows it.
pub(crate) struct Reply {
    pub(crate) answer: Answer,
    pub(crate) body: Option<BoxStream<'static, Bytes>>,
}

/// The bytes that follow an answer.
pub(crate) struct Body {
    recv: RecvStream,
    buffer: Vec<u8>,
    _connection: Connection,
}

/// No answer came.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a node near here does not answer: {0}")]
pub(crate) struct NoAnswer(String);

/// Connections to nodes near here, and who answers theirs.
#[derive(Debug, Default)]
pub(super) struct Near {
    connections: Mutex<BTreeMap<NodeId, Link>>,
    answerer: OnceLock<Weak<dyn Answerer>>,
}

#[derive(Debug)]
enum Link {
    Open(Connection),
    /// Not to be dialled before then.
    Failed(time::Instant),
}

/// Whether an address is of this machine or site.
pub(crate) fn is_near(ip: IpAddr) -> bool {
    reach(ip) < Reach::World
}

impl Handle {
    /// Names who answers questions from now on.
    pub(crate) fn answer_near(&self, answerer: Weak<dyn Answerer>) {
        // There is one for each node, set at its start.
        let _ = self.context.near.answerer.set(answerer);
    }

    /// Asks a node near here. Cancel safe.
    pub(crate) async fn ask_near(
        &self,
        peer: NodeId,
        question: &Question,
    ) -> Result<(Answer, Body), NoAnswer> {
        let connection = self.context.near_connection(peer).await?;
        let asked = ask(&connection, question).await;
        if asked.is_err() && connection.close_reason().is_some() {
            lock(&self.context.near.connections).remove(&peer);
        }
        let (answer, recv) = asked.map_err(|error| NoAnswer(error.to_string()))?;
        let body = Body {
            recv,
            buffer: Vec::new(),
            _connection: connection,
        };
        Ok((answer, body))
    }

    /// Waits until bytes from elsewhere may come in. Blocks.
    pub(crate) fn let_in(&self, from: NodeId, bytes: usize) {
        let valve = self.context.rates.down(from);
        valve.pass(bytes, &self.context.cancel);
    }
}

impl Body {
    /// The next bytes; `None` at the end. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, NoAnswer> {
        self.buffer.resize(READ_LEN, 0);
        match self.recv.read(&mut self.buffer).await {
            Ok(Some(len)) => {
                let bytes = self.buffer.get(..len).unwrap_or_default();
                Ok(Some(Bytes::copy_from_slice(bytes)))
            }
            Ok(None) => Ok(None),
            Err(error) => Err(NoAnswer(error.to_string())),
        }
    }
}

async fn ask(
    connection: &Connection,
    question: &Question,
) -> Result<(Answer, RecvStream), Box<dyn std::error::Error + Send + Sync>> {
    let (mut send, mut recv) = connection.open_bi().await?;
    send.write_all(&frame(&wire::encode(question))).await?;
    send.finish()?;
    let bytes = read_frame(&mut recv, Answer::LEN_MAX).await?;
    Ok((wire::decode(&bytes)?, recv))
}

impl Context {
    async fn near_connection(self: &Arc<Self>, peer: NodeId) -> Result<Connection, NoAnswer> {
        match lock(&self.near.connections).get(&peer) {
            Some(Link::Open(open)) if open.close_reason().is_none() => return Ok(open.clone()),
            Some(Link::Failed(until)) if time::Instant::now() < *until => {
                return Err(NoAnswer("it could not be reached a moment ago".to_owned()));
            }
            _ => {}
        }
        let dialled = async {
            let known = time::timeout(ADDRESS_TIMEOUT, self.peers.known_address(peer));
            let address = known.await.map_err(|_| "nobody knows where it is")?;
            let dial = self.endpoint.connect(address, ALPN);
            let dialled = time::timeout(DIAL_TIMEOUT, dial).await;
            dialled
                .map_err(|_| "the handshake takes too long".to_owned())?
                .map_err(|error| format!("{error:#}"))
        };
        let dialled = dialled.await;
        let link = match &dialled {
            Ok(connection) => Link::Open(connection.clone()),
            Err(_) => Link::Failed(time::Instant::now() + RETRY_AFTER),
        };
        lock(&self.near.connections).insert(peer, link);
        dialled.map_err(NoAnswer)
    }
}

/// Answers the questions of one connection.
pub(super) async fn serve(
    context: Arc<Context>,
    peer: NodeId,
    address: Option<IpAddr>,
    connection: Connection,
) {
    if !address.is_some_and(is_near) || context.peers.is_banned(peer) {
        debug!(peer = %peer.fmt_short(), "a question from afar is refused");
        return connection.close(CLOSE_IDLE, b"not near");
    }
    let turns = Arc::new(Semaphore::new(ANSWERS_MAX));
    loop {
        let stream = tokio::select! {
            () = context.cancel.cancelled() => {
                return connection.close(CLOSE_IDLE, b"shutdown");
            }
            stream = connection.accept_bi() => stream,
        };
        let Ok((send, recv)) = stream else { return };
        let Ok(turn) = Arc::clone(&turns).acquire_owned().await else {
            return;
        };
        let context_of_answer = Arc::clone(&context);
        context.tasks.spawn(async move {
            let cancel = context_of_answer.cancel.clone();
            let answered = answer(context_of_answer, peer, send, recv);
            if let Some(Err(error)) = cancel.run_until_cancelled(answered).await {
                trace!(peer = %peer.fmt_short(), "an answer ended early: {error}");
            }
            drop(turn);
        });
    }
}

async fn answer(
    context: Arc<Context>,
    peer: NodeId,
    mut send: SendStream,
    mut recv: RecvStream,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let bytes = time::timeout(PATIENCE, read_frame(&mut recv, Question::LEN_MAX)).await??;
    let question: Question = wire::decode(&bytes)?;
    let answerer = context.near.answerer.get().and_then(Weak::upgrade);
    let reply = match answerer {
        Some(answerer) => answerer.answer(question).await,
        None => Reply {
            answer: Answer::Nothing,
            body: None,
        },
    };
    send.write_all(&frame(&wire::encode(&reply.answer))).await?;
    let mut body = reply.body;
    while let Some(bytes) = match &mut body {
        Some(body) => tokio::select! {
            bytes = body.next() => bytes,
            _ = send.stopped() => return Ok(()),
        },
        None => None,
    } {
        #[cfg(any(test, feature = "faults"))]
        let bytes = {
            let mut bytes = bytes.to_vec();
            context
                .faults
                .leaf(super::faults::HONEST_LEAVES, &mut bytes);
            Bytes::from(bytes)
        };
        let (context, len) = (Arc::clone(&context), bytes.len());
        let pass = move || context.rates.up(peer).pass(len, &context.cancel);
        tokio::task::spawn_blocking(pass).await?;
        send.write_chunk(bytes).await?;
    }
    send.finish()?;
    Ok(())
}

/// A message behind its length.
pub(super) fn frame(bytes: &[u8]) -> Vec<u8> {
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let mut frame = len.to_be_bytes().to_vec();
    frame.extend_from_slice(bytes);
    frame
}

/// Reads a message.
pub(super) async fn read_frame(
    recv: &mut RecvStream,
    len_max: usize,
) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    let frame = read_frame_or_end(recv, len_max).await?;
    frame.ok_or_else(|| "the stream is over".into())
}

/// Reads a message, unless the stream is over.
pub(super) async fn read_frame_or_end(
    recv: &mut RecvStream,
    len_max: usize,
) -> Result<Option<Vec<u8>>, Box<dyn std::error::Error + Send + Sync>> {
    let mut prefix = [0; 4];
    match recv.read_exact(&mut prefix).await {
        Ok(()) => {}
        Err(ReadExactError::FinishedEarly(0)) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let len = usize::try_from(u32::from_be_bytes(prefix))?;
    if len > len_max {
        return Err(format!("{len} bytes are more than the {len_max} allowed").into());
    }
    let mut bytes = Vec::new();
    while bytes.len() < len {
        // Memory grows with what arrives, not with what is promised.
        let start = bytes.len();
        bytes.resize(len.min(start + READ_LEN), 0);
        let part = bytes.get_mut(start..).unwrap_or_default();
        recv.read_exact(part).await?;
    }
    Ok(Some(bytes))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
