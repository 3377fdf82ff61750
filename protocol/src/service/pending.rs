//! What each answer that is still awaited is for.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    CommandId, InboundId, Outbox, Outcome, RequestId,
    offers::{Change, Offer},
    resolve::ResolveId,
};
use crate::{
    id::{NodeId, ObjectId, PublisherId, RepositoryId, RepositoryName, RevisionId},
    op::{MirrorRecord, MirrorScope},
};

/// Why something was asked.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// A question to a peer.
    Ask(NodeId, Ask),
    /// A record search.
    FindRecord {
        repository: RepositoryId,
        resolve: Option<ResolveId>,
    },
    /// A provider search.
    FindProviders(Sought),
    /// A record on its way into the DHT.
    PutRecord(RepositoryId),
    /// A batch of writes.
    Commit(After),
    /// An object out of the registry, for a peer.
    ServeObject { peer: NodeId, inbound: InboundId },
    /// An object out of the registry, for a resolution.
    LocalObject { resolve: ResolveId, id: ObjectId },
    /// A head out of the registry, for a peer.
    ServeHead(HeadQuestion),
    /// A freshness statement.
    Sign(RepositoryId),
}

/// A peer wants to know that a revision was once the head.
#[derive(Debug, Clone)]
pub(crate) struct HeadQuestion {
    pub(crate) peer: NodeId,
    pub(crate) inbound: InboundId,
    pub(crate) repository: RepositoryId,
    pub(crate) revision: RevisionId,
    /// Where it is looked for now.
    pub(crate) index: u64,
    /// How many more heads may be looked at, this one included.
    pub(crate) tries: u32,
}

/// What a peer was asked.
#[derive(Debug)]
pub(crate) enum Ask {
    Hello,
    /// The head; `extension` if it was asked because an earlier answer lacked the proof.
    Repository {
        repository: RepositoryId,
        resolve: Option<ResolveId>,
        extension: bool,
    },
    /// Head ids from index `first` on.
    Log {
        repository: RepositoryId,
        first: u64,
    },
    /// Names after `after`, page by page.
    Publisher {
        publisher: PublisherId,
        after: Option<RepositoryName>,
        page: usize,
    },
    Object {
        resolve: ResolveId,
        id: ObjectId,
    },
    Revision {
        resolve: ResolveId,
    },
    Peers {
        revision: RevisionId,
    },
}

/// Whose providers are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sought {
    Revision(RevisionId),
    Publisher(PublisherId),
    /// Nodes that answer questions about a model.
    Host(RevisionId),
}

/// What follows once a batch is durable.
#[derive(Debug)]
pub(crate) enum After {
    /// A judged record becomes what this node believes.
    Offer(Box<Offer>, Box<Change>),
    /// Verified leaves are kept.
    Leaves {
        repository: RepositoryId,
        ids: Vec<ObjectId>,
    },
    /// A resolution ends.
    Resolved(ResolveId),
    /// A download is finished.
    Completed(RevisionId),
    /// Revision records changed or are gone.
    Revisions {
        changed: BTreeSet<RevisionId>,
        forgotten: BTreeSet<RevisionId>,
        reply: Option<(CommandId, Outcome)>,
    },
    /// A longer identity log of a local publisher.
    Identity {
        command: CommandId,
        log: Box<crate::identity::IdentityLog>,
    },
    /// A mirror order stands.
    Mirror {
        command: CommandId,
        record: MirrorRecord,
    },
    /// A mirror order ended.
    Unmirror {
        command: CommandId,
        scope: MirrorScope,
    },
    /// Nothing.
    Quiet,
}

/// All awaited answers.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    purposes: BTreeMap<RequestId, Purpose>,
    /// Open questions by peer.
    asked: BTreeMap<NodeId, usize>,
}

impl Pending {
    /// Books a purpose under a new request id.
    pub(crate) fn insert(&mut self, out: &mut Outbox, purpose: Purpose) -> RequestId {
        let request = out.request_id();
        if let Purpose::Ask(peer, _) = &purpose {
            *self.asked.entry(*peer).or_default() += 1;
        }
        self.purposes.insert(request, purpose);
        request
    }

    /// Ends the wait.
    pub(crate) fn remove(&mut self, request: RequestId) -> Option<Purpose> {
        let purpose = self.purposes.remove(&request)?;
        if let Purpose::Ask(peer, _) = &purpose {
            let open = self.asked.get_mut(peer).map_or(0, |open| {
                *open = open.saturating_sub(1);
                *open
            });
            if open == 0 {
                self.asked.remove(peer);
            }
        }
        Some(purpose)
    }

    /// What a request is for, while more answers may come.
    pub(crate) fn get(&self, request: RequestId) -> Option<&Purpose> {
        self.purposes.get(&request)
    }

    /// How many questions to a peer are open.
    pub(crate) fn asked_of(&self, peer: &NodeId) -> usize {
        self.asked.get(peer).copied().unwrap_or(0)
    }
}
