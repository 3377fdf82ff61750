//! What the user may ask of the machine, and what it answers.

use crate::{
    id::{NodeId, PublisherId, RepositoryId, RevisionId},
    infer::hosts::Audience,
    op::{MirrorRecord, MirrorScope, Pin},
    refs::RefName,
    sign::Envelope,
    swarm::Limits,
};

/// Names one command so that its answer finds its way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub u64);

/// Which revision of a repository is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// The head of `main`.
    Latest,
    /// A branch or tag.
    Reference(RefName),
    /// Exactly this revision.
    Revision(RevisionId),
    /// The one known revision whose id starts with these hex digits (at least 8).
    Prefix(String),
}

/// What the user asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Finds out which revision is meant and gets its manifest, but no file.
    Resolve {
        /// Which repository.
        repository: RepositoryId,
        /// Which revision.
        selector: Selector,
    },
    /// Gets every file of a revision. Answered when all are here.
    Fetch {
        /// Which repository.
        repository: RepositoryId,
        /// Which revision.
        selector: Selector,
        /// Why it is kept afterwards.
        pin: Pin,
        /// Whether it is announced and served.
        seed: bool,
    },
    /// Gets what is read of a revision ([`super::Input::Reading`]) and nothing else, for as long as the command is not
    /// cancelled. Answered when all of it is here after all.
    Read {
        /// Which repository.
        repository: RepositoryId,
        /// Which revision.
        revision: RevisionId,
    },
    /// Takes in what the local publisher signed; its files are already in the blob store.
    Publish(Box<Publication>),
    /// Takes in the identity log of a local publisher, if it is longer than the one held, and looks for the leaves
    /// that are missing under the tips: whoever signs needs them.
    UpdateIdentity {
        /// Whose.
        publisher: PublisherId,
        /// All events.
        events: Vec<Envelope>,
    },
    /// Keeps a complete revision and offers it; fetches it first if it is not here.
    Seed {
        /// Which repository.
        repository: RepositoryId,
        /// Which revision.
        selector: Selector,
    },
    /// Stops offering and keeping the repository's revisions; their files may then be collected.
    Unseed {
        /// Which repository.
        repository: RepositoryId,
        /// Which revision; all if absent.
        revision: Option<RevisionId>,
    },
    /// Answers questions of others about a complete revision from now on, and announces it; takes such an offer back
    /// without an audience.
    Host {
        /// Which repository.
        repository: RepositoryId,
        /// Which revision; without an audience all that are hosted if absent.
        revision: Option<RevisionId>,
        /// Whose questions.
        audience: Option<Audience>,
    },
    /// Looks for nodes that answer questions about a model.
    FindHosts {
        /// Which.
        revision: RevisionId,
    },
    /// Follows heads and fetches what they name.
    Mirror(MirrorRecord),
    /// Stops following.
    Unmirror(MirrorScope),
    /// Forgets revisions at once, pinned or not, and ends their downloads.
    Remove {
        /// Which repository.
        repository: RepositoryId,
        /// Which revision; all if absent.
        revision: Option<RevisionId>,
    },
    /// Collects everything that nothing pins.
    Prune,
    /// Replaces the byte-rate limits and their weekly schedule. Answered at once.
    SetLimits(Limits),
    /// Ends a command that has not been answered; what was downloaded stays for a later try.
    Cancel(CommandId),
}

/// A signed revision on its way in from its publisher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// The repository.
    pub repository: RepositoryId,
    /// The publisher's whole identity log.
    pub identity: Vec<Envelope>,
    /// Domain prefix and body of the manifest.
    pub manifest: Vec<u8>,
    /// Domain prefixes and bodies of manifests that the references name and that are new: of other branches. Their
    /// files are in the blob store too.
    pub others: Vec<Vec<u8>>,
    /// Domain prefix and body of the references object, if the head names one.
    pub refs: Option<Vec<u8>>,
    /// The signed head.
    pub head: Envelope,
    /// The signed freshness statement.
    pub freshness: Option<Envelope>,
}

/// A command that went well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The revision is known; its manifest is in the registry.
    Resolved(Resolved),
    /// The revision is complete.
    Fetched(Fetched),
    /// The revision is committed and being announced.
    Published {
        /// The new tip's index.
        index: u64,
        /// The new revision.
        revision: RevisionId,
    },
    /// Nodes that say that they answer questions about a model; none if nobody was found.
    Hosts(Vec<NodeId>),
    /// Nothing to tell beyond success.
    Done,
    /// So many revisions were forgotten, freeing at most so many bytes.
    Forgotten {
        /// Revisions forgotten.
        revisions: u64,
        /// Sum of their sizes in bytes.
        bytes: u64,
    },
}

/// Which revision a selector meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The repository.
    pub repository: RepositoryId,
    /// The revision.
    pub revision: RevisionId,
    /// Index of the tip.
    pub index: u64,
    /// How sure it is that this is the newest.
    pub freshness: super::Freshness,
}

/// Where a finished download came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// What was resolved.
    pub resolved: Resolved,
    /// Sum of the files' sizes in bytes.
    pub bytes_total: u64,
    /// Bytes that came over the network, repeats included.
    pub bytes_fetched: u64,
    /// Bytes that were here already.
    pub bytes_reused: u64,
    /// Verified bytes by peer, most first.
    pub sources: Vec<(NodeId, u64)>,
}

/// Why a command failed. Each variant has one exit code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// Nobody who was asked knows it.
    #[error("{what} was not found (asked {asked} peers)")]
    NotFound {
        /// What was looked for.
        what: String,
        /// How many peers answered.
        asked: usize,
    },
    /// There is nobody to ask.
    #[error("no peer is connected")]
    Offline,
    /// Peers exist, but none of them has all the missing bytes any more.
    #[error("no reachable peer has the remaining {bytes_missing} bytes of `{revision}`")]
    NoProviders {
        /// The revision.
        revision: RevisionId,
        /// Bytes that are still missing.
        bytes_missing: u64,
    },
    /// Something that was received does not verify.
    #[error("verification failed: {0}")]
    Verification(String),
    /// The publisher contradicted itself; nothing is updated across it.
    #[error("`{0}` is frozen: its publisher signed two different heads at one index")]
    Frozen(RepositoryId),
    /// The publisher's identity is forked.
    #[error("the identity of publisher `{0}` is forked: two events stand at one position")]
    Forked(PublisherId),
    /// The local policy or a limit says no.
    #[error("refused: {0}")]
    Refused(String),
    /// The disk is full.
    #[error("the disk is full")]
    DiskFull,
    /// The local disk or database failed.
    #[error("storage failed: {0}")]
    Storage(String),
    /// The user ended it.
    #[error("cancelled")]
    Cancelled,
}
