//! Publishers that contradict themselves: the proof is kept, everything of theirs freezes, everybody is told.

use super::{Change, Offer, Source};
use crate::{
    accept::{EquivocationProof, EquivocationSubject},
    codec,
    head::Head,
    id::{NodeId, RepositoryId},
    identity::IdentityLog,
    op::Op,
    service::{CommandError, Event, GossipId, Output, Service, Verdict},
    wire,
};

impl Service {
    /// Stops following what contradicts itself, and tells everybody once.
    pub(super) fn freeze(
        &mut self,
        repository: &RepositoryId,
        proof: &EquivocationProof,
    ) -> CommandError {
        let encoded = codec::encode(proof);
        let publisher = repository.publisher;
        let error = match proof.subject {
            EquivocationSubject::Head => {
                let index = proof
                    .first
                    .decode_body::<Head>()
                    .map_or(0, |head| head.index);
                if let Some(held) = self.facts.repositories.get_mut(repository) {
                    held.equivocation = Some(encoded);
                }
                self.out.event(Event::EquivocationFound {
                    repository: repository.clone(),
                    index,
                });
                CommandError::Frozen(repository.clone())
            }
            EquivocationSubject::Identity => {
                if let Some(identity) = self.facts.identities.get_mut(&publisher) {
                    identity.fork = Some(encoded);
                }
                self.out.event(Event::IdentityForked { publisher });
                CommandError::Forked(publisher)
            }
        };
        let announcement = wire::Announcement::Equivocation(Box::new(proof.clone()));
        self.out.push(Output::Announce(announcement));
        self.advance_resolves();
        error
    }

    /// A proof of equivocation came by gossip.
    pub(in crate::service) fn proof_gossiped(
        &mut self,
        peer: NodeId,
        message: GossipId,
        proof: &EquivocationProof,
    ) {
        let known = self.identity_named_by(proof);
        let verified = proof.verify_with(self.params.network, known);
        let judge = |service: &mut Self, verdict| {
            service.out.push(Output::JudgeGossip { message, verdict });
        };
        let Ok((publisher, position)) = verified else {
            return judge(self, Verdict::Reject);
        };
        let ids = [&proof.first, &proof.second].map(|side| Some(side.id::<Head>()));
        let news = self.gossip.is_news(&ids);
        let verdict = if news {
            Verdict::Accept
        } else {
            Verdict::Ignore
        };
        judge(self, verdict);
        let concerns = match &position {
            Some((repository, _)) => self.facts.repositories.contains_key(repository),
            None => self.facts.of_publisher(publisher).next().is_some(),
        };
        if concerns && self.offers.busy.contains(&publisher) {
            let proof = (peer, proof.clone());
            self.offers.proofs.entry(publisher).or_insert(proof);
        } else if concerns {
            self.take_proof(peer, proof.clone());
        }
    }

    /// Writes down a contradiction, unless one is known already. Nothing of the publisher is being written.
    pub(super) fn take_proof(&mut self, peer: NodeId, proof: EquivocationProof) {
        // Since it came, a rotation may have become known that takes its weight.
        let known = self.identity_named_by(&proof);
        let Ok((publisher, position)) = proof.verify_with(self.params.network, known) else {
            return;
        };
        let repository = match position {
            Some((repository, _)) => repository,
            // Any repository of the publisher stands for its identity.
            None => match self.facts.of_publisher(publisher).next() {
                Some(repository) => repository.clone(),
                None => return,
            },
        };
        if self.facts.refusal(&repository).is_some() {
            return;
        }
        let Some(record) = self.facts.record(&repository, None, self.now.unix) else {
            return;
        };
        let ops = vec![put_proof(&repository, &proof)];
        let offer = Offer {
            repository,
            record,
            source: Source::Peer(peer),
            resolve: None,
            publication: None,
            extension_asked: true,
        };
        self.commit_offer(offer, Change::Equivocation(proof), ops);
    }

    /// The log that is held of the publisher whose heads a proof is about.
    fn identity_named_by(&self, proof: &EquivocationProof) -> Option<&IdentityLog> {
        let head = proof.first.decode_body::<Head>().ok()?;
        let held = self.facts.identities.get(&head.publisher)?;
        Some(&held.log)
    }
}

pub(super) fn put_proof(repository: &RepositoryId, proof: &EquivocationProof) -> Op {
    let encoded = codec::encode(proof);
    match proof.subject {
        EquivocationSubject::Head => Op::PutEquivocation {
            repository: repository.clone(),
            proof: encoded,
        },
        EquivocationSubject::Identity => Op::PutIdentityFork {
            publisher: repository.publisher,
            proof: encoded,
        },
    }
}
