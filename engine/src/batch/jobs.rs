//! Jobs: begun, paused, gone on with, cancelled.

use weft_protocol::infer::{Event, Finish, Rank, Refusal, Usage};

use super::{Batch, Command, Waiting, Work, embedding::Embedding, guarded, slot::Slot};
use crate::{
    model::Network,
    refusal::{OrRefuse, unsupported},
};

/// Jobs that wait for a turn. The node has a queue of its own; more than this means that it has none.
const WAITING_MAX: usize = 1_024;

/// A job that stands still.
#[derive(Debug)]
pub(super) enum Paused {
    Waiting(Waiting),
    Embedding(Embedding),
    /// Without what it remembers.
    Slot(Box<Slot>),
}

impl Batch {
    /// Hears of a job or of what is to become of one.
    pub(crate) fn take(&mut self, command: Command) {
        match command {
            Command::Start(waiting) => self.start(waiting),
            Command::Cancel { job } => self.cancel(job),
            Command::Pause { job } => self.pause(job),
            Command::Resume { job, rank } => self.resume(job, rank),
        }
    }

    fn start(&mut self, waiting: Waiting) {
        let Waiting { job, rank, .. } = waiting;
        match waiting.work {
            Work::Embed { texts } => self.line_up(Embedding::new(job, rank, texts)),
            _ if self.waiting.len() >= WAITING_MAX => {
                let refusal = Refusal::Busy {
                    retry_millis: 1_000,
                };
                self.teller.tell(job, Event::Failed(refusal));
            }
            _ => {
                let before = |other: &Waiting| other.rank <= rank;
                let at = self.waiting.partition_point(before);
                self.waiting.insert(at, waiting);
            }
        }
    }

    fn line_up(&mut self, embedding: Embedding) {
        let before = |other: &Embedding| other.rank() <= embedding.rank();
        let at = self.embeddings.partition_point(before);
        self.embeddings.insert(at, embedding);
    }

    fn cancel(&mut self, job: u64) {
        if let Some(at) = self.slots.iter().position(|slot| slot.job() == job) {
            // What it remembers goes with it.
            let slot = self.slots.remove(at);
            self.teller.tell(job, slot.cancelled());
            return;
        }
        let waiting = self.waiting.len() + self.embeddings.len();
        self.waiting.retain(|waiting| waiting.job != job);
        self.embeddings.retain(|embedding| embedding.job() != job);
        let ended = match self.paused.remove(&job) {
            Some(Paused::Slot(slot)) => slot.cancelled(),
            None if self.waiting.len() + self.embeddings.len() == waiting => return,
            Some(Paused::Waiting(_) | Paused::Embedding(_)) | None => Event::Done {
                finish: Finish::Cancelled,
                usage: Usage::default(),
                fingerprints: Vec::new(),
            },
        };
        self.teller.tell(job, ended);
    }

    fn pause(&mut self, job: u64) {
        let paused = if let Some(at) = self.slots.iter().position(|slot| slot.job() == job) {
            let mut slot = self.slots.remove(at);
            self.memory.keep(slot.park());
            self.memory.fit(self.slots.len());
            Paused::Slot(Box::new(slot))
        } else if let Some(at) = self.waiting.iter().position(|other| other.job == job)
            && let Some(waiting) = self.waiting.remove(at)
        {
            Paused::Waiting(waiting)
        } else if let Some(at) = self.embeddings.iter().position(|other| other.job() == job)
            && let Some(embedding) = self.embeddings.remove(at)
        {
            Paused::Embedding(embedding)
        } else {
            // It ended before this was heard.
            return;
        };
        self.paused.insert(job, paused);
    }

    fn resume(&mut self, job: u64, rank: Rank) {
        match self.paused.remove(&job) {
            Some(Paused::Waiting(waiting)) => self.start(Waiting { rank, ..waiting }),
            Some(Paused::Embedding(mut embedding)) => {
                embedding.set_rank(rank);
                self.line_up(embedding);
            }
            Some(Paused::Slot(slot)) => self.go_on(*slot, rank),
            None => {}
        }
    }

    fn go_on(&mut self, mut slot: Slot, rank: Rank) {
        let Network::Decoder { decoder, .. } = &self.network else {
            return;
        };
        let (memory, slots) = (&mut self.memory, &self.slots);
        let find = |tokens: &[u32], most| {
            let found = memory.find(decoder, slots, tokens, most);
            found.or_failed("memory")
        };
        match guarded(|| slot.resume(rank, find)) {
            Ok(()) => self.slots.push(slot),
            Err(refusal) => self.teller.tell(slot.job(), Event::Failed(refusal)),
        }
        self.memory.fit(self.slots.len());
    }

    /// Begins as many jobs as there is room for.
    pub(super) fn admit_all(&mut self) {
        while self.slots.len() < self.parallel
            && let Some(waiting) = self.waiting.pop_front()
        {
            self.admit(waiting);
        }
    }

    fn admit(&mut self, waiting: Waiting) {
        let job = waiting.job;
        let Network::Decoder { decoder, .. } = &self.network else {
            let refusal = unsupported("this model makes vectors and continues no text");
            self.teller.tell(job, Event::Failed(refusal));
            return;
        };
        let admitted = guarded(|| {
            Slot::new(waiting, self.context, &self.texts, |tokens, most| {
                self.memory
                    .find(decoder, &self.slots, tokens, most)
                    .or_failed("memory")
            })
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

    /// The next vector, unless somebody before whom it does not come waits for a first token.
    pub(super) fn embed(&mut self) {
        let first = self.slots.iter().filter(|slot| slot.is_new());
        let first = first.map(Slot::rank).min();
        let Some(mut embedding) = self.embeddings.pop_front() else {
            return;
        };
        if first.is_some_and(|first| first < embedding.rank()) {
            self.embeddings.push_front(embedding);
            return;
        }
        match guarded(|| embedding.advance(&self.network)) {
            Ok(None) => self.embeddings.push_front(embedding),
            Ok(Some(event)) => self.teller.tell(embedding.job(), event),
            Err(refusal) => self.teller.tell(embedding.job(), Event::Failed(refusal)),
        }
    }
}
