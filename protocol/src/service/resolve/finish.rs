//! The end of a resolution: what was found is written down, then answered or downloaded.

use super::{Keep, Resolve, ResolveId, Stage};
use crate::{
    id::RevisionId,
    op::{Op, Pin, RevisionRecord, RevisionState},
    service::{
        CommandError, Outcome, Resolved, Service, StorageError,
        fetches::Waiter,
        pending::{After, Sought},
    },
};

impl Service {
    /// The manifest is here: writes it, and the wish to have its files.
    pub(super) fn finish_resolve(&mut self, id: ResolveId, revision: RevisionId) {
        let Some(resolve) = self.resolves.running.get(&id) else {
            return;
        };
        // Of a revision that is only read, nobody knows yet how much will be fetched.
        if let Some(keep) = resolve.goal.keep.filter(|keep| !keep.partial) {
            let (repository, bytes) = (resolve.repository.clone(), resolve.bytes_total);
            if let Err(error) = self.make_room(&repository, revision, bytes, keep.pin) {
                return self.fail(id, error);
            }
        }
        self.enter(id, Stage::Committing(revision));
        let Some(resolve) = self.resolves.running.get_mut(&id) else {
            return;
        };
        let mut ops: Vec<Op> = resolve
            .objects
            .drain(..)
            .map(|(id, preimage)| Op::PutObject { id, preimage })
            .collect();
        if let Some(Keep { pin, seed, .. }) = resolve.goal.keep {
            let held = self.revisions.get(&revision).filter(|held| !held.leaving);
            let before = held.map(|held| &held.latest);
            let record = RevisionRecord {
                repository: resolve.repository.clone(),
                revision,
                state: before.map_or(RevisionState::Wanted, |record| record.state),
                pin: before.map_or(pin, |record| record.pin.max(pin)),
                seed: seed || before.is_some_and(|record| record.seed),
                bytes_total: resolve.bytes_total,
                used: self.now.unix,
                host: before.and_then(|record| record.host.clone()),
            };
            let blobs = std::mem::take(&mut resolve.blobs);
            ops.push(self.revisions.stage(record, || blobs));
            self.revisions.tell(&mut self.out);
        }
        if ops.is_empty() {
            self.resolve_committed(id, Ok(()));
        } else {
            self.commit(ops, After::Resolved(id));
        }
    }

    /// It is written, or not.
    pub(in crate::service) fn resolve_committed(
        &mut self,
        id: ResolveId,
        result: Result<(), StorageError>,
    ) {
        let Some(resolve) = self.resolves.running.remove(&id) else {
            return;
        };
        let Stage::Committing(revision) = resolve.stage else {
            return;
        };
        let keeps = resolve.goal.keep.is_some();
        let partial = resolve.goal.keep.is_some_and(|keep| keep.partial);
        if let Err(error) = result {
            if keeps {
                self.revisions.failed(&revision);
                self.revisions.tell(&mut self.out);
            }
            match resolve.goal.command {
                Some(command) => self.reply(command, Err(error.into())),
                None => self.mirror_failed(&resolve.repository),
            }
            return;
        }
        let resolved = self.resolved(&resolve, revision);
        if keeps {
            self.revisions.committed(&revision);
            self.revisions.tell(&mut self.out);
            if !self.revisions.stays(&revision) {
                // It was removed again before it was even written.
                match resolve.goal.command {
                    Some(command) => self.reply(command, Err(CommandError::Cancelled)),
                    None => self.mirror_failed(&resolve.repository),
                }
                return;
            }
            if resolve.cancelled {
                return;
            }
            if let Some(command) = resolve.goal.command {
                let waiter = Waiter {
                    command,
                    resolved,
                    since: self.now.instant,
                    partial,
                };
                self.fetches.wait(revision, waiter);
                self.search_again(Sought::Revision(revision));
            }
            self.start_download(revision, resolve.sources);
        } else if let Some(command) = resolve.goal.command {
            self.reply(command, Ok(Outcome::Resolved(resolved)));
        }
    }

    fn resolved(&self, resolve: &Resolve, revision: RevisionId) -> Resolved {
        let held = self.facts.repositories.get(&resolve.repository);
        Resolved {
            repository: resolve.repository.clone(),
            revision,
            index: held.map_or(0, |held| held.tip.head.index),
            freshness: self.facts.freshness(&resolve.repository, self.now.unix),
        }
    }

    /// Frees what a quota asks for before a revision is fetched.
    fn make_room(
        &mut self,
        repository: &crate::id::RepositoryId,
        revision: RevisionId,
        bytes: u64,
        pin: Pin,
    ) -> Result<(), CommandError> {
        let held = self.revisions.get(&revision).filter(|held| !held.leaving);
        if held.is_some_and(|held| held.latest.pin >= pin) {
            return Ok(());
        }
        match pin {
            Pin::User => Ok(()),
            Pin::Mirror => self.make_room_in_mirror(repository, revision, bytes),
            Pin::None => self.make_room_in_cache(bytes),
        }
    }
}
