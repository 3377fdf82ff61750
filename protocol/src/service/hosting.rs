//! Answering questions about models for others, and finding those who do.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    CommandError, CommandId, Outcome, Service,
    pending::{After, Sought},
};
use crate::{
    id::{NodeId, RepositoryId, RevisionId},
    infer::hosts::Audience,
    limits,
    op::{MirrorScope, Pin, RevisionRecord, RevisionState},
};

/// Commands that wait to hear who hosts a model.
#[derive(Debug, Default)]
pub(crate) struct Seekers(BTreeMap<CommandId, RevisionId>);

/// What an asker may have of a model here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It is not hosted here.
    NotHosted,
    /// It is, for others.
    NotForThem,
    /// As much as any stranger.
    Stranger,
    /// As much as who was named.
    Named,
}

impl Service {
    /// What `asker` may have of a model.
    pub fn admission(&self, revision: &RevisionId, asker: &NodeId) -> Admission {
        let held = self.revisions.get(revision).filter(|held| !held.leaving);
        let durable = held.and_then(|held| held.durable.as_ref());
        let complete = durable.filter(|record| record.state == RevisionState::Complete);
        let Some(audience) = complete.and_then(|record| record.host.as_ref()) else {
            return Admission::NotHosted;
        };
        if !audience.admits(asker, &self.followed_nodes()) {
            Admission::NotForThem
        } else if audience.names(asker) {
            Admission::Named
        } else {
            Admission::Stranger
        }
    }

    /// Nodes that serve in the name of a publisher that is mirrored here.
    fn followed_nodes(&self) -> BTreeSet<NodeId> {
        let publishers = self.mirrors.orders().map(|order| match &order.scope {
            MirrorScope::Publisher(publisher) => *publisher,
            MirrorScope::Repository(repository) => repository.publisher,
        });
        let logs = publishers.filter_map(|publisher| self.facts.identities.get(&publisher));
        let keys = logs.flat_map(|held| {
            let log = &held.log;
            let serving = log.tip().serving_keys.iter();
            serving.filter(|key| !log.is_revoked(key))
        });
        keys.map(|key| NodeId::new(key.0)).collect()
    }

    /// What is hosted here, in id order.
    pub fn hosted(&self) -> Vec<RevisionRecord> {
        let durable = self
            .revisions
            .iter()
            .filter_map(|(_, held)| held.durable.clone());
        durable.filter(|record| record.host.is_some()).collect()
    }

    /// Offers answers, or takes the offer back.
    pub(super) fn host(
        &mut self,
        id: CommandId,
        repository: &RepositoryId,
        revision: Option<RevisionId>,
        audience: Option<&Audience>,
    ) {
        let wanted = |record: &RevisionRecord| {
            record.state == RevisionState::Complete
                && revision.is_none_or(|revision| revision == record.revision)
                && (audience.is_some() || record.host.is_some())
        };
        let mut records = self.matching(repository, revision);
        records.retain(wanted);
        if records.is_empty() {
            let what = match audience {
                Some(_) => format!("a complete revision of `{repository}`"),
                None => format!("a hosted revision of `{repository}`"),
            };
            return self.reply(id, Err(CommandError::NotFound { what, asked: 0 }));
        }
        let (mut ops, mut changed) = (Vec::new(), BTreeSet::new());
        for mut record in records {
            record.host = audience.cloned();
            if audience.is_some() {
                record.pin = Pin::User;
            }
            changed.insert(record.revision);
            ops.push(self.revisions.stage(record, Vec::new));
        }
        let after = After::Revisions {
            changed,
            forgotten: BTreeSet::new(),
            reply: Some((id, Outcome::Done)),
        };
        self.commit(ops, after);
    }

    /// Looks for hosts of a model. Those that are known already are told at once.
    pub(super) fn find_hosts(&mut self, id: CommandId, revision: RevisionId) {
        let sought = Sought::Host(revision);
        self.search_again(sought);
        let found = self.searches.found(&sought);
        for host in &found {
            self.connect(*host, Vec::new());
        }
        let room = self.seekers.0.len() < limits::SEARCHES_MAX;
        if found.is_empty() && room && self.searches.goes_on(&sought) {
            self.seekers.0.insert(id, revision);
        } else {
            self.reply(id, Ok(Outcome::Hosts(found.into_iter().collect())));
        }
    }

    /// A search for hosts ended, or found somebody.
    pub(super) fn tell_seekers(&mut self, revision: RevisionId) {
        let sought = Sought::Host(revision);
        let found = self.searches.found(&sought);
        if found.is_empty() && self.searches.goes_on(&sought) {
            return;
        }
        let waiting = self
            .seekers
            .0
            .extract_if(.., |_, wanted| *wanted == revision);
        let waiting: Vec<CommandId> = waiting.map(|(id, _)| id).collect();
        for id in waiting {
            let hosts = found.iter().copied().collect();
            self.reply(id, Ok(Outcome::Hosts(hosts)));
        }
    }

    /// Ends a command that waits for hosts.
    pub(super) fn cancel_seeker(&mut self, command: CommandId) -> bool {
        let found = self.seekers.0.remove(&command).is_some();
        if found {
            self.reply(command, Err(CommandError::Cancelled));
        }
        found
    }
}
