//! Keys and digests that are computed, not sent.

use weft_protocol::{
    codec, discovery,
    id::ObjectId,
    identity::{IdentityEvent, next_digest},
};

use super::file::{Vector, VectorFile};
use crate::fixture::{Publisher, Repository, id, key};

pub(super) fn names() -> VectorFile {
    let repository = Repository::of_length(0).id();
    let inception = Publisher::new().events.remove(0);
    let vector = |kind: &'static str, name: &str, comment: &str, hash: [u8; 32]| {
        Vector::new(kind, name, comment, hash.to_vec())
    };
    let ok = || Ok::<_, std::fmt::Error>(());
    let object: ObjectId = codec::object_id::<IdentityEvent>(&inception.body);
    VectorFile {
        name: "names",
        about: "Hashes that nodes compute on their own: DHT keys, key digests, object ids.\n\
            The bytes are the hash itself, not CBOR.",
        vectors: vec![
            vector(
                "dht_repository",
                "repository_key",
                "Publisher and folded name.",
                discovery::repository_key(&repository).0,
            )
            .with("repository", &repository)
            .valid(ok()),
            vector(
                "dht_publisher",
                "publisher_key",
                "The publisher.",
                discovery::publisher_key(&repository.publisher).0,
            )
            .with("publisher", repository.publisher)
            .valid(ok()),
            vector(
                "dht_revision",
                "revision_key",
                "The revision.",
                discovery::revision_key(&id(1)).0,
            )
            .with("revision", id(1))
            .valid(ok()),
            vector(
                "dht_host",
                "host_key",
                "The revision.",
                discovery::host_key(&id(1)).0,
            )
            .with("revision", id(1))
            .valid(ok()),
            vector(
                "next_digest",
                "next_digest",
                "The digest of a future root key.",
                *next_digest(&key(2)).as_bytes(),
            )
            .with("key", key(2))
            .valid(ok()),
            vector(
                "object_id",
                "object_id",
                "BLAKE3 of the domain prefix and the body.",
                *object.as_bytes(),
            )
            .with("type", "ident")
            .with_hex("body", &inception.body)
            .valid(ok()),
        ],
    }
}
