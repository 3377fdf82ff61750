//! What the machine tells whoever watches it: logs, metrics, the user's screen.

use crate::id::{BlobHash, NodeId, PublisherId, RepositoryId, RevisionId};

/// How sure a node is that the head it holds is the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Freshness {
    /// A valid freshness statement names this head.
    Fresh,
    /// No valid freshness statement: the publisher may have said more since.
    Stale,
    /// The head itself is past its expiry.
    Expired,
    /// The publisher contradicted itself.
    Forked,
}

/// One thing that happened and that a user could notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A head was accepted and is durable.
    HeadAccepted {
        /// The repository.
        repository: RepositoryId,
        /// The head's index.
        index: u64,
        /// The revision it names.
        revision: RevisionId,
    },
    /// A head was refused.
    HeadRejected {
        /// The repository.
        repository: RepositoryId,
        /// Who sent it, if a peer did.
        peer: Option<NodeId>,
        /// Why.
        reason: String,
    },
    /// Two heads at one index: the repository is frozen from now on.
    EquivocationFound {
        /// The repository.
        repository: RepositoryId,
        /// The index.
        index: u64,
    },
    /// Two identity events at one position: the identity is forked from now on.
    IdentityForked {
        /// The publisher.
        publisher: PublisherId,
    },
    /// A download began or was taken up again.
    DownloadStarted {
        /// The revision.
        revision: RevisionId,
        /// Its size in bytes.
        bytes_total: u64,
        /// Bytes that are here already.
        bytes_have: u64,
    },
    /// A revision is complete.
    RevisionComplete {
        /// The repository.
        repository: RepositoryId,
        /// The revision.
        revision: RevisionId,
    },
    /// A revision was forgotten.
    RevisionForgotten {
        /// The repository.
        repository: RepositoryId,
        /// The revision.
        revision: RevisionId,
    },
    /// A mirror did not fetch a revision because it does not fit its quota.
    QuotaExceeded {
        /// The repository.
        repository: RepositoryId,
        /// The revision.
        revision: RevisionId,
        /// Its size in bytes.
        bytes: u64,
        /// The quota in bytes.
        bytes_max: u64,
    },
    /// A peer sent bytes that do not verify; it is not asked again.
    PeerCorrupt {
        /// Who.
        peer: NodeId,
        /// Which blob.
        blob: BlobHash,
    },
    /// A peer did not deliver in time and its pieces were given to others.
    PeerStalled {
        /// Who.
        peer: NodeId,
    },
}
