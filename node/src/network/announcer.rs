//! When to tell the DHT again what this node provides and which records it stands behind.
//!
//! A statement reaches only the peers that are known when it is made: a node that provides something
//! before it has met anybody has told nobody. So every statement is repeated as the routing table
//! fills, and then in a steady rhythm. This type only keeps the timetable; it owns no socket, and the
//! time is an argument.
//!
//! # Invariants
//! `queue` holds exactly the pairs `(due, statement)` of `due`'s entries that are not in flight.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use weft_protocol::service::DhtKey;

/// How often a statement is repeated: four times within the 48 h that others remember it.
const REPEAT_INTERVAL: Duration = Duration::from_secs(12 * 3_600);
/// Peers that join together (a bootstrap answer, a LAN) are answered together.
const GROWTH_WINDOW: Duration = Duration::from_millis(500);
/// How soon after a failure (nobody could be reached) a statement is tried again.
const RETRY_INTERVAL: Duration = Duration::from_secs(30);
/// Statements on their way at once: each is a DHT query of some twenty small messages.
const IN_FLIGHT_MAX: usize = 16;

/// One thing to tell the DHT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Statement {
    /// That this node is a provider.
    Provider(DhtKey),
    /// The record that this node stored under the key.
    Record(DhtKey),
}

/// The timetable.
#[derive(Debug, Default)]
pub(crate) struct Announcer {
    /// When each statement is due next; `None` while it is in flight.
    due: BTreeMap<Statement, Option<Instant>>,
    queue: BTreeSet<(Instant, Statement)>,
    in_flight: usize,
    /// When to repeat everything because the routing table grew.
    growth: Option<Instant>,
    /// Statements that were in flight when the table grew: they may have missed the newcomer.
    again: BTreeSet<Statement>,
}

impl Announcer {
    /// Starts making a statement, first at `at`.
    pub(crate) fn add(&mut self, statement: Statement, at: Instant) {
        if self.due.contains_key(&statement) {
            return;
        }
        self.due.insert(statement, Some(at));
        self.queue.insert((at, statement));
    }

    /// Starts repeating a statement that was just made by other means.
    pub(crate) fn add_made(&mut self, statement: Statement, now: Instant) {
        self.remove(statement);
        self.add(statement, now + REPEAT_INTERVAL);
    }

    /// Stops making a statement.
    pub(crate) fn remove(&mut self, statement: Statement) {
        match self.due.remove(&statement) {
            Some(Some(at)) => {
                self.queue.remove(&(at, statement));
            }
            Some(None) => self.in_flight = self.in_flight.saturating_sub(1),
            None => {}
        }
        self.again.remove(&statement);
    }

    /// A peer that was not there before joined the routing table.
    pub(crate) fn routing_grew(&mut self, now: Instant) {
        if self.growth.is_none() {
            self.growth = Some(now + GROWTH_WINDOW);
        }
    }

    /// The next statement to make, which is then in flight until [`Self::finished`].
    pub(crate) fn next(&mut self, now: Instant) -> Option<Statement> {
        if self.growth.is_some_and(|at| at <= now) {
            self.growth = None;
            self.repeat_all(now);
        }
        if self.in_flight >= IN_FLIGHT_MAX {
            return None;
        }
        let &(at, statement) = self.queue.first()?;
        if at > now {
            return None;
        }
        self.queue.pop_first();
        self.due.insert(statement, None);
        self.in_flight += 1;
        Some(statement)
    }

    /// A statement in flight was made, or nobody heard it.
    pub(crate) fn finished(&mut self, statement: Statement, heard: bool, now: Instant) {
        // Removed meanwhile, or not ours: nothing is in flight for it.
        let Some(due @ None) = self.due.get_mut(&statement) else {
            return;
        };
        let at = match (self.again.remove(&statement), heard) {
            (true, _) => now,
            (false, true) => now + REPEAT_INTERVAL,
            (false, false) => now + RETRY_INTERVAL,
        };
        *due = Some(at);
        self.queue.insert((at, statement));
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// When [`Self::next`] may have something again.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let first = self.queue.first().map(|(at, _)| *at);
        let first = first.filter(|_| self.in_flight < IN_FLIGHT_MAX);
        [self.growth, first].into_iter().flatten().min()
    }

    fn repeat_all(&mut self, now: Instant) {
        self.queue.clear();
        for (statement, due) in &mut self.due {
            match due {
                Some(at) => {
                    *at = now;
                    self.queue.insert((now, *statement));
                }
                None => {
                    self.again.insert(*statement);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(n: u8) -> Statement {
        Statement::Provider(DhtKey([n; 32]))
    }

    #[test]
    fn statement_is_made_at_once_and_then_in_rhythm() {
        let now = Instant::now();
        let mut announcer = Announcer::default();
        announcer.add(statement(1), now);
        assert_eq!(announcer.next(now), Some(statement(1)));
        assert_eq!(announcer.next(now), None);
        announcer.finished(statement(1), true, now);
        assert_eq!(announcer.deadline(), Some(now + REPEAT_INTERVAL));
        assert_eq!(announcer.next(now + REPEAT_INTERVAL), Some(statement(1)));
    }

    #[test]
    fn statement_that_nobody_heard_is_tried_again_soon() {
        let now = Instant::now();
        let mut announcer = Announcer::default();
        announcer.add(statement(1), now);
        announcer.next(now);
        announcer.finished(statement(1), false, now);
        assert_eq!(announcer.deadline(), Some(now + RETRY_INTERVAL));
    }

    #[test]
    fn growth_repeats_everything_once_for_all_who_joined_together() {
        let now = Instant::now();
        let mut announcer = Announcer::default();
        for n in 1..=2 {
            announcer.add(statement(n), now);
            announcer.next(now);
        }
        announcer.finished(statement(1), true, now);
        announcer.routing_grew(now);
        announcer.routing_grew(now + GROWTH_WINDOW / 2);
        let later = announcer.deadline().unwrap();
        assert_eq!(later, now + GROWTH_WINDOW);
        assert_eq!(announcer.next(later), Some(statement(1)));
        assert_eq!(announcer.next(later), None);
        // The second one was in flight: it follows as soon as it is back.
        announcer.finished(statement(2), true, later);
        assert_eq!(announcer.next(later), Some(statement(2)));
    }

    #[test]
    fn removed_statement_is_not_made_again() {
        let now = Instant::now();
        let mut announcer = Announcer::default();
        announcer.add(statement(1), now);
        announcer.add(statement(2), now);
        announcer.next(now);
        announcer.remove(statement(1));
        announcer.remove(statement(2));
        announcer.finished(statement(1), true, now);
        announcer.routing_grew(now);
        assert_eq!(announcer.next(now + REPEAT_INTERVAL), None);
        assert_eq!(announcer.deadline(), None);
    }

    #[test]
    fn only_so_many_statements_are_in_flight() {
        let now = Instant::now();
        let mut announcer = Announcer::default();
        for n in 0..40 {
            announcer.add(statement(n), now);
        }
        let made: Vec<_> = std::iter::from_fn(|| announcer.next(now)).collect();
        assert_eq!(made.len(), IN_FLIGHT_MAX);
        assert_eq!(announcer.deadline(), None);
        announcer.finished(made[0], true, now);
        assert!(announcer.next(now).is_some());
    }
}
