//! Bytes as fluids: who sends how fast to whom, when every line is shared max-min fairly.
//!
//! Each host has two lines, one up and one down. A *flow* is everything that one host sends to another at the
//! moment; its *jobs* share it equally, as streams share a connection. A flow is as fast as the tighter of its
//! two lines and its own cap allow. A line's *level* is the rate that its unbounded flows get: the allocation is
//! max-min fair exactly when each line's level agrees with the levels at the other ends of its flows. A change
//! re-computes the two lines it touches and follows the ripples until a level moves by less than [`EPSILON`],
//! so the price of a change is what it changes, not the size of the world. `tests` compare with an exact solver.
//!
//! Time is in microseconds, bytes are real numbers.
#![expect(
    clippy::indexing_slicing,
    reason = "indices of lines and flows are given out here and nowhere else"
)]

mod due;
mod level;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use due::Due;

/// A relative change of a level that is not worth following further.
const EPSILON: f64 = 0.002;
/// Lines re-computed for one change; the ripples of a normal change die out after a handful.
const RIPPLES_MAX: u32 = 4_096;
/// Closer than this to its goal a job has arrived: times are rounded up to whole microseconds.
const BYTES_CLOSE: f64 = 0.01;

/// Names a job; chosen by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct JobId(pub(crate) u64);

/// A job got as far as its next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reached {
    pub(crate) job: JobId,
    /// Whether that was the last step; the job is then gone.
    pub(crate) last: bool,
}

/// What is to be sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order {
    pub(crate) job: JobId,
    pub(crate) from: u32,
    pub(crate) to: u32,
    /// Bytes until the first step.
    pub(crate) first: f64,
    /// Bytes between later steps.
    pub(crate) step: f64,
    /// Bytes in all.
    pub(crate) total: f64,
    /// Bytes per second that the path between the two can carry.
    pub(crate) cap: f64,
}

/// One direction of a host's line.
#[derive(Debug)]
struct Line {
    capacity: f64,
    /// Rate of the flows that nothing else bounds; infinite while the line is not full.
    level: f64,
    flows: Vec<u32>,
    queued: bool,
}

/// Everything one host sends to another.
#[derive(Debug)]
struct Flow {
    /// Lines, and where this flow stands in their lists.
    up: u32,
    down: u32,
    at_up: u32,
    at_down: u32,
    cap: f64,
    /// Bytes per second.
    rate: f64,
    /// Bytes that each job got since the flow exists.
    served: f64,
    /// When `served` was right.
    updated: u64,
    jobs: Vec<Job>,
    touched: bool,
}

/// One transfer inside a flow, in terms of `Flow::served`.
#[derive(Debug, Clone, Copy)]
struct Job {
    id: JobId,
    start: f64,
    next: f64,
    step: f64,
    end: f64,
}

/// All lines and flows.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    lines: Vec<Line>,
    flows: Vec<Flow>,
    free: Vec<u32>,
    due: Due,
    dirty: VecDeque<u32>,
    touched: Vec<u32>,
    scratch: Vec<f64>,
}

impl Flows {
    /// Adds a host's two lines; hosts are counted from zero. Capacities are bytes per second.
    pub(crate) fn add_host(&mut self, up: f64, down: f64) {
        for capacity in [up, down] {
            self.lines.push(Line {
                capacity,
                level: f64::INFINITY,
                flows: Vec::new(),
                queued: false,
            });
        }
    }

    /// Changes how fast a host's lines are.
    pub(crate) fn set_capacity(&mut self, host: u32, up: f64, down: f64, now: u64) {
        for (line, capacity) in [(host * 2, up), (host * 2 + 1, down)] {
            self.lines[line as usize].capacity = capacity;
            self.soil(line);
        }
        self.settle(now);
    }

    /// Starts a job.
    pub(crate) fn start(&mut self, order: &Order, now: u64) {
        let index = match self.find(order.from, order.to) {
            Some(index) => index,
            None => self.open(order, now),
        };
        self.catch_up(index, now);
        let flow = &mut self.flows[index as usize];
        let start = flow.served;
        flow.jobs.push(Job {
            id: order.job,
            start,
            next: start + order.first.min(order.total),
            step: order.step.max(1.0),
            end: start + order.total,
        });
        self.touch(index);
        self.settle(now);
    }

    /// Ends a job early; tells how many bytes it got.
    pub(crate) fn stop(&mut self, from: u32, to: u32, job: JobId, now: u64) -> f64 {
        let Some(index) = self.find(from, to) else {
            return 0.0;
        };
        self.catch_up(index, now);
        let flow = &mut self.flows[index as usize];
        let Some(at) = flow.jobs.iter().position(|other| other.id == job) else {
            return 0.0;
        };
        let job = flow.jobs.remove(at);
        let moved = (flow.served - job.start).min(job.end - job.start);
        self.left(index, now);
        moved
    }

    /// Bytes that a job got so far.
    pub(crate) fn moved(&self, from: u32, to: u32, job: JobId, now: u64) -> f64 {
        let Some(index) = self.find(from, to) else {
            return 0.0;
        };
        let flow = &self.flows[index as usize];
        let Some(job) = flow.jobs.iter().find(|other| other.id == job) else {
            return 0.0;
        };
        (flow.served_at(now) - job.start).min(job.end - job.start)
    }

    /// When the next job reaches a step.
    pub(crate) fn next(&self) -> Option<u64> {
        self.due.first().map(|(at, _)| at)
    }

    /// One job that reached a step by now.
    pub(crate) fn pop(&mut self, now: u64) -> Option<Reached> {
        let (at, index) = self.due.first()?;
        if at > now {
            return None;
        }
        self.catch_up(index, now);
        let flow = &mut self.flows[index as usize];
        let served = flow.served;
        let at = flow
            .jobs
            .iter()
            .position(|job| job.next - served < BYTES_CLOSE);
        let Some(at) = at else {
            // Rounding: a microsecond more will do.
            self.plan(index, now);
            return self.pop(now);
        };
        let job = &mut flow.jobs[at];
        let last = job.end - job.next < BYTES_CLOSE;
        let reached = Reached { job: job.id, last };
        if last {
            flow.jobs.remove(at);
            self.left(index, now);
        } else {
            job.next = (job.next + job.step).min(job.end);
            self.plan(index, now);
        }
        Some(reached)
    }

    /// Bytes per second from one host to another.
    #[cfg(test)]
    pub(crate) fn rate(&self, from: u32, to: u32) -> f64 {
        let index = self.find(from, to);
        index.map_or(0.0, |index| self.flows[index as usize].rate)
    }

    /// The flow between two hosts: one of the few that the receiver has.
    fn find(&self, from: u32, to: u32) -> Option<u32> {
        let flows = &self.lines[to as usize * 2 + 1].flows;
        let sought = |index: &&u32| self.flows[**index as usize].up == from * 2;
        flows.iter().find(sought).copied()
    }

    fn open(&mut self, order: &Order, now: u64) -> u32 {
        let (up, down) = (order.from * 2, order.to * 2 + 1);
        let fresh = u32::try_from(self.flows.len()).unwrap_or(u32::MAX);
        let index = self.free.pop().unwrap_or(fresh);
        let place = |line: &mut Line| {
            line.flows.push(index);
            u32::try_from(line.flows.len() - 1).unwrap_or(u32::MAX)
        };
        let flow = Flow {
            up,
            down,
            at_up: place(&mut self.lines[up as usize]),
            at_down: place(&mut self.lines[down as usize]),
            cap: order.cap,
            rate: 0.0,
            served: 0.0,
            updated: now,
            jobs: Vec::new(),
            touched: false,
        };
        if index as usize == self.flows.len() {
            self.flows.push(flow);
            self.due.grow();
        } else {
            self.flows[index as usize] = flow;
        }
        self.soil(up);
        self.soil(down);
        index
    }

    /// A job left the flow: the others get its share, or the flow ends.
    fn left(&mut self, index: u32, now: u64) {
        let flow = &self.flows[index as usize];
        if !flow.jobs.is_empty() {
            return self.plan(index, now);
        }
        let (up, down, at_up, at_down) = (flow.up, flow.down, flow.at_up, flow.at_down);
        self.due.remove(index);
        for (line, at) in [(up, at_up), (down, at_down)] {
            let flows = &mut self.lines[line as usize].flows;
            flows.swap_remove(at as usize);
            if let Some(moved) = flows.get(at as usize).copied() {
                let moved = &mut self.flows[moved as usize];
                if line == up {
                    moved.at_up = at;
                } else {
                    moved.at_down = at;
                }
            }
            self.soil(line);
        }
        self.free.push(index);
        self.settle(now);
    }

    /// Marks a line whose level may be wrong.
    fn soil(&mut self, line: u32) {
        let state = &mut self.lines[line as usize];
        if !state.queued {
            state.queued = true;
            self.dirty.push_back(line);
        }
    }

    /// Marks a flow whose rate or jobs may have changed.
    fn touch(&mut self, index: u32) {
        let flow = &mut self.flows[index as usize];
        if !flow.touched {
            flow.touched = true;
            self.touched.push(index);
        }
    }

    /// Brings levels and rates into agreement again.
    fn settle(&mut self, now: u64) {
        let mut ripples = 0;
        while let Some(line) = self.dirty.pop_front() {
            self.lines[line as usize].queued = false;
            ripples += 1;
            if ripples > RIPPLES_MAX {
                continue;
            }
            self.relevel(line);
        }
        let mut touched = std::mem::take(&mut self.touched);
        for index in touched.drain(..) {
            self.flows[index as usize].touched = false;
            if self.flows[index as usize].jobs.is_empty() {
                continue;
            }
            self.catch_up(index, now);
            let flow = &self.flows[index as usize];
            let (up, down) = (
                &self.lines[flow.up as usize],
                &self.lines[flow.down as usize],
            );
            let room = flow.cap.min(up.capacity).min(down.capacity);
            let rate = room.min(up.level).min(down.level);
            self.flows[index as usize].rate = rate;
            self.plan(index, now);
        }
        self.touched = touched;
    }

    fn relevel(&mut self, line: u32) {
        let state = &self.lines[line as usize];
        let (old, is_up) = (state.level, line.is_multiple_of(2));
        self.scratch.clear();
        for index in &state.flows {
            let flow = &self.flows[*index as usize];
            let other = if is_up { flow.down } else { flow.up };
            let bound = self.lines[other as usize].level.min(flow.cap);
            self.scratch.push(bound);
        }
        let level = level::level(state.capacity, &self.scratch);
        let flows = state.flows.len();
        if level::is_close(old, level) {
            return;
        }
        self.lines[line as usize].level = level;
        for at in 0..flows {
            let index = self.lines[line as usize].flows[at];
            self.touch(index);
            let flow = &self.flows[index as usize];
            let other = if is_up { flow.down } else { flow.up };
            let (before, after) = (old.min(flow.cap), level.min(flow.cap));
            let theirs = self.lines[other as usize].level;
            let matters = if theirs.is_infinite() {
                after > before
            } else {
                before.min(after) < theirs * (1.0 + EPSILON)
            };
            if matters {
                self.soil(other);
            }
        }
    }

    /// Books what was sent since the last change.
    fn catch_up(&mut self, index: u32, now: u64) {
        let flow = &mut self.flows[index as usize];
        flow.served = flow.served_at(now);
        flow.updated = now;
    }

    /// Notes when the flow's next job reaches a step.
    fn plan(&mut self, index: u32, now: u64) {
        let flow = &self.flows[index as usize];
        let next = flow.jobs.iter().map(|job| job.next).min_by(f64::total_cmp);
        match next {
            Some(next) if flow.rate > 0.0 => {
                let each = flow.rate / flow.jobs.len() as f64;
                let micros = ((next - flow.served).max(0.0) / each * 1e6).ceil();
                self.due.set(index, now.saturating_add(whole(micros)));
            }
            _ => self.due.remove(index),
        }
    }
}

impl Flow {
    fn served_at(&self, now: u64) -> f64 {
        if self.jobs.is_empty() {
            return self.served;
        }
        let seconds = now.saturating_sub(self.updated) as f64 / 1e6;
        self.served + self.rate / self.jobs.len() as f64 * seconds
    }
}

/// A number without fraction as an integer; what is too large becomes the largest.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float cast saturates, and nothing here is negative"
)]
pub(crate) fn whole(value: f64) -> u64 {
    value as u64
}
