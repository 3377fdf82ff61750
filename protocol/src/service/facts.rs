//! Identities and heads that this node believes, as the registry holds them.
//!
//! Holds only what is durable. It judges (through [`accept::judge`]) but never writes and never sends.

use std::collections::BTreeMap;

use super::{CommandError, Freshness};
use crate::{
    accept::{self, AcceptedHead, Known, RepositoryRecord, Verdict},
    freshness, head,
    id::{ObjectId, PublisherId, RepositoryId, RevisionId},
    identity::IdentityLog,
    limits, log,
    op::Snapshot,
    sign::NetworkId,
    time::Timestamp,
};

/// One identity.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) log: IdentityLog,
    /// The encoded proof that it is forked.
    pub(crate) fork: Option<Vec<u8>>,
}

/// One repository.
#[derive(Debug)]
pub(crate) struct Repository {
    pub(crate) tip: AcceptedHead,
    /// Head ids from index 0 without gap, at most up to and including the tip.
    pub(crate) leaves: Vec<ObjectId>,
    /// The encoded proof that froze it.
    pub(crate) equivocation: Option<Vec<u8>>,
    /// At which index a revision was the head, as far as this run saw it.
    pub(crate) indices: BTreeMap<RevisionId, u64>,
    /// All stored heads from this index up to the tip stand in `indices`.
    pub(crate) walked: u64,
}

impl Repository {
    /// All leaves up to and including the tip, if they are here.
    pub(crate) fn complete_leaves(&self) -> Option<&[ObjectId]> {
        let held = u64::try_from(self.leaves.len()).unwrap_or(u64::MAX);
        (held == self.tip.head.index.saturating_add(1)).then_some(self.leaves.as_slice())
    }

    /// The leaves under the tip's log root, if they are here.
    pub(crate) fn tree(&self) -> Option<&[ObjectId]> {
        let size = usize::try_from(self.tip.head.index).ok()?;
        self.leaves.get(..size)
    }
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Facts {
    network: NetworkId,
    pub(crate) identities: BTreeMap<PublisherId, Identity>,
    pub(crate) repositories: BTreeMap<RepositoryId, Repository>,
}

impl Facts {
    /// Takes in what the registry holds. What does not verify any more is left out.
    pub(crate) fn new(network: NetworkId, snapshot: &Snapshot) -> Self {
        let mut identities = BTreeMap::new();
        for facts in &snapshot.identities {
            if let Ok(log) = IdentityLog::verify(network, &facts.events) {
                let fork = facts.fork.clone();
                identities.insert(facts.publisher, Identity { log, fork });
            }
        }
        let mut repositories = BTreeMap::new();
        for facts in &snapshot.repositories {
            let Ok(head) = facts.head.decode_body::<head::Head>() else {
                continue;
            };
            let id = facts.head.id::<head::Head>();
            let log = identities
                .get(&facts.repository.publisher)
                .map(|identity: &Identity| &identity.log);
            // It may be about a head before the tip: then it is worth nothing, and nobody would take it.
            let freshness = facts.freshness.as_ref().and_then(|envelope| {
                let statement = envelope.decode_body::<freshness::Freshness>().ok()?;
                let counts = accept::is_by_freshness_key(network, log?, envelope);
                (statement.head == id && counts).then(|| (statement, envelope.clone()))
            });
            let tip = AcceptedHead {
                id,
                envelope: facts.head.clone(),
                freshness,
                head,
            };
            let indices = BTreeMap::from([(tip.head.manifest, tip.head.index)]);
            let walked = tip.head.index;
            repositories.insert(
                facts.repository.clone(),
                Repository {
                    tip,
                    leaves: facts.leaves.clone(),
                    equivocation: facts.equivocation.clone(),
                    indices,
                    walked,
                },
            );
        }
        Self {
            network,
            identities,
            repositories,
        }
    }

    /// Judges a record against what is believed.
    pub(crate) fn judge(
        &self,
        now: Timestamp,
        repository: &RepositoryId,
        record: &RepositoryRecord,
    ) -> Verdict {
        let held = self.repositories.get(repository);
        let known = Known {
            identity: self
                .identities
                .get(&repository.publisher)
                .map(|identity| &identity.log),
            head: held.map(|held| &held.tip),
            leaves: held.and_then(Repository::complete_leaves),
            frozen: self.refusal(repository).is_some(),
        };
        accept::judge(self.network, now, repository, known, record)
    }

    /// Why a repository is not followed any more, if so.
    pub(crate) fn refusal(&self, repository: &RepositoryId) -> Option<CommandError> {
        let forked = self
            .identities
            .get(&repository.publisher)
            .is_some_and(|identity| identity.fork.is_some());
        if forked {
            return Some(CommandError::Forked(repository.publisher));
        }
        self.repositories
            .get(repository)
            .filter(|held| held.equivocation.is_some())
            .map(|_| CommandError::Frozen(repository.clone()))
    }

    /// How sure it is that the tip is the newest.
    pub(crate) fn freshness(&self, repository: &RepositoryId, now: Timestamp) -> Freshness {
        if self.refusal(repository).is_some() {
            return Freshness::Forked;
        }
        let Some(held) = self.repositories.get(repository) else {
            return Freshness::Stale;
        };
        if held.tip.head.expires <= now {
            return Freshness::Expired;
        }
        let fresh = held.tip.freshness.as_ref().is_some_and(|(statement, _)| {
            statement.head == held.tip.id && statement.expires > now && !statement.is_early(now)
        });
        if fresh {
            Freshness::Fresh
        } else {
            Freshness::Stale
        }
    }

    /// What this node can tell others, with a proof that it extends head `have`.
    pub(crate) fn record(
        &self,
        repository: &RepositoryId,
        have: Option<u64>,
        now: Timestamp,
    ) -> Option<RepositoryRecord> {
        let held = self.repositories.get(repository)?;
        let identity = self.identities.get(&repository.publisher)?;
        let extension = have
            .filter(|have| *have < held.tip.head.index)
            .and_then(|have| log::prove_extension(held.tree()?, have));
        Some(RepositoryRecord {
            identity: identity.log.envelopes().to_vec(),
            head: held.tip.envelope.clone(),
            freshness: held
                .tip
                .freshness
                .as_ref()
                .filter(|(statement, _)| !statement.is_early(now))
                .map(|(_, envelope)| envelope.clone()),
            extension,
        })
    }

    /// What is put into the DHT and gossiped: a follower of the head before can accept it at once.
    pub(crate) fn public_record(
        &self,
        repository: &RepositoryId,
        now: Timestamp,
    ) -> Option<RepositoryRecord> {
        let index = self.repositories.get(repository)?.tip.head.index;
        let mut record = self.record(repository, index.checked_sub(1), now)?;
        let len = |record: &RepositoryRecord| crate::codec::encode(record).len();
        if len(&record) > limits::RECORD_LEN_MAX {
            record.extension = None;
        }
        (len(&record) <= limits::RECORD_LEN_MAX).then_some(record)
    }

    /// Takes in an accepted head, once it is durable.
    pub(crate) fn accept(
        &mut self,
        repository: &RepositoryId,
        identity: IdentityLog,
        head: AcceptedHead,
        leaf: bool,
    ) {
        self.extend_identity(identity);
        let id = head.id;
        let (revision, index) = (head.head.manifest, head.head.index);
        match self.repositories.get_mut(repository) {
            Some(held) => held.tip = head,
            None => {
                let held = Repository {
                    tip: head,
                    leaves: Vec::new(),
                    equivocation: None,
                    indices: BTreeMap::new(),
                    walked: index,
                };
                self.repositories.insert(repository.clone(), held);
            }
        }
        if let Some(held) = self.repositories.get_mut(repository) {
            held.indices.insert(revision, index);
            if leaf {
                held.leaves.push(id);
            }
        }
    }

    /// Replaces an identity log by a longer one, once it is durable.
    pub(crate) fn extend_identity(&mut self, log: IdentityLog) {
        match self.identities.get_mut(&log.publisher()) {
            Some(identity) if identity.log.envelopes().len() < log.envelopes().len() => {
                identity.log = log;
                let (log, network) = (&identity.log, self.network);
                for (repository, held) in &mut self.repositories {
                    if repository.publisher == log.publisher() {
                        // A statement by a replaced key says nothing any more.
                        held.tip.freshness.take_if(|(_, envelope)| {
                            !accept::is_by_freshness_key(network, log, envelope)
                        });
                    }
                }
            }
            Some(_) => {}
            None => {
                let identity = Identity { log, fork: None };
                self.identities.insert(identity.log.publisher(), identity);
            }
        }
    }

    /// Whether `log` says more than what is held.
    pub(crate) fn is_longer(&self, log: &IdentityLog) -> bool {
        self.identities
            .get(&log.publisher())
            .is_none_or(|held| held.log.envelopes().len() < log.envelopes().len())
    }

    /// Names of a publisher's known repositories.
    pub(crate) fn of_publisher(
        &self,
        publisher: PublisherId,
    ) -> impl Iterator<Item = &RepositoryId> {
        self.repositories
            .keys()
            .filter(move |repository| repository.publisher == publisher)
    }
}
