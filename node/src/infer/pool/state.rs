//! What the pool knows: engines, jobs, the queue between them, and how they change.

use std::{collections::BTreeMap, time::Duration};

use tokio::sync::oneshot;
use weft_protocol::{
    infer::{
        Description, Event, ModelId, Refusal, ToEngine,
        admission::{Admission, Params, Ticket, cost},
    },
    time::Instant as Moment,
};

use super::jobs::Work;
use crate::infer::{Caller, Keep, process::Process, shelf::Laid};

/// How long an engine may take to end a job that nobody waits for: a step of a large model on a slow machine.
const CANCEL_GRACE: Duration = Duration::from_secs(20);
/// How long a model may take to load: a hundred gigabytes from a slow disk.
const LOAD_TIME_MAX: Duration = Duration::from_secs(900);

/// Who waits for the description of a model.
pub(super) type Describer = oneshot::Sender<Result<Description, Refusal>>;

/// What was done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counters {
    /// Jobs taken in.
    pub(super) taken: u64,
    /// Jobs refused because too much waited.
    pub(super) refused: u64,
    /// Jobs that ended by themselves.
    pub(super) ended: u64,
    /// Jobs that nobody waited for any more.
    pub(super) cancelled: u64,
    /// Jobs that an engine left unanswered.
    pub(super) failed: u64,
    /// Models loaded.
    pub(super) loads: u64,
    /// Engines that ended without being told to.
    pub(super) died: u64,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) admission: Admission<Caller, ModelId>,
    pub(super) jobs: BTreeMap<Ticket, Work>,
    pub(super) engines: BTreeMap<ModelId, Engine>,
    pub(super) counters: Counters,
    pub(super) next_serial: u64,
    /// The node ends.
    pub(super) is_closed: bool,
}

/// A model that is loaded, or will be.
#[derive(Debug)]
pub(super) struct Engine {
    /// Tells this one from an earlier one of the same model.
    pub(super) serial: u64,
    pub(super) name: String,
    pub(super) stage: Stage,
    /// Memory, as far as known.
    pub(super) bytes: u64,
    /// When it last had something to do.
    pub(super) used: Moment,
    pub(super) keep: Keep,
    /// Begins no further job: it goes when those it has are over.
    pub(super) is_leaving: bool,
    /// Jobs begun.
    pub(super) begun: u64,
    pub(super) describers: Vec<Describer>,
}

/// How far a model is.
#[derive(Debug)]
pub(super) enum Stage {
    /// Its files are looked for.
    Placing,
    /// It waits for memory.
    Waiting(Laid),
    /// The process loads it.
    Loading { process: Process, since: Moment },
    /// It answers.
    Ready {
        process: Process,
        description: Box<Description>,
    },
    /// The process was told to end.
    Ending { _process: Process },
    /// Between two stages.
    Gone,
}

impl Engine {
    /// Whether it takes memory.
    pub(super) fn is_resident(&self) -> bool {
        match self.stage {
            Stage::Loading { .. } | Stage::Ready { .. } | Stage::Ending { .. } => true,
            Stage::Placing | Stage::Waiting(_) | Stage::Gone => false,
        }
    }

    /// Ends its process; its memory counts until that has happened.
    pub(super) fn end(&mut self) {
        let stage = std::mem::replace(&mut self.stage, Stage::Gone);
        self.stage = match stage {
            Stage::Loading { process, .. } | Stage::Ready { process, .. } => {
                process.kill();
                Stage::Ending { _process: process }
            }
            other @ (Stage::Placing | Stage::Waiting(_) | Stage::Ending { .. } | Stage::Gone) => {
                other
            }
        };
    }

    /// When it goes if nobody asks it.
    pub(super) fn expires(&self) -> Option<Moment> {
        match self.keep {
            Keep::For(time) => Some(self.used + time),
            Keep::Forever => None,
        }
    }
}

impl State {
    pub(super) fn new(params: Params) -> Self {
        Self {
            admission: Admission::new(params),
            jobs: BTreeMap::new(),
            engines: BTreeMap::new(),
            counters: Counters::default(),
            next_serial: 0,
            is_closed: false,
        }
    }

    pub(super) fn keep(&mut self, id: &ModelId, keep: Keep, now: Moment) -> bool {
        let engine = self.engines.get_mut(id);
        engine.is_some_and(|engine| {
            engine.keep = keep;
            engine.used = now;
            !matches!(engine.stage, Stage::Ending { .. })
        })
    }

    /// Whether a model has nothing to do.
    pub(super) fn is_idle(&self, id: &ModelId) -> bool {
        self.admission.begun(id) == 0
    }

    /// Ends a job that nobody waits for any more. Whether there was one.
    pub(super) fn abandon(&mut self, ticket: Ticket, now: Moment) -> bool {
        let Some(work) = self.jobs.get_mut(&ticket) else {
            return false;
        };
        if work.cancelled.is_some() {
            return false;
        }
        self.counters.cancelled += 1;
        if !work.has_begun {
            self.jobs.remove(&ticket);
            self.admission.end(now, ticket, 0);
            return true;
        }
        work.cancelled = Some(now);
        let lane = work.lane.clone();
        self.tell(&lane, ToEngine::Cancel { job: ticket });
        true
    }

    /// Tells an engine something; one that does not listen is ended.
    pub(super) fn tell(&mut self, id: &ModelId, order: ToEngine) {
        let Some(engine) = self.engines.get_mut(id) else {
            return;
        };
        if let Stage::Ready { process, .. } = &engine.stage
            && !process.tell(order)
        {
            process.kill();
        }
    }

    /// A job is over: its slot is free and its caller has paid.
    pub(super) fn finish(&mut self, ticket: Ticket, now: Moment) -> Option<Work> {
        let work = self.jobs.remove(&ticket)?;
        let spent = cost(work.prompt_tokens, work.answer_tokens);
        self.admission.end(now, ticket, spent);
        if let Some(engine) = self.engines.get_mut(&work.lane) {
            engine.used = now;
        }
        Some(work)
    }

    /// Refuses everybody who waits for a model.
    pub(super) fn refuse_all(&mut self, id: &ModelId, refusal: &Refusal, now: Moment) {
        for ticket in self.admission.waiting(id) {
            if let Some(work) = self.finish(ticket, now) {
                self.counters.failed += 1;
                work.mailbox.push(Event::Failed(refusal.clone()));
            }
        }
        if let Some(engine) = self.engines.get_mut(id) {
            for describer in engine.describers.drain(..) {
                let _ = describer.send(Err(refusal.clone()));
            }
        }
    }

    /// When something is due.
    pub(super) fn due(&self) -> Option<Moment> {
        let deadline = self.admission.deadline();
        let hung = self.jobs.values().filter_map(|work| {
            let engine = self.engines.get(&work.lane)?;
            let is_ready = matches!(engine.stage, Stage::Ready { .. });
            work.cancelled
                .filter(|_| is_ready)
                .map(|since| since + CANCEL_GRACE)
        });
        let engines = self
            .engines
            .iter()
            .filter_map(|(id, engine)| match engine.stage {
                Stage::Loading { since, .. } => Some(since + LOAD_TIME_MAX),
                Stage::Ready { .. } if self.is_idle(id) => engine.expires(),
                _ => None,
            });
        [deadline, hung.min(), engines.min()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Does what is due by the clock. Who goes is decided by the next step.
    pub(super) fn expire(&mut self, now: Moment) {
        for ticket in self.admission.expired(now) {
            if let Some(work) = self.jobs.get(&ticket)
                && work.cancelled.is_none()
            {
                let message = "there was no answer in the time that was given";
                work.mailbox
                    .push(Event::Failed(Refusal::Failed(message.to_owned())));
            }
            self.abandon(ticket, now);
            self.admission.forget_deadline(ticket);
        }
        let hung: Vec<ModelId> = self
            .jobs
            .values()
            .filter(|work| {
                work.cancelled
                    .is_some_and(|since| since + CANCEL_GRACE <= now)
            })
            .map(|work| work.lane.clone())
            .collect();
        for (id, engine) in &mut self.engines {
            let is_slow = match engine.stage {
                Stage::Loading { since, .. } => since + LOAD_TIME_MAX <= now,
                _ => false,
            };
            if is_slow || hung.contains(id) {
                tracing::warn!(
                    model = engine.name,
                    "an engine does not answer and is ended"
                );
                engine.end();
            }
        }
    }

    /// Ends everything.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
        let refusal = Refusal::Failed("the node is shutting down".to_owned());
        for work in std::mem::take(&mut self.jobs).into_values() {
            work.mailbox.push(Event::Failed(refusal.clone()));
        }
        // Dropped, and so killed.
        self.engines.clear();
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.close();
    }
}

/// A shared reason.
pub(super) fn no_memory(need: u64, max: u64) -> Refusal {
    let megabytes = |bytes: u64| bytes.div_ceil(1_000_000);
    Refusal::Unsupported(format!(
        "the model takes {} MB of memory, and models may take {} MB (`infer.memory`)",
        megabytes(need),
        megabytes(max)
    ))
}
