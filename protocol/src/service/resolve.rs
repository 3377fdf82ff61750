//! From "which revision?" to "this one, and here is its manifest".
//!
//! A resolution asks connected peers and the DHT at the same time, takes the best answer that verifies, and
//! falls back to what is held when nobody answers. A revision that is named by its id and whose manifest is
//! here needs no network at all.

mod finish;
mod heads;
mod objects;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{CommandError, CommandId, RequestId, Selector, Service};
use crate::{
    id::{BlobHash, NodeId, ObjectId, RepositoryId, RevisionId},
    limits,
    op::Pin,
    refs::RefName,
    time::Instant,
};

/// Names one resolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ResolveId(pub(crate) u64);

/// What happens once it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Goal {
    /// Whose answer it is; none for a mirror.
    pub(crate) command: Option<CommandId>,
    /// How the revision is kept; none if only its name is wanted.
    pub(crate) keep: Option<Keep>,
}

/// How a revision is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Keep {
    pub(crate) pin: Pin,
    pub(crate) seed: bool,
    /// Only what is read of it is fetched.
    pub(crate) partial: bool,
}

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    /// Looking for the newest head.
    Heads,
    /// Looking for a proof that the publisher signed this revision.
    Proof(RevisionId),
    /// Looking for an object, at first in the registry.
    Object {
        id: ObjectId,
        wanted: Wanted,
        local: bool,
    },
    /// The batch is being written.
    Committing(RevisionId),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    Refs(RefName),
    Manifest,
}

/// One resolution.
#[derive(Debug)]
pub(crate) struct Resolve {
    repository: RepositoryId,
    selector: Selector,
    goal: Goal,
    /// The command was cancelled while the wish was being written: it is not begun.
    cancelled: bool,
    stage: Stage,
    stage_started: Instant,
    /// When the first believable answer of this stage came.
    good_at: Option<Instant>,
    /// When the DHT was last asked for the record.
    record_asked: Option<Instant>,
    /// Peers asked in this stage.
    asked: BTreeSet<NodeId>,
    /// Questions of this stage that are still open.
    open: BTreeSet<RequestId>,
    answered: usize,
    /// Peers that gave good answers: the first to ask for more.
    sources: BTreeSet<NodeId>,
    /// The revision is known to be signed by the publisher.
    vouched: bool,
    /// Why something was refused, for the error message.
    rejected: Option<String>,
    /// Objects to be written.
    objects: Vec<(ObjectId, Vec<u8>)>,
    blobs: Vec<(BlobHash, u64)>,
    bytes_total: u64,
}

/// All running resolutions.
#[derive(Debug, Default)]
pub(crate) struct Resolves {
    running: BTreeMap<ResolveId, Resolve>,
    issued: u64,
}

/// After the first good answer the others get this long: a slow peer may still know a newer head.
const SETTLE: Duration = Duration::from_secs(3);
/// Nobody knew it: peers that are being dialled get this long.
const GRACE: Duration = Duration::from_secs(5);
/// An empty DHT answer is doubted this often while there is time: a node that just found its first peer knows
/// too few others yet.
const RECORD_AGAIN: Duration = Duration::from_secs(1);
/// A stage ends after this in any case.
const STAGE_MAX: Duration = Duration::from_secs(30);
/// A node that just started gets this long for its first peer.
const FIRST_PEER: Duration = Duration::from_secs(10);
/// The same when a complete copy is here and the question is only whether it is the newest.
const FIRST_PEER_HELD: Duration = Duration::from_secs(2);
/// How often running resolutions look at their clocks.
const TICK: Duration = Duration::from_millis(250);

impl Resolves {
    /// Whether a mirror already resolves the tip of a repository.
    pub(crate) fn mirrors(&self, repository: &RepositoryId) -> bool {
        self.running
            .values()
            .any(|resolve| resolve.goal.command.is_none() && resolve.repository == *repository)
    }

    /// Whether anybody waits for something of the repository.
    pub(crate) fn concerns(&self, repository: &RepositoryId) -> bool {
        self.running
            .values()
            .any(|resolve| resolve.repository == *repository)
    }

    /// Whether somebody's wish to have a revision is being written.
    pub(crate) fn is_committing(&self, revision: &RevisionId) -> bool {
        self.running
            .values()
            .any(|resolve| resolve.stage == Stage::Committing(*revision))
    }

    /// When to look at the clocks again.
    pub(crate) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        self.running
            .values()
            .any(|resolve| !matches!(resolve.stage, Stage::Committing(_)))
            .then(|| now + TICK)
    }

    /// Checks what must hold between any two calls.
    #[cfg(debug_assertions)]
    pub(crate) fn check_invariants(&self) {
        assert!(self.running.len() <= limits::RESOLVES_MAX);
    }

    fn ids(&self) -> Vec<ResolveId> {
        self.running.keys().copied().collect()
    }
}

impl Service {
    /// Begins a resolution.
    pub(super) fn resolve(&mut self, repository: RepositoryId, selector: Selector, goal: Goal) {
        if self.resolves.running.len() >= limits::RESOLVES_MAX {
            if let Some(command) = goal.command {
                let error = CommandError::Refused("too many commands are running".to_owned());
                self.reply(command, Err(error));
            }
            return;
        }
        self.resolves.issued += 1;
        let id = ResolveId(self.resolves.issued);
        let now = self.now.instant;
        let resolve = Resolve {
            repository,
            selector: selector.clone(),
            goal,
            cancelled: false,
            stage: Stage::Heads,
            stage_started: now,
            good_at: None,
            record_asked: None,
            asked: BTreeSet::new(),
            open: BTreeSet::new(),
            answered: 0,
            sources: BTreeSet::new(),
            vouched: false,
            rejected: None,
            objects: Vec::new(),
            blobs: Vec::new(),
            bytes_total: 0,
        };
        self.resolves.running.insert(id, resolve);
        match selector {
            Selector::Revision(revision) => self.want_object(id, revision, Wanted::Manifest),
            Selector::Prefix(prefix) => self.match_prefix(id, &prefix),
            Selector::Latest | Selector::Reference(_) => self.begin_heads(id),
        }
    }

    /// Ends a resolution with an error, unless it is being written down already: then that decides.
    pub(super) fn fail(&mut self, id: ResolveId, error: CommandError) {
        let stage = self.resolves.running.get(&id).map(|resolve| &resolve.stage);
        if matches!(stage, Some(Stage::Committing(_))) {
            return;
        }
        if let Some(resolve) = self.resolves.running.remove(&id) {
            match resolve.goal.command {
                Some(command) => self.reply(command, Err(error)),
                None => self.mirror_failed(&resolve.repository),
            }
        }
    }

    /// Ends the resolution of a cancelled command. Returns whether there was one.
    pub(super) fn cancel_resolve(&mut self, command: CommandId) -> bool {
        let found = self
            .resolves
            .running
            .iter()
            .find(|(_, resolve)| resolve.goal.command == Some(command))
            .map(|(id, _)| *id);
        let Some(id) = found else {
            return false;
        };
        if let Some(resolve) = self.resolves.running.get_mut(&id)
            && matches!(resolve.stage, Stage::Committing(_))
        {
            resolve.goal.command = None;
            resolve.cancelled = true;
            self.reply(command, Err(CommandError::Cancelled));
        } else {
            self.fail(id, CommandError::Cancelled);
        }
        true
    }

    /// Ends all resolutions of a mirror order that is gone.
    pub(super) fn cancel_mirror_resolves(&mut self) {
        let gone: Vec<_> = self
            .resolves
            .running
            .iter()
            .filter(|(_, resolve)| resolve.goal.command.is_none())
            .filter(|(_, resolve)| !matches!(resolve.stage, Stage::Committing(_)))
            .filter(|(_, resolve)| self.mirrors.order_for(&resolve.repository).is_none())
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            self.resolves.running.remove(&id);
        }
    }

    /// A question was asked on behalf of a resolution.
    pub(super) fn note_asked(&mut self, id: ResolveId, request: RequestId) {
        if let Some(resolve) = self.resolves.running.get_mut(&id) {
            resolve.open.insert(request);
        }
    }

    /// Something was refused on the way; it is the error if nothing better comes.
    pub(super) fn note_rejection(&mut self, id: ResolveId, reason: &str) {
        if let Some(resolve) = self.resolves.running.get_mut(&id) {
            resolve.rejected = Some(reason.to_owned());
        }
    }

    /// A question of a resolution was answered.
    pub(super) fn note_answer(
        &mut self,
        id: ResolveId,
        request: RequestId,
        good: bool,
        peer: Option<NodeId>,
    ) {
        if let Some(resolve) = self.resolves.running.get_mut(&id) {
            resolve.open.remove(&request);
            if good {
                resolve.good_at.get_or_insert(self.now.instant);
                resolve.sources.extend(peer);
            }
            self.advance(id);
        }
    }

    /// Counts a peer that gave an answer, good or not.
    pub(super) fn note_heard(&mut self, id: ResolveId) {
        if let Some(resolve) = self.resolves.running.get_mut(&id) {
            resolve.answered += 1;
        }
    }

    /// Looks at all resolutions again: time passed, a peer came, a repository froze.
    pub(super) fn advance_resolves(&mut self) {
        for id in self.resolves.ids() {
            self.advance(id);
        }
    }

    fn advance(&mut self, id: ResolveId) {
        let Some(resolve) = self.resolves.running.get(&id) else {
            return;
        };
        match &resolve.stage {
            Stage::Heads => self.advance_heads(id),
            Stage::Proof(revision) => self.advance_proof(id, *revision),
            Stage::Object { local: false, .. } => self.advance_object(id),
            Stage::Object { local: true, .. } | Stage::Committing(_) => {}
        }
    }

    fn enter(&mut self, id: ResolveId, stage: Stage) {
        if let Some(resolve) = self.resolves.running.get_mut(&id) {
            resolve.stage = stage;
            resolve.stage_started = self.now.instant;
            resolve.good_at = None;
            resolve.record_asked = None;
            resolve.asked.clear();
            resolve.open.clear();
        }
    }

    /// Whether a stage that found nothing must end, and how.
    fn gave_up(&self, resolve: &Resolve, what: impl FnOnce() -> String) -> Option<CommandError> {
        let now = self.now.instant;
        let waited = now.since(resolve.stage_started);
        if self.peers.is_empty() && resolve.answered == 0 {
            let first = if self.holds_something(&resolve.repository) {
                FIRST_PEER_HELD
            } else {
                FIRST_PEER
            };
            return (now.since(self.booted) >= first && waited >= FIRST_PEER_HELD)
                .then_some(CommandError::Offline);
        }
        if waited >= STAGE_MAX || (resolve.open.is_empty() && waited >= GRACE) {
            return Some(resolve.rejected.clone().map_or_else(
                || CommandError::NotFound {
                    what: what(),
                    asked: resolve.answered,
                },
                CommandError::Verification,
            ));
        }
        None
    }

    fn holds_something(&self, repository: &RepositoryId) -> bool {
        self.revisions.of_repository(repository).next().is_some()
    }
}
