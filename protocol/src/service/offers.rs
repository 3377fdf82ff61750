//! Records on their way from "somebody says so" to "this node believes it".
//!
//! Records of one publisher are judged one after the other: the next one only after the batch of the one
//! before is durable, so that each is judged against what is really held.

mod contradiction;
mod publication;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{
    CommandError, CommandId, Event, GossipId, Outcome, Output, Publication, RequestId, Service,
    StorageError, Verdict,
    pending::{After, Ask},
    resolve::ResolveId,
};
use crate::{
    accept::{self, AcceptedHead, EquivocationProof, RepositoryRecord},
    codec, freshness,
    id::{NodeId, PublisherId, RepositoryId},
    identity::IdentityLog,
    limits,
    op::Op,
    sign::Envelope,
    wire,
};

/// Where a record came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// A peer answered with it.
    Peer(NodeId),
    /// Gossip brought it.
    Gossip(NodeId, GossipId),
    /// The DHT had it.
    Dht,
    /// This node made it.
    Local,
}

impl Source {
    fn peer(self) -> Option<NodeId> {
        match self {
            Self::Peer(peer) | Self::Gossip(peer, _) => Some(peer),
            Self::Dht | Self::Local => None,
        }
    }
}

/// A record to be judged.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) repository: RepositoryId,
    pub(crate) record: RepositoryRecord,
    pub(crate) source: Source,
    /// Which resolution waits for it, under which request.
    pub(crate) resolve: Option<(ResolveId, RequestId)>,
    /// What a local publisher wants published with it.
    pub(crate) publication: Option<(CommandId, Box<Publication>)>,
    /// Whether the proof of extension was asked for already.
    pub(crate) extension_asked: bool,
}

/// What a batch changes in what this node believes.
#[derive(Debug)]
pub(crate) enum Change {
    /// A newer head; `leaf` if its id continues the leaves.
    Head {
        identity: IdentityLog,
        head: Box<AcceptedHead>,
        leaf: bool,
    },
    /// News about the head that is held.
    Same {
        freshness: Option<(freshness::Freshness, Envelope)>,
        identity: Option<IdentityLog>,
    },
    /// The publisher contradicted itself.
    Equivocation(EquivocationProof),
}

/// Records that wait for their turn.
#[derive(Debug, Default)]
pub(crate) struct Offers {
    busy: BTreeSet<PublisherId>,
    waiting: BTreeMap<PublisherId, VecDeque<Offer>>,
    /// A contradiction of each publisher that was heard of during a write, and from whom.
    proofs: BTreeMap<PublisherId, (NodeId, EquivocationProof)>,
}

impl Service {
    /// Takes in a record.
    pub(super) fn offer(&mut self, offer: Offer) {
        let publisher = offer.repository.publisher;
        if self.offers.busy.contains(&publisher) {
            let queue = self.offers.waiting.entry(publisher).or_default();
            if queue.len() < limits::OFFERS_WAITING_MAX {
                queue.push_back(offer);
            } else {
                let error = CommandError::Refused("too many records are waiting".to_owned());
                self.settle(offer, false, Verdict::Ignore, Some(error));
            }
            return;
        }
        self.judge(offer);
    }

    fn judge(&mut self, offer: Offer) {
        if let Some(refusal) = self.facts.refusal(&offer.repository) {
            return self.settle(offer, false, Verdict::Ignore, Some(refusal));
        }
        if let (Source::Gossip(..), false) = (offer.source, self.follows(&offer.repository)) {
            return self.pass_on(offer);
        }
        let unix = self.now.unix;
        match self.facts.judge(unix, &offer.repository, &offer.record) {
            accept::Verdict::Accept { identity, head } => self.accept(offer, identity, head),
            accept::Verdict::Same {
                freshness,
                identity,
            } => self.same(offer, freshness, identity),
            accept::Verdict::Older => {
                let error = CommandError::Refused("a newer head is already held".to_owned());
                self.settle(offer, true, Verdict::Ignore, Some(error));
            }
            accept::Verdict::NeedsExtension => self.ask_extension(offer),
            accept::Verdict::Equivocation(_) if offer.source == Source::Local => {
                // Two publications raced here. The later one has left this process for nobody yet.
                let reason = "another revision was published meanwhile, try again".to_owned();
                let error = CommandError::Refused(reason);
                self.settle(offer, false, Verdict::Ignore, Some(error));
            }
            accept::Verdict::Equivocation(proof) => {
                let ops = vec![contradiction::put_proof(&offer.repository, &proof)];
                self.commit_offer(offer, Change::Equivocation(*proof), ops);
            }
            accept::Verdict::Reject(rejection) => {
                let reason = rejection.to_string();
                self.out.event(Event::HeadRejected {
                    repository: offer.repository.clone(),
                    peer: offer.source.peer(),
                    reason: reason.clone(),
                });
                if let Some((resolve, _)) = offer.resolve {
                    self.note_rejection(resolve, &reason);
                }
                let error = CommandError::Verification(reason);
                self.settle(offer, false, Verdict::Reject, Some(error));
            }
        }
    }

    /// Gossip about a repository that does not concern this node: forwarded if it is valid, not kept.
    fn pass_on(&mut self, offer: Offer) {
        let verdict = match offer.record.verify(self.params.network, self.now.unix) {
            Ok((repository, _, head)) if repository == offer.repository => {
                // A renewed freshness statement is news about the same head.
                let statement = head
                    .freshness
                    .map(|(_, envelope)| envelope.id::<freshness::Freshness>());
                if self.gossip.is_news(&[Some(head.id), statement]) {
                    Verdict::Accept
                } else {
                    Verdict::Ignore
                }
            }
            Ok(_) | Err(_) => Verdict::Reject,
        };
        self.settle(offer, false, verdict, None);
    }

    fn accept(&mut self, offer: Offer, identity: IdentityLog, head: Box<AcceptedHead>) {
        let mut ops = Vec::new();
        if self.facts.is_longer(&identity) {
            ops.push(put_identity(&identity));
        }
        let index = head.head.index;
        ops.push(Op::PutHead {
            repository: offer.repository.clone(),
            index,
            id: head.id,
            head: head.envelope.clone(),
        });
        if let Some((_, envelope)) = &head.freshness {
            ops.push(Op::PutFreshness {
                repository: offer.repository.clone(),
                freshness: envelope.clone(),
            });
        }
        let held = self.facts.repositories.get(&offer.repository);
        let leaves = held.map_or(0, |held| held.leaves.len());
        let leaf = u64::try_from(leaves) == Ok(index);
        if leaf {
            ops.push(Op::PutLeaves {
                repository: offer.repository.clone(),
                first: index,
                ids: vec![head.id],
            });
        }
        if let Some((_, publication)) = &offer.publication {
            match self.publication_ops(publication, &head) {
                Ok(more) => ops.extend(more),
                Err(error) => return self.settle(offer, false, Verdict::Ignore, Some(error)),
            }
        }
        let change = Change::Head {
            identity,
            head,
            leaf,
        };
        self.commit_offer(offer, change, ops);
    }

    /// Asks whoever sent a newer head to prove that it extends the one that is held.
    fn ask_extension(&mut self, offer: Offer) {
        let have = self
            .facts
            .repositories
            .get(&offer.repository)
            .map(|held| held.tip.head.index);
        let verdict = match offer.record.verify(self.params.network, self.now.unix) {
            Ok(_) => Verdict::Accept,
            Err(_) => Verdict::Reject,
        };
        let peer = offer
            .source
            .peer()
            .filter(|peer| !offer.extension_asked && self.peers.is_connected(peer));
        let (Some(peer), Some(_)) = (peer, have) else {
            let error = CommandError::Refused("the head does not show what it extends".to_owned());
            return self.settle(offer, false, verdict, Some(error));
        };
        let message = wire::Request::Repository {
            repository: offer.repository.clone(),
            have,
        };
        let resolve = offer.resolve.map(|(resolve, _)| resolve);
        let ask = Ask::Repository {
            repository: offer.repository.clone(),
            resolve,
            extension: true,
        };
        if let (Some(request), Some(resolve)) = (self.ask(peer, message, ask), resolve) {
            self.note_asked(resolve, request);
        }
        self.settle(offer, false, verdict, None);
    }

    fn commit_offer(&mut self, offer: Offer, change: Change, ops: Vec<Op>) {
        self.offers.busy.insert(offer.repository.publisher);
        self.commit(ops, After::Offer(Box::new(offer), Box::new(change)));
    }

    /// The batch of an offer was written, or not.
    pub(super) fn offer_committed(
        &mut self,
        offer: Offer,
        change: Change,
        result: Result<(), StorageError>,
    ) {
        let publisher = offer.repository.publisher;
        self.offers.busy.remove(&publisher);
        match result {
            Err(error) => {
                if let Some((_, publication)) = &offer.publication
                    && let Ok(head) = publication.head.decode_body::<crate::head::Head>()
                {
                    self.revisions.failed(&head.manifest);
                    self.revisions.tell(&mut self.out);
                }
                if let Some((resolve, _)) = offer.resolve {
                    self.fail(resolve, error.clone().into());
                }
                self.settle(offer, false, Verdict::Ignore, Some(error.into()));
            }
            Ok(()) => self.expose(offer, change),
        }
        if let Some((peer, proof)) = self.offers.proofs.remove(&publisher) {
            self.take_proof(peer, proof);
        }
        while !self.offers.busy.contains(&publisher) {
            let queue = self.offers.waiting.get_mut(&publisher);
            let Some(next) = queue.and_then(VecDeque::pop_front) else {
                self.offers.waiting.remove(&publisher);
                break;
            };
            self.judge(next);
        }
    }

    /// What was written may now be seen.
    fn expose(&mut self, offer: Offer, change: Change) {
        let repository = offer.repository.clone();
        match change {
            Change::Head {
                identity,
                head,
                leaf,
            } => {
                let (index, revision) = (head.head.index, head.head.manifest);
                self.facts.accept(&repository, identity, *head, leaf);
                self.out.event(Event::HeadAccepted {
                    repository: repository.clone(),
                    index,
                    revision,
                });
                let source = offer.source;
                self.note_news(&repository);
                self.settle(offer, true, Verdict::Accept, None);
                if !matches!(source, Source::Gossip(..)) {
                    self.announce_head(&repository);
                }
                self.put_soon(&repository);
                self.sync_leaves(&repository, source.peer());
                self.follow_head(&repository);
            }
            Change::Same {
                freshness,
                identity,
            } => {
                if let Some(log) = identity {
                    self.facts.extend_identity(log);
                }
                if let (Some(freshness), Some(held)) =
                    (freshness, self.facts.repositories.get_mut(&repository))
                {
                    held.tip.freshness = Some(freshness);
                }
                let local = offer.source == Source::Local;
                self.settle(offer, true, Verdict::Accept, None);
                if local {
                    self.announce_head(&repository);
                }
                self.put_soon(&repository);
            }
            Change::Equivocation(proof) => {
                let error = self.freeze(&repository, &proof);
                self.settle(offer, false, Verdict::Ignore, Some(error));
            }
        }
    }

    /// Ends the life of an offer: whoever waits for it is told.
    fn settle(&mut self, offer: Offer, good: bool, verdict: Verdict, error: Option<CommandError>) {
        if let Source::Gossip(_, message) = offer.source {
            self.out.push(Output::JudgeGossip { message, verdict });
        }
        if let Some((command, publication)) = offer.publication {
            let head = publication.head.decode_body::<crate::head::Head>();
            let result = match (error, head) {
                (None, Ok(head)) => {
                    self.revisions.committed(&head.manifest);
                    for other in &publication.others {
                        self.revisions.committed(&codec::preimage_id(other));
                    }
                    self.revisions.tell(&mut self.out);
                    Ok(Outcome::Published {
                        index: head.index,
                        revision: head.manifest,
                    })
                }
                (Some(error), _) => Err(error),
                (None, Err(error)) => Err(CommandError::Verification(error.to_string())),
            };
            self.reply(command, result);
        }
        if let Some((resolve, request)) = offer.resolve {
            let peer = offer.source.peer().filter(|_| good);
            self.note_answer(resolve, request, good, peer);
        }
    }
}

fn put_identity(log: &IdentityLog) -> Op {
    Op::PutIdentity {
        publisher: log.publisher(),
        events: log.envelopes().to_vec(),
    }
}
