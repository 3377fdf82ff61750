//! Making known what is here: records in the DHT and announcements by gossip.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Output, Service, pending::Purpose};
use crate::{discovery, id::RepositoryId, limits, time::Instant, wire};

/// When each seeded repository's record goes into the DHT again.
#[derive(Debug, Default)]
pub(crate) struct Seeding {
    due: BTreeMap<RepositoryId, Instant>,
    in_flight: BTreeSet<RepositoryId>,
    put: BTreeMap<RepositoryId, Instant>,
    /// Puts since there was something new to put, or nobody near.
    rounds: BTreeMap<RepositoryId, usize>,
    /// When the newest head became known here; young news is repeated to new peers.
    news: BTreeMap<RepositoryId, Instant>,
}

/// The first puts are repeated after these, because a young node knows few others and a put may reach nobody.
const PUT_REPEATS: [Duration; 3] = [
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(600),
];
/// Records are put again this often, several times within what DHT nodes keep them.
const PUT_INTERVAL: Duration = Duration::from_secs(3_600);
/// A put while peers are still arriving waits a moment for more of them.
const PUT_DEBOUNCE: Duration = Duration::from_secs(1);
/// New peers do not cause more puts of one repository than this.
const PUT_INTERVAL_MIN: Duration = Duration::from_secs(10);
/// A head is news to new peers for this long.
const NEWS_KEEP: Duration = Duration::from_secs(600);

impl Seeding {
    /// When the next put is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        (self.in_flight.len() < limits::PUTS_MAX)
            .then(|| {
                let idle = |(repository, _): &(&RepositoryId, &Instant)| {
                    !self.in_flight.contains(*repository)
                };
                self.due.iter().filter(idle).map(|(_, due)| *due).min()
            })
            .flatten()
    }
}

impl Service {
    /// Something about a repository is new: its record goes into the DHT.
    pub(super) fn put_soon(&mut self, repository: &RepositoryId) {
        if self.revisions.seeds(repository) {
            self.seeding.rounds.remove(repository);
            self.seeding
                .due
                .insert(repository.clone(), self.now.instant);
            self.put_due();
        }
    }

    /// Everything that is seeded is put, soon.
    pub(super) fn put_everything(&mut self) {
        let repositories: Vec<_> = self.facts.repositories.keys().cloned().collect();
        for repository in repositories {
            if self.revisions.seeds(&repository) {
                self.seeding.due.insert(repository, self.now.instant);
            }
        }
    }

    /// A new peer is there: what was put when nobody was near is put again.
    pub(super) fn put_again(&mut self, first: bool) {
        let now = self.now.instant;
        let repositories: Vec<_> = self.facts.repositories.keys().cloned().collect();
        for repository in repositories {
            if !self.revisions.seeds(&repository) {
                continue;
            }
            if first {
                self.seeding.rounds.remove(&repository);
            }
            let earliest = self
                .seeding
                .put
                .get(&repository)
                .filter(|_| !first)
                .map_or(now, |at| *at + PUT_INTERVAL_MIN);
            let due = earliest.max(now + PUT_DEBOUNCE);
            let planned = self.seeding.due.get(&repository).copied();
            let planned = planned.filter(|at| *at > now);
            // A peer that arrives long after the news changes little: the hourly put reaches it.
            if first || self.is_news(&repository) || planned.is_none() {
                let due = planned.map_or(due, |at| at.min(due));
                self.seeding.due.insert(repository, due);
            }
        }
    }

    /// Whether the head became known here not long ago.
    fn is_news(&self, repository: &RepositoryId) -> bool {
        let at = self.seeding.news.get(repository);
        at.is_some_and(|at| self.now.instant.since(*at) < NEWS_KEEP)
    }

    /// Puts what is due, a bounded number at a time.
    pub(super) fn put_due(&mut self) {
        let now = self.now.instant;
        if self.peers.is_empty() {
            return;
        }
        let due: Vec<RepositoryId> = self
            .seeding
            .due
            .iter()
            .filter(|(repository, at)| **at <= now && !self.seeding.in_flight.contains(*repository))
            .map(|(repository, _)| repository.clone())
            .collect();
        for repository in due {
            if self.seeding.in_flight.len() >= limits::PUTS_MAX {
                return;
            }
            self.seeding.due.remove(&repository);
            if !self.revisions.seeds(&repository) {
                self.seeding.put.remove(&repository);
                continue;
            }
            let Some(record) = self.facts.public_record(&repository, self.now.unix) else {
                continue;
            };
            let again = self.seeding.put.insert(repository.clone(), now).is_some();
            if again && self.is_news(&repository) {
                self.announce_head(&repository);
            }
            self.seeding.in_flight.insert(repository.clone());
            let purpose = Purpose::PutRecord(repository.clone());
            let request = self.pending.insert(&mut self.out, purpose);
            self.out.push(Output::PutRecord {
                request,
                key: discovery::repository_key(&repository),
                record: Box::new(record),
            });
        }
    }

    /// A put has ended; the next one is an hour away unless something happens.
    pub(super) fn put_finished(&mut self, repository: RepositoryId) {
        self.seeding.in_flight.remove(&repository);
        let round = self.seeding.rounds.entry(repository.clone()).or_default();
        let wait = match PUT_REPEATS.get(*round) {
            Some(wait) => *wait,
            None => PUT_INTERVAL + Duration::from_secs(self.rng.u64(..300)),
        };
        *round = round.saturating_add(1);
        let next = self.now.instant + wait;
        self.seeding.due.entry(repository).or_insert(next);
        self.put_due();
    }

    /// Gossips the head of a repository that this node seeds or follows.
    pub(super) fn announce_head(&mut self, repository: &RepositoryId) {
        if !self.keeps(repository) || self.facts.refusal(repository).is_some() {
            return;
        }
        if let Some(record) = self.facts.public_record(repository, self.now.unix) {
            self.seeding
                .news
                .entry(repository.clone())
                .or_insert(self.now.instant);
            let announcement = wire::Announcement::Head(Box::new(record));
            self.out.push(Output::Announce(announcement));
        }
    }

    /// A newer head makes the repository news again.
    pub(super) fn note_news(&mut self, repository: &RepositoryId) {
        self.seeding
            .news
            .insert(repository.clone(), self.now.instant);
    }

    /// Whether this node holds or mirrors something of the repository.
    pub(super) fn keeps(&self, repository: &RepositoryId) -> bool {
        self.revisions.seeds(repository) || self.mirrors.order_for(repository).is_some()
    }

    /// Whether news about the repository concerns this node.
    pub(super) fn follows(&self, repository: &RepositoryId) -> bool {
        self.facts.repositories.contains_key(repository)
            || self.mirrors.order_for(repository).is_some()
            || self.resolves.concerns(repository)
    }
}
