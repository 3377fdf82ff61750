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
mod jobs;
mod level;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use due::Due;
use jobs::{Job, Jobs};

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
    ends: Vec<End>,
    queued: bool,
}

/// What a line knows of one of its flows, so that it need not look at the flow.
#[derive(Debug, Clone, Copy)]
struct End {
    flow: u32,
    /// The line at the other end.
    other: u32,
    cap: f64,
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
    jobs: Jobs,
    touched: bool,
}

/// All lines and flows.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    lines: Vec<Line>,
    /// Of each line the rate of the flows that nothing else bounds; infinite while the line is not full.
    levels: Vec<f64>,
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
                ends: Vec::new(),
                queued: false,
            });
            self.levels.push(f64::INFINITY);
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
        let Some(job) = flow.jobs.remove(job) else {
            return 0.0;
        };
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
        let mut jobs = flow.jobs.iter_mut();
        let due = jobs.find(|job| job.next - served < BYTES_CLOSE);
        let reached = due.map(|job| {
            let last = job.end - job.next < BYTES_CLOSE;
            job.next = (job.next + job.step).min(job.end);
            Reached { job: job.id, last }
        });
        drop(jobs);
        let Some(reached) = reached else {
            // Rounding: a microsecond more will do.
            self.plan(index, now);
            return self.pop(now);
        };
        if reached.last {
            flow.jobs.remove(reached.job);
            self.left(index, now);
        } else {
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
        let ends = &self.lines[to as usize * 2 + 1].ends;
        let end = ends.iter().find(|end| end.other == from * 2)?;
        Some(end.flow)
    }

    fn open(&mut self, order: &Order, now: u64) -> u32 {
        let (up, down) = (order.from * 2, order.to * 2 + 1);
        let fresh = u32::try_from(self.flows.len()).unwrap_or(u32::MAX);
        let index = self.free.pop().unwrap_or(fresh);
        let place = |line: &mut Line, other: u32| {
            line.ends.push(End {
                flow: index,
                other,
                cap: order.cap,
            });
            u32::try_from(line.ends.len() - 1).unwrap_or(u32::MAX)
        };
        let flow = Flow {
            up,
            down,
            at_up: place(&mut self.lines[up as usize], down),
            at_down: place(&mut self.lines[down as usize], up),
            cap: order.cap,
            rate: 0.0,
            served: 0.0,
            updated: now,
            jobs: Jobs::default(),
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
            let ends = &mut self.lines[line as usize].ends;
            ends.swap_remove(at as usize);
            if let Some(moved) = ends.get(at as usize).copied() {
                let moved = &mut self.flows[moved.flow as usize];
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
            let (up, down) = (flow.up as usize, flow.down as usize);
            let (most_up, most_down) = (self.lines[up].capacity, self.lines[down].capacity);
            let room = flow.cap.min(most_up).min(most_down);
            let rate = room.min(self.levels[up]).min(self.levels[down]);
            self.flows[index as usize].rate = rate;
            self.plan(index, now);
        }
        self.touched = touched;
    }

    fn relevel(&mut self, line: u32) {
        let state = &self.lines[line as usize];
        let old = self.levels[line as usize];
        self.scratch.clear();
        let bound = |end: &End| self.levels[end.other as usize].min(end.cap);
        self.scratch.extend(state.ends.iter().map(bound));
        let level = level::level(state.capacity, &self.scratch);
        let ends = state.ends.len();
        if level::is_close(old, level) {
            return;
        }
        self.levels[line as usize] = level;
        for at in 0..ends {
            let end = self.lines[line as usize].ends[at];
            self.touch(end.flow);
            let (before, after) = (old.min(end.cap), level.min(end.cap));
            let theirs = self.levels[end.other as usize];
            let matters = if theirs.is_infinite() {
                after > before
            } else {
                before.min(after) < theirs * (1.0 + EPSILON)
            };
            if matters {
                self.soil(end.other);
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
