//! Many jobs on one model: one thread owns it and advances all of them, step by step.
//!
//! A step takes one token of each answer that is under way and a piece of the prompts that are not yet read, so that
//! running answers go on while new ones begin. What sequences remember is kept for a while after they end: the next
//! prompt often begins the same.

mod answer;
mod embedding;
mod memory;
mod scoring;
mod slot;

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TryRecvError},
    },
    time::Instant,
};

use embedding::Embedding;
use memory::Memory;
use slot::Slot;
use weft_protocol::infer::{Event, Finish, FromEngine, Generate, Refusal, Sampling, Usage};

use crate::{
    decoder::{Chunk, Decoder},
    model::{Model, Network, Texts},
    refusal::{OrRefuse, unsupported},
};

/// Jobs that wait for a turn. The node has a queue of its own; more than this means that it has none.
const WAITING_MAX: usize = 1_024;
/// Tokens of prompts read in one step while nobody waits for an answer's next token.
const PROMPT_TOKENS_ALONE: usize = 512;
/// And while somebody does: about as long as a step of a few answers.
const PROMPT_TOKENS_BESIDE: usize = 128;

/// What the thread is told.
#[derive(Debug)]
pub(crate) enum Command {
    Start {
        job: u64,
        work: Work,
        arrived: Instant,
    },
    Cancel {
        job: u64,
    },
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
        sampling: Option<Sampling>,
    },
    Embed {
        texts: Vec<Vec<u32>>,
    },
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
    waiting: VecDeque<(u64, Work, Instant)>,
    slots: Vec<Slot>,
    embeddings: VecDeque<Embedding>,
    memory: Memory,
    teller: Teller,
}

impl Batch {
    pub(crate) fn new(model: Model, parallel: usize, teller: Teller) -> Self {
        let parallel = parallel.max(1);
        Self {
            context: model.description.context_len as usize,
            network: model.network,
            texts: model.texts,
            parallel,
            waiting: VecDeque::new(),
            slots: Vec::new(),
            embeddings: VecDeque::new(),
            memory: Memory::new(parallel),
            teller,
        }
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

    /// Hears of a job or of the end of one.
    pub(crate) fn take(&mut self, command: Command) {
        match command {
            Command::Start { job, work, arrived } => match work {
                Work::Embed { texts } => self.embeddings.push_back(Embedding::new(job, texts)),
                work if self.waiting.len() >= WAITING_MAX => {
                    drop(work);
                    let refusal = Refusal::Busy {
                        retry_millis: 1_000,
                    };
                    self.teller.tell(job, Event::Failed(refusal));
                }
                work => self.waiting.push_back((job, work, arrived)),
            },
            Command::Cancel { job } => self.cancel(job),
        }
    }

    fn cancel(&mut self, job: u64) {
        if let Some(at) = self.slots.iter().position(|slot| slot.job() == job) {
            // What it remembers goes with it.
            let slot = self.slots.remove(at);
            self.teller.tell(job, slot.cancelled());
            return;
        }
        let waiting = self.waiting.len() + self.embeddings.len();
        self.waiting.retain(|(other, ..)| *other != job);
        self.embeddings.retain(|embedding| embedding.job() != job);
        if self.waiting.len() + self.embeddings.len() < waiting {
            let event = Event::Done {
                finish: Finish::Cancelled,
                usage: Usage::default(),
                fingerprints: Vec::new(),
            };
            self.teller.tell(job, event);
        }
    }

    /// One step of everything.
    pub(crate) fn advance(&mut self) {
        while self.slots.len() < self.parallel
            && let Some((job, work, arrived)) = self.waiting.pop_front()
        {
            self.admit(job, work, arrived);
        }
        if let Some(mut embedding) = self.embeddings.pop_front() {
            let outcome = guarded(|| embedding.advance(&self.network));
            match outcome {
                Ok(None) => self.embeddings.push_front(embedding),
                Ok(Some(event)) => self.teller.tell(embedding.job(), event),
                Err(refusal) => self.teller.tell(embedding.job(), Event::Failed(refusal)),
            }
        }
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

    fn admit(&mut self, job: u64, work: Work, arrived: Instant) {
        let Network::Decoder { decoder, .. } = &self.network else {
            let refusal = unsupported("this model makes vectors and continues no text");
            self.teller.tell(job, Event::Failed(refusal));
            return;
        };
        let admitted = guarded(|| {
            Slot::new(
                job,
                work,
                arrived,
                self.context,
                &self.texts,
                |tokens, most| {
                    self.memory
                        .find(decoder, &self.slots, tokens, most)
                        .or_failed("memory")
                },
            )
        });
        match admitted {
            Ok(slot) => {
                if let Some(event) = slot.started() {
                    self.teller.tell(job, event);
                }
                self.slots.push(slot);
                self.memory.fit(self.slots.len());
                self.sweep();
            }
            Err(refusal) => self.teller.tell(job, Event::Failed(refusal)),
        }
    }

    /// One pass of the model.
    fn step(&mut self) -> Result<(), Refusal> {
        let Network::Decoder { decoder, .. } = &self.network else {
            return Ok(());
        };
        let shares = self.shares();
        let mut rows = {
            let mut chunks = Vec::new();
            for (slot, share) in self.slots.iter_mut().zip(&shares) {
                if *share > 0 {
                    chunks.push(slot.chunk(*share));
                }
            }
            pass(decoder, &mut chunks)?.into_iter()
        };
        for (slot, share) in self.slots.iter_mut().zip(shares) {
            if share > 0 {
                slot.computed(share, &mut rows, &self.texts, &self.teller);
            }
        }
        self.sweep();
        Ok(())
    }

    /// How many tokens of each slot the next step takes.
    fn shares(&self) -> Vec<usize> {
        let answering = self.slots.iter().any(|slot| slot.pending() == 1);
        let mut left = if answering {
            PROMPT_TOKENS_BESIDE
        } else {
            PROMPT_TOKENS_ALONE
        };
        let share = |slot: &Slot| match slot.pending() {
            1 => 1,
            pending => {
                let share = pending.min(left).min(slot.share_max());
                left -= share;
                share
            }
        };
        self.slots.iter().map(share).collect()
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

fn pass(decoder: &Decoder, chunks: &mut [Chunk<'_>]) -> Result<Vec<Vec<f32>>, Refusal> {
    decoder.forward(chunks).or_failed("the model")
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
