//! Making room: what goes when a quota asks, and how it goes.

use std::collections::BTreeSet;

use super::{CommandError, CommandId, Event, Outcome, Service, pending::After};
use crate::{
    id::{RepositoryId, RevisionId},
    op::{MirrorRecord, Op, Pin, RevisionRecord},
};

impl Service {
    /// Frees what the quota of the order asks for, older revisions first; the tips of other repositories stay.
    pub(super) fn make_room_in_mirror(
        &mut self,
        repository: &RepositoryId,
        revision: RevisionId,
        bytes: u64,
    ) -> Result<(), CommandError> {
        let Some(order) = self.mirrors.order_for(repository).cloned() else {
            return Err(CommandError::Refused(
                "the mirror order has ended".to_owned(),
            ));
        };
        let Some(bytes_max) = order.bytes_max else {
            return Ok(());
        };
        let Some(victims) = self.victims_in_mirror(&order, repository, bytes) else {
            if self.mirrors.note_too_large(revision, bytes) {
                self.out.event(Event::QuotaExceeded {
                    repository: repository.clone(),
                    revision,
                    bytes,
                    bytes_max,
                });
            }
            return Err(CommandError::Refused("the quota is full".to_owned()));
        };
        self.forget(&victims, None);
        Ok(())
    }

    /// What has to go so that `bytes` of a repository fit into the order's quota; none if they cannot.
    pub(super) fn victims_in_mirror(
        &self,
        order: &MirrorRecord,
        repository: &RepositoryId,
        bytes: u64,
    ) -> Option<Vec<RevisionRecord>> {
        let bytes_max = order.bytes_max.unwrap_or(u64::MAX);
        let counted = |record: &RevisionRecord| {
            record.pin == Pin::Mirror
                && self.mirrors.order_for(&record.repository).map(|o| &o.scope)
                    == Some(&order.scope)
        };
        let used = self.revisions.bytes(counted);
        let is_other_tip = |record: &RevisionRecord| {
            let held = self.facts.repositories.get(&record.repository);
            record.repository != *repository
                && held.is_some_and(|held| held.tip.head.manifest == record.revision)
        };
        let mut candidates = self.revisions.collectable(counted);
        candidates.retain(|record| !is_other_tip(record));
        choose_victims(candidates, used, bytes, bytes_max)
    }

    /// Frees what the cache limit asks for, least recently used first.
    pub(super) fn make_room_in_cache(&mut self, bytes: u64) -> Result<(), CommandError> {
        let Some(bytes_max) = self.params.cache_bytes_max else {
            return Ok(());
        };
        let used = self.revisions.bytes(|_| true);
        let candidates = self.collectable_from_cache();
        let Some(victims) = choose_victims(candidates, used, bytes, bytes_max) else {
            let reason = format!("{bytes} bytes do not fit the cache limit of {bytes_max} bytes");
            return Err(CommandError::Refused(reason));
        };
        self.forget(&victims, None);
        Ok(())
    }

    /// What nothing pins and no command waits for, least recently used first.
    pub(super) fn collectable_from_cache(&self) -> Vec<RevisionRecord> {
        let mut records = self.revisions.collectable(|record| record.pin == Pin::None);
        records.retain(|record| {
            let revision = &record.revision;
            self.fetches.commands(revision).is_empty() && !self.resolves.is_committing(revision)
        });
        records
    }

    /// Forgets revisions: their downloads end, their objects and files may be collected.
    pub(super) fn forget(
        &mut self,
        victims: &[RevisionRecord],
        reply: Option<(CommandId, Outcome)>,
    ) {
        if victims.is_empty() && reply.is_none() {
            return;
        }
        let mut ops = Vec::new();
        let mut forgotten = BTreeSet::new();
        for record in victims {
            let revision = record.revision;
            ops.push(Op::DeleteRevision {
                repository: record.repository.clone(),
                revision,
            });
            ops.push(Op::DeleteObject { id: revision });
            forgotten.insert(revision);
            self.revisions.leave(&revision);
            self.swarm(|swarm, ctx| swarm.stop(&revision, ctx));
            self.fail_waiters(&revision, |_| CommandError::Cancelled);
        }
        let after = After::Revisions {
            changed: BTreeSet::new(),
            forgotten,
            reply,
        };
        self.commit(ops, after);
    }
}

/// The first of `candidates` that have to go so that `bytes` more fit; none if not even all of them are enough.
fn choose_victims(
    candidates: Vec<RevisionRecord>,
    used: u64,
    bytes: u64,
    bytes_max: u64,
) -> Option<Vec<RevisionRecord>> {
    // Not only room for what comes: a quota that was lowered is overdrawn already.
    let excess = used.saturating_add(bytes).saturating_sub(bytes_max);
    let mut freed = 0_u64;
    let mut victims = Vec::new();
    for record in candidates {
        if freed >= excess {
            break;
        }
        freed = freed.saturating_add(record.bytes_total);
        victims.push(record);
    }
    (freed >= excess).then_some(victims)
}
