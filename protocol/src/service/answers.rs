//! Answers that come back: each is led to whatever waits for it.

use super::{
    CommandError, Outcome, RequestError, RequestId, Service, StorageError,
    offers::{Offer, Source},
    pending::{After, Ask, Purpose},
};
use crate::{accept::RepositoryRecord, id::NodeId, wire};

impl Service {
    /// A peer answered, or did not.
    pub(super) fn response_received(
        &mut self,
        request: RequestId,
        result: Result<wire::Response, RequestError>,
    ) {
        let Some(Purpose::Ask(peer, ask)) = self.pending.remove(request) else {
            return;
        };
        let heard = result.is_ok();
        match (ask, result) {
            (Ask::Hello, Ok(wire::Response::Hello(hello))) => self.hello_received(peer, hello),
            (
                Ask::Repository {
                    repository,
                    resolve,
                    extension,
                },
                Ok(wire::Response::Repository(record)),
            ) => {
                if let Some(resolve) = resolve {
                    self.note_heard(resolve);
                }
                self.offer(Offer {
                    repository,
                    record: *record,
                    source: Source::Peer(peer),
                    resolve: resolve.map(|resolve| (resolve, request)),
                    publication: None,
                    extension_asked: extension,
                });
            }
            (Ask::Log { repository, first }, Ok(wire::Response::Log { ids })) => {
                self.log_received(repository, first, ids);
            }
            (
                Ask::Publisher {
                    publisher,
                    after,
                    page,
                },
                Ok(wire::Response::Publisher { names }),
            ) => self.names_received(peer, publisher, (after, page), names),
            (Ask::Object { resolve, id }, Ok(wire::Response::Object { preimage })) => {
                self.note_heard(resolve);
                self.object_received(resolve, request, peer, id, &preimage);
            }
            (Ask::Revision { resolve }, Ok(wire::Response::Revision(proof))) => {
                self.note_heard(resolve);
                self.proof_received(resolve, request, peer, *proof);
            }
            (Ask::Peers { revision }, Ok(wire::Response::Peers { peers })) => {
                self.peers_exchanged(peer, revision, peers);
            }
            // No answer, a refusal, or an answer to another question.
            (
                Ask::Repository {
                    resolve: Some(resolve),
                    ..
                }
                | Ask::Object { resolve, .. }
                | Ask::Revision { resolve },
                _,
            ) => {
                if heard {
                    self.note_heard(resolve);
                }
                self.note_answer(resolve, request, false, None);
            }
            (Ask::Hello, _) => self.introduced(peer),
            (
                Ask::Repository { resolve: None, .. }
                | Ask::Log { .. }
                | Ask::Publisher { .. }
                | Ask::Peers { .. },
                _,
            ) => {}
        }
    }

    /// The DHT has a record; more may follow.
    pub(super) fn record_found(&mut self, request: RequestId, record: RepositoryRecord) {
        let Some(Purpose::FindRecord {
            repository,
            resolve,
        }) = self.pending.get(request)
        else {
            return;
        };
        let (repository, resolve) = (repository.clone(), *resolve);
        // The query stays open until it ends, so the offer answers under a request of its own.
        let own = self.out.request_id();
        if let Some(resolve) = resolve {
            self.note_asked(resolve, own);
        }
        self.offer(Offer {
            repository,
            record,
            source: Source::Dht,
            resolve: resolve.map(|resolve| (resolve, own)),
            publication: None,
            extension_asked: false,
        });
    }

    /// Providers were found; more may follow.
    pub(super) fn found(&mut self, request: RequestId, peers: Vec<NodeId>) {
        if let Some(Purpose::FindProviders(sought)) = self.pending.get(request) {
            let sought = *sought;
            self.providers_found(sought, peers);
        }
    }

    /// A DHT query is over.
    pub(super) fn query_finished(&mut self, request: RequestId) {
        match self.pending.remove(request) {
            Some(Purpose::FindRecord { resolve, .. }) => {
                if let Some(resolve) = resolve {
                    self.note_answer(resolve, request, false, None);
                }
            }
            Some(Purpose::FindProviders(sought)) => self.search_finished(sought),
            Some(Purpose::PutRecord(repository)) => self.put_finished(repository),
            Some(_) | None => {}
        }
    }

    /// A batch was written, or not.
    pub(super) fn committed(&mut self, after: After, result: Result<(), StorageError>) {
        match (after, result) {
            (After::Offer(offer, change), result) => self.offer_committed(*offer, *change, result),
            (After::Leaves { repository, ids }, result) => {
                self.leaves_committed(&repository, ids, result.is_ok());
            }
            (After::Resolved(id), result) => self.resolve_committed(id, result),
            (After::Completed(revision), result) => self.completed(revision, result),
            (
                After::Revisions {
                    changed,
                    forgotten,
                    reply,
                },
                result,
            ) => self.revisions_committed(&changed, &forgotten, reply, result),
            (After::Identity { command, log }, Ok(())) => self.identity_updated(command, *log),
            (After::Mirror { command, record }, Ok(())) => {
                self.reply(command, Ok(Outcome::Done));
                self.mirror_ordered(record);
            }
            (After::Unmirror { command, scope }, Ok(())) => self.unmirrored(command, &scope),
            (
                After::Identity { command, .. }
                | After::Mirror { command, .. }
                | After::Unmirror { command, .. },
                Err(error),
            ) => self.reply(command, Err(CommandError::from(error))),
            (After::Quiet, _) => {}
        }
    }

    /// A gossiped announcement arrived.
    pub(super) fn gossip_received(
        &mut self,
        peer: NodeId,
        message: super::GossipId,
        announcement: wire::Announcement,
    ) {
        match announcement {
            wire::Announcement::Equivocation(proof) => self.proof_gossiped(peer, message, &proof),
            wire::Announcement::Head(record) => {
                let named = record
                    .head
                    .decode_body::<crate::head::Head>()
                    .map(|head| head.repository());
                match named {
                    Ok(repository) => self.offer(Offer {
                        repository,
                        record: *record,
                        source: Source::Gossip(peer, message),
                        resolve: None,
                        publication: None,
                        extension_asked: false,
                    }),
                    Err(_) => self.out.push(super::Output::JudgeGossip {
                        message,
                        verdict: super::Verdict::Reject,
                    }),
                }
            }
        }
    }
}
