//! Facts a node writes down: the vocabulary between the machine and the registry.
//!
//! The machine emits a batch of [`Op`]s; the registry applies a batch atomically and durably, or not at
//! all. On start the registry hands everything back as a [`Snapshot`].

use crate::{
    id::{NodeId, ObjectId, PublisherId, RepositoryId, RevisionId},
    infer::hosts::Audience,
    sign::Envelope,
    time::Timestamp,
};

/// One write. A batch of them is atomic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Replaces the stored identity log (the new log always extends the old one).
    PutIdentity {
        /// Whose log.
        publisher: PublisherId,
        /// All events from inception on, already verified.
        events: Vec<Envelope>,
    },
    /// Marks an identity as forked: two events at one position.
    PutIdentityFork {
        /// Whose log.
        publisher: PublisherId,
        /// The encoded [`crate::accept::EquivocationProof`].
        proof: Vec<u8>,
    },
    /// Stores an accepted head and makes it the tip. An index never falls; the registry checks again.
    PutHead {
        /// The repository.
        repository: RepositoryId,
        /// The head's index.
        index: u64,
        /// Its object id.
        id: ObjectId,
        /// The signed head.
        head: Envelope,
    },
    /// Stores the newest freshness statement.
    PutFreshness {
        /// The repository.
        repository: RepositoryId,
        /// The signed statement.
        freshness: Envelope,
    },
    /// Stores ids of heads (leaves of the repository's log), `first` being the index of the first one.
    PutLeaves {
        /// The repository.
        repository: RepositoryId,
        /// Index of the first id.
        first: u64,
        /// Head ids in order.
        ids: Vec<ObjectId>,
    },
    /// Freezes a repository: two valid heads at one index.
    PutEquivocation {
        /// The repository.
        repository: RepositoryId,
        /// The encoded [`crate::accept::EquivocationProof`].
        proof: Vec<u8>,
    },
    /// Stores an object (manifest or references) by id.
    PutObject {
        /// Its object id.
        id: ObjectId,
        /// Domain prefix and body: the bytes whose BLAKE3 is the id.
        preimage: Vec<u8>,
    },
    /// Forgets an object.
    DeleteObject {
        /// Its object id.
        id: ObjectId,
    },
    /// Stores what this node does with a revision.
    PutRevision(RevisionRecord),
    /// Forgets a revision; its blobs may be collected.
    DeleteRevision {
        /// The repository.
        repository: RepositoryId,
        /// The revision.
        revision: RevisionId,
    },
    /// Stores a mirror policy.
    PutMirror(MirrorRecord),
    /// Ends a mirror policy.
    DeleteMirror {
        /// What was mirrored.
        scope: MirrorScope,
    },
    /// Remembers a peer between runs.
    PutPeer(PeerRecord),
    /// Forgets a peer.
    DeletePeer {
        /// Who.
        peer: NodeId,
    },
}

/// What a mirror follows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MirrorScope {
    /// Everything the publisher will ever publish.
    Publisher(PublisherId),
    /// One repository.
    Repository(RepositoryId),
}

/// A standing order to follow heads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorRecord {
    /// What is followed.
    pub scope: MirrorScope,
    /// Disk quota in bytes over all revisions this order holds; `None` is no limit.
    pub bytes_max: Option<u64>,
    /// When it was given.
    pub created: Timestamp,
}

/// How far a revision is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RevisionState {
    /// A download was asked for and is not finished; it is taken up again after a restart.
    Wanted,
    /// Every file is here and verified; it is offered to others.
    Complete,
}

/// Why a revision is here. Orders the strength of the reason: later variants outlive earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pin {
    /// Nothing holds it: it is collected, least recently used first, when a quota asks for it.
    None,
    /// A mirror order holds it, within its quota.
    Mirror,
    /// The user asked to keep and offer it (`seed`, `publish`, `fetch`): never collected.
    User,
}

/// What this node does with one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevisionRecord {
    /// The repository.
    pub repository: RepositoryId,
    /// The revision.
    pub revision: RevisionId,
    /// How far it is here.
    pub state: RevisionState,
    /// Why it is here.
    pub pin: Pin,
    /// Whether it is announced and served.
    pub seed: bool,
    /// Sum of its files' sizes in bytes.
    pub bytes_total: u64,
    /// When it was last asked for.
    pub used: Timestamp,
    /// Whose questions about it are answered here, if anybody's.
    pub host: Option<Audience>,
}

/// A peer worth trying first after a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerRecord {
    /// Who.
    pub peer: NodeId,
    /// Its control-plane addresses as multiaddr text, most recently good first.
    pub addresses: Vec<String>,
    /// When it was last connected.
    pub seen: Timestamp,
    /// When it came into the book.
    pub since: Timestamp,
    /// On how many separate occasions this node reached it by a dial of its own.
    pub reached: u32,
    /// How many dials in a row failed since.
    pub failures: u32,
    /// Whether it is dialled first after a restart.
    pub anchor: bool,
}

/// One repository as the registry knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryFacts {
    /// The repository.
    pub repository: RepositoryId,
    /// The tip: the accepted head of the highest index.
    pub head: Envelope,
    /// The newest freshness statement.
    pub freshness: Option<Envelope>,
    /// Head ids from index 0 without gap; may be shorter than the tip's index + 1.
    pub leaves: Vec<ObjectId>,
    /// The encoded equivocation proof, if the repository is frozen.
    pub equivocation: Option<Vec<u8>>,
}

/// One identity as the registry knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityFacts {
    /// Whose.
    pub publisher: PublisherId,
    /// Its log.
    pub events: Vec<Envelope>,
    /// The encoded equivocation proof, if the identity is forked.
    pub fork: Option<Vec<u8>>,
}

/// Everything the machine needs at start, in key order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// All identities.
    pub identities: Vec<IdentityFacts>,
    /// All repositories.
    pub repositories: Vec<RepositoryFacts>,
    /// All revisions.
    pub revisions: Vec<RevisionRecord>,
    /// Preimages of all manifests of `revisions` that are stored.
    pub manifests: Vec<(ObjectId, Vec<u8>)>,
    /// All mirror orders.
    pub mirrors: Vec<MirrorRecord>,
    /// The peer book.
    pub peers: Vec<PeerRecord>,
}
