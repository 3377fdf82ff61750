//! Answering what peers ask. Only durable facts are told; questions that need the disk are bounded per peer.

use std::{collections::BTreeMap, time::Duration};

use super::{
    InboundId, Output, Service,
    pending::{HeadQuestion, Purpose},
};
use crate::{
    accept::EquivocationProof,
    head::Head,
    id::{NodeId, RepositoryId, RevisionId},
    limits, log,
    sign::Envelope,
    time::Instant,
    wire,
};

/// Open disk questions by peer, and warnings given.
#[derive(Debug, Default)]
pub(crate) struct Serving {
    open: BTreeMap<NodeId, u32>,
    warned: BTreeMap<RepositoryId, Instant>,
}

/// A proof of contradiction is not gossiped more often than this for those who ask.
const WARN_INTERVAL: Duration = Duration::from_secs(60);

impl Serving {
    fn begin(&mut self, peer: NodeId) -> bool {
        let open = self.open.entry(peer).or_default();
        *open += 1;
        if *open > limits::INBOUND_PER_PEER_MAX {
            *open -= 1;
            return false;
        }
        true
    }

    fn end(&mut self, peer: &NodeId) {
        if let Some(open) = self.open.get_mut(peer) {
            *open = open.saturating_sub(1);
            if *open == 0 {
                self.open.remove(peer);
            }
        }
    }

    pub(crate) fn forget(&mut self, peer: &NodeId) {
        self.open.remove(peer);
    }
}

impl Service {
    /// A peer asks.
    pub(super) fn request_received(
        &mut self,
        peer: NodeId,
        inbound: InboundId,
        message: wire::Request,
    ) {
        let answer = match message {
            wire::Request::Hello(hello) => {
                self.hello_received(peer, hello);
                wire::Response::Hello(self.params.hello.clone())
            }
            wire::Request::Repository { repository, have } => {
                self.warn_of_contradiction(&repository);
                match self.facts.record(&repository, have, self.now.unix) {
                    Some(record) => wire::Response::Repository(Box::new(record)),
                    None => wire::Response::NotFound,
                }
            }
            wire::Request::Log { repository, first } => self.answer_log(&repository, first),
            wire::Request::Publisher { publisher, after } => {
                let names = self
                    .facts
                    .of_publisher(publisher)
                    .map(|repository| repository.name.clone())
                    .filter(|name| after.as_ref().is_none_or(|after| name > after))
                    .take(limits::NAMES_PER_RESPONSE_MAX)
                    .collect();
                wire::Response::Publisher { names }
            }
            wire::Request::Object { id } => {
                if !self.serving.begin(peer) {
                    return self.respond(inbound, wire::Response::Refused);
                }
                let purpose = Purpose::ServeObject { peer, inbound };
                let request = self.pending.insert(&mut self.out, purpose);
                return self.out.push(Output::ReadObject { request, id });
            }
            wire::Request::Revision {
                repository,
                revision,
            } => return self.answer_revision(peer, inbound, repository, revision),
            wire::Request::Peers { revision } => {
                if !self.peers.may_exchange(&peer, self.now.instant) {
                    return self.respond(inbound, wire::Response::Refused);
                }
                let peers = self.peers_of(&revision, peer);
                self.peers.note_interest(peer, revision, self.now.instant);
                self.swarm(|swarm, ctx| swarm.interested(&revision, peer, ctx));
                wire::Response::Peers { peers }
            }
        };
        self.respond(inbound, answer);
    }

    fn respond(&mut self, request: InboundId, message: wire::Response) {
        self.out.push(Output::Respond { request, message });
    }

    /// Whoever asks about a frozen repository may not have heard the proof: it is gossiped again.
    fn warn_of_contradiction(&mut self, repository: &RepositoryId) {
        let publisher = &repository.publisher;
        let fork = self
            .facts
            .identities
            .get(publisher)
            .and_then(|held| held.fork.as_ref());
        let held = self.facts.repositories.get(repository);
        let Some(proof) = fork.or_else(|| held?.equivocation.as_ref()) else {
            return;
        };
        let now = self.now.instant;
        let told = self.serving.warned.get(repository);
        if told.is_some_and(|at| now.since(*at) < WARN_INTERVAL) {
            return;
        }
        let len_max = limits::GOSSIP_LEN_MAX;
        if let Ok(proof) = crate::codec::decode::<EquivocationProof>(proof, len_max) {
            self.serving.warned.insert(repository.clone(), now);
            let announcement = wire::Announcement::Equivocation(Box::new(proof));
            self.out.push(Output::Announce(announcement));
        }
    }

    fn answer_log(&self, repository: &RepositoryId, first: u64) -> wire::Response {
        let leaves = self
            .facts
            .repositories
            .get(repository)
            .map(|held| &held.leaves);
        let from = usize::try_from(first).ok();
        match leaves.and_then(|leaves| leaves.get(from?..)) {
            Some(leaves) if !leaves.is_empty() => wire::Response::Log {
                ids: leaves
                    .iter()
                    .take(limits::LOG_IDS_PER_RESPONSE_MAX)
                    .copied()
                    .collect(),
            },
            Some(_) | None => wire::Response::NotFound,
        }
    }

    /// An object for a peer was read.
    pub(super) fn object_for_peer(
        &mut self,
        peer: NodeId,
        inbound: InboundId,
        preimage: Option<Vec<u8>>,
    ) {
        self.serving.end(&peer);
        let answer = match preimage {
            Some(preimage) => wire::Response::Object { preimage },
            None => wire::Response::NotFound,
        };
        self.respond(inbound, answer);
    }

    fn answer_revision(
        &mut self,
        peer: NodeId,
        inbound: InboundId,
        repository: RepositoryId,
        revision: RevisionId,
    ) {
        let Some(held) = self.facts.repositories.get(&repository) else {
            return self.respond(inbound, wire::Response::NotFound);
        };
        let tip = &held.tip.head;
        if tip.manifest == revision {
            let proof = self
                .facts
                .record(&repository, None, self.now.unix)
                .map(|record| wire::RevisionProof {
                    identity: record.identity,
                    head: record.head,
                    tip: None,
                    inclusion: None,
                });
            let answer = proof.map_or(wire::Response::NotFound, |proof| {
                wire::Response::Revision(Box::new(proof))
            });
            return self.respond(inbound, answer);
        }
        // Without the tree there is no proof; without an index the stored heads are walked from the tip down, each
        // once in a run.
        let known = held.indices.get(&revision).copied();
        let index = known.or_else(|| held.walked.checked_sub(1));
        let (Some(index), Some(_)) = (index, held.tree()) else {
            return self.respond(inbound, wire::Response::NotFound);
        };
        if !self.serving.begin(peer) {
            return self.respond(inbound, wire::Response::Refused);
        }
        let tries = if known.is_some() {
            1
        } else if self.revisions.stays(&revision) {
            // What is offered must be provable, however long ago it was the head.
            u32::MAX
        } else {
            limits::HEADS_WALKED_MAX
        };
        self.read_head(HeadQuestion {
            peer,
            inbound,
            repository,
            revision,
            index,
            tries,
        });
    }

    fn read_head(&mut self, question: HeadQuestion) {
        let (repository, index) = (question.repository.clone(), question.index);
        let purpose = Purpose::ServeHead(question);
        let request = self.pending.insert(&mut self.out, purpose);
        self.out.push(Output::ReadHead {
            request,
            repository,
            index,
        });
    }

    /// A stored head was read for a peer that wants a proof.
    pub(super) fn head_for_peer(&mut self, mut question: HeadQuestion, head: Option<Envelope>) {
        let HeadQuestion {
            peer,
            inbound,
            index,
            ..
        } = question;
        let decoded = head
            .as_ref()
            .and_then(|envelope| envelope.decode_body::<Head>().ok());
        if let Some(held) = self.facts.repositories.get_mut(&question.repository) {
            if let Some(decoded) = &decoded {
                held.indices.insert(decoded.manifest, index);
            }
            if index.checked_add(1) == Some(held.walked) {
                held.walked = index;
            }
        }
        if decoded.is_some_and(|decoded| decoded.manifest == question.revision) {
            self.serving.end(&peer);
            let proof = head.and_then(|head| self.prove(&question.repository, head, index));
            let answer = proof.map_or(wire::Response::NotFound, |proof| {
                wire::Response::Revision(Box::new(proof))
            });
            return self.respond(inbound, answer);
        }
        match index.checked_sub(1) {
            Some(next) if question.tries > 1 => {
                question.index = next;
                question.tries -= 1;
                self.read_head(question);
            }
            _ => {
                self.serving.end(&peer);
                self.respond(inbound, wire::Response::NotFound);
            }
        }
    }

    fn prove(
        &self,
        repository: &RepositoryId,
        head: Envelope,
        index: u64,
    ) -> Option<wire::RevisionProof> {
        let held = self.facts.repositories.get(repository)?;
        let record = self.facts.record(repository, None, self.now.unix)?;
        Some(wire::RevisionProof {
            identity: record.identity,
            head,
            tip: Some(record.head),
            inclusion: Some(log::prove_inclusion(held.tree()?, index)?),
        })
    }
}
