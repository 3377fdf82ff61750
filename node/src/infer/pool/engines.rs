//! Engines: wanted, given room, started, heard, ended.

use std::sync::{Arc, Weak};

use weft_protocol::{
    infer::{Event, ModelId, Refusal},
    time::Instant as Moment,
};

use super::{
    DESCRIBERS_MAX, Inner,
    state::{Describer, Engine, Stage, State, no_memory},
};
use crate::infer::{
    Keep, Model,
    process::{Process, Signal, Task},
    shelf::Laid,
};

impl Inner {
    /// Somebody asks a model: it is to be there.
    pub(super) fn want(self: &Arc<Self>, state: &mut State, model: &Model, keep: Keep) {
        let now = self.now();
        if let Some(engine) = state.engines.get_mut(&model.id) {
            engine.keep = keep;
            engine.used = now;
            return;
        }
        let serial = state.next_serial;
        state.next_serial += 1;
        let engine = Engine {
            serial,
            name: model.name.clone(),
            stage: Stage::Placing,
            bytes: 0,
            used: now,
            keep,
            is_leaving: false,
            begun: 0,
            describers: Vec::new(),
        };
        state.engines.insert(model.id.clone(), engine);
        let (pool, id) = (Arc::downgrade(self), model.id.clone());
        let shelf = self.shelf.clone();
        self.runtime.spawn(async move {
            let laid = shelf.lay_out(&id).await;
            if let Some(pool) = pool.upgrade() {
                pool.placed(&id, serial, laid);
            }
        });
    }

    /// Somebody wants to know what a model is.
    pub(super) fn describe(self: &Arc<Self>, model: &Model, describer: Describer) {
        let mut state = self.lock();
        if state.is_closed {
            return;
        }
        let keep = state.engines.get(&model.id).map(|engine| engine.keep);
        self.want(&mut state, model, keep.unwrap_or(self.settings.keep));
        let Some(engine) = state.engines.get_mut(&model.id) else {
            return;
        };
        match &engine.stage {
            Stage::Ready { description, .. } => {
                let _ = describer.send(Ok((**description).clone()));
            }
            _ if engine.describers.len() < DESCRIBERS_MAX => engine.describers.push(describer),
            _ => {
                let refusal = Refusal::Busy {
                    retry_millis: 1_000,
                };
                let _ = describer.send(Err(refusal));
            }
        }
        self.step(&mut state);
    }

    fn placed(self: &Arc<Self>, id: &ModelId, serial: u64, laid: Result<Laid, Refusal>) {
        let mut state = self.lock();
        let Some(engine) = state.engines.get_mut(id).filter(|e| e.serial == serial) else {
            return;
        };
        let max = self.settings.memory_bytes_max;
        let refusal = match laid {
            Ok(laid) if laid.bytes <= max => {
                engine.bytes = laid.bytes;
                engine.stage = Stage::Waiting(laid);
                self.step(&mut state);
                return;
            }
            Ok(laid) => no_memory(laid.bytes, max),
            Err(refusal) => refusal,
        };
        state.refuse_all(id, &refusal, self.now());
        state.engines.remove(id);
        self.step(&mut state);
    }

    /// Does everything that can be done now.
    pub(super) fn step(self: &Arc<Self>, state: &mut State) {
        if state.is_closed {
            return;
        }
        for id in state.admission.wanted() {
            // One that was ended while somebody still waited for it.
            if !state.engines.contains_key(&id) {
                let name = state.name_of(&id);
                let model = Model { id, name };
                self.want(state, &model, self.settings.keep);
            }
        }
        self.start_engines(state);
        self.take_turns(state);
        self.end_idle(state);
        self.changed.notify_one();
    }

    fn start_engines(self: &Arc<Self>, state: &mut State) {
        let waiting = |engine: &Engine| matches!(engine.stage, Stage::Waiting(_));
        let mut ids = state.admission.wanted();
        let others = state.engines.keys().filter(|id| !ids.contains(id));
        let others: Vec<ModelId> = others.cloned().collect();
        ids.extend(others);
        for id in ids {
            let Some(engine) = state.engines.get(&id).filter(|engine| waiting(engine)) else {
                continue;
            };
            let (need, serial) = (engine.bytes, engine.serial);
            // The first in line gets the room; nobody overtakes it.
            if !self.make_room(state, need) {
                return;
            }
            let Some(engine) = state.engines.get_mut(&id) else {
                continue;
            };
            let Stage::Waiting(laid) = std::mem::replace(&mut engine.stage, Stage::Gone) else {
                continue;
            };
            let task = Task {
                model: laid.path,
                slots: self.settings.slots,
                context_max: self.settings.context_max,
                threads: self.settings.threads,
            };
            let (pool, lane): (Weak<Self>, _) = (Arc::downgrade(self), id.clone());
            let sink = move |signal| {
                if let Some(pool) = pool.upgrade() {
                    pool.heard(&lane, serial, signal);
                }
            };
            match Process::start(&self.program, &task, sink) {
                Ok(process) => {
                    tracing::info!(
                        model = engine.name,
                        pid = process.pid(),
                        "a model is loading"
                    );
                    let since = self.now();
                    engine.stage = Stage::Loading { process, since };
                }
                Err(error) => {
                    let message = format!("an engine cannot be started: {error}");
                    state.refuse_all(&id, &Refusal::Failed(message), self.now());
                    state.engines.remove(&id);
                }
            }
        }
    }

    /// Whether so many bytes are free now; if not, models that were not used for long are told to go.
    fn make_room(&self, state: &mut State, need: u64) -> bool {
        let max = self.settings.memory_bytes_max;
        let resident = state.engines.values().filter(|engine| engine.is_resident());
        let used: u64 = resident.map(|engine| engine.bytes).sum();
        if used.saturating_add(need) <= max {
            return true;
        }
        let leaving = state
            .engines
            .values()
            .filter(|engine| engine.is_leaving || matches!(engine.stage, Stage::Ending { .. }));
        let mut left = used - leaving.map(|engine| engine.bytes).sum::<u64>().min(used);
        let mut victims: Vec<(bool, Moment, ModelId)> = state
            .engines
            .iter()
            .filter(|(id, engine)| {
                // One that has not begun anything yet was just given its room.
                let has_served = engine.begun > 0 || state.admission.waiting(id).is_empty();
                matches!(engine.stage, Stage::Ready { .. }) && !engine.is_leaving && has_served
            })
            .map(|(id, engine)| (!state.is_idle(id), engine.used, id.clone()))
            .collect();
        victims.sort();
        for (_, _, id) in victims {
            if left.saturating_add(need) <= max {
                break;
            }
            if let Some(engine) = state.engines.get_mut(&id) {
                left = left.saturating_sub(engine.bytes);
                engine.is_leaving = true;
                state.admission.open(id, 0);
            }
        }
        false
    }

    /// Ends engines that have nothing to do and are to go.
    fn end_idle(&self, state: &mut State) {
        let now = self.now();
        let is_due = |id: &ModelId, engine: &Engine| {
            let waits = !engine.is_leaving && !state.admission.waiting(id).is_empty();
            let is_old = engine.expires().is_some_and(|expires| expires <= now);
            matches!(engine.stage, Stage::Ready { .. })
                && state.is_idle(id)
                && !waits
                && (engine.is_leaving || is_old)
        };
        let due = state
            .engines
            .iter()
            .filter(|(id, engine)| is_due(id, engine));
        let due: Vec<ModelId> = due.map(|(id, _)| id.clone()).collect();
        for id in due {
            if let Some(engine) = state.engines.get_mut(&id) {
                tracing::info!(model = engine.name, "a model is unloaded");
                engine.is_leaving = true;
                engine.end();
                state.admission.close(&id);
            }
        }
    }

    fn heard(self: &Arc<Self>, id: &ModelId, serial: u64, signal: Signal) {
        let mut state = self.lock();
        let now = self.now();
        let Some(engine) = state.engines.get_mut(id).filter(|e| e.serial == serial) else {
            return;
        };
        match signal {
            Signal::Event { job, event } => self.told(&mut state, id, job, event),
            Signal::Ready(description) => {
                let stage = std::mem::replace(&mut engine.stage, Stage::Gone);
                let Stage::Loading { process, since } = stage else {
                    engine.stage = stage;
                    engine.end();
                    return;
                };
                let took = now.since(since);
                tracing::info!(model = engine.name, ?took, "a model is loaded");
                let told = description
                    .weights_bytes
                    .saturating_add(description.memory_bytes);
                engine.bytes = engine.bytes.max(told);
                engine.used = now;
                for describer in engine.describers.drain(..) {
                    let _ = describer.send(Ok((*description).clone()));
                }
                engine.stage = Stage::Ready {
                    process,
                    description,
                };
                state.counters.loads += 1;
                state.admission.open(id.clone(), self.settings.slots);
                self.step(&mut state);
            }
            Signal::Unloadable(refusal) => {
                engine.is_leaving = true;
                engine.end();
                state.refuse_all(id, &refusal, now);
            }
            Signal::Ended(reason) => self.ended(&mut state, id, reason),
        }
    }

    /// Who asked what a model is while it went waits for the next one; if it did not go as it should, he is told why.
    fn hand_over(
        self: &Arc<Self>,
        state: &mut State,
        id: &ModelId,
        gone: Engine,
        fault: Option<Refusal>,
    ) {
        if let Some(refusal) = fault {
            for describer in gone.describers {
                let _ = describer.send(Err(refusal.clone()));
            }
        } else if !gone.describers.is_empty() {
            let model = Model {
                id: id.clone(),
                name: gone.name,
            };
            self.want(state, &model, gone.keep);
            if let Some(engine) = state.engines.get_mut(id) {
                engine.describers = gone.describers;
            }
        }
    }

    fn ended(self: &Arc<Self>, state: &mut State, id: &ModelId, reason: String) {
        let now = self.now();
        let Some(engine) = state.engines.get(id) else {
            return;
        };
        let refusal = Refusal::Failed(reason);
        let (was_loading, was_told) = match engine.stage {
            Stage::Loading { .. } => (true, false),
            Stage::Ending { .. } => (false, engine.is_leaving),
            _ => (false, false),
        };
        if !was_told {
            state.counters.died += 1;
            tracing::warn!(model = engine.name, %refusal, "an engine ended by itself");
        }
        let running = state
            .jobs
            .iter()
            .filter(|(_, work)| work.lane == *id && work.has_begun);
        let running: Vec<_> = running.map(|(ticket, _)| *ticket).collect();
        for ticket in running {
            if let Some(work) = state.finish(ticket, now)
                && work.cancelled.is_none()
            {
                state.counters.failed += 1;
                work.mailbox.push(Event::Failed(refusal.clone()));
            }
        }
        if was_loading {
            // Who waits would only see it fail again.
            state.refuse_all(id, &refusal, now);
        }
        state.admission.close(id);
        if let Some(gone) = state.engines.remove(id) {
            self.hand_over(state, id, gone, (!was_told).then_some(refusal));
        }
        self.step(state);
    }
}
