//! Turns: which job gets a slot, and which stranger's job gives one up.
//!
//! A job's tag is its start tag and what it has cost since. Strangers' jobs are of two sorts. One that is *brief* has a
//! short prompt and has not had much yet, and its caller is not far ahead of the queue's virtual time either: it is
//! taken as if its tag were [`LEAD`] earlier. A stranger's job that runs is paused for one that is enough behind it. A
//! crowd that asks all the time is ahead of the virtual time by what it has had, and so the first words of somebody who
//! asks now and then do not wait for the crowd's last ones.

use std::collections::BTreeMap;

use super::{Admission, Class, Entry, Lane, Rank, SCALE, Stage, Ticket, Turn, span};
use crate::time::Instant;

/// What a stranger who asks now and then is ahead of those who ask all the time: four answers of 256 tokens.
pub(super) const LEAD: u128 = 4_096 * SCALE;
/// What a job costs before it is brief no more: a question and the first lines of its answer.
const BRIEF: u64 = Rank::BRIEF_PROMPT_MAX;
/// How far behind a job must be for which another is paused, if it is brief.
const MARGIN_BRIEF: u128 = 1_024 * SCALE;
/// The same for any other stranger's. What an engine has forgotten of a paused job is computed again, so turns are long.
const MARGIN: u128 = 4_096 * SCALE;

impl<C: Ord + Copy, L: Ord + Clone> Admission<C, L> {
    /// What is to be done next; call it until there is nothing.
    pub fn next(&mut self, now: Instant) -> Option<Turn> {
        let Some((key, ticket)) = self.first(|lane, entry| lane.has_slot(entry)) else {
            return self.pause();
        };
        self.take_from_queue(ticket);
        let entry = self.entries.get_mut(&ticket)?;
        let account = self.accounts.get_mut(&entry.caller);
        let was_begun = entry.begun.is_some();
        if !was_begun {
            entry.begun = Some(now);
            entry.spent = entry.prompt_cost.min(entry.cost);
            if let Some(account) = account {
                entry.start = entry.start.max(account.end);
                account.end = entry.start.saturating_add(span(entry.cost, entry.class));
            }
        }
        entry.stage = Stage::Running;
        if let Some(lane) = self.lanes.get_mut(&entry.lane) {
            lane.enter(entry.class);
            lane.paused -= usize::from(was_begun).min(lane.paused);
        }
        // A brief job's key is earlier than its tag, and so it is brief by that too; any other's is its tag.
        let rank = self.rank(self.entries.get(&ticket)?, key);
        // Who waits for another lane does not hold the time back.
        self.virtual_time = self.virtual_time.max(key);
        self.forget();
        Some(match was_begun {
            true => Turn::Resume(ticket, rank),
            false => Turn::Start(ticket, rank),
        })
    }

    /// The first of all waiting jobs that fit, with its key.
    fn first(&self, fits: impl Fn(&Lane, &Entry<C, L>) -> bool) -> Option<(u128, Ticket)> {
        let heads = self.accounts.values().filter_map(|account| {
            account.waiting.iter().find_map(|ticket| {
                let entry = self.entries.get(ticket)?;
                let lane = self.lanes.get(&entry.lane)?;
                fits(lane, entry).then(|| (self.key(entry, account.end), *ticket))
            })
        });
        heads.min()
    }

    /// Pauses a job if one that waits has had enough less.
    fn pause(&mut self) -> Option<Turn> {
        let victims = self.victims();
        if victims.is_empty() {
            return None;
        }
        let (_, ticket) = self.first(|lane, entry| {
            let end = self.accounts.get(&entry.caller).map_or(0, |a| a.end);
            let key = self.key(entry, end);
            let margin = match self.rank(entry, self.tag(entry, end)) {
                Rank::Own | Rank::Known => 0,
                Rank::Brief => MARGIN_BRIEF,
                Rank::Stranger => MARGIN,
            };
            let victim = victims.get(&entry.lane);
            let is_open = lane.slots > 0 || entry.stage == Stage::Paused;
            is_open && victim.is_some_and(|(worst, _)| *worst > key.saturating_add(margin))
        })?;
        let lane = &self.entries.get(&ticket)?.lane;
        let victim = victims.get(lane)?.1;
        let entry = self.entries.get_mut(&victim)?;
        entry.stage = Stage::Paused;
        let lane = self.lanes.get_mut(&entry.lane)?;
        lane.leave(entry.class);
        lane.paused += 1;
        self.waiting += 1;
        let account = self.accounts.get_mut(&entry.caller)?;
        account.waiting.push_front(victim);
        Some(Turn::Pause(victim))
    }

    /// Of each lane, the running stranger's job that is furthest ahead.
    fn victims(&self) -> BTreeMap<L, (u128, Ticket)> {
        let mut victims = BTreeMap::new();
        for (ticket, entry) in &self.entries {
            if entry.stage != Stage::Running || entry.class != Class::Stranger {
                continue;
            }
            let own = (self.key(entry, 0), *ticket);
            let worst = victims.entry(entry.lane.clone()).or_insert(own);
            *worst = own.max(*worst);
        }
        victims
    }

    /// How far a job's caller is with it; `end` is the end tag of the account, which counts before it is begun.
    fn tag(&self, entry: &Entry<C, L>, end: u128) -> u128 {
        match entry.stage {
            Stage::Waiting => entry.start.max(end),
            Stage::Running | Stage::Paused => {
                entry.start.saturating_add(span(entry.spent, entry.class))
            }
        }
    }

    /// By what jobs are ordered.
    pub(super) fn key(&self, entry: &Entry<C, L>, end: u128) -> u128 {
        let tag = self.tag(entry, end);
        match self.rank(entry, tag) {
            Rank::Brief => tag.saturating_sub(LEAD),
            Rank::Own | Rank::Known | Rank::Stranger => tag,
        }
    }

    fn rank(&self, entry: &Entry<C, L>, tag: u128) -> Rank {
        let is_short = entry.prompt_cost <= BRIEF && entry.spent <= BRIEF;
        match entry.class {
            Class::Own => Rank::Own,
            Class::Known => Rank::Known,
            Class::Stranger if is_short && tag <= self.virtual_time.saturating_add(LEAD) => {
                Rank::Brief
            }
            Class::Stranger => Rank::Stranger,
        }
    }
}

impl Lane {
    fn has_slot<C, L>(&self, entry: &Entry<C, L>) -> bool {
        let slots = match entry.stage {
            Stage::Waiting | Stage::Running => self.slots,
            Stage::Paused => self.slots_max,
        };
        let for_strangers = if slots > 1 { slots - 1 } else { slots };
        self.running < slots && (entry.class != Class::Stranger || self.strangers < for_strangers)
    }
}
