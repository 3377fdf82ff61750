//! What the pool shows of itself.

use std::time::Duration;

use weft_protocol::{
    infer::{Description, ModelId},
    time::Instant as Moment,
};

use super::state::{self, State};

/// How far a model is, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It waits for memory or for its files.
    Waiting,
    /// It loads.
    Loading,
    /// It answers.
    Ready,
    /// It goes.
    Ending,
}

/// A model in memory, or on its way there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Loaded {
    pub(crate) id: ModelId,
    pub(crate) name: String,
    pub(crate) stage: Stage,
    /// Memory in bytes, as far as known.
    pub(crate) bytes: u64,
    /// Process id of its engine.
    pub(crate) pid: Option<u32>,
    /// Jobs that an engine computes.
    pub(crate) running: usize,
    /// Jobs that wait for their turn.
    pub(crate) waiting: usize,
    /// How long it stays if nobody asks it; `None` for as long as there is room.
    pub(crate) stays: Option<Duration>,
    /// What it is, once loaded.
    pub(crate) description: Option<Description>,
}

/// Everything at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Overview {
    pub(crate) loaded: Vec<Loaded>,
    /// Jobs taken in, refused, ended, cancelled and failed, in this run.
    pub(crate) taken: u64,
    pub(crate) refused: u64,
    pub(crate) ended: u64,
    pub(crate) cancelled: u64,
    pub(crate) failed: u64,
    /// Models loaded, and engines that ended by themselves.
    pub(crate) loads: u64,
    pub(crate) died: u64,
}

impl State {
    pub(super) fn overview(&self, now: Moment) -> Overview {
        let loaded = self.engines.iter().map(|(id, engine)| {
            let (stage, pid, description) = match &engine.stage {
                state::Stage::Placing | state::Stage::Waiting(_) | state::Stage::Gone => {
                    (Stage::Waiting, None, None)
                }
                state::Stage::Loading { process, .. } => {
                    (Stage::Loading, Some(process.pid()), None)
                }
                state::Stage::Ready {
                    process,
                    description,
                } => (
                    Stage::Ready,
                    Some(process.pid()),
                    Some((**description).clone()),
                ),
                state::Stage::Ending { .. } => (Stage::Ending, None, None),
            };
            Loaded {
                id: id.clone(),
                name: engine.name.clone(),
                stage,
                bytes: engine.bytes,
                pid,
                running: self.admission.running(id),
                waiting: self.admission.waiting(id).len(),
                stays: engine.expires().map(|expires| expires.since(now)),
                description,
            }
        });
        let counters = self.counters;
        Overview {
            loaded: loaded.collect(),
            taken: counters.taken,
            refused: counters.refused,
            ended: counters.ended,
            cancelled: counters.cancelled,
            failed: counters.failed,
            loads: counters.loads,
            died: counters.died,
        }
    }

    /// What a model was called by who asked for it.
    pub(super) fn name_of(&self, id: &ModelId) -> String {
        let named = self.jobs.values().find(|work| work.lane == *id);
        named.map_or_else(|| id.revision.to_string(), |work| work.name.clone())
    }
}
