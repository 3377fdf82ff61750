//! Whose job is next: a bounded queue in front of the engines, fair between callers by what their jobs cost.
//!
//! Start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996): the next job of each caller has a start tag, the later
//! of the queue's virtual time when it came and the end tag of its caller's job before it; its end tag is its cost over
//! its class's weight later. The job with the smallest start tag runs next. So a caller who asks for much waits for
//! himself and not for others, whoever was idle does not save up a claim, and ten thousand jobs of one caller do not
//! delay the first of another by more than one.
//!
//! A *lane* is an engine: it has so many slots, and none while it is closed (loading, or about to go). Strangers never
//! get the last slot of a lane that has more than one, so that the machine's owner finds one free.
//!
//! A stranger's job does not keep its slot to its end: while others wait who have had less, it is paused (`turns`). A
//! stranger who has had little is ahead of those who ask all the time, for as long as that is so.

mod turns;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::{Rank, Refusal};
use crate::time::Instant;

/// What a token of the answer costs in tokens of the prompt: prompts are computed many tokens at a time.
pub const ANSWER_TOKEN_COST: u64 = 4;
/// One unit of virtual time is so many parts: weights divide without a remainder that matters.
const SCALE: u128 = 1 << 16;
/// Callers without a job whose use of the machine is remembered, at most.
const REMEMBERED_MAX: usize = 4_096;
/// What somebody is told to wait at least before another try.
const RETRY_MIN: Duration = Duration::from_millis(500);
/// What somebody is told to wait at most.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// What a job costs.
pub const fn cost(prompt_tokens: u64, answer_tokens: u64) -> u64 {
    let cost = prompt_tokens.saturating_add(answer_tokens.saturating_mul(ANSWER_TOKEN_COST));
    // Even nothing takes a turn.
    if cost == 0 { 1 } else { cost }
}

/// What sort of caller somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A program on this machine.
    Own,
    /// A node that the user named.
    Known,
    /// Any other node.
    Stranger,
}

impl Class {
    /// The share of a caller, as against one of another class.
    const fn weight(self) -> u128 {
        match self {
            Self::Own => 16,
            Self::Known => 4,
            Self::Stranger => 1,
        }
    }
}

/// Bounds of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Params {
    /// Jobs that may wait in all; a quarter of them is kept for those who are no strangers.
    pub waiting_max: usize,
    /// Jobs of one caller, running and waiting, who is no stranger.
    pub per_caller_max: usize,
    /// Jobs of one stranger, running and waiting.
    pub per_stranger_max: usize,
    /// Tokens of prompt and answer together of a stranger's job.
    pub stranger_context_max: u64,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            // A minute's work of a small machine.
            waiting_max: 256,
            // A client with many threads; the others still find room.
            per_caller_max: 128,
            per_stranger_max: 1,
            stranger_context_max: 4_096,
        }
    }
}

/// Names an admitted job.
pub type Ticket = u64;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer<C, L> {
    /// By whom.
    pub caller: C,
    /// What sort of caller that is.
    pub class: Class,
    /// Of which engine.
    pub lane: L,
    /// Tokens of the prompt, as far as known.
    pub prompt_tokens: u64,
    /// Tokens of the answer at most.
    pub answer_tokens: u64,
    /// When nobody waits for it any more.
    pub deadline: Option<Instant>,
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Begin a job.
    Start(Ticket, Rank),
    /// Go on with one that was paused.
    Resume(Ticket, Rank),
    /// Put one aside: another takes its slot.
    Pause(Ticket),
}

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    Running,
    /// It was begun and waits for another turn.
    Paused,
}

#[derive(Debug)]
struct Entry<C, L> {
    caller: C,
    class: Class,
    lane: L,
    cost: u64,
    /// What its prompt costs.
    prompt_cost: u64,
    /// The virtual time when it came, and its start tag once it was begun.
    start: u128,
    /// What it has cost so far.
    spent: u64,
    stage: Stage,
    deadline: Option<Instant>,
    begun: Option<Instant>,
}

#[derive(Debug, Default)]
struct Account {
    /// End tag of the job that was begun last.
    end: u128,
    jobs: usize,
    /// In order of arrival, those that were paused first.
    waiting: VecDeque<Ticket>,
}

#[derive(Debug, Default)]
struct Lane {
    /// For jobs that are new.
    slots: usize,
    /// For those that were begun before it was closed, too.
    slots_max: usize,
    running: usize,
    strangers: usize,
    paused: usize,
}

/// The queue.
#[derive(Debug)]
pub struct Admission<C, L> {
    params: Params,
    entries: BTreeMap<Ticket, Entry<C, L>>,
    waiting: usize,
    accounts: BTreeMap<C, Account>,
    lanes: BTreeMap<L, Lane>,
    virtual_time: u128,
    next: Ticket,
    /// Milliseconds per 1,024 units of cost, smoothed; what waiting is reckoned with.
    pace: u64,
}

impl<C: Ord + Copy, L: Ord + Clone> Admission<C, L> {
    /// An empty queue without lanes.
    pub const fn new(params: Params) -> Self {
        Self {
            params,
            entries: BTreeMap::new(),
            waiting: 0,
            accounts: BTreeMap::new(),
            lanes: BTreeMap::new(),
            // So that nobody who is ahead of it has less than nothing.
            virtual_time: turns::LEAD,
            next: 0,
            pace: 1_024,
        }
    }

    /// Takes a job in.
    ///
    /// # Errors
    /// `Busy` if the queue or the caller's part of it is full, `TooLong` if it is more than a stranger may ask for.
    pub fn offer(&mut self, offer: Offer<C, L>) -> Result<Ticket, Refusal> {
        let Params {
            waiting_max,
            per_caller_max,
            per_stranger_max,
            stranger_context_max,
        } = self.params;
        let is_stranger = offer.class == Class::Stranger;
        if is_stranger && offer.prompt_tokens >= stranger_context_max {
            return Err(Refusal::TooLong {
                tokens: u32::try_from(offer.prompt_tokens).unwrap_or(u32::MAX),
                max: u32::try_from(stranger_context_max).unwrap_or(u32::MAX),
            });
        }
        let answer_tokens = match is_stranger {
            true => offer
                .answer_tokens
                .min(stranger_context_max - offer.prompt_tokens),
            false => offer.answer_tokens,
        };
        let (waiting_max, own_max) = match is_stranger {
            true => (waiting_max - waiting_max / 4, per_stranger_max),
            false => (waiting_max, per_caller_max),
        };
        let jobs = self
            .accounts
            .get(&offer.caller)
            .map_or(0, |account| account.jobs);
        if self.waiting >= waiting_max || jobs >= own_max {
            return Err(self.busy());
        }
        let ticket = self.next;
        self.next += 1;
        let account = self.accounts.entry(offer.caller).or_default();
        account.jobs += 1;
        account.waiting.push_back(ticket);
        self.waiting += 1;
        self.entries.insert(
            ticket,
            Entry {
                caller: offer.caller,
                class: offer.class,
                lane: offer.lane,
                cost: cost(offer.prompt_tokens, answer_tokens),
                prompt_cost: cost(offer.prompt_tokens, 0),
                start: self.virtual_time,
                spent: 0,
                stage: Stage::Waiting,
                deadline: offer.deadline,
                begun: None,
            },
        );
        Ok(ticket)
    }

    /// Opens a lane, or changes how many slots it has; 0 closes it for new jobs. Those begun still come to their end.
    pub fn open(&mut self, lane: L, slots: usize) {
        let lane = self.lanes.entry(lane).or_default();
        lane.slots = slots;
        lane.slots_max = lane.slots_max.max(slots);
    }

    /// The engine has counted the tokens of a prompt, of which only an estimate was known.
    pub fn counted(&mut self, ticket: Ticket, prompt_tokens: u64) {
        let Some(entry) = self.entries.get_mut(&ticket) else {
            return;
        };
        let estimate = entry.cost;
        let answer_cost = entry.cost.saturating_sub(entry.prompt_cost);
        entry.prompt_cost = cost(prompt_tokens, 0);
        entry.cost = entry.prompt_cost.saturating_add(answer_cost);
        if entry.begun.is_none() {
            return;
        }
        entry.spent = entry.prompt_cost;
        if let Some(account) = self.accounts.get_mut(&entry.caller) {
            let (was, is) = (span(estimate, entry.class), span(entry.cost, entry.class));
            account.end = account.end.saturating_sub(was).saturating_add(is);
        }
    }

    /// A job that was begun has cost so much by now.
    pub fn spent(&mut self, ticket: Ticket, spent: u64) {
        if let Some(entry) = self.entries.get_mut(&ticket) {
            entry.spent = entry.spent.max(spent.min(entry.cost));
        }
    }

    /// The job does not wait any more.
    fn take_from_queue(&mut self, ticket: Ticket) {
        let caller = self.entries.get(&ticket).map(|entry| entry.caller);
        let account = caller.and_then(|caller| self.accounts.get_mut(&caller));
        let Some(account) = account else {
            return;
        };
        let before = account.waiting.len();
        account.waiting.retain(|other| *other != ticket);
        self.waiting -= before - account.waiting.len();
    }

    /// A job is over, or nobody waits for it any more. What it cost less than was reckoned is given back to its caller.
    pub fn end(&mut self, now: Instant, ticket: Ticket, spent: u64) {
        self.take_from_queue(ticket);
        let Some(entry) = self.entries.remove(&ticket) else {
            return;
        };
        match (entry.stage, self.lanes.get_mut(&entry.lane)) {
            // It was not paid for yet.
            (Stage::Waiting, _) => return self.release(&entry, entry.cost),
            (Stage::Running, Some(lane)) => lane.leave(entry.class),
            (Stage::Paused, Some(lane)) => lane.paused = lane.paused.saturating_sub(1),
            (Stage::Running | Stage::Paused, None) => {}
        }
        let spent = spent.min(entry.cost);
        if let Some(begun) = entry.begun {
            let took = u64::try_from(now.since(begun).as_millis()).unwrap_or(u64::MAX);
            let pace = took.saturating_mul(1_024) / spent.max(1);
            self.pace = (self.pace.saturating_mul(7).saturating_add(pace)) / 8;
        }
        self.release(&entry, spent);
    }

    fn release(&mut self, entry: &Entry<C, L>, spent: u64) {
        let saved = span(entry.cost - spent, entry.class);
        if let Some(account) = self.accounts.get_mut(&entry.caller) {
            account.jobs -= 1;
            account.end = account.end.saturating_sub(saved);
            if account.jobs == 0 && account.end <= self.virtual_time {
                self.accounts.remove(&entry.caller);
            }
        }
        if self.entries.is_empty() {
            // Nobody is owed anything once nobody waits.
            self.accounts.clear();
        }
    }

    /// Forgets callers without jobs: those who owe nothing, and beyond a number those who owe least.
    fn forget(&mut self) {
        let now = self.virtual_time;
        self.accounts
            .retain(|_, account| account.jobs > 0 || account.end > now);
        if self.accounts.len() <= REMEMBERED_MAX.saturating_add(self.entries.len()) {
            return;
        }
        let idle = self
            .accounts
            .iter()
            .filter(|(_, account)| account.jobs == 0);
        let mut ends: Vec<u128> = idle.map(|(_, account)| account.end).collect();
        ends.sort_unstable();
        let median = ends.get(ends.len() / 2).copied().unwrap_or_default();
        self.accounts
            .retain(|_, account| account.jobs > 0 || account.end > median);
    }

    /// Forgets a lane that is gone. Jobs that wait for it go on waiting.
    pub fn close(&mut self, lane: &L) {
        self.lanes.remove(lane);
    }

    /// Jobs that nobody waits for any more; each is to be ended.
    pub fn expired(&self, now: Instant) -> Vec<Ticket> {
        let late = |entry: &Entry<C, L>| entry.deadline.is_some_and(|deadline| deadline <= now);
        let entries = self.entries.iter();
        entries
            .filter(|(_, e)| late(e))
            .map(|(ticket, _)| *ticket)
            .collect()
    }

    /// A job's deadline was seen to; it ends when it ends.
    pub fn forget_deadline(&mut self, ticket: Ticket) {
        if let Some(entry) = self.entries.get_mut(&ticket) {
            entry.deadline = None;
        }
    }

    /// When the next job expires.
    pub fn deadline(&self) -> Option<Instant> {
        self.entries
            .values()
            .filter_map(|entry| entry.deadline)
            .min()
    }

    /// Lanes that somebody waits for, those first whose turn is next.
    pub fn wanted(&self) -> Vec<L> {
        let mut wanted = Vec::new();
        for (lane, _) in self.in_order() {
            if !wanted.contains(lane) {
                wanted.push(lane.clone());
            }
        }
        wanted
    }

    /// Jobs that wait for a lane.
    pub fn waiting(&self, lane: &L) -> Vec<Ticket> {
        let waiting = self
            .in_order()
            .into_iter()
            .filter(|(other, _)| *other == lane);
        waiting.map(|(_, ticket)| ticket).collect()
    }

    fn in_order(&self) -> Vec<(&L, Ticket)> {
        let mut waiting: Vec<_> = self
            .accounts
            .values()
            .flat_map(|account| account.waiting.iter().map(|ticket| (account.end, *ticket)))
            .filter_map(|(end, ticket)| {
                let entry = self.entries.get(&ticket)?;
                Some((self.key(entry, end), ticket, &entry.lane))
            })
            .collect();
        waiting.sort_unstable_by_key(|(key, ticket, _)| (*key, *ticket));
        waiting
            .into_iter()
            .map(|(_, ticket, lane)| (lane, ticket))
            .collect()
    }

    /// Jobs that run in a lane.
    pub fn running(&self, lane: &L) -> usize {
        self.lanes.get(lane).map_or(0, |lane| lane.running)
    }

    /// Jobs that were begun in a lane and are not over, whether they run or are paused.
    pub fn begun(&self, lane: &L) -> usize {
        let lane = self.lanes.get(lane);
        lane.map_or(0, |lane| lane.running + lane.paused)
    }

    /// All jobs, running and waiting.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no job.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn busy(&self) -> Refusal {
        let costs = self.entries.values().map(|entry| entry.cost);
        let total: u64 = costs.fold(0, u64::saturating_add);
        let slots: usize = self.lanes.values().map(|lane| lane.slots).sum();
        let slots = u64::try_from(slots.max(1)).unwrap_or(1);
        // When about a quarter of what is here will be done.
        let millis = total.saturating_mul(self.pace) / 1_024 / slots / 4;
        let retry = Duration::from_millis(millis).clamp(RETRY_MIN, RETRY_MAX);
        Refusal::Busy {
            retry_millis: u32::try_from(retry.as_millis()).unwrap_or(u32::MAX),
        }
    }
}

impl Lane {
    fn enter(&mut self, class: Class) {
        self.running += 1;
        self.strangers += usize::from(class == Class::Stranger);
    }

    fn leave(&mut self, class: Class) {
        self.running = self.running.saturating_sub(1);
        let strangers = usize::from(class == Class::Stranger);
        self.strangers = self.strangers.saturating_sub(strangers);
    }
}

fn span(cost: u64, class: Class) -> u128 {
    u128::from(cost) * SCALE / class.weight()
}

#[cfg(test)]
mod tests;
