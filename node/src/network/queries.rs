//! DHT queries that are under way, and what each was begun for.

use std::collections::{BTreeSet, HashMap};

use libp2p::{PeerId, kad::QueryId};
use weft_protocol::{id::NodeId, service::RequestId};

use super::announcer::Statement;

/// Queries under way at once. Each keeps some hundred peers; the machine asks for a few at a time.
const QUERIES_MAX: usize = 512;

/// Why a query runs.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// The machine looks for a record. Each different answer is told once.
    Record {
        /// Its question.
        request: RequestId,
        /// BLAKE3 of the answers told so far: twenty peers mostly say the same.
        told: BTreeSet<[u8; 32]>,
    },
    /// The machine stores a record.
    Put(RequestId),
    /// The machine looks for providers. Each is told once.
    Providers {
        /// Its question.
        request: RequestId,
        /// Whom it was told of.
        told: BTreeSet<NodeId>,
    },
    /// The announcer repeats a statement.
    Statement(Statement),
    /// A peer is to be dialled and nobody knows where it is.
    Locate(PeerId),
}

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Queries {
    purposes: HashMap<QueryId, Purpose>,
}

impl Queries {
    /// Whether no further query should be begun.
    pub(crate) fn is_full(&self) -> bool {
        self.purposes.len() >= QUERIES_MAX
    }
    /// A query has begun.
    pub(crate) fn begin(&mut self, query: QueryId, purpose: Purpose) {
        self.purposes.insert(query, purpose);
    }
    /// What a query is for; `None` for Kademlia's own.
    pub(crate) fn get_mut(&mut self, query: &QueryId) -> Option<&mut Purpose> {
        self.purposes.get_mut(query)
    }
    /// A query has ended.
    pub(crate) fn end(&mut self, query: &QueryId) -> Option<Purpose> {
        self.purposes.remove(query)
    }
    /// Whether a search for where `peer` is runs already.
    pub(crate) fn is_locating(&self, peer: &PeerId) -> bool {
        let same = |purpose: &Purpose| matches!(purpose, Purpose::Locate(sought) if sought == peer);
        self.purposes.values().any(same)
    }
}
