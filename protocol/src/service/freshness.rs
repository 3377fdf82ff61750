//! Renewing freshness statements for publishers whose key this node holds.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    Output, Service,
    offers::{Offer, Source},
    pending::Purpose,
};
use crate::{
    freshness::Freshness,
    id::{PublisherId, RepositoryId},
    limits,
    op::Pin,
    sign::Envelope,
    time::{Instant, Timestamp},
};

/// Who signs here, and what is being signed.
#[derive(Debug, Default)]
pub(crate) struct Signer {
    /// Whether this node holds the key, as far as that was asked.
    holds: BTreeMap<PublisherId, bool>,
    asking: BTreeSet<RepositoryId>,
    next: Instant,
}

/// How often statements are looked at; they are renewed every few hours.
const CHECK: Duration = Duration::from_secs(60);

impl Signer {
    /// Whether this node is known to sign for the publisher.
    pub(crate) fn signs_for(&self, publisher: &PublisherId) -> bool {
        self.holds.get(publisher) == Some(&true)
    }

    /// The publisher published from here.
    pub(crate) fn note_local(&mut self, publisher: PublisherId) {
        self.holds.insert(publisher, true);
    }

    /// When to look again.
    pub(crate) fn poll_timeout(&self) -> Instant {
        self.next
    }
}

impl Service {
    /// Asks for statements that are due.
    pub(super) fn renew_freshness(&mut self) {
        if self.freshness.next > self.now.instant {
            return;
        }
        self.freshness.next = self.now.instant + CHECK;
        let unix = self.now.unix;
        let due: Vec<RepositoryId> = self
            .facts
            .repositories
            .iter()
            .filter(|(repository, held)| {
                let renewed = held.tip.freshness.as_ref().is_some_and(|(statement, _)| {
                    let issued = statement.issued.plus(limits::FRESHNESS_INTERVAL);
                    statement.head == held.tip.id && issued > unix && !statement.is_early(unix)
                });
                !renewed && self.may_sign(repository)
            })
            .map(|(repository, _)| repository.clone())
            .collect();
        for repository in due {
            self.sign_freshness(repository, unix);
        }
    }

    /// Only what the user pinned can be the user's own; a node without the key is asked once.
    fn may_sign(&self, repository: &RepositoryId) -> bool {
        let pinned = || {
            self.revisions
                .of_repository(repository)
                .any(|record| record.pin == Pin::User)
        };
        self.facts.refusal(repository).is_none()
            && !self.freshness.asking.contains(repository)
            && self.freshness.holds.get(&repository.publisher) != Some(&false)
            && (self.freshness.signs_for(&repository.publisher) || pinned())
    }

    fn sign_freshness(&mut self, repository: RepositoryId, unix: Timestamp) {
        let Some(held) = self.facts.repositories.get(&repository) else {
            return;
        };
        let freshness = Freshness {
            publisher: repository.publisher,
            name: repository.name.clone(),
            head: held.tip.id,
            index: held.tip.head.index,
            issued: unix,
            expires: unix.plus(limits::FRESHNESS_LIFETIME_MAX),
        };
        let publisher = repository.publisher;
        self.freshness.asking.insert(repository.clone());
        let purpose = Purpose::Sign(repository);
        let request = self.pending.insert(&mut self.out, purpose);
        self.out.push(Output::SignFreshness {
            request,
            publisher,
            freshness,
        });
    }

    /// The holder of the key answered.
    pub(super) fn freshness_signed(&mut self, repository: RepositoryId, signed: Option<Envelope>) {
        self.freshness.asking.remove(&repository);
        self.freshness
            .holds
            .insert(repository.publisher, signed.is_some());
        let record = self.facts.record(&repository, None, self.now.unix);
        let (Some(envelope), Some(mut record)) = (signed, record) else {
            return;
        };
        record.freshness = Some(envelope);
        self.offer(Offer {
            repository,
            record,
            source: Source::Local,
            resolve: None,
            publication: None,
            extension_asked: true,
        });
    }
}
