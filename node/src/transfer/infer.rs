//! Questions about models between nodes ([`weft_protocol::infer::peer`]): one a stream, on a QUIC connection of their own.
//!
//! What is asked and answered is for [`crate::infer`] to know; here it is carried. Whoever stops waiting drops the stream,
//! and the host hears of it. A host that computes says so all the time, so that one that died is noticed.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, Weak,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use iroh::endpoint::{Connection, RecvStream, SendStream};
use tokio::{
    sync::{Semaphore, mpsc},
    time,
};
use tracing::{debug, trace};
use weft_protocol::{
    id::NodeId,
    infer::{
        Event,
        peer::{ALIVE_EVERY, Question, SILENCE_MAX, Told},
    },
    wire::{self, Message as _},
};

use super::{
    Handle,
    context::Context,
    near,
    peers::{CLOSE_BUSY, CLOSE_IDLE},
};

/// The protocol's name.
pub(super) const ALPN: &[u8] = b"weft/infer/1";
/// A handshake with a host that is worth asking.
const DIAL_TIMEOUT: Duration = Duration::from_secs(3);
/// A host that was found a moment ago is not known by address before it introduced itself.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(5);
/// Time to say what is wanted.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections of askers that are open at once: they shall leave room for those who transfer data.
const ASKERS_MAX: usize = 128;
/// Connections of one node that asks: one that is about to close, and a new one.
const ASKER_CONNECTIONS_MAX: usize = 2;
/// Who asks nothing for so long gives up the place.
const ASKER_IDLE_MAX: Duration = Duration::from_secs(60);
/// Questions of one connection that are answered at once; more wait.
const ANSWERS_MAX: usize = 16;
/// How long a question of which nothing came still counts as one: as long as who was refused is told to wait, at least.
/// It doubles with each after it on the same connection, so many times at most, until one is answered. So the next
/// question is read before who asked it takes this node for dead ([`SILENCE_MAX`]).
const NOTHING_PAUSE: Duration = Duration::from_millis(500);
const NOTHING_DOUBLINGS: u32 = 2;
/// The same for a question that is answered in a word.
const WORD_PAUSE: Duration = Duration::from_millis(100);
/// How long who finds no place waits to hear of it, so as not to try again at once; and how many do at most.
const NO_PLACE_PAUSE: Duration = Duration::from_secs(1);
const NO_PLACE_MAX: usize = 32;
/// How long a connection that brought nonsense still counts as one.
const NONSENSE_PAUSE: Duration = Duration::from_secs(30);
/// The longest question that is read from anybody: a long context as text.
const QUESTION_LEN_MAX: usize = 1024 * 1024;
/// Messages that wait for the stream; then the host waits.
const TOLD_MAX: usize = 64;

/// Whoever answers questions of other nodes.
pub(crate) trait Host: Send + Sync + fmt::Debug {
    /// Answers one question; dropped when nobody waits any more.
    fn answer(
        self: Arc<Self>,
        asker: NodeId,
        question: Question,
        told: mpsc::Sender<Told>,
    ) -> BoxFuture<'static, ()>;
}

/// An answer on its way. Dropping it tells the host that nobody waits any more.
pub(crate) struct Asked {
    recv: RecvStream,
    _send: SendStream,
    _connection: Connection,
}

/// No answer came, or no more of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the host does not answer: {0}")]
pub(crate) struct NoAnswer(String);

/// Connections to hosts, and who answers others' questions here.
#[derive(Debug)]
pub(super) struct Hosts {
    connections: Mutex<BTreeMap<NodeId, Connection>>,
    host: OnceLock<Weak<dyn Host>>,
    /// Open connections of nodes that ask this one.
    askers: Mutex<BTreeMap<NodeId, usize>>,
    no_place: Semaphore,
    questions_sent: AtomicU64,
    bytes_sent: AtomicU64,
    answered: AtomicU64,
}

/// The place of one connection of somebody who asks.
struct Place {
    hosts: Arc<Hosts>,
    asker: NodeId,
}

impl Default for Hosts {
    fn default() -> Self {
        Self {
            connections: Mutex::default(),
            host: OnceLock::new(),
            askers: Mutex::default(),
            no_place: Semaphore::new(NO_PLACE_MAX),
            questions_sent: AtomicU64::default(),
            bytes_sent: AtomicU64::default(),
            answered: AtomicU64::default(),
        }
    }
}

impl Hosts {
    fn place(self: &Arc<Self>, asker: NodeId) -> Option<Place> {
        let mut askers = lock(&self.askers);
        let all: usize = askers.values().sum();
        let own = askers.get(&asker).copied().unwrap_or(0);
        if all >= ASKERS_MAX || own >= ASKER_CONNECTIONS_MAX {
            return None;
        }
        askers.insert(asker, own + 1);
        drop(askers);
        let hosts = Arc::clone(self);
        Some(Place { hosts, asker })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut askers = lock(&self.hosts.askers);
        match askers.get_mut(&self.asker) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                askers.remove(&self.asker);
            }
        }
    }
}

/// What was asked of others, and answered, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Traffic {
    pub(crate) questions_sent: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) answered: u64,
}

impl Handle {
    /// Names who answers questions about models from now on.
    pub(crate) fn answer_hosted(&self, host: Weak<dyn Host>) {
        // There is one for each node, set at its start.
        let _ = self.context.hosts.host.set(host);
    }

    /// What was asked of others, and answered, since the start.
    pub(crate) fn infer_traffic(&self) -> Traffic {
        let hosts = &self.context.hosts;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Traffic {
            questions_sent: read(&hosts.questions_sent),
            bytes_sent: read(&hosts.bytes_sent),
            answered: read(&hosts.answered),
        }
    }

    /// Asks a host. Nothing is sent before it has shown the key that its id is.
    pub(crate) async fn ask_host(
        &self,
        host: NodeId,
        question: &Question,
    ) -> Result<Asked, NoAnswer> {
        let connection = self.context.host_connection(host).await?;
        let asked = self.context.ask_host(&connection, question).await;
        if asked.is_err() {
            lock(&self.context.hosts.connections).remove(&host);
        }
        let (send, recv) = asked.map_err(|error| NoAnswer(error.to_string()))?;
        Ok(Asked {
            recv,
            _send: send,
            _connection: connection,
        })
    }

    /// Does not use the connection to a host any more.
    pub(crate) fn forget_host(&self, host: NodeId) {
        lock(&self.context.hosts.connections).remove(&host);
    }
}

impl Asked {
    /// The next thing that the host tells; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Told>, NoAnswer> {
        loop {
            let read = near::read_frame_or_end(&mut self.recv, Told::LEN_MAX);
            let frame = time::timeout(SILENCE_MAX, read)
                .await
                .map_err(|_| NoAnswer("it says nothing any more".to_owned()))?
                .map_err(|error| NoAnswer(error.to_string()))?;
            let Some(frame) = frame else { return Ok(None) };
            match wire::decode(&frame).map_err(|error| NoAnswer(error.to_string()))? {
                Told::Alive => {}
                told => return Ok(Some(told)),
            }
        }
    }
}

impl Context {
    async fn host_connection(self: &Arc<Self>, host: NodeId) -> Result<Connection, NoAnswer> {
        let open = lock(&self.hosts.connections).get(&host).cloned();
        if let Some(open) = open.filter(|open| open.close_reason().is_none()) {
            return Ok(open);
        }
        let address = time::timeout(ADDRESS_TIMEOUT, self.peers.known_address(host))
            .await
            .map_err(|_| NoAnswer("nobody knows where it is".to_owned()))?;
        let dialled = time::timeout(DIAL_TIMEOUT, self.endpoint.connect(address, ALPN)).await;
        let connection = dialled
            .map_err(|_| NoAnswer("the handshake takes too long".to_owned()))?
            .map_err(|error| NoAnswer(format!("{error:#}")))?;
        let mut connections = lock(&self.hosts.connections);
        connections.retain(|_, open| open.close_reason().is_none());
        connections.insert(host, connection.clone());
        Ok(connection)
    }

    async fn ask_host(
        &self,
        connection: &Connection,
        question: &Question,
    ) -> Result<(SendStream, RecvStream), Box<dyn std::error::Error + Send + Sync>> {
        let (mut send, recv) = connection.open_bi().await?;
        let frame = near::frame(&wire::encode(question));
        if matches!(question, Question::Ask { .. }) {
            self.hosts.questions_sent.fetch_add(1, Ordering::Relaxed);
            let len = u64::try_from(frame.len()).unwrap_or(u64::MAX);
            self.hosts.bytes_sent.fetch_add(len, Ordering::Relaxed);
        }
        send.write_all(&frame).await?;
        send.finish()?;
        Ok((send, recv))
    }
}

/// Answers the questions of one connection.
pub(super) async fn serve(context: Arc<Context>, peer: NodeId, connection: Connection) {
    let host = context.hosts.host.get().and_then(Weak::upgrade);
    let Some(host) = host.filter(|_| !context.peers.is_banned(peer)) else {
        return connection.close(CLOSE_IDLE, b"refused");
    };
    let Some(place) = context.hosts.place(peer).map(Arc::new) else {
        if let Ok(_waits) = context.hosts.no_place.try_acquire() {
            // Unless the other end or this node closes it before.
            let closed = time::timeout(NO_PLACE_PAUSE, connection.closed());
            context.cancel.run_until_cancelled(closed).await;
        }
        return connection.close(CLOSE_BUSY, b"too many ask");
    };
    let turns = Arc::new(Semaphore::new(ANSWERS_MAX));
    let in_vain = Arc::new(AtomicU32::new(0));
    loop {
        let stream = tokio::select! {
            () = context.cancel.cancelled() => {
                return connection.close(CLOSE_IDLE, b"shutdown");
            }
            stream = time::timeout(ASKER_IDLE_MAX, connection.accept_bi()) => stream,
        };
        let stream = match stream {
            Ok(stream) => stream,
            Err(_) if turns.available_permits() < ANSWERS_MAX => continue,
            Err(_) => return connection.close(CLOSE_IDLE, b"idle"),
        };
        let Ok((send, recv)) = stream else { return };
        let Ok(turn) = Arc::clone(&turns).acquire_owned().await else {
            return;
        };
        let (host, own) = (Arc::clone(&host), Arc::clone(&context));
        let (asking, place) = (connection.clone(), Arc::clone(&place));
        let in_vain = Arc::clone(&in_vain);
        context.tasks.spawn(async move {
            let cancel = own.cancel.clone();
            let answered = answer(&own, host, peer, send, recv);
            let pause = match cancel.run_until_cancelled(answered).await {
                Some(Came::Nonsense) => {
                    asking.close(CLOSE_IDLE, b"no question");
                    NONSENSE_PAUSE
                }
                Some(Came::Nothing) => nothing_pause(in_vain.fetch_add(1, Ordering::Relaxed)),
                Some(Came::Word) => WORD_PAUSE,
                Some(Came::Work) => {
                    in_vain.store(0, Ordering::Relaxed);
                    Duration::ZERO
                }
                None => Duration::ZERO,
            };
            // Who would go on with that as fast as can be has only so many places to do it in.
            cancel.run_until_cancelled(time::sleep(pause)).await;
            drop((turn, place));
        });
    }
}

/// How long a question holds its place of which nothing came, as of so many before it.
fn nothing_pause(before: u32) -> Duration {
    NOTHING_PAUSE * (1 << before.min(NOTHING_DOUBLINGS))
}

/// What came of a question.
#[derive(Debug, Clone, Copy)]
enum Came {
    /// What came was no question.
    Nonsense,
    /// It was refused, or given up before anything was said.
    Nothing,
    /// It was answered in a word.
    Word,
    /// A model works for it.
    Work,
}

async fn answer(
    context: &Context,
    host: Arc<dyn Host>,
    peer: NodeId,
    mut send: SendStream,
    mut recv: RecvStream,
) -> Came {
    let read = near::read_frame(&mut recv, QUESTION_LEN_MAX);
    let Ok(Ok(bytes)) = time::timeout(PATIENCE, read).await else {
        return Came::Nothing;
    };
    let question: Question = match wire::decode(&bytes) {
        Ok(question) => question,
        Err(error) => {
            debug!(peer = %peer.fmt_short(), "no question: {error}");
            return Came::Nonsense;
        }
    };
    drop(bytes);
    if matches!(question, Question::Ask { .. }) {
        context.hosts.answered.fetch_add(1, Ordering::Relaxed);
        debug!(peer = %peer.fmt_short(), "a question is answered");
    }
    let (sender, mut told) = mpsc::channel(TOLD_MAX);
    let mut computing = host.answer(peer, question, sender);
    let (mut came, mut computed) = (Came::Nothing, false);
    let mut alive = time::interval_at(time::Instant::now() + ALIVE_EVERY, ALIVE_EVERY);
    loop {
        let next = tokio::select! {
            biased;
            // Who asked is gone: what computes is dropped with this future.
            _ = send.stopped() => return came,
            next = told.recv() => next,
            () = &mut computing, if !computed => {
                computed = true;
                continue;
            }
            _ = alive.tick() => Some(Told::Alive),
        };
        let Some(next) = next else { break };
        came = match &next {
            Told::Alive | Told::Event(Event::Failed(_)) => came,
            Told::Event(_) | Told::Computed(_) | Told::Receipt(_) => Came::Work,
            Told::Load(_) | Told::Described(_) => Came::Word,
        };
        let frame = near::frame(&wire::encode(&next));
        if let Err(error) = send.write_all(&frame).await {
            trace!(peer = %peer.fmt_short(), "an answer ended early: {error}");
            return came;
        }
        alive.reset();
    }
    // Whoever asked may be gone.
    let _ = send.finish();
    came
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_in_vain_waits_longer_and_never_so_long_that_this_node_seems_dead() {
        let pauses = [0, 1, 2, 3, u32::MAX].map(nothing_pause);
        assert_eq!(
            pauses.map(|pause| pause.as_millis()),
            [500, 1_000, 2_000, 2_000, 2_000]
        );
        assert!(pauses.iter().all(|pause| *pause < SILENCE_MAX));
    }

    #[test]
    fn one_node_has_few_places_and_all_have_a_bounded_number() {
        let hosts = Arc::new(Hosts::default());
        let id = |n: usize| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&n.to_be_bytes());
            NodeId::new(bytes)
        };
        let own: Vec<_> = (0..ASKER_CONNECTIONS_MAX)
            .map(|_| hosts.place(id(0)))
            .collect();
        assert!(own.iter().all(Option::is_some));
        assert!(hosts.place(id(0)).is_none());
        drop(own);
        let all: Vec<_> = (0..ASKERS_MAX).map(|n| hosts.place(id(n))).collect();
        assert!(all.iter().all(Option::is_some));
        assert!(hosts.place(id(ASKERS_MAX)).is_none());
        drop(all);
        assert!(lock(&hosts.askers).is_empty());
    }
}
