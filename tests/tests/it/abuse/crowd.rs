//! Strangers who keep no rule: each has a key of its own and speaks the protocol by hand.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Result, anyhow};
use iroh::{
    Endpoint, EndpointAddr, RelayMode,
    endpoint::{Connection, RecvStream, SendStream, presets},
};
use tokio::{runtime, time};
use weft_protocol::{
    infer::{
        Event, Generate, Job, ModelId, Prompt, Refusal,
        peer::{Question, Told},
    },
    wire,
};

/// What they speak.
const ALPN: &[u8] = b"weft/infer/1";
/// How soon each asks again: they are no test of how much a processor can do.
const PACE: Duration = Duration::from_millis(20);

/// What they saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Answers that began.
    pub(super) begun: AtomicU64,
    /// Strangers who had an answer begin.
    pub(super) served: AtomicU64,
    /// Answers that came to their end.
    pub(super) finished: AtomicU64,
    /// Questions that were refused for want of time.
    pub(super) refused: AtomicU64,
    /// Why one was refused for something else, which none should be.
    pub(super) reason: OnceLock<Refusal>,
    over: AtomicBool,
}

impl Seen {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// All of them, in a thread of their own.
#[derive(Debug)]
pub(super) struct Crowd {
    pub(super) seen: Arc<Seen>,
    thread: thread::JoinHandle<Result<()>>,
}

impl Crowd {
    /// So many strangers ask one host from now on. Of three, one wants as much as it can get, one hangs up when it has
    /// heard a little, and one sends nonsense in between.
    pub(super) fn gather(count: u64, host: &EndpointAddr, model: &ModelId) -> Result<Self> {
        let seen = Arc::new(Seen::default());
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let tasks: Vec<_> = (0..count)
            .map(|n| runtime.spawn(ask_on(n, host.clone(), model.clone(), Arc::clone(&seen))))
            .collect();
        let thread = thread::Builder::new()
            .name("crowd".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    for task in tasks {
                        task.await??;
                    }
                    Ok(())
                })
            })?;
        Ok(Self { seen, thread })
    }

    /// They go.
    pub(super) fn disperse(self) -> Result<Arc<Seen>> {
        self.seen.over.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .map_err(|_| anyhow!("a stranger panicked"))??;
        Ok(self.seen)
    }
}

async fn ask_on(n: u64, host: EndpointAddr, model: ModelId, seen: Arc<Seen>) -> Result<()> {
    let endpoint = Endpoint::builder(presets::Minimal)
        .relay_mode(RelayMode::Disabled)
        .bind()
        .await?;
    let question = question(n, &model);
    let mut pace = time::interval(PACE);
    let (mut was_served, mut rounds) = (false, 0_u64);
    while !seen.is_over() {
        pace.tick().await;
        let Ok(connection) = endpoint.connect(host.clone(), ALPN).await else {
            continue;
        };
        // Until the host closes it.
        while !seen.is_over() {
            pace.tick().await;
            rounds += 1;
            // Two at once: one more than a stranger may have.
            let Some((first, second)) = open(&connection, &question, &seen).await else {
                break;
            };
            if n % 3 == 1 && rounds.is_multiple_of(4) {
                // Without a look at what comes.
                continue;
            }
            if n % 3 == 2 && rounds.is_multiple_of(8) {
                let nonsense = wire_frame(b"no question at all");
                if send(&connection, &nonsense).await.is_none() {
                    break;
                }
            }
            for (_send, recv) in [first, second] {
                was_served |= hear(recv, n % 3 == 1, was_served, &seen).await;
            }
        }
    }
    endpoint.close().await;
    Ok(())
}

type Stream = (SendStream, RecvStream);

async fn open(connection: &Connection, frame: &[u8], seen: &Seen) -> Option<(Stream, Stream)> {
    let both = async {
        Some((
            send(connection, frame).await?,
            send(connection, frame).await?,
        ))
    };
    // The host lets them wait; that must not hold up the end of the test.
    let over = async {
        let mut pace = time::interval(PACE);
        while !seen.is_over() {
            pace.tick().await;
        }
    };
    tokio::select! {
        both = both => both,
        () = over => None,
    }
}

async fn send(connection: &Connection, frame: &[u8]) -> Option<Stream> {
    let (mut send, recv) = connection.open_bi().await.ok()?;
    send.write_all(frame).await.ok()?;
    send.finish().ok()?;
    Some((send, recv))
}

/// Listens to an answer, to its end or for a little. Whether it began.
async fn hear(mut recv: RecvStream, hangs_up: bool, was_served: bool, seen: &Seen) -> bool {
    let (mut heard, mut began) = (0, false);
    while let Ok(told) = told(&mut recv).await {
        let is_waiting = matches!(told, Told::Alive);
        let counter = match told {
            Told::Event(Event::Started { .. }) => {
                began = true;
                if !was_served {
                    seen.served.fetch_add(1, Ordering::Relaxed);
                }
                Some(&seen.begun)
            }
            Told::Event(Event::Failed(Refusal::Busy { .. })) => Some(&seen.refused),
            Told::Event(Event::Failed(reason)) => {
                let _ = seen.reason.set(reason);
                None
            }
            Told::Event(Event::Done { .. }) => Some(&seen.finished),
            _ => None,
        };
        if let Some(counter) = counter {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        heard += usize::from(!is_waiting);
        if hangs_up && heard > 5 || seen.is_over() {
            break;
        }
    }
    began
}

async fn told(recv: &mut RecvStream) -> Result<Told> {
    let mut len = [0; 4];
    recv.read_exact(&mut len).await?;
    let mut bytes = vec![0; usize::try_from(u32::from_be_bytes(len))?];
    recv.read_exact(&mut bytes).await?;
    Ok(wire::decode(&bytes)?)
}

/// As much as a stranger may ask for.
fn question(n: u64, model: &ModelId) -> Vec<u8> {
    let text = format!("{n} ") + &"and then the bird said hello ".repeat(40);
    wire_frame(&wire::encode(&Question::Ask {
        model: model.clone(),
        job: Box::new(Job::Generate(Generate {
            // Whoever names no limit wants no less.
            tokens_max: n.is_multiple_of(2).then_some(4_096),
            ignore_end: true,
            ..Generate::greedy(Prompt::Text { text, raw: false })
        })),
    }))
}

fn wire_frame(bytes: &[u8]) -> Vec<u8> {
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    [&len.to_be_bytes(), bytes].concat()
}
