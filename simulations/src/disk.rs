//! What a simulated node keeps when its process dies: registry and blobs.

use std::collections::{BTreeMap, BTreeSet};

use weft_protocol::{
    id::{BlobHash, NodeId, ObjectId, PublisherId, RepositoryId, RevisionId},
    layout::Layout,
    op::{
        IdentityFacts, MirrorRecord, MirrorScope, Op, PeerRecord, RepositoryFacts, RevisionRecord,
        Snapshot,
    },
    piece_set::PieceSet,
    sign::Envelope,
};

/// One repository's rows.
#[derive(Debug, Default)]
struct Rows {
    heads: BTreeMap<u64, (ObjectId, Envelope)>,
    freshness: Option<Envelope>,
    leaves: Vec<ObjectId>,
    equivocation: Option<Vec<u8>>,
}

/// Registry and blobs of one node.
#[derive(Debug, Default)]
pub struct Disk {
    identities: BTreeMap<PublisherId, IdentityFacts>,
    repositories: BTreeMap<RepositoryId, Rows>,
    objects: BTreeMap<ObjectId, Vec<u8>>,
    revisions: BTreeMap<RevisionId, RevisionRecord>,
    mirrors: BTreeMap<MirrorScope, MirrorRecord>,
    peers: BTreeMap<NodeId, PeerRecord>,
    /// Blobs by hash: what is here of them.
    pub blobs: BTreeMap<BlobHash, PieceSet>,
    /// Verified bytes at the start of pieces that are not complete.
    partial: BTreeMap<(BlobHash, u32), u64>,
}

impl Disk {
    /// Applies one batch.
    ///
    /// # Panics
    /// If an index falls or leaves do not continue: no machine may ask for that.
    pub fn apply(&mut self, ops: Vec<Op>) {
        for op in ops {
            self.apply_one(op);
        }
    }

    fn apply_one(&mut self, op: Op) {
        match op {
            Op::PutIdentity { publisher, events } => {
                let facts = self.identities.entry(publisher).or_insert(IdentityFacts {
                    publisher,
                    events: Vec::new(),
                    fork: None,
                });
                assert!(
                    events.starts_with(&facts.events),
                    "an identity log only grows"
                );
                facts.events = events;
            }
            Op::PutIdentityFork { publisher, proof } => {
                if let Some(facts) = self.identities.get_mut(&publisher) {
                    facts.fork = Some(proof);
                }
            }
            Op::PutHead {
                repository,
                index,
                id,
                head,
            } => {
                let rows = self.repositories.entry(repository).or_default();
                let tip = rows.heads.last_key_value().map(|(index, _)| *index);
                assert!(tip.is_none_or(|tip| tip < index), "an index never falls");
                assert!(rows.equivocation.is_none(), "a frozen repository stays");
                rows.heads.insert(index, (id, head));
                rows.freshness = None;
            }
            Op::PutFreshness {
                repository,
                freshness,
            } => {
                self.repositories.entry(repository).or_default().freshness = Some(freshness);
            }
            Op::PutLeaves {
                repository,
                first,
                ids,
            } => {
                let rows = self.repositories.entry(repository).or_default();
                assert_eq!(
                    Ok(rows.leaves.len()),
                    usize::try_from(first),
                    "leaves have no gap"
                );
                rows.leaves.extend(ids);
            }
            Op::PutEquivocation { repository, proof } => {
                self.repositories
                    .entry(repository)
                    .or_default()
                    .equivocation = Some(proof);
            }
            Op::PutObject { id, preimage } => {
                self.objects.insert(id, preimage);
            }
            Op::DeleteObject { id } => {
                self.objects.remove(&id);
            }
            Op::PutRevision(record) => {
                self.revisions.insert(record.revision, record);
            }
            Op::DeleteRevision { revision, .. } => {
                self.revisions.remove(&revision);
            }
            Op::PutMirror(record) => {
                self.mirrors.insert(record.scope.clone(), record);
            }
            Op::DeleteMirror { scope } => {
                self.mirrors.remove(&scope);
            }
            Op::PutPeer(record) => {
                self.peers.insert(record.peer, record);
            }
            Op::DeletePeer { peer } => {
                self.peers.remove(&peer);
            }
        }
    }

    /// What a node gets back at start.
    pub fn snapshot(&self) -> Snapshot {
        let repository = |(repository, rows): (&RepositoryId, &Rows)| {
            let (_, (_, head)) = rows.heads.last_key_value()?;
            Some(RepositoryFacts {
                repository: repository.clone(),
                head: head.clone(),
                freshness: rows.freshness.clone(),
                leaves: rows.leaves.clone(),
                equivocation: rows.equivocation.clone(),
            })
        };
        let manifest = |id: &RevisionId| Some((*id, self.objects.get(id)?.clone()));
        Snapshot {
            identities: self.identities.values().cloned().collect(),
            repositories: self.repositories.iter().filter_map(repository).collect(),
            revisions: self.revisions.values().cloned().collect(),
            manifests: self.revisions.keys().filter_map(manifest).collect(),
            mirrors: self.mirrors.values().cloned().collect(),
            peers: self.peers.values().cloned().collect(),
        }
    }

    /// A stored object.
    pub fn object(&self, id: &ObjectId) -> Option<&Vec<u8>> {
        self.objects.get(id)
    }

    /// A stored head.
    pub fn head(&self, repository: &RepositoryId, index: u64) -> Option<&Envelope> {
        let rows = self.repositories.get(repository)?;
        rows.heads.get(&index).map(|(_, head)| head)
    }

    /// The tip of a repository.
    pub fn tip(&self, repository: &RepositoryId) -> Option<(u64, &Envelope)> {
        let rows = self.repositories.get(repository)?;
        let (index, (_, head)) = rows.heads.last_key_value()?;
        Some((*index, head))
    }

    /// Whether a proof froze the repository.
    pub fn is_frozen(&self, repository: &RepositoryId) -> bool {
        self.repositories
            .get(repository)
            .is_some_and(|rows| rows.equivocation.is_some())
    }

    /// All revision records.
    pub fn revisions(&self) -> impl Iterator<Item = &RevisionRecord> {
        self.revisions.values()
    }

    /// One revision record.
    pub fn revision(&self, revision: &RevisionId) -> Option<&RevisionRecord> {
        self.revisions.get(revision)
    }

    /// What is here of a blob.
    pub fn have(&self, blob: &BlobHash, size: u64) -> PieceSet {
        let pieces = Layout::new(size).pieces();
        self.blobs
            .get(blob)
            .cloned()
            .unwrap_or_else(|| PieceSet::empty(pieces))
    }

    /// Adds a piece; false if it was here.
    pub(crate) fn insert(&mut self, blob: BlobHash, piece: u32, pieces: u32) -> bool {
        self.partial.remove(&(blob, piece));
        let empty = || PieceSet::empty(pieces);
        self.blobs.entry(blob).or_insert_with(empty).insert(piece)
    }

    /// Verified bytes at the start of a piece that is not complete.
    pub(crate) fn partial(&self, blob: &BlobHash, piece: u32) -> u64 {
        self.partial.get(&(*blob, piece)).copied().unwrap_or(0)
    }

    /// Keeps verified bytes at the start of a piece.
    pub(crate) fn keep_partial(&mut self, blob: BlobHash, piece: u32, bytes: u64) {
        let here = |have: &PieceSet| have.contains(piece);
        if bytes > 0 && !self.blobs.get(&blob).is_some_and(here) {
            let kept = self.partial.entry((blob, piece)).or_default();
            *kept = bytes.max(*kept);
        }
    }

    /// Lets go of every blob that is not protected.
    pub fn collect(&mut self, protected: &[BlobHash]) {
        let protected: BTreeSet<_> = protected.iter().collect();
        self.blobs.retain(|hash, _| protected.contains(hash));
        self.partial.retain(|(hash, _), _| protected.contains(hash));
    }
}
