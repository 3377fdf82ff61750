//! Fetching the leaves under a tip, so that any follower can prove what it passes on.

use super::{
    Service,
    pending::{After, Ask},
};
use crate::{
    id::{NodeId, ObjectId, RepositoryId},
    limits, log,
    op::Op,
    wire,
};

impl Service {
    /// Fetches the leaves that are missing under the tip, so that this node can prove what it passes on.
    pub(super) fn sync_leaves(&mut self, repository: &RepositoryId, source: Option<NodeId>) {
        let Some(held) = self.facts.repositories.get(repository) else {
            return;
        };
        // Whoever signs needs them as well, even for what is not kept here.
        let wanted = self.keeps(repository) || self.freshness.signs_for(&repository.publisher);
        if held.complete_leaves().is_some() || !wanted {
            return;
        }
        let first = u64::try_from(held.leaves.len()).unwrap_or(u64::MAX);
        let peer = source
            .filter(|peer| self.peers.is_connected(peer))
            .or_else(|| self.rng.choice(self.peers.ids().collect::<Vec<_>>()));
        if let Some(peer) = peer {
            let message = wire::Request::Log {
                repository: repository.clone(),
                first,
            };
            let ask = Ask::Log {
                repository: repository.clone(),
                first,
            };
            self.ask(peer, message, ask);
        }
    }

    /// A peer answered with leaves. They count only if they lead to the tip's log root.
    pub(super) fn log_received(
        &mut self,
        repository: RepositoryId,
        first: u64,
        ids: Vec<ObjectId>,
    ) {
        let Some(held) = self.facts.repositories.get(&repository) else {
            return;
        };
        let Ok(size) = usize::try_from(held.tip.head.index) else {
            return;
        };
        // Several questions may be open: an answer continues exactly what it was asked for.
        let continues = |leaves: &Vec<ObjectId>| u64::try_from(leaves.len()) == Ok(first);
        let mut leaves = if continues(&held.leaves) {
            held.leaves.clone()
        } else if self.partial_logs.get(&repository).is_some_and(continues) {
            self.partial_logs.remove(&repository).unwrap_or_default()
        } else {
            return;
        };
        let before = leaves.len();
        leaves.extend(ids.into_iter().take(limits::LOG_IDS_PER_RESPONSE_MAX));
        leaves.truncate(size);
        if leaves.len() < size {
            if leaves.len() > before {
                if self.partial_logs.len() >= limits::PUTS_MAX {
                    // Whoever should have continued it may be gone.
                    self.partial_logs.pop_first();
                }
                let first = u64::try_from(leaves.len()).unwrap_or(u64::MAX);
                self.partial_logs.insert(repository.clone(), leaves);
                if let Some(peer) = self.rng.choice(self.peers.ids().collect::<Vec<_>>()) {
                    let message = wire::Request::Log {
                        repository: repository.clone(),
                        first,
                    };
                    self.ask(peer, message, Ask::Log { repository, first });
                }
            }
            return;
        }
        if log::root(&leaves) != held.tip.head.log_root {
            return;
        }
        leaves.push(held.tip.id);
        let first = held.leaves.len();
        let ids: Vec<ObjectId> = leaves.split_off(first);
        if ids.is_empty() || self.leaves_writing.contains(&repository) {
            return;
        }
        self.leaves_writing.insert(repository.clone());
        let op = Op::PutLeaves {
            repository: repository.clone(),
            first: u64::try_from(first).unwrap_or(u64::MAX),
            ids: ids.clone(),
        };
        self.commit(vec![op], After::Leaves { repository, ids });
    }

    /// Leaves were written, or not. A head that was accepted meanwhile may already have continued them.
    pub(super) fn leaves_committed(
        &mut self,
        repository: &RepositoryId,
        ids: Vec<ObjectId>,
        written: bool,
    ) {
        self.leaves_writing.remove(repository);
        if let (true, Some(held)) = (written, self.facts.repositories.get_mut(repository)) {
            held.leaves.extend(ids);
            self.sync_leaves(repository, None);
        }
    }
}
