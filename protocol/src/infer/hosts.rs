//! Whom a node computes for, and whom it asks.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Refusal, peer::Load};
use crate::{
    id::NodeId,
    limits,
    time::{Instant, Timestamp},
};

/// Whose questions are answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Audience {
    /// Anybody's, within what strangers may.
    Everyone,
    /// Of nodes that serve in the name of a publisher that is mirrored here (its identity's serving keys).
    Follows,
    /// Of these nodes.
    Nodes(BTreeSet<NodeId>),
}

impl Audience {
    /// Whether a node's questions are answered. `follows` are the nodes of publishers that are mirrored here.
    pub fn admits(&self, asker: &NodeId, follows: &BTreeSet<NodeId>) -> bool {
        match self {
            Self::Everyone => true,
            Self::Follows => follows.contains(asker),
            Self::Nodes(nodes) => nodes.contains(asker),
        }
    }

    /// Whether a node that is admitted was named, or is as good as any stranger.
    pub fn names(&self, asker: &NodeId) -> bool {
        matches!(self, Self::Nodes(nodes) if nodes.contains(asker))
    }
}

/// What is known of one host.
#[derive(Debug, Clone, Copy)]
struct Facts {
    /// Smoothed time from a question to its first answer, in milliseconds.
    latency: Option<u64>,
    load: Load,
    /// Failures, forgotten by half each [`HALF_LIFE`].
    failures: u32,
    /// Answers without a right receipt, less those with one.
    owed: u32,
    at: Instant,
    /// Not asked before then, because a receipt of it did not hold.
    shunned_until: Option<Timestamp>,
    /// How often one did not.
    faults: u32,
}

/// What is known of hosts, and in which order they are asked.
#[derive(Debug, Default)]
pub struct Hosts(BTreeMap<NodeId, Facts>);

/// Half of what failed is forgotten after this.
const HALF_LIFE: Duration = Duration::from_secs(300);
/// A receipt that does not hold may come from broken memory: the host may be asked again after this, and after twice as
/// long the next time.
const SHUN: Duration = Duration::from_secs(24 * 3_600);
/// The longest that one is not asked.
const SHUN_DOUBLINGS_MAX: u32 = 6;
/// What a host of which nothing is known is taken to need, in milliseconds: it is tried before a slow one.
const LATENCY_UNKNOWN: u64 = 300;
/// Each question that waits before ours costs about as much as an answer takes.
const WAIT: u64 = 2_000;
/// Each failure counts as this many milliseconds.
const FAILURE: u64 = 10_000;

impl Hosts {
    fn facts(&mut self, host: NodeId, now: Instant) -> &mut Facts {
        if self.0.len() >= limits::HOSTS_KNOWN_MAX && !self.0.contains_key(&host) {
            let worst = |facts: &Facts| (facts.shunned_until.is_some(), facts.owed > 0);
            let oldest = self.0.iter().min_by_key(|(_, f)| (worst(f), f.at));
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                self.0.remove(&oldest);
            }
        }
        let facts = self.0.entry(host).or_insert_with(|| Facts {
            latency: None,
            load: Load::default(),
            failures: 0,
            owed: 0,
            at: now,
            shunned_until: None,
            faults: 0,
        });
        facts.failures = decayed(facts.failures, facts.at, now);
        facts.at = now;
        facts
    }

    /// A host told its load after so long.
    pub fn answered(&mut self, host: NodeId, load: Load, latency: Duration, now: Instant) {
        let facts = self.facts(host, now);
        let millis = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
        let smooth = |old: u64| old.saturating_mul(3).saturating_add(millis) / 4;
        facts.latency = Some(facts.latency.map_or(millis, smooth));
        facts.load = load;
    }

    /// A host could not be reached, or left an answer unfinished.
    pub fn failed(&mut self, host: NodeId, now: Instant) {
        let facts = self.facts(host, now);
        facts.failures = facts.failures.saturating_add(1).min(limits::FAILURES_MAX);
    }

    /// A host finished an answer that needs no receipt.
    pub fn delivered(&mut self, host: NodeId, now: Instant) {
        self.facts(host, now).failures = 0;
    }

    /// A host finished an answer, and signed it.
    pub fn signed(&mut self, host: NodeId, now: Instant) {
        let facts = self.facts(host, now);
        facts.failures = 0;
        facts.owed = facts.owed.saturating_sub(1);
    }

    /// A host finished an answer, and signed nothing or something else. Time does not make up for that: who could
    /// wait for it to be forgotten would sign only what is true.
    pub fn withheld(&mut self, host: NodeId, now: Instant) {
        let facts = self.facts(host, now);
        facts.owed = facts.owed.saturating_add(1).min(limits::FAILURES_MAX);
    }

    /// Whether a host is asked after all that owe nothing.
    pub fn owes(&self, host: &NodeId) -> bool {
        self.0.get(host).is_some_and(|facts| facts.owed > 0)
    }

    /// A receipt of a host did not hold, as was found at `found`.
    pub fn shun(&mut self, host: NodeId, found: Timestamp, now: Instant) {
        let facts = self.facts(host, now);
        let times = 1_u32 << facts.faults.min(SHUN_DOUBLINGS_MAX);
        facts.faults = facts.faults.saturating_add(1);
        let until = found.plus(SHUN.saturating_mul(times));
        facts.shunned_until = facts.shunned_until.max(Some(until));
    }

    /// Whether a host is not asked for now.
    pub fn is_shunned(&self, host: &NodeId, today: Timestamp) -> bool {
        let until = self.0.get(host).and_then(|facts| facts.shunned_until);
        until.is_some_and(|until| until > today)
    }

    /// Those of `candidates` that may be asked, the best first: who owes no receipt, answers soon, has little to do, and
    /// did not fail lately.
    pub fn order(
        &self,
        candidates: impl IntoIterator<Item = NodeId>,
        now: Instant,
        today: Timestamp,
    ) -> Vec<NodeId> {
        let owed = |host: &NodeId| self.0.get(host).map_or(0, |facts| facts.owed);
        let mut order: Vec<(u32, u64, NodeId)> = candidates
            .into_iter()
            .filter(|host| !self.is_shunned(host, today))
            .map(|host| (owed(&host), self.cost(&host, now), host))
            .collect();
        order.sort_unstable();
        order.dedup();
        order.into_iter().map(|(_, _, host)| host).collect()
    }

    fn cost(&self, host: &NodeId, now: Instant) -> u64 {
        let Some(facts) = self.0.get(host) else {
            return LATENCY_UNKNOWN;
        };
        let load = u64::from(facts.load.waiting).saturating_mul(WAIT);
        let failures = u64::from(decayed(facts.failures, facts.at, now));
        facts
            .latency
            .unwrap_or(LATENCY_UNKNOWN)
            .saturating_add(load)
            .saturating_add(failures.saturating_mul(FAILURE))
    }
}

fn decayed(count: u32, since: Instant, now: Instant) -> u32 {
    let halves = now.since(since).as_secs() / HALF_LIFE.as_secs();
    u32::try_from(halves)
        .ok()
        .and_then(|halves| count.checked_shr(halves))
        .unwrap_or(0)
}

/// Whether another host may do better with a job that this one refused.
pub const fn is_hosts_fault(refusal: &Refusal) -> bool {
    match refusal {
        Refusal::Busy { .. }
        | Refusal::Broken(_)
        | Refusal::NotFound(_)
        | Refusal::Forbidden(_)
        | Refusal::Failed(_)
        // Hosts differ in how long a prompt they take from a stranger.
        | Refusal::TooLong { .. } => true,
        Refusal::Invalid(_) | Refusal::Unsupported(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(n: u8) -> NodeId {
        NodeId::new([n; 32])
    }
    fn at(seconds: u64) -> Instant {
        Instant(seconds * 1_000)
    }
    const TODAY: Timestamp = Timestamp(1_000_000);
    fn load(waiting: u32) -> Load {
        Load {
            running: 1,
            waiting,
            tokens_max: 4_096,
        }
    }

    #[test]
    fn an_audience_admits_whom_it_names() {
        let follows = BTreeSet::from([node(2)]);
        let nodes = Audience::Nodes(BTreeSet::from([node(3)]));
        let admitted = |audience: &Audience| [1, 2, 3].map(|n| audience.admits(&node(n), &follows));
        assert_eq!(admitted(&Audience::Everyone), [true; 3]);
        assert_eq!(admitted(&Audience::Follows), [false, true, false]);
        assert_eq!(admitted(&nodes), [false, false, true]);
        assert!(nodes.names(&node(3)) && !Audience::Everyone.names(&node(3)));
    }

    #[test]
    fn quick_and_idle_hosts_come_first_and_failed_ones_last() {
        let mut hosts = Hosts::default();
        hosts.answered(node(1), load(0), Duration::from_millis(900), at(0));
        hosts.answered(node(2), load(0), Duration::from_millis(20), at(0));
        hosts.answered(node(3), load(4), Duration::from_millis(10), at(0));
        let order = |hosts: &Hosts, now| hosts.order((1..=4).map(node), now, TODAY);
        assert_eq!(order(&hosts, at(0)), [2, 4, 1, 3].map(node));
        hosts.failed(node(2), at(1));
        assert_eq!(order(&hosts, at(1)), [4, 1, 3, 2].map(node));
        assert_eq!(order(&hosts, at(1_000))[0], node(2), "it is forgotten");
        hosts.delivered(node(2), at(2));
        assert_eq!(order(&hosts, at(2))[0], node(2));
    }

    #[test]
    fn who_owes_a_receipt_is_asked_after_the_slowest_until_it_signs_again() {
        let mut hosts = Hosts::default();
        hosts.answered(node(1), load(0), Duration::from_millis(1), at(0));
        hosts.answered(node(2), load(9), Duration::from_secs(9), at(0));
        hosts.failed(node(2), at(0));
        let first = |hosts: &Hosts, now| hosts.order([1, 2].map(node), now, TODAY)[0];
        assert_eq!(first(&hosts, at(1)), node(1));
        hosts.withheld(node(1), at(1));
        // Neither an answer that needs no receipt nor a day makes up for it.
        hosts.delivered(node(1), at(2));
        for now in [at(2), at(86_400)] {
            assert_eq!(first(&hosts, now), node(2));
            assert!(hosts.owes(&node(1)) && !hosts.owes(&node(2)));
        }
        hosts.signed(node(1), at(86_401));
        assert!(!hosts.owes(&node(1)));
        assert_eq!(first(&hosts, at(86_401)), node(1));
    }

    #[test]
    fn who_signed_what_does_not_hold_is_not_asked_for_a_day_then_two() {
        let mut hosts = Hosts::default();
        hosts.shun(node(1), TODAY, at(0));
        assert_eq!(hosts.order([node(1), node(2)], at(0), TODAY), [node(2)]);
        let day = Timestamp(TODAY.0 + 86_400);
        assert!(!hosts.is_shunned(&node(1), day));
        hosts.shun(node(1), day, at(0));
        let two = Timestamp(day.0 + 2 * 86_400);
        assert!(hosts.is_shunned(&node(1), Timestamp(two.0 - 1)));
        assert!(!hosts.is_shunned(&node(1), two));
    }

    #[test]
    fn strangers_that_fail_make_nobody_forget_who_lied_or_owes() {
        let mut hosts = Hosts::default();
        hosts.shun(node(0), TODAY, at(0));
        hosts.withheld(node(9), at(0));
        for n in 0..2 * limits::HOSTS_KNOWN_MAX {
            let mut bytes = [1; 32];
            bytes[..8].copy_from_slice(&n.to_be_bytes());
            hosts.failed(NodeId::new(bytes), at(1));
        }
        assert_eq!(hosts.0.len(), limits::HOSTS_KNOWN_MAX);
        assert!(hosts.is_shunned(&node(0), TODAY));
        assert!(hosts.owes(&node(9)));
    }
}
