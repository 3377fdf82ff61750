//! What two nodes say to each other on the control plane.
//!
//! Every message is one deterministic CBOR item. Requests and responses travel over the libp2p
//! request-response protocol `/weft/registry/1`, announcements over gossipsub, records over Kademlia.
//! Model bytes never travel here; they move on the data plane.

use minicbor::{Decode, Encode};

use crate::{
    accept::{EquivocationProof, RepositoryRecord},
    codec::{self, DecodeError},
    id::{NodeId, ObjectId, PublisherId, RepositoryId, RepositoryName, RevisionId},
    limits,
    log::InclusionProof,
    sign::Envelope,
};

mod encoding;
pub mod near;
#[cfg(test)]
mod tests;

/// Something that travels or is stored as one CBOR item, with its longest form.
pub trait Message: Sized + Encode<()> + for<'b> Decode<'b, ()> {
    /// The longest encoding in bytes.
    const LEN_MAX: usize;
}

impl Message for Request {
    const LEN_MAX: usize = limits::REQUEST_LEN_MAX;
}
impl Message for Response {
    const LEN_MAX: usize = limits::RESPONSE_LEN_MAX;
}
impl Message for Announcement {
    const LEN_MAX: usize = limits::GOSSIP_LEN_MAX;
}
impl Message for RepositoryRecord {
    const LEN_MAX: usize = limits::RECORD_LEN_MAX;
}
impl Message for EquivocationProof {
    const LEN_MAX: usize = limits::GOSSIP_LEN_MAX;
}
impl Message for Envelope {
    const LEN_MAX: usize = limits::IDENTITY_EVENT_LEN_MAX + limits::HEAD_LEN_MAX;
}

/// Encodes a message. That it fits [`Message::LEN_MAX`] is the sender's business; a receiver refuses it otherwise.
pub fn encode<T: Message>(message: &T) -> Vec<u8> {
    codec::encode(message)
}

/// Decodes a message strictly: within its length, its list bounds and its one canonical form.
///
/// # Errors
/// Says which of these is broken.
pub fn decode<T: Message>(bytes: &[u8]) -> Result<T, DecodeError> {
    codec::decode(bytes, T::LEN_MAX)
}

/// A question to another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Introduces the asker and asks the same back; sent once per connection.
    Hello(Hello),
    /// The newest accepted head of a repository.
    Repository {
        /// Which.
        repository: RepositoryId,
        /// Index of the head the asker holds; the answer then proves that it extends that one.
        have: Option<u64>,
    },
    /// Ids of heads from index `first` on.
    Log {
        /// Which repository.
        repository: RepositoryId,
        /// Index of the first id wanted.
        first: u64,
    },
    /// Names of the publisher's repositories that the answerer knows.
    Publisher {
        /// Whose.
        publisher: PublisherId,
        /// Only names after this one, for paging.
        after: Option<RepositoryName>,
    },
    /// A manifest or references object.
    Object {
        /// Its id.
        id: ObjectId,
    },
    /// Proof that a revision was once the head of a repository.
    Revision {
        /// Which repository.
        repository: RepositoryId,
        /// Which revision.
        revision: RevisionId,
    },
    /// Other peers that have or fetch a revision (peer exchange).
    Peers {
        /// Which revision.
        revision: RevisionId,
    },
}

/// How a node introduces itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Data-plane socket addresses, `ip:port`, at most [`crate::limits::ADDRESSES_PER_PEER_MAX`].
    pub data_addresses: Vec<String>,
    /// Software name and version, at most 64 bytes, for people.
    pub agent: String,
}

/// The answer to a [`Request`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// Answers [`Request::Hello`].
    Hello(Hello),
    /// Answers [`Request::Repository`].
    Repository(Box<RepositoryRecord>),
    /// Answers [`Request::Log`]: ids in order, at most [`crate::limits::LOG_IDS_PER_RESPONSE_MAX`].
    Log {
        /// Head ids.
        ids: Vec<ObjectId>,
    },
    /// Answers [`Request::Publisher`].
    Publisher {
        /// Names in order, at most [`crate::limits::NAMES_PER_RESPONSE_MAX`].
        names: Vec<RepositoryName>,
    },
    /// Answers [`Request::Object`]: domain prefix and body.
    Object {
        /// The bytes whose BLAKE3 is the id.
        preimage: Vec<u8>,
    },
    /// Answers [`Request::Revision`].
    Revision(Box<RevisionProof>),
    /// Answers [`Request::Peers`].
    Peers {
        /// At most [`crate::limits::PEERS_PER_RESPONSE_MAX`].
        peers: Vec<PeerAddresses>,
    },
    /// The answerer does not have what was asked for.
    NotFound,
    /// The answerer will not say: over its limits or against its policy.
    Refused,
}

/// Shows that `head` is part of the log that `tip` commits to.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RevisionProof {
    /// The publisher's identity log.
    #[cbor(
        n(0),
        decode_with = "codec::bounded::<{ limits::IDENTITY_EVENTS_MAX }, _, _>"
    )]
    pub identity: Vec<Envelope>,
    /// The head that named the revision.
    #[n(1)]
    pub head: Envelope,
    /// A newer head, absent if `head` is the tip itself.
    #[n(2)]
    pub tip: Option<Envelope>,
    /// Inclusion of `head` in the log of `tip`, present exactly when `tip` is.
    #[n(3)]
    pub inclusion: Option<InclusionProof>,
}

/// Where a peer can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerAddresses {
    /// Who.
    pub peer: NodeId,
    /// Control-plane addresses as multiaddr text, at most [`crate::limits::ADDRESSES_PER_PEER_MAX`].
    pub addresses: Vec<String>,
}

/// News for everybody, validated before it is forwarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Announcement {
    /// A new head (or newer freshness) of a repository.
    Head(Box<RepositoryRecord>),
    /// A publisher contradicted itself.
    Equivocation(Box<EquivocationProof>),
}
