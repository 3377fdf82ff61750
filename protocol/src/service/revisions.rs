//! Revisions that this node holds or wants, and what follows from them: protected, offered, provided.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{DhtKey, Outbox, Output};
use crate::{
    discovery,
    id::{BlobHash, RepositoryId, RevisionId},
    manifest::{Manifest, Role},
    op::{Op, Pin, RevisionRecord, RevisionState, Snapshot},
};

/// One revision.
#[derive(Debug)]
pub(crate) struct Held {
    /// What the registry has confirmed.
    pub(crate) durable: Option<RevisionRecord>,
    /// What it will say once every batch in flight is written; plans rest on it.
    pub(crate) latest: RevisionRecord,
    /// Records in flight, oldest first: batches are answered in the order in which they were handed over.
    staged: VecDeque<RevisionRecord>,
    /// A batch that forgets it is in flight, and nothing was planned for it since.
    pub(crate) leaving: bool,
    /// Distinct blobs in download order.
    pub(crate) blobs: Vec<(BlobHash, u64)>,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Revisions {
    held: BTreeMap<RevisionId, Held>,
    protected: Vec<BlobHash>,
    offered: Vec<BlobHash>,
    /// Sizes of the offered blobs, in their order.
    sizes: Vec<u64>,
    provided: BTreeSet<DhtKey>,
}

impl Revisions {
    /// Takes in what the registry holds.
    pub(crate) fn new(snapshot: &Snapshot) -> Self {
        let manifests: BTreeMap<_, _> = snapshot.manifests.iter().map(|(id, m)| (*id, m)).collect();
        let mut held = BTreeMap::new();
        for record in &snapshot.revisions {
            let manifest = manifests.get(&record.revision).and_then(|preimage| {
                crate::codec::decode_preimage::<Manifest>(record.revision, preimage).ok()
            });
            if let Some(manifest) = manifest {
                held.insert(
                    record.revision,
                    Held {
                        durable: Some(record.clone()),
                        latest: record.clone(),
                        staged: VecDeque::new(),
                        leaving: false,
                        blobs: download_order(&manifest),
                    },
                );
            }
        }
        Self {
            held,
            ..Self::default()
        }
    }

    /// One revision.
    pub(crate) fn get(&self, revision: &RevisionId) -> Option<&Held> {
        self.held.get(revision)
    }

    /// All revisions in id order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&RevisionId, &Held)> {
        self.held.iter()
    }

    /// What is planned for the revisions of a repository.
    pub(crate) fn of_repository<'a>(
        &'a self,
        repository: &'a RepositoryId,
    ) -> impl Iterator<Item = &'a RevisionRecord> {
        self.held
            .values()
            .filter(|held| !held.leaving)
            .map(|held| &held.latest)
            .filter(move |record| record.repository == *repository)
    }

    /// Plans a record; the returned write must be part of a batch, whose end is told by
    /// [`Self::committed`] or [`Self::failed`].
    pub(crate) fn stage(
        &mut self,
        record: RevisionRecord,
        blobs: impl FnOnce() -> Vec<(BlobHash, u64)>,
    ) -> Op {
        let held = self.held.entry(record.revision).or_insert_with(|| Held {
            durable: None,
            latest: record.clone(),
            staged: VecDeque::new(),
            leaving: false,
            blobs: blobs(),
        });
        held.latest = record.clone();
        held.staged.push_back(record.clone());
        held.leaving = false;
        Op::PutRevision(record)
    }

    /// A batch with a planned record is durable.
    pub(crate) fn committed(&mut self, revision: &RevisionId) {
        if let Some(held) = self.held.get_mut(revision)
            && let Some(record) = held.staged.pop_front()
        {
            held.durable = Some(record);
        }
    }

    /// A batch with a planned record was not written.
    pub(crate) fn failed(&mut self, revision: &RevisionId) {
        let Some(held) = self.held.get_mut(revision) else {
            return;
        };
        held.staged.pop_front();
        match held.staged.back().or(held.durable.as_ref()) {
            Some(record) => held.latest = record.clone(),
            None => {
                self.held.remove(revision);
            }
        }
    }

    /// A batch that forgets a revision is on its way.
    pub(crate) fn leave(&mut self, revision: &RevisionId) {
        if let Some(held) = self.held.get_mut(revision) {
            held.leaving = true;
        }
    }

    /// A batch that forgets a revision was not written.
    pub(crate) fn stay(&mut self, revision: &RevisionId) {
        if let Some(held) = self.held.get_mut(revision) {
            held.leaving = false;
        }
    }

    /// Forgets a revision, once that is durable; but not what was planned for it after that.
    pub(crate) fn remove(&mut self, revision: &RevisionId) -> Option<Held> {
        let held = self.held.get_mut(revision)?;
        if held.leaving || held.staged.is_empty() {
            return self.held.remove(revision);
        }
        held.durable = None;
        None
    }

    /// Whether a revision is held and stays so.
    pub(crate) fn stays(&self, revision: &RevisionId) -> bool {
        self.held.get(revision).is_some_and(|held| !held.leaving)
    }

    /// Whether anything of the repository is offered to others.
    pub(crate) fn seeds(&self, repository: &RepositoryId) -> bool {
        self.held.values().any(|held| {
            held.durable
                .as_ref()
                .is_some_and(|record| record.seed && record.repository == *repository)
        })
    }

    /// Bytes of all revisions that the user does not pin and that `counts`.
    pub(crate) fn bytes(&self, counts: impl Fn(&RevisionRecord) -> bool) -> u64 {
        self.held
            .values()
            .filter(|held| !held.leaving && held.latest.pin != Pin::User)
            .filter(|held| counts(&held.latest))
            .fold(0, |sum, held| sum.saturating_add(held.latest.bytes_total))
    }

    /// Tells the driver what changed: protected blobs, offered blobs, provider announcements.
    pub(crate) fn tell(&mut self, out: &mut Outbox) {
        let blobs = |wanted: &dyn Fn(&Held) -> bool| -> (Vec<BlobHash>, Vec<u64>) {
            let held = self.held.values().filter(|held| wanted(held));
            let set: BTreeMap<BlobHash, u64> = held.flat_map(|held| held.blobs.clone()).collect();
            set.into_iter().unzip()
        };
        let (protected, _) = blobs(&|_| true);
        let seeded = |held: &Held| held.durable.as_ref().is_some_and(|record| record.seed);
        let (offered, sizes) = blobs(&seeded);
        let mut provided = BTreeSet::new();
        for held in self.held.values().filter(|held| seeded(held)) {
            provided.insert(discovery::revision_key(&held.latest.revision));
            provided.insert(discovery::publisher_key(&held.latest.repository.publisher));
        }
        let hosted = |held: &&Held| {
            let record = held.durable.as_ref().filter(|_| !held.leaving);
            record.is_some_and(|r| r.host.is_some() && r.state == RevisionState::Complete)
        };
        for held in self.held.values().filter(hosted) {
            provided.insert(discovery::host_key(&held.latest.revision));
        }
        if protected != self.protected {
            self.protected.clone_from(&protected);
            out.push(Output::Protect { blobs: protected });
        }
        if offered != self.offered {
            self.offered.clone_from(&offered);
            self.sizes = sizes;
            out.push(Output::Offer { blobs: offered });
        }
        for key in provided.difference(&self.provided) {
            out.push(Output::Provide { key: *key });
        }
        for key in self.provided.difference(&provided) {
            out.push(Output::StopProviding { key: *key });
        }
        self.provided = provided;
    }

    /// The size of a blob if peers may have it.
    pub(crate) fn offered(&self, blob: &BlobHash) -> Option<u64> {
        let at = self.offered.binary_search(blob).ok()?;
        self.sizes.get(at).copied()
    }

    /// Checks what must hold between any two calls.
    #[cfg(debug_assertions)]
    pub(crate) fn check_invariants(&self) {
        for (revision, held) in &self.held {
            assert_eq!(*revision, held.latest.revision);
            let settled = held.staged.is_empty();
            let same = held.durable.as_ref() == Some(&held.latest);
            assert!(
                !settled || same,
                "with nothing in flight the disk is up to date"
            );
        }
    }

    /// Unpinned revisions that match, least recently used first.
    pub(crate) fn collectable(
        &self,
        counts: impl Fn(&RevisionRecord) -> bool,
    ) -> Vec<RevisionRecord> {
        let mut records: Vec<_> = self
            .held
            .values()
            .filter(|held| !held.leaving)
            .map(|held| &held.latest)
            .filter(|record| record.pin != Pin::User && counts(record))
            .cloned()
            .collect();
        records.sort_by_key(|record| (record.pin, record.used, record.revision));
        records
    }
}

/// Distinct blobs of a revision in the order in which they are wanted: what describes a model before what it
/// weighs, small before large.
pub(crate) fn download_order(manifest: &Manifest) -> Vec<(BlobHash, u64)> {
    let rank = |role: Role| match role {
        Role::Card | Role::Config | Role::License | Role::Tokenizer => 0_u8,
        Role::Other => 1,
        Role::Weights | Role::Data => 2,
    };
    let mut ranks: BTreeMap<BlobHash, (u8, u64)> = BTreeMap::new();
    for file in &manifest.files {
        let entry = ranks.entry(file.blake3).or_insert((u8::MAX, file.size));
        entry.0 = entry.0.min(rank(file.role));
    }
    let mut blobs: Vec<_> = ranks
        .into_iter()
        .map(|(hash, (rank, size))| (rank, size, hash))
        .collect();
    blobs.sort_unstable();
    blobs
        .into_iter()
        .map(|(_, size, hash)| (hash, size))
        .collect()
}
