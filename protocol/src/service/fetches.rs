//! Commands that wait for a download, and what the service does around a download.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    CommandError, CommandId, Event, Fetched, Outcome, Resolved, Service, StorageError,
    pending::{After, Sought},
};
use crate::{
    id::{NodeId, RevisionId},
    op::RevisionState,
    swarm::News,
    time::Instant,
};

/// A command that waits for a revision.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub(crate) command: CommandId,
    pub(crate) resolved: Resolved,
    /// Since when.
    pub(crate) since: Instant,
    /// It waits for what is read of the revision, not for all of it.
    pub(crate) partial: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Fetches {
    waiting: BTreeMap<RevisionId, Vec<Waiter>>,
    /// Downloads whose completion is being written.
    completing: BTreeSet<RevisionId>,
    /// Downloads that the last run left behind: they go on whether a command waits for them or not.
    resumed: BTreeSet<RevisionId>,
}

/// No progress and nobody who has what is missing for this long ends the commands that wait; the download
/// itself goes on.
const NO_PROVIDERS_AFTER: Duration = Duration::from_secs(30);

impl Fetches {
    /// Lets a command wait for a revision.
    pub(crate) fn wait(&mut self, revision: RevisionId, waiter: Waiter) {
        self.waiting.entry(revision).or_default().push(waiter);
    }

    /// A download of the last run goes on.
    pub(crate) fn resume(&mut self, revision: RevisionId) {
        self.resumed.insert(revision);
    }

    /// Whether those who wait for a revision only want what is read of it.
    fn reads_only(&self, revision: &RevisionId) -> bool {
        let waiters = self.waiting.get(revision);
        let partial = |waiters: &Vec<Waiter>| waiters.iter().all(|waiter| waiter.partial);
        waiters.is_some_and(partial) && !self.resumed.contains(revision)
    }

    /// Commands that wait for a revision.
    pub(crate) fn commands(&self, revision: &RevisionId) -> Vec<CommandId> {
        let waiters = self.waiting.get(revision).into_iter().flatten();
        waiters.map(|waiter| waiter.command).collect()
    }
}

impl Service {
    /// Starts the download of a revision whose record is durable.
    pub(super) fn start_download(&mut self, revision: RevisionId, sources: BTreeSet<NodeId>) {
        let Some(held) = self.revisions.get(&revision) else {
            return;
        };
        let blobs = held.blobs.clone();
        let mut hints = self.searches.found(&Sought::Revision(revision));
        hints.extend(sources);
        hints.remove(&self.params.node);
        let relatives = self.relatives(&revision);
        self.swarm(|swarm, ctx| swarm.start(revision, &blobs, hints, relatives, ctx));
        self.search(Sought::Revision(revision));
        let over = !self.searches.is_searching(&Sought::Revision(revision))
            && self.is_settled(&Sought::Revision(revision));
        self.swarm(|swarm, ctx| swarm.hint(&revision, [], over, ctx));
        self.set_scope(&revision);
        self.exchange_peers(revision);
    }

    /// Whether a mirror order wants a revision.
    fn is_ordered(&self, revision: &RevisionId) -> bool {
        self.revisions
            .get(revision)
            .is_some_and(|held| self.mirrors.order_for(&held.latest.repository).is_some())
    }

    /// Fetches all of a revision, or only what is read of it.
    fn set_scope(&mut self, revision: &RevisionId) {
        let partial = self.fetches.reads_only(revision) && !self.is_ordered(revision);
        self.swarm(|swarm, ctx| swarm.set_partial(revision, partial, ctx));
    }

    /// Takes in what the swarm reported.
    pub(super) fn hear_swarm(&mut self) {
        for news in self.swarm.take_news() {
            match news {
                News::Complete(revision) => self.downloaded(revision),
                News::Starves(revision) => self.search_again(Sought::Revision(revision)),
                News::StorageFailed(revisions, error) => {
                    for revision in revisions {
                        self.fail_waiters(&revision, |_| error.clone().into());
                    }
                }
            }
        }
    }

    /// Every blob is here: writes that down first.
    fn downloaded(&mut self, revision: RevisionId) {
        let held = self.revisions.get(&revision).filter(|held| !held.leaving);
        let Some(held) = held else {
            self.swarm.take_finished(&revision);
            return;
        };
        if !self.fetches.completing.insert(revision) {
            return;
        }
        let mut record = held.latest.clone();
        record.state = RevisionState::Complete;
        let op = self.revisions.stage(record, Vec::new);
        self.commit(vec![op], After::Completed(revision));
    }

    /// The completion is written, or not.
    pub(super) fn completed(&mut self, revision: RevisionId, result: Result<(), StorageError>) {
        self.fetches.completing.remove(&revision);
        if let Err(error) = result {
            self.revisions.failed(&revision);
            self.fail_waiters(&revision, |_| error.clone().into());
            self.swarm.take_finished(&revision);
            return;
        }
        self.revisions.committed(&revision);
        self.revisions.tell(&mut self.out);
        let progress = self.swarm.progress(&revision);
        self.swarm.take_finished(&revision);
        let (Some(held), Some(progress)) = (self.revisions.get(&revision), progress) else {
            return;
        };
        let repository = held.latest.repository.clone();
        self.out.event(Event::RevisionComplete {
            repository: repository.clone(),
            revision,
        });
        for waiter in self.fetches.waiting.remove(&revision).unwrap_or_default() {
            // The head, or how sure it is, may have become known meanwhile.
            let held = self.facts.repositories.get(&repository);
            let index = held.map_or(waiter.resolved.index, |held| held.tip.head.index);
            let freshness = self.facts.freshness(&repository, self.now.unix);
            let fetched = Fetched {
                resolved: Resolved {
                    index,
                    freshness,
                    ..waiter.resolved
                },
                bytes_total: progress.bytes_total,
                bytes_fetched: progress.bytes_fetched,
                bytes_reused: progress.bytes_reused,
                sources: progress.sources.clone(),
            };
            self.reply(waiter.command, Ok(Outcome::Fetched(fetched)));
        }
        self.put_soon(&repository);
        self.sync_leaves(&repository, None);
    }

    /// Ends every command that waits for a revision.
    pub(super) fn fail_waiters(
        &mut self,
        revision: &RevisionId,
        error: impl Fn(&Waiter) -> CommandError,
    ) {
        self.fail_some_waiters(revision, |_| true, error);
    }

    /// Ends those commands that wait for a revision of which a condition holds.
    fn fail_some_waiters(
        &mut self,
        revision: &RevisionId,
        which: impl Fn(&Waiter) -> bool,
        error: impl Fn(&Waiter) -> CommandError,
    ) {
        let waiters = self.fetches.waiting.remove(revision).unwrap_or_default();
        let (over, waiting): (Vec<_>, Vec<_>) = waiters.into_iter().partition(which);
        if !waiting.is_empty() {
            self.fetches.waiting.insert(*revision, waiting);
        }
        for waiter in over {
            let error = error(&waiter);
            self.reply(waiter.command, Err(error));
        }
    }

    /// Ends one waiting command. If nobody else wants the download, it rests until somebody asks again or the
    /// node restarts; what is here stays.
    pub(super) fn cancel_fetch(&mut self, command: CommandId) -> bool {
        let waits = |waiters: &Vec<Waiter>| waiters.iter().any(|waiter| waiter.command == command);
        let found = self
            .fetches
            .waiting
            .iter()
            .find(|(_, waiters)| waits(waiters));
        let Some(revision) = found.map(|(revision, _)| *revision) else {
            return false;
        };
        let waiters = self.fetches.waiting.entry(revision).or_default();
        let mut read = false;
        waiters.retain(|waiter| {
            read |= waiter.command == command && waiter.partial;
            waiter.command != command
        });
        if waiters.is_empty() {
            self.fetches.waiting.remove(&revision);
            let goes_on = read && self.fetches.resumed.contains(&revision);
            if !goes_on && !self.is_ordered(&revision) {
                self.swarm(|swarm, ctx| swarm.stop(&revision, ctx));
            }
        }
        self.set_scope(&revision);
        self.reply(command, Err(CommandError::Cancelled));
        true
    }

    /// Ends commands whose download found nobody for too long.
    pub(super) fn end_starving(&mut self) {
        let now = self.now.instant;
        let revisions: Vec<RevisionId> = self.fetches.waiting.keys().copied().collect();
        for revision in revisions {
            if self.fetches.reads_only(&revision) {
                // Who reads has a patience of their own.
                continue;
            }
            let Some(activity) = self.swarm.activity(&revision) else {
                continue;
            };
            let mut waiting = self.fetches.waiting.get(&revision).into_iter().flatten();
            if !waiting.any(|waiter| starves_at(waiter, activity) <= now) {
                continue;
            }
            let progress = self.swarm.progress(&revision);
            let bytes_missing = progress.map_or(0, |progress| progress.bytes_missing);
            self.fail_some_waiters(
                &revision,
                |waiter| starves_at(waiter, activity) <= now,
                |_| CommandError::NoProviders {
                    revision,
                    bytes_missing,
                },
            );
        }
    }

    /// When [`Self::end_starving`] may have something to do.
    pub(super) fn next_starving(&self) -> Option<Instant> {
        let waiting = self.fetches.waiting.iter();
        waiting
            .filter(|(revision, _)| !self.fetches.reads_only(revision))
            .filter_map(|(revision, waiters)| {
                let activity = self.swarm.activity(revision)?;
                waiters
                    .iter()
                    .map(|waiter| starves_at(waiter, activity))
                    .min()
            })
            .min()
    }
}

/// When a command's patience ends, given when something last arrived and whether somebody is asked for more.
/// While somebody still tries, patience is twice as long: a stall is noticed and re-assigned meanwhile.
fn starves_at(waiter: &Waiter, (progressed, asked): (Instant, bool)) -> Instant {
    let factor = if asked { 2 } else { 1 };
    progressed.max(waiter.since) + NO_PROVIDERS_AFTER * factor
}
