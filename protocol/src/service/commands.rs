//! What the user asks.

use std::collections::BTreeSet;

use super::{
    Command, CommandError, CommandId, Outcome, Output, Publication, Selector, Service,
    StorageError,
    offers::{Offer, Source},
    pending::After,
    resolve::{Goal, Keep},
};
use crate::{
    accept::RepositoryRecord,
    id::{PublisherId, RepositoryId, RevisionId},
    identity::IdentityLog,
    op::{MirrorScope, Op, Pin, RevisionRecord, RevisionState},
    sign::Envelope,
};

impl Service {
    /// Takes a command. It is answered once, now or later.
    pub(super) fn command(&mut self, id: CommandId, command: Command) {
        match command {
            Command::Resolve {
                repository,
                selector,
            } => {
                let goal = Goal {
                    command: Some(id),
                    keep: None,
                };
                self.resolve(repository, selector, goal);
            }
            Command::Fetch {
                repository,
                selector,
                pin,
                seed,
            } => {
                let goal = Goal {
                    command: Some(id),
                    keep: Some(Keep {
                        pin,
                        seed,
                        partial: false,
                    }),
                };
                self.resolve(repository, selector, goal);
            }
            Command::Read {
                repository,
                revision,
            } => {
                let keep = Keep {
                    pin: Pin::None,
                    seed: true,
                    partial: true,
                };
                let goal = Goal {
                    command: Some(id),
                    keep: Some(keep),
                };
                self.resolve(repository, Selector::Revision(revision), goal);
            }
            Command::Seed {
                repository,
                selector,
            } => {
                let keep = Keep {
                    pin: Pin::User,
                    seed: true,
                    partial: false,
                };
                let goal = Goal {
                    command: Some(id),
                    keep: Some(keep),
                };
                self.resolve(repository, selector, goal);
            }
            Command::Publish(publication) => self.publish(id, publication),
            Command::UpdateIdentity { publisher, events } => {
                self.update_identity(id, publisher, &events);
            }
            Command::Unseed {
                repository,
                revision,
            } => self.unseed(id, &repository, revision),
            Command::Host {
                repository,
                revision,
                audience,
            } => self.host(id, &repository, revision, audience.as_ref()),
            Command::FindHosts { revision } => self.find_hosts(id, revision),
            Command::Mirror(record) => {
                let after = After::Mirror {
                    command: id,
                    record: record.clone(),
                };
                self.commit(vec![Op::PutMirror(record)], after);
            }
            Command::Unmirror(scope) => self.unmirror(id, scope),
            Command::Remove {
                repository,
                revision,
            } => {
                let victims = self.matching(&repository, revision);
                if victims.is_empty() {
                    return self.nothing_held(id, &repository);
                }
                self.forget_for(id, &victims);
            }
            Command::Prune => {
                let victims = self.collectable_from_cache();
                self.forget_for(id, &victims);
            }
            Command::SetLimits(limits) => {
                self.limits = limits;
                self.set_rates();
                self.reply(id, Ok(Outcome::Done));
            }
            Command::Cancel(other) => {
                let found = self.cancel_resolve(other)
                    || self.cancel_fetch(other)
                    || self.cancel_seeker(other);
                let result = if found {
                    Ok(Outcome::Done)
                } else {
                    let what = "a running command of that number".to_owned();
                    Err(CommandError::NotFound { what, asked: 0 })
                };
                self.reply(id, result);
            }
        }
    }

    /// Answers a command.
    pub(super) fn reply(&mut self, command: CommandId, result: Result<Outcome, CommandError>) {
        self.out.push(Output::Reply { command, result });
    }

    fn publish(&mut self, id: CommandId, publication: Box<Publication>) {
        self.freshness.note_local(publication.repository.publisher);
        self.offer(Offer {
            repository: publication.repository.clone(),
            record: RepositoryRecord {
                identity: publication.identity.clone(),
                head: publication.head.clone(),
                freshness: publication.freshness.clone(),
                extension: None,
            },
            source: Source::Local,
            resolve: None,
            publication: Some((id, publication)),
            extension_asked: true,
        });
    }

    fn update_identity(&mut self, id: CommandId, publisher: PublisherId, events: &[Envelope]) {
        let log = match IdentityLog::verify(self.params.network, events) {
            Ok(log) if log.publisher() == publisher => log,
            Ok(_) => {
                let reason = "the log belongs to another publisher".to_owned();
                return self.reply(id, Err(CommandError::Verification(reason)));
            }
            Err(error) => {
                let reason = error.to_string();
                return self.reply(id, Err(CommandError::Verification(reason)));
            }
        };
        self.freshness.note_local(publisher);
        if !self.facts.is_longer(&log) {
            self.sync_local_leaves(publisher);
            return self.reply(id, Ok(Outcome::Done));
        }
        let held = self.facts.identities.get(&publisher);
        if held.is_some_and(|held| log.divergence(&held.log).is_some()) {
            let reason = "the log does not continue the one that is held".to_owned();
            return self.reply(id, Err(CommandError::Refused(reason)));
        }
        let op = Op::PutIdentity {
            publisher,
            events: events.to_vec(),
        };
        let after = After::Identity {
            command: id,
            log: Box::new(log),
        };
        self.commit(vec![op], after);
    }

    /// A longer identity log of a local publisher is durable.
    pub(super) fn identity_updated(&mut self, command: CommandId, log: IdentityLog) {
        let publisher = log.publisher();
        self.facts.extend_identity(log);
        self.reply(command, Ok(Outcome::Done));
        let repositories: Vec<_> = self.facts.of_publisher(publisher).cloned().collect();
        for repository in repositories {
            self.announce_head(&repository);
            self.put_soon(&repository);
        }
        self.sync_local_leaves(publisher);
    }

    /// A publisher whose keys are here may sign next: what lies under its tips is needed for that.
    fn sync_local_leaves(&mut self, publisher: PublisherId) {
        let repositories: Vec<_> = self.facts.of_publisher(publisher).cloned().collect();
        for repository in repositories {
            self.sync_leaves(&repository, None);
        }
    }

    pub(super) fn matching(
        &self,
        repository: &RepositoryId,
        revision: Option<RevisionId>,
    ) -> Vec<RevisionRecord> {
        self.revisions
            .of_repository(repository)
            .filter(|record| revision.is_none_or(|revision| record.revision == revision))
            .cloned()
            .collect()
    }

    fn nothing_held(&mut self, id: CommandId, repository: &RepositoryId) {
        let what = format!("a local revision of `{repository}`");
        self.reply(id, Err(CommandError::NotFound { what, asked: 0 }));
    }

    fn forget_for(&mut self, id: CommandId, victims: &[RevisionRecord]) {
        let bytes = victims
            .iter()
            .fold(0_u64, |sum, record| sum.saturating_add(record.bytes_total));
        let outcome = Outcome::Forgotten {
            revisions: u64::try_from(victims.len()).unwrap_or(u64::MAX),
            bytes,
        };
        self.forget(victims, Some((id, outcome)));
    }

    fn unseed(&mut self, id: CommandId, repository: &RepositoryId, revision: Option<RevisionId>) {
        let records = self.matching(repository, revision);
        if records.is_empty() {
            return self.nothing_held(id, repository);
        }
        let unoffer = |record: &mut RevisionRecord| {
            record.seed = false;
            // What nothing keeps cannot be asked about.
            record.host = None;
        };
        self.release(records, Vec::new(), unoffer, id);
    }

    fn unmirror(&mut self, id: CommandId, scope: MirrorScope) {
        if !self.is_mirrored(&scope) {
            let what = "such a mirror order".to_owned();
            return self.reply(id, Err(CommandError::NotFound { what, asked: 0 }));
        }
        let after = After::Unmirror {
            command: id,
            scope: scope.clone(),
        };
        self.commit(vec![Op::DeleteMirror { scope }], after);
    }

    /// A mirror order is gone: what only it held is held by nothing any more.
    pub(super) fn unmirrored(&mut self, command: CommandId, scope: &MirrorScope) {
        self.mirror_ended(scope);
        let orphans: Vec<RevisionRecord> = self
            .revisions
            .collectable(|record| record.pin == Pin::Mirror)
            .into_iter()
            .filter(|record| self.mirrors.order_for(&record.repository).is_none())
            .collect();
        if orphans.is_empty() {
            return self.reply(command, Ok(Outcome::Done));
        }
        self.release(orphans, Vec::new(), |_| {}, command);
    }

    /// Takes the pin off revisions; unfinished ones are forgotten at once.
    fn release(
        &mut self,
        records: Vec<RevisionRecord>,
        mut ops: Vec<Op>,
        also: impl Fn(&mut RevisionRecord),
        command: CommandId,
    ) {
        let (mut changed, mut forgotten) = (BTreeSet::new(), BTreeSet::new());
        for mut record in records {
            let revision = record.revision;
            if record.state == RevisionState::Wanted {
                ops.push(Op::DeleteRevision {
                    repository: record.repository.clone(),
                    revision,
                });
                ops.push(Op::DeleteObject { id: revision });
                forgotten.insert(revision);
                self.revisions.leave(&revision);
                self.swarm(|swarm, ctx| swarm.stop(&revision, ctx));
                self.fail_waiters(&revision, |_| CommandError::Cancelled);
            } else {
                record.pin = Pin::None;
                also(&mut record);
                ops.push(self.revisions.stage(record, Vec::new));
                changed.insert(revision);
            }
        }
        let after = After::Revisions {
            changed,
            forgotten,
            reply: Some((command, Outcome::Done)),
        };
        self.commit(ops, after);
    }

    /// Revision records were written, or not.
    pub(super) fn revisions_committed(
        &mut self,
        changed: &BTreeSet<RevisionId>,
        forgotten: &BTreeSet<RevisionId>,
        reply: Option<(CommandId, Outcome)>,
        result: Result<(), StorageError>,
    ) {
        if let Err(error) = result {
            for revision in changed {
                self.revisions.failed(revision);
            }
            for revision in forgotten {
                self.revisions.stay(revision);
            }
            self.revisions.tell(&mut self.out);
            if let Some((command, _)) = reply {
                self.reply(command, Err(error.into()));
            }
            return;
        }
        for revision in changed {
            self.revisions.committed(revision);
        }
        for revision in forgotten {
            if let Some(held) = self.revisions.remove(revision) {
                self.out.event(super::Event::RevisionForgotten {
                    repository: held.latest.repository,
                    revision: *revision,
                });
            }
        }
        self.revisions.tell(&mut self.out);
        if let Some((command, outcome)) = reply {
            self.reply(command, Ok(outcome));
        }
    }
}

impl From<StorageError> for CommandError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Full => Self::DiskFull,
            StorageError::Failed(reason) => Self::Storage(reason),
        }
    }
}
