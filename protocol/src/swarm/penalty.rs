//! What is held against peers. Small faults are forgotten by half every few minutes; lies end the relation.

use std::time::Duration;

use super::table::Table;
use crate::{id::NodeId, limits, time::Instant};

/// Each fault counts as this much.
const STALL: u32 = 8;
/// Half of what is held against a peer is forgotten after this.
const HALF_LIFE: Duration = Duration::from_secs(300);
/// A first lie may be a broken disk or memory: the peer may come back after this.
const LIE_ONCE: Duration = Duration::from_secs(600);
/// Two lies in a row are none.
const LIE_AGAIN: Duration = Duration::from_secs(12 * 3_600);

/// What is held against one peer.
#[derive(Debug, Clone, Copy)]
struct Record {
    score: u32,
    at: Instant,
    /// Lies since it last sent something right.
    lies: u32,
    banned_until: Option<Instant>,
}

/// What is held against everybody.
#[derive(Debug, Default)]
pub(crate) struct Penalties {
    records: Table<NodeId, Record>,
    /// When the next peer's time is over.
    next_pardon: Option<Instant>,
}

impl Penalties {
    fn record(&mut self, peer: NodeId, now: Instant) -> &mut Record {
        let full = self.records.len() >= limits::PENALTIES_MAX && !self.records.contains_key(&peer);
        if full {
            let oldest = self
                .records
                .iter()
                .min_by_key(|(id, record)| (record.banned_until.is_some(), record.at, **id));
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                self.records.remove(&oldest);
            }
        }
        let record = self.records.get_or_insert_with(peer, || Record {
            score: 0,
            at: now,
            lies: 0,
            banned_until: None,
        });
        record.score = decayed(record.score, record.at, now);
        record.at = now;
        record
    }

    /// A peer did not deliver in time.
    pub(crate) fn stalled(&mut self, peer: NodeId, now: Instant) {
        let record = self.record(peer, now);
        record.score = record.score.saturating_add(STALL);
    }

    /// A peer sent bytes that do not verify. False if its relation had ended before.
    pub(crate) fn lied(&mut self, peer: NodeId, now: Instant) -> bool {
        let record = self.record(peer, now);
        record.lies = record.lies.saturating_add(1);
        let ban = if record.lies > 1 { LIE_AGAIN } else { LIE_ONCE };
        let until = now + ban;
        let before = record.banned_until.replace(until);
        self.next_pardon = self.find_next_pardon();
        before.is_none()
    }

    /// A peer sent something right.
    pub(crate) fn delivered(&mut self, peer: &NodeId) {
        if let Some(record) = self.records.get_mut(peer)
            && record.banned_until.is_none()
        {
            record.lies = 0;
        }
    }

    /// How much is held against a peer.
    pub(crate) fn of(&self, peer: &NodeId, now: Instant) -> u32 {
        let record = self.records.get(peer);
        record.map_or(0, |record| decayed(record.score, record.at, now))
    }

    /// Whether the relation to a peer has ended for now.
    pub(crate) fn is_banned(&self, peer: &NodeId) -> bool {
        let record = self.records.get(peer);
        record.is_some_and(|record| record.banned_until.is_some())
    }

    /// Peers whose time is over.
    pub(crate) fn pardon(&mut self, now: Instant) -> Vec<NodeId> {
        let mut pardoned = Vec::new();
        if self.next_pardon.is_none_or(|at| at > now) {
            return pardoned;
        }
        for (peer, record) in self.records.iter_mut() {
            if record.banned_until.is_some_and(|until| until <= now) {
                record.banned_until = None;
                pardoned.push(*peer);
            }
        }
        self.next_pardon = self.find_next_pardon();
        pardoned
    }

    /// When the next peer's time is over.
    pub(crate) fn next_pardon(&self) -> Option<Instant> {
        self.next_pardon
    }

    fn find_next_pardon(&self) -> Option<Instant> {
        self.records
            .values()
            .filter_map(|record| record.banned_until)
            .min()
    }
}

/// A score after the time between has halved it.
fn decayed(score: u32, at: Instant, now: Instant) -> u32 {
    let halvings = now.since(at).as_secs() / HALF_LIFE.as_secs();
    score
        .checked_shr(u32::try_from(halvings).unwrap_or(u32::MAX))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: NodeId = NodeId::new([1; 32]);

    #[test]
    fn stalls_are_forgotten_by_half() {
        let mut penalties = Penalties::default();
        penalties.stalled(PEER, Instant(0));
        penalties.stalled(PEER, Instant(0));
        let of = |secs: u64| penalties.of(&PEER, Instant(secs * 1_000));
        assert_eq!(
            [of(0), of(299), of(300), of(900), of(9_000)],
            [16, 16, 8, 2, 0]
        );
    }

    #[test]
    fn one_lie_costs_minutes_and_two_in_a_row_half_a_day() {
        let mut penalties = Penalties::default();
        assert!(penalties.lied(PEER, Instant(0)));
        assert!(penalties.is_banned(&PEER));
        assert_eq!(penalties.next_pardon(), Some(Instant(600_000)));
        assert_eq!(penalties.pardon(Instant(600_000)), [PEER]);
        assert!(!penalties.is_banned(&PEER));
        assert!(penalties.lied(PEER, Instant(700_000)));
        assert_eq!(penalties.pardon(Instant(700_000 + 12 * 3_600_000 - 1)), []);
        assert_eq!(penalties.pardon(Instant(700_000 + 12 * 3_600_000)), [PEER]);
    }

    #[test]
    fn what_is_right_in_between_makes_a_lie_the_first_one_again() {
        let mut penalties = Penalties::default();
        penalties.lied(PEER, Instant(0));
        penalties.pardon(Instant(600_000));
        penalties.delivered(&PEER);
        penalties.lied(PEER, Instant(700_000));
        assert_eq!(penalties.next_pardon(), Some(Instant(1_300_000)));
    }

    #[test]
    fn memory_of_faults_is_bounded_and_keeps_bans() {
        let mut penalties = Penalties::default();
        penalties.lied(PEER, Instant(0));
        for n in 0..u32::try_from(limits::PENALTIES_MAX).unwrap() + 50 {
            let mut id = [2; 32];
            id[..4].copy_from_slice(&n.to_be_bytes());
            penalties.stalled(NodeId::new(id), Instant(1));
        }
        assert_eq!(penalties.records.len(), limits::PENALTIES_MAX);
        assert!(penalties.is_banned(&PEER));
    }
}
