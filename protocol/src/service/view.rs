//! What the machine shows of itself. Rendering is somebody else's work.

use super::{PeerView, RepositoryView, Service, TransferView};
use crate::{
    accept::{AcceptedHead, EquivocationProof},
    codec,
    id::{ObjectId, PublisherId, RepositoryId},
    identity::IdentityLog,
    limits,
    op::{MirrorRecord, RevisionRecord},
};

impl Service {
    /// Connected peers, in id order.
    pub fn peers(&self) -> Vec<PeerView> {
        self.view_peers()
    }

    /// Known repositories, in id order.
    pub fn repositories(&self) -> Vec<RepositoryView> {
        self.facts
            .repositories
            .iter()
            .map(|(repository, held)| RepositoryView {
                repository: repository.clone(),
                index: held.tip.head.index,
                revision: held.tip.head.manifest,
                freshness: self.facts.freshness(repository, self.now.unix),
                frozen: self.facts.refusal(repository).is_some(),
                revisions: self.durable_of(repository),
            })
            .collect()
    }

    fn durable_of(&self, repository: &RepositoryId) -> Vec<RevisionRecord> {
        self.revisions
            .iter()
            .filter_map(|(_, held)| held.durable.clone())
            .filter(|record| record.repository == *repository)
            .collect()
    }

    /// Running and waiting downloads.
    pub fn transfers(&self) -> Vec<TransferView> {
        self.swarm
            .running()
            .filter_map(|revision| {
                let progress = self.swarm.progress(revision)?;
                let held = self.revisions.get(revision)?;
                Some(TransferView {
                    repository: held.latest.repository.clone(),
                    revision: *revision,
                    commands: self.fetches.commands(revision),
                    bytes_total: progress.bytes_total,
                    bytes_done: progress.bytes_done,
                    bytes_reused: progress.bytes_reused,
                    peers_active: progress.peers_active,
                    peers_known: progress.peers_known,
                    sources: progress.sources,
                })
            })
            .collect()
    }

    /// Mirror orders.
    pub fn mirrors(&self) -> Vec<MirrorRecord> {
        self.mirrors.orders().cloned().collect()
    }

    /// The identity log held for a publisher.
    pub fn identity(&self, publisher: &PublisherId) -> Option<&IdentityLog> {
        self.facts.identities.get(publisher).map(|held| &held.log)
    }

    /// Why a repository is frozen: two valid heads at one index.
    pub fn equivocation(&self, repository: &RepositoryId) -> Option<EquivocationProof> {
        let proof = self
            .facts
            .repositories
            .get(repository)?
            .equivocation
            .as_ref()?;
        codec::decode(proof, limits::GOSSIP_LEN_MAX).ok()
    }

    /// The tip held for a repository, and all leaves up to and including it if they are held.
    pub fn tip(&self, repository: &RepositoryId) -> Option<(&AcceptedHead, Option<&[ObjectId]>)> {
        let held = self.facts.repositories.get(repository)?;
        Some((&held.tip, held.complete_leaves()))
    }
}
