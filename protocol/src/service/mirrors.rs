//! Standing orders: follow heads, fetch what they name, stay inside the quota.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Selector, Service,
    pending::{Ask, Sought},
    resolve::{Goal, Keep},
};
use crate::{
    id::{NodeId, PublisherId, RepositoryId, RepositoryName, RevisionId},
    limits,
    op::{MirrorRecord, MirrorScope, Pin, RevisionState, Snapshot},
    time::Instant,
    wire,
};

/// All orders.
#[derive(Debug, Default)]
pub(crate) struct Mirrors {
    orders: BTreeMap<MirrorScope, MirrorRecord>,
    poll: BTreeMap<MirrorScope, Instant>,
    /// Repositories whose last attempt failed, and when to try again.
    retry: BTreeMap<RepositoryId, Instant>,
    /// Revisions that do not fit, told once each, and their sizes in bytes.
    too_large: BTreeMap<RevisionId, u64>,
}

/// How often followed repositories are asked about; gossip is faster, this is for what it missed.
const POLL: Duration = Duration::from_secs(120);
/// A fetch that failed is tried again after this.
const RETRY: Duration = Duration::from_secs(30);

impl Mirrors {
    /// Takes in what the registry holds.
    pub(crate) fn new(snapshot: &Snapshot, now: Instant) -> Self {
        let orders: BTreeMap<_, _> = snapshot
            .mirrors
            .iter()
            .map(|record| (record.scope.clone(), record.clone()))
            .collect();
        Self {
            poll: orders.keys().map(|scope| (scope.clone(), now)).collect(),
            orders,
            ..Self::default()
        }
    }

    /// The order that covers a repository; its own one before its publisher's.
    pub(crate) fn order_for(&self, repository: &RepositoryId) -> Option<&MirrorRecord> {
        let own = MirrorScope::Repository(repository.clone());
        let publisher = MirrorScope::Publisher(repository.publisher);
        self.orders
            .get(&own)
            .or_else(|| self.orders.get(&publisher))
    }

    /// A revision does not fit; true the first time.
    pub(crate) fn note_too_large(&mut self, revision: RevisionId, bytes: u64) -> bool {
        self.too_large.insert(revision, bytes).is_none()
    }

    /// All orders.
    pub(crate) fn orders(&self) -> impl Iterator<Item = &MirrorRecord> {
        self.orders.values()
    }

    /// When something is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.poll.values().chain(self.retry.values()).copied().min()
    }
}

impl Service {
    /// An order became durable.
    pub(super) fn mirror_ordered(&mut self, record: MirrorRecord) {
        let scope = record.scope.clone();
        self.mirrors.orders.insert(scope.clone(), record);
        self.mirrors.too_large.clear();
        self.poll_mirror(&scope);
    }

    /// An order's end became durable.
    pub(super) fn mirror_ended(&mut self, scope: &MirrorScope) {
        self.mirrors.orders.remove(scope);
        self.mirrors.poll.remove(scope);
        self.cancel_mirror_resolves();
    }

    /// Whether an order with this scope stands.
    pub(super) fn is_mirrored(&self, scope: &MirrorScope) -> bool {
        self.mirrors.orders.contains_key(scope)
    }

    /// Asks what is due to be asked, and tries again what failed.
    pub(super) fn run_mirrors(&mut self) {
        let now = self.now.instant;
        let due: Vec<MirrorScope> = self
            .mirrors
            .poll
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(scope, _)| scope.clone())
            .collect();
        for scope in due {
            self.poll_mirror(&scope);
        }
        let again: Vec<RepositoryId> = self
            .mirrors
            .retry
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(repository, _)| repository.clone())
            .collect();
        for repository in again {
            self.mirrors.retry.remove(&repository);
            self.follow_head(&repository);
        }
    }

    fn poll_mirror(&mut self, scope: &MirrorScope) {
        let jitter = Duration::from_secs(self.rng.u64(..30));
        let next = self.now.instant + POLL + jitter;
        self.mirrors.poll.insert(scope.clone(), next);
        let publisher = match scope {
            MirrorScope::Publisher(publisher) => *publisher,
            MirrorScope::Repository(repository) => repository.publisher,
        };
        self.search(Sought::Publisher(publisher));
        // Others each time, so that everybody is asked sooner or later.
        let most = limits::PEERS_PER_QUESTION_MAX;
        for peer in self.rng.choose_multiple(self.peers.ids(), most) {
            self.ask_for_mirror(scope, peer);
        }
        let mut repositories = self.repositories_in(scope);
        for repository in &repositories {
            self.follow_head(repository);
            self.sync_leaves(repository, None);
        }
        self.rng.shuffle(&mut repositories);
        for repository in repositories.iter().take(limits::RECORDS_PER_POLL_MAX) {
            self.find_record(repository, None);
        }
    }

    /// A new peer may know more.
    pub(super) fn mirror_peer(&mut self, peer: NodeId) {
        let scopes: Vec<_> = self.mirrors.orders.keys().cloned().collect();
        for scope in scopes {
            self.ask_for_mirror(&scope, peer);
        }
    }

    fn ask_for_mirror(&mut self, scope: &MirrorScope, peer: NodeId) {
        if let MirrorScope::Publisher(publisher) = scope {
            self.ask_publisher(peer, *publisher, None, 0);
        }
        let mut repositories = self.repositories_in(scope);
        self.rng.shuffle(&mut repositories);
        for repository in repositories
            .into_iter()
            .take(limits::REPOSITORIES_PER_PEER_MAX)
        {
            self.ask_repository(peer, repository);
        }
    }

    fn repositories_in(&self, scope: &MirrorScope) -> Vec<RepositoryId> {
        match scope {
            MirrorScope::Publisher(publisher) => {
                self.facts.of_publisher(*publisher).cloned().collect()
            }
            MirrorScope::Repository(repository) => vec![repository.clone()],
        }
    }

    fn ask_publisher(
        &mut self,
        peer: NodeId,
        publisher: PublisherId,
        after: Option<RepositoryName>,
        page: usize,
    ) {
        let message = wire::Request::Publisher {
            publisher,
            after: after.clone(),
        };
        let ask = Ask::Publisher {
            publisher,
            after,
            page,
        };
        self.ask(peer, message, ask);
    }

    /// Asks a peer for the newest head it knows.
    pub(super) fn ask_repository(&mut self, peer: NodeId, repository: RepositoryId) {
        let held = self.facts.repositories.get(&repository);
        let message = wire::Request::Repository {
            repository: repository.clone(),
            have: held.map(|held| held.tip.head.index),
        };
        let ask = Ask::Repository {
            repository,
            resolve: None,
            extension: false,
        };
        self.ask(peer, message, ask);
    }

    /// A peer told which repositories it knows of a mirrored publisher.
    pub(super) fn names_received(
        &mut self,
        peer: NodeId,
        publisher: PublisherId,
        asked: (Option<RepositoryName>, usize),
        mut names: Vec<RepositoryName>,
    ) {
        let (after, page) = asked;
        let goes_on = after
            .iter()
            .chain(&names)
            .is_sorted_by(|before, name| before < name);
        if !self.is_mirrored(&MirrorScope::Publisher(publisher)) || !goes_on {
            return;
        }
        let pages = limits::REPOSITORIES_PER_PUBLISHER_MAX / limits::NAMES_PER_RESPONSE_MAX;
        let next = page.saturating_add(1);
        if names.len() >= limits::NAMES_PER_RESPONSE_MAX && next < pages {
            self.ask_publisher(peer, publisher, names.last().cloned(), next);
        }
        // Not all may fit what one peer is asked at a time: others each time.
        self.rng.shuffle(&mut names);
        let mut known = self.facts.of_publisher(publisher).count();
        for name in names.into_iter().take(limits::NAMES_PER_RESPONSE_MAX) {
            let repository = RepositoryId { publisher, name };
            if self.facts.repositories.contains_key(&repository) {
                continue;
            }
            known += 1;
            if known > limits::REPOSITORIES_PER_PUBLISHER_MAX {
                return;
            }
            self.ask_repository(peer, repository);
        }
    }

    /// Fetches the tip of a followed repository unless it is here or on its way.
    pub(super) fn follow_head(&mut self, repository: &RepositoryId) {
        let Some(order) = self.mirrors.order_for(repository) else {
            return;
        };
        let waits = self.mirrors.retry.contains_key(repository);
        if waits || self.facts.refusal(repository).is_some() {
            return;
        }
        let Some(held) = self.facts.repositories.get(repository) else {
            return;
        };
        let tip = held.tip.head.manifest;
        let kept = self.revisions.get(&tip).is_some_and(|held| {
            let record = &held.latest;
            let here = record.state == RevisionState::Complete || self.swarm.is_running(&tip);
            record.pin >= Pin::Mirror && record.seed && here
        });
        let refused = self
            .mirrors
            .too_large
            .get(&tip)
            .is_some_and(|bytes| self.victims_in_mirror(order, repository, *bytes).is_none());
        if kept || refused || self.resolves.mirrors(repository) {
            return;
        }
        let keep = Keep {
            partial: false,
            pin: Pin::Mirror,
            seed: true,
        };
        let goal = Goal {
            command: None,
            keep: Some(keep),
        };
        self.resolve(repository.clone(), Selector::Revision(tip), goal);
    }

    /// What a mirror wanted could not be had: again later.
    pub(super) fn mirror_failed(&mut self, repository: &RepositoryId) {
        let at = self.now.instant + RETRY;
        if self.mirrors.order_for(repository).is_some() {
            self.mirrors.retry.insert(repository.clone(), at);
        }
    }
}
