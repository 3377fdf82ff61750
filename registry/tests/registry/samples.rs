//! Facts to store: well-formed, small, and told apart by a number.

use weft_protocol::{
    id::{NodeId, ObjectId, PublisherId, RepositoryId},
    op::{MirrorRecord, MirrorScope, Op, PeerRecord, Pin, RevisionRecord, RevisionState},
    sign::{Envelope, Signature},
    time::Timestamp,
};
use weft_registry::{DhtProvider, DhtRecord};

pub(crate) fn repository(publisher: u8, name: &str) -> RepositoryId {
    RepositoryId {
        publisher: PublisherId::new([publisher; 32]),
        name: name.parse().unwrap(),
    }
}

pub(crate) fn id(byte: u8) -> ObjectId {
    ObjectId::new([byte; 32])
}

pub(crate) fn ids(range: std::ops::Range<u8>) -> Vec<ObjectId> {
    range.map(id).collect()
}

pub(crate) fn envelope(byte: u8) -> Envelope {
    Envelope {
        body: vec![byte; usize::from(byte) + 1],
        signatures: vec![(0, Signature([byte; 64])), (7, Signature([!byte; 64]))],
    }
}

/// The head of index `index`, whose id is `id(index)`.
pub(crate) fn put_head(repository: &RepositoryId, index: u8) -> Op {
    Op::PutHead {
        repository: repository.clone(),
        index: u64::from(index),
        id: id(index),
        head: envelope(index),
    }
}

pub(crate) fn put_leaves(repository: &RepositoryId, leaves: std::ops::Range<u8>) -> Op {
    Op::PutLeaves {
        repository: repository.clone(),
        first: u64::from(leaves.start),
        ids: ids(leaves),
    }
}

/// An object and its true id.
pub(crate) fn object(text: &str) -> (ObjectId, Vec<u8>) {
    let preimage = format!("weft/manifest/v1\0{text}").into_bytes();
    (ObjectId::new(*blake3::hash(&preimage).as_bytes()), preimage)
}

pub(crate) fn put_object(text: &str) -> Op {
    let (id, preimage) = object(text);
    Op::PutObject { id, preimage }
}

pub(crate) fn revision(repository: &RepositoryId, revision: ObjectId) -> RevisionRecord {
    RevisionRecord {
        repository: repository.clone(),
        revision,
        state: RevisionState::Complete,
        pin: Pin::User,
        seed: true,
        bytes_total: 1 << 40,
        used: Timestamp(1_800_000_000),
        host: None,
    }
}

pub(crate) fn mirror(scope: MirrorScope) -> MirrorRecord {
    MirrorRecord {
        scope,
        bytes_max: None,
        created: Timestamp(3),
    }
}

pub(crate) fn peer(byte: u8) -> PeerRecord {
    PeerRecord {
        peer: NodeId::new([byte; 32]),
        addresses: vec![format!("/ip4/127.0.0.1/tcp/{byte}"), String::new()],
        seen: Timestamp(u64::from(byte)),
        since: Timestamp(1),
        reached: u32::from(byte),
        failures: 2,
        anchor: byte % 2 == 1,
    }
}

pub(crate) fn dht_record(key: &[u8]) -> DhtRecord {
    DhtRecord {
        key: key.to_vec(),
        value: b"value".to_vec(),
        publisher: Some(b"peer".to_vec()),
        expires: Timestamp(9),
    }
}

pub(crate) fn dht_provider(key: &[u8], provider: u8) -> DhtProvider {
    DhtProvider {
        key: key.to_vec(),
        provider: vec![provider],
        addresses: vec![vec![1, 2, 3], vec![]],
        expires: Timestamp(u64::from(provider)),
    }
}
