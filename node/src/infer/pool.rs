//! The models that run on this machine, each in a process of its own, and the jobs that wait for them.
//!
//! A model is loaded when it is first asked for and goes when it has not been asked for a while, or when another one
//! needs its memory: the one that was used longest ago first, and never in the middle of a job. Whose job is next is
//! decided by [`weft_protocol::infer::admission`]. An engine that dies, hangs or sends nonsense ends its own jobs and
//! nobody else's.
//!
//! # Invariants
//! A job that an engine was told of holds its slot until the engine says that it is over, also when nobody waits for it
//! any more: what an engine computes side by side is never more than its slots.

mod engines;
mod jobs;
mod state;
mod view;

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures::{Stream, StreamExt, stream};
use tokio::{
    runtime::Handle,
    sync::{Notify, oneshot},
    time,
};
use tokio_util::sync::CancellationToken;
use weft_protocol::{
    infer::{
        Event, ModelId, Refusal,
        admission::{Params, Ticket},
    },
    time::Instant as Moment,
};

use self::state::State;
pub(crate) use self::view::{Loaded, Overview, Stage};
use super::{
    Answerer, Caller, Describing, Events, Keep, Model, Question, mailbox::Mailbox,
    process::Program, shelf::Shelf,
};

/// Who asks for a description while the model loads, at most.
const DESCRIBERS_MAX: usize = 256;
/// How long nothing at all happens before the clock is looked at again.
const IDLE: Duration = Duration::from_secs(3_600);

/// How models run here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Memory of all engines together in bytes.
    pub(crate) memory_bytes_max: u64,
    /// How long a model stays without being asked, if who asked did not say.
    pub(crate) keep: Keep,
    /// Jobs of one model side by side.
    pub(crate) slots: usize,
    /// Tokens of prompt and answer together; what the model allows if absent.
    pub(crate) context_max: Option<u32>,
    /// Threads that compute for one model; the engine's choice if absent.
    pub(crate) threads: Option<usize>,
    /// Bounds of the queue.
    pub(crate) admission: Params,
}

/// Runs models on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    shelf: Shelf,
    program: Program,
    state: Mutex<State>,
    /// Something is due at another time than before.
    changed: Notify,
    runtime: Handle,
    epoch: Instant,
}

impl Pool {
    /// A pool without models. It runs on the current runtime until cancelled; the task ends when it has.
    pub(super) fn start(
        settings: Settings,
        shelf: Shelf,
        program: Program,
        cancel: CancellationToken,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let inner = Arc::new(Inner {
            state: Mutex::new(State::new(settings.admission)),
            settings,
            shelf,
            program,
            changed: Notify::new(),
            runtime: Handle::current(),
            epoch: Instant::now(),
        });
        let task = tokio::spawn(Arc::clone(&inner).keep_time(cancel));
        (Self { inner }, task)
    }

    /// How long a model stays from now on; zero lets it go as soon as nobody waits for it. Whether it is loaded.
    pub(crate) fn keep(&self, id: &ModelId, keep: Option<Keep>) -> bool {
        let mut state = self.inner.lock();
        let keep = keep.unwrap_or(self.inner.settings.keep);
        let known = state.keep(id, keep, self.inner.now());
        self.inner.step(&mut state);
        known
    }

    /// What is loaded, and what was done so far.
    pub(crate) fn overview(&self) -> Overview {
        self.inner.lock().overview(self.inner.now())
    }
}

impl Answerer for Pool {
    fn ask(&self, question: Question) -> Events {
        let mailbox = Arc::new(Mailbox::default());
        let taken = self.inner.take_in(question, Arc::clone(&mailbox));
        match taken {
            Ok(ticket) => Box::pin(Answer {
                inner: Arc::clone(&self.inner),
                mailbox,
                ticket,
            }),
            Err(refusal) => stream::iter([Event::Failed(refusal)]).boxed(),
        }
    }

    fn describe(&self, model: Model, _caller: Caller) -> Describing {
        let (sender, receiver) = oneshot::channel();
        self.inner.describe(&model, sender);
        Box::pin(async move {
            let gone = || Refusal::Failed("the node is shutting down".to_owned());
            receiver.await.unwrap_or_else(|_| Err(gone()))
        })
    }
}

/// One answer on its way. Dropping it tells the engine that nobody waits any more.
#[derive(Debug)]
struct Answer {
    inner: Arc<Inner>,
    mailbox: Arc<Mailbox>,
    ticket: Ticket,
}

impl Stream for Answer {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.mailbox.poll(context)
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let mut state = self.inner.lock();
        if state.abandon(self.ticket, self.inner.now()) {
            self.inner.step(&mut state);
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Moment {
        let millis = self.epoch.elapsed().as_millis();
        Moment(u64::try_from(millis).unwrap_or(u64::MAX))
    }

    /// Does what is due by the clock, and ends everything with the node.
    async fn keep_time(self: Arc<Self>, cancel: CancellationToken) {
        loop {
            let due = self.lock().due();
            let pause = due.map_or(IDLE, |due| due.since(self.now()));
            tokio::select! {
                () = cancel.cancelled() => break,
                () = self.changed.notified() => {}
                () = time::sleep(pause) => {
                    let mut state = self.lock();
                    state.expire(self.now());
                    self.step(&mut state);
                }
            }
        }
        let mut state = self.lock();
        state.close();
        drop(state);
        self.shelf.clear();
    }
}
