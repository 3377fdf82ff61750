//! Many jobs on one model: one thread owns it and advances all of them, step by step.
//!
//! A step takes one token of each answer that is under way and a piece of the prompts that are not yet read, so that
//! running answers go on while new ones begin. What sequences remember is kept for a while after they end: the next
//! prompt often begins the same. A job that is paused leaves what it remembers there too, and computes again what was
//! forgotten meanwhile.

mod answer;
mod embedding;
mod jobs;
mod memory;
mod scoring;
mod slot;
mod step;
mod watch;

use std::{
    collections::{BTreeMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TryRecvError},
    },
    time::Instant,
};

use embedding::Embedding;
use jobs::Paused;
use memory::Memory;
use slot::Slot;
pub(crate) use watch::{News, Watch};
use weft_protocol::infer::{Event, FromEngine, Generate, Rank, Refusal, audit::Tolerance};

use crate::model::{Model, Network, Texts};

/// What the thread is told.
#[derive(Debug)]
pub(crate) enum Command {
    Start(Waiting),
    Cancel { job: u64 },
    Pause { job: u64 },
    Resume { job: u64, rank: Rank },
}

impl Command {
    /// What of it may interrupt a pass.
    pub(crate) const fn news(&self) -> News {
        match self {
            Self::Start(Waiting { rank, .. }) | Self::Resume { rank, .. } => News::Arrived(*rank),
            Self::Cancel { job } => News::Cancelled(*job),
            Self::Pause { .. } => News::Other,
        }
    }
}

/// A job that was not begun.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) job: u64,
    pub(crate) rank: Rank,
    pub(crate) work: Work,
    pub(crate) arrived: Instant,
}

/// A job whose texts are tokens.
#[derive(Debug)]
pub(crate) enum Work {
    Generate {
        ask: Box<Generate>,
        prompt: Vec<u32>,
    },
    Score {
        prompt: Vec<u32>,
        answer: Vec<u32>,
        every: u32,
        /// The question that it is said to answer.
        said: Option<Box<Generate>>,
    },
    Embed {
        texts: Vec<Vec<u32>>,
    },
}

impl Work {
    /// Tokens that are read.
    pub(crate) fn tokens(&self) -> usize {
        match self {
            Self::Generate { ask, prompt } => prompt.len() + ask.resume.len(),
            Self::Score { prompt, answer, .. } => prompt.len() + answer.len(),
            Self::Embed { texts } => texts.iter().map(Vec::len).sum(),
        }
    }
}

/// Where events go.
#[derive(Debug, Clone)]
pub(crate) struct Teller(pub(crate) SyncSender<FromEngine>);

impl Teller {
    /// Tells an event. A reader that is gone needs none, and the process ends by itself then.
    pub(crate) fn tell(&self, job: u64, event: Event) {
        let _ = self.0.send(FromEngine::Event { job, event });
    }
}

/// All jobs of a model.
#[derive(Debug)]
pub(crate) struct Batch {
    network: Network,
    texts: Arc<Texts>,
    context: usize,
    parallel: usize,
    /// Whether a number comes out the same whatever else its pass computes.
    exact: bool,
    waiting: VecDeque<Waiting>,
    slots: Vec<Slot>,
    embeddings: VecDeque<Embedding>,
    paused: BTreeMap<u64, Paused>,
    memory: Memory,
    teller: Teller,
    watch: Arc<Watch>,
}

impl Batch {
    pub(crate) fn new(model: Model, parallel: usize, teller: Teller) -> Self {
        let parallel = parallel.max(1);
        Self {
            exact: Tolerance::is_exact(&model.description.kernel_class),
            context: model.description.context_len as usize,
            network: model.network,
            texts: model.texts,
            parallel,
            waiting: VecDeque::new(),
            slots: Vec::new(),
            embeddings: VecDeque::new(),
            paused: BTreeMap::new(),
            memory: Memory::new(parallel),
            teller,
            watch: Arc::default(),
        }
    }

    /// Where news is told that may interrupt a pass.
    pub(crate) fn watch(&self) -> Arc<Watch> {
        Arc::clone(&self.watch)
    }

    /// Works until nobody can tell it anything any more.
    pub(crate) fn run(mut self, commands: &Receiver<Command>) {
        loop {
            let idle = self.slots.is_empty() && self.embeddings.is_empty();
            if idle && self.waiting.is_empty() {
                match commands.recv() {
                    Ok(command) => self.take(command),
                    Err(_) => return,
                }
            }
            loop {
                match commands.try_recv() {
                    Ok(command) => self.take(command),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            self.advance();
        }
    }

    /// One step of everything.
    pub(crate) fn advance(&mut self) {
        self.admit_all();
        self.embed();
        if self.slots.is_empty() {
            return;
        }
        if let Err(refusal) = guarded(|| self.step()) {
            // Nobody knows whose fault it was, and what they remember is half written.
            for slot in self.slots.drain(..) {
                let refusal = Event::Failed(refusal.clone());
                self.teller.tell(slot.job(), refusal);
            }
        }
    }

    /// Tells the end of slots that have ended, and keeps what they remember.
    fn sweep(&mut self) {
        let mut at = 0;
        while at < self.slots.len() {
            if !self.slots[at].is_over() {
                at += 1;
                continue;
            }
            let slot = self.slots.remove(at);
            let job = slot.job();
            let (event, cache) = slot.over();
            self.teller.tell(job, event);
            self.memory.keep(cache);
            self.memory.fit(self.slots.len());
        }
    }
}

/// Runs something that a stranger's bytes could make panic.
pub(crate) fn guarded<T>(run: impl FnOnce() -> Result<T, Refusal>) -> Result<T, Refusal> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no reason given");
        Err(Refusal::Failed(format!("the engine failed: {text}")))
    })
}
