//! Making room: what goes when a quota asks, and how it goes.

use std::collections::BTreeSet;

use super::{CommandError, CommandId, Event, Outcome, Service, pending::After};
use crate::{
    id::{RepositoryId, RevisionId},
    op::{Op, Pin, RevisionRecord},
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
        let mut free = bytes_max.saturating_sub(used);
        let mut victims = Vec::new();
        for record in self.revisions.collectable(counted) {
            if free >= bytes {
                break;
            }
            if !is_other_tip(&record) {
                free = free.saturating_add(record.bytes_total);
                victims.push(record);
            }
        }
        if free < bytes {
            if self.mirrors.note_too_large(revision) {
                self.out.event(Event::QuotaExceeded {
                    repository: repository.clone(),
                    revision,
                    bytes,
                    bytes_max,
                });
            }
            return Err(CommandError::Refused("the quota is full".to_owned()));
        }
        self.forget(&victims, None);
        Ok(())
    }

    /// Frees what the cache limit asks for, least recently used first.
    pub(super) fn make_room_in_cache(&mut self, bytes: u64) -> Result<(), CommandError> {
        let Some(bytes_max) = self.params.cache_bytes_max else {
            return Ok(());
        };
        let mut free = bytes_max.saturating_sub(self.revisions.bytes(|_| true));
        let mut victims = Vec::new();
        for record in self.revisions.collectable(|record| record.pin == Pin::None) {
            if free >= bytes {
                break;
            }
            free = free.saturating_add(record.bytes_total);
            victims.push(record);
        }
        if free < bytes {
            let reason = format!("{bytes} bytes do not fit the cache limit of {bytes_max} bytes");
            return Err(CommandError::Refused(reason));
        }
        self.forget(&victims, None);
        Ok(())
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
