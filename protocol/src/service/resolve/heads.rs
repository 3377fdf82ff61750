//! The newest head, and proofs that older revisions were heads once.

use super::{GRACE, RECORD_AGAIN, ResolveId, SETTLE, STAGE_MAX, Stage, Wanted};
use crate::{
    accept::RepositoryRecord,
    discovery,
    id::{NodeId, RevisionId},
    limits,
    refs::MAIN,
    service::{
        CommandError, Output, RequestId, Selector, Service,
        offers::{Offer, Source},
        pending::{Ask, Purpose, Sought},
    },
    wire,
};

impl Service {
    /// Looks for the newest head, unless this node itself is who publishes it.
    pub(super) fn begin_heads(&mut self, id: ResolveId) {
        let Some(resolve) = self.resolves.running.get(&id) else {
            return;
        };
        let repository = resolve.repository.clone();
        let own = self.freshness.signs_for(&repository.publisher);
        if own && self.facts.repositories.contains_key(&repository) {
            return self.take_tip(id);
        }
        self.enter(id, Stage::Heads);
        self.search(Sought::Publisher(repository.publisher));
        self.advance_heads(id);
    }

    /// Starts a record search in the DHT.
    pub(in crate::service) fn find_record(
        &mut self,
        repository: &crate::id::RepositoryId,
        resolve: Option<ResolveId>,
    ) {
        if self.peers.is_empty() {
            return;
        }
        let purpose = Purpose::FindRecord {
            repository: repository.clone(),
            resolve,
        };
        let request = self.pending.insert(&mut self.out, purpose);
        self.out.push(Output::FindRecord {
            request,
            key: discovery::repository_key(repository),
        });
        if let Some(resolve) = resolve {
            self.note_asked(resolve, request);
        }
    }

    pub(super) fn advance_heads(&mut self, id: ResolveId) {
        let Some(resolve) = self.resolves.running.get(&id) else {
            return;
        };
        let repository = resolve.repository.clone();
        if let Some(refusal) = self.facts.refusal(&repository) {
            return self.fail(id, refusal);
        }
        let held = self.facts.repositories.get(&repository);
        let message = wire::Request::Repository {
            repository: repository.clone(),
            have: held.map(|held| held.tip.head.index),
        };
        self.ask_everybody(id, &message, || Ask::Repository {
            repository: repository.clone(),
            resolve: Some(id),
            extension: false,
        });
        let now = self.now.instant;
        let Some(resolve) = self.resolves.running.get(&id) else {
            return;
        };
        let waited = now.since(resolve.stage_started);
        if let Some(good_at) = resolve.good_at {
            if resolve.open.is_empty() || now.since(good_at) >= SETTLE || waited >= STAGE_MAX {
                self.take_tip(id);
            }
            return;
        }
        let what = || format!("repository `{repository}`");
        if let Some(error) = self.gave_up(resolve, what) {
            // What is held is better than nothing when nobody knows more.
            if resolve.rejected.is_none() && self.facts.repositories.contains_key(&repository) {
                self.take_tip(id);
            } else {
                self.fail(id, error);
            }
        }
    }

    /// Asks every connected peer that was not asked in this stage.
    fn ask_everybody(&mut self, id: ResolveId, message: &wire::Request, ask: impl Fn() -> Ask) {
        let Some(resolve) = self.resolves.running.get(&id) else {
            return;
        };
        // Chance decides who comes first, so that nobody can stand before others by the choice of a node id;
        // and while there is no good answer, those who answered make room for the next.
        let busy = match resolve.good_at {
            Some(_) => resolve.asked.len(),
            None => resolve.open.len(),
        };
        let room = limits::PEERS_PER_QUESTION_MAX.saturating_sub(busy);
        let others = self
            .peers
            .ids()
            .filter(|peer| !resolve.asked.contains(peer));
        let peers = self.rng.choose_multiple(others, room);
        for peer in peers {
            let request = self.ask(peer, message.clone(), ask());
            if let Some(resolve) = self.resolves.running.get_mut(&id) {
                resolve.asked.insert(peer);
                resolve.open.extend(request);
            }
        }
        self.ask_dht(id);
    }

    /// Asks the DHT for the record, and again while nobody knows it.
    fn ask_dht(&mut self, id: ResolveId) {
        let now = self.now.instant;
        let Some(resolve) = self.resolves.running.get_mut(&id) else {
            return;
        };
        let due = match resolve.record_asked {
            None => true,
            Some(at) => {
                let doubtful = resolve.good_at.is_none() && resolve.open.is_empty();
                doubtful && now.since(at) >= RECORD_AGAIN
            }
        };
        if due && !self.peers.is_empty() {
            resolve.record_asked = Some(now);
            let repository = resolve.repository.clone();
            self.find_record(&repository, Some(id));
        }
    }

    /// The tip that is held now is the answer.
    fn take_tip(&mut self, id: ResolveId) {
        let Some(resolve) = self.resolves.running.get_mut(&id) else {
            return;
        };
        let Some(held) = self.facts.repositories.get(&resolve.repository) else {
            let what = format!("repository `{}`", resolve.repository);
            let asked = resolve.answered;
            return self.fail(id, CommandError::NotFound { what, asked });
        };
        resolve.vouched = true;
        let (tip, refs) = (held.tip.head.manifest, held.tip.head.refs);
        match resolve.selector.clone() {
            Selector::Latest => self.want_object(id, tip, Wanted::Manifest),
            Selector::Revision(revision) => self.want_object(id, revision, Wanted::Manifest),
            // `main` by name brings the references along, for whoever wants to know them all.
            Selector::Reference(name) => match refs {
                None if name.as_str() == MAIN => self.want_object(id, tip, Wanted::Manifest),
                Some(refs) => self.want_object(id, refs, Wanted::Refs(name)),
                None => self.not_found(id, format!("reference `{name}`")),
            },
            Selector::Prefix(prefix) if tip.to_string().starts_with(&prefix) => {
                self.want_object(id, tip, Wanted::Manifest);
            }
            Selector::Prefix(prefix) => self.not_found(id, format!("revision `{prefix}…`")),
        }
    }

    pub(super) fn not_found(&mut self, id: ResolveId, what: String) {
        let asked = self.resolves.running.get(&id).map_or(0, |r| r.answered);
        self.fail(id, CommandError::NotFound { what, asked });
    }

    /// Looks for the one known revision that starts with `prefix`.
    pub(super) fn match_prefix(&mut self, id: ResolveId, prefix: &str) {
        let Some(resolve) = self.resolves.running.get(&id) else {
            return;
        };
        if prefix.len() < limits::PREFIX_LEN_MIN {
            let reason = format!("`{prefix}` is too short: give at least 8 digits");
            return self.fail(id, CommandError::Refused(reason));
        }
        let known = self.facts.repositories.get(&resolve.repository);
        let mut matching: Vec<RevisionId> = known
            .into_iter()
            .flat_map(|held| held.indices.keys().copied())
            .chain(
                self.revisions
                    .of_repository(&resolve.repository)
                    .map(|r| r.revision),
            )
            .filter(|revision| revision.to_string().starts_with(prefix))
            .collect();
        matching.sort_unstable();
        matching.dedup();
        match matching.as_slice() {
            [] => self.begin_heads(id),
            [revision] => self.want_object(id, *revision, Wanted::Manifest),
            _ => {
                let reason = format!("`{prefix}` stands for {} revisions", matching.len());
                self.fail(id, CommandError::Refused(reason));
            }
        }
    }

    /// Looks for a proof that a revision was once the head.
    pub(super) fn begin_proof(&mut self, id: ResolveId, revision: RevisionId) {
        let Some(resolve) = self.resolves.running.get(&id) else {
            return;
        };
        let repository = resolve.repository.clone();
        self.enter(id, Stage::Proof(revision));
        self.search(Sought::Revision(revision));
        self.search(Sought::Publisher(repository.publisher));
        self.advance_proof(id, revision);
    }

    pub(super) fn advance_proof(&mut self, id: ResolveId, revision: RevisionId) {
        let Some(resolve) = self.resolves.running.get_mut(&id) else {
            return;
        };
        let repository = resolve.repository.clone();
        let known = self
            .facts
            .repositories
            .get(&repository)
            .is_some_and(|held| held.indices.contains_key(&revision));
        if known || resolve.vouched {
            resolve.vouched = true;
            return self.seek_object(id, revision, Wanted::Manifest);
        }
        let message = wire::Request::Revision {
            repository,
            revision,
        };
        self.ask_everybody(id, &message, || Ask::Revision { resolve: id });
        let Some(resolve) = self.resolves.running.get(&id) else {
            return;
        };
        let what = || format!("revision `{revision}`");
        if let Some(error) = self.gave_up(resolve, what) {
            self.fail(id, error);
        }
    }

    /// A peer answered with a proof.
    pub(in crate::service) fn proof_received(
        &mut self,
        id: ResolveId,
        request: RequestId,
        peer: NodeId,
        proof: wire::RevisionProof,
    ) {
        let Some(resolve) = self.resolves.running.get(&id) else {
            return;
        };
        let Stage::Proof(revision) = resolve.stage else {
            return;
        };
        let repository = resolve.repository.clone();
        let known = self.facts.identities.get(&repository.publisher);
        let known = known.map(|held| &held.log);
        let verified = proof.verify_with(self.params.network, &repository, &revision, known);
        let good = verified.is_ok();
        match verified {
            Ok(_) => {
                if let Some(resolve) = self.resolves.running.get_mut(&id) {
                    resolve.vouched = true;
                }
            }
            Err(rejection) => self.note_rejection(id, &rejection.to_string()),
        }
        if good {
            // A proof does not say whether there is a newer head; whoever has it may know.
            self.ask_repository(peer, repository.clone());
        }
        self.note_answer(id, request, good, Some(peer));
        if good {
            // The tip is news of its own; it is judged like any other record.
            self.offer(Offer {
                repository,
                record: RepositoryRecord {
                    identity: proof.identity,
                    head: proof.tip.unwrap_or(proof.head),
                    freshness: None,
                    extension: None,
                },
                source: Source::Peer(peer),
                resolve: None,
                publication: None,
                extension_asked: false,
            });
        }
    }
}

const _: () = assert!(
    GRACE.as_secs() > SETTLE.as_secs(),
    "slow answers beat the grace"
);
