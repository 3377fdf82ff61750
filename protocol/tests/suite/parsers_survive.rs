//! No parser panics, allocates without bound or accepts a second spelling, whatever bytes it is given.

use proptest::{prelude::*, sample::Index};
use weft_protocol::{
    accept::{EquivocationProof, EquivocationSubject, RepositoryRecord},
    codec::{self, DecodeError, Object},
    freshness::Freshness,
    head::Head,
    id::{BlobHash, ObjectId, PublisherId, RepositoryId, RepositoryName},
    identity::{IdentityEvent, IdentityLog},
    log,
    manifest::{Card, File, Kind, Manifest, Role},
    path::RepoPath,
    reference::Reference,
    refs::{RefName, Refs},
    sign::Envelope,
    wire::{self, Announcement, Hello, Message, PeerAddresses, Request, Response, RevisionProof},
};

use crate::fixture::{FRESHNESS, NET, NOW, Repository, id, sign};

/// Decodes as every type there is; whatever decodes must encode to the very same bytes.
fn decode_as_everything(bytes: &[u8]) {
    message::<Request>(bytes);
    message::<Response>(bytes);
    message::<Announcement>(bytes);
    message::<RepositoryRecord>(bytes);
    message::<EquivocationProof>(bytes);
    message::<Envelope>(bytes);
    object::<Manifest>(bytes);
    object::<Refs>(bytes);
    object::<Head>(bytes);
    object::<Freshness>(bytes);
    object::<IdentityEvent>(bytes);
}

fn message<T: Message>(bytes: &[u8]) {
    if let Ok(message) = wire::decode::<T>(bytes) {
        assert_eq!(wire::encode(&message), bytes);
    }
}

fn object<T: Object>(bytes: &[u8]) {
    if let Ok(object) = codec::decode_object::<T>(bytes) {
        assert_eq!(codec::encode(&object), bytes);
    }
    let _ = codec::decode_preimage::<T>(codec::preimage_id(bytes), bytes);
}

/// Verifies whatever decodes: nothing that was changed may pass.
fn verify_all(bytes: &[u8], repository: &RepositoryId) -> bool {
    let record = wire::decode::<RepositoryRecord>(bytes);
    let record = record.is_ok_and(|record| record.verify(NET, NOW).is_ok());
    let proof = wire::decode::<EquivocationProof>(bytes);
    let proof = proof.is_ok_and(|proof| proof.verify(NET).is_ok());
    let revision = wire::decode::<Response>(bytes);
    let revision = matches!(
        revision, Ok(Response::Revision(proof)) if proof.verify(NET, repository, &id(0)).is_ok()
    );
    record || proof || revision
}

/// One valid encoding of each signed message.
fn signed_messages(repository: &Repository) -> Vec<Vec<u8>> {
    let freshness = Some(sign(&repository.freshness(2), &[(0, FRESHNESS)]));
    let record = RepositoryRecord {
        freshness,
        ..repository.record(2, None)
    };
    let one = sign(&repository.next_head(10), &[(0, 100)]);
    let two = sign(&repository.next_head(11), &[(0, 100)]);
    let in_order = one.id::<Head>() < two.id::<Head>();
    let (first, second) = if in_order { (one, two) } else { (two, one) };
    let identity = repository.publisher.events.clone();
    let subject = EquivocationSubject::Head;
    let proof = EquivocationProof {
        identity: identity.clone(),
        subject,
        first,
        second,
    };
    let revision = RevisionProof {
        identity,
        head: repository.heads[0].clone(),
        tip: Some(repository.heads[2].clone()),
        inclusion: log::prove_inclusion(&repository.ids[..2], 0),
    };
    vec![
        wire::encode(&record),
        wire::encode(&proof),
        wire::encode(&Response::Revision(Box::new(revision))),
    ]
}

fn some_request() -> impl Strategy<Value = Request> {
    let repository =
        (any::<[u8; 32]>(), "[a-zA-Z0-9][a-z.]{0,9}").prop_map(|(bytes, name)| RepositoryId {
            publisher: PublisherId::new(bytes),
            name: name.parse().expect("the pattern is a name"),
        });
    let object = any::<[u8; 32]>().prop_map(ObjectId::new);
    let hello = (
        prop::collection::vec("[a-z0-9.:]{0,20}", 0..16),
        "[ -~]{0,64}",
    )
        .prop_map(|(data_addresses, agent)| Hello {
            data_addresses,
            agent,
        });
    (
        0..7,
        repository,
        object,
        hello,
        any::<Option<u64>>(),
        any::<u64>(),
    )
        .prop_map(
            |(kind, repository, object, hello, have, first)| match kind {
                0 => Request::Hello(hello),
                1 => Request::Repository { repository, have },
                2 => Request::Log { repository, first },
                3 => Request::Publisher {
                    publisher: repository.publisher,
                    after: have.map(|_| repository.name),
                },
                4 => Request::Object { id: object },
                5 => Request::Revision {
                    repository,
                    revision: object,
                },
                _ => Request::Peers { revision: object },
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        decode_as_everything(&bytes);
    }

    #[test]
    fn arbitrary_cbor_heads(
        // Bytes that are mostly CBOR heads of short items nest deeper than uniform noise does.
        bytes in prop::collection::vec(
            prop_oneof![0x00_u8..0x18, 0x40_u8..0x44, 0x60_u8..0x64, 0x80_u8..0x90, 0xa0_u8..0xaf, any::<u8>()],
            0..300,
        )
    ) {
        decode_as_everything(&bytes);
    }

    #[test]
    fn truncated_and_flipped_messages(which in any::<Index>(), at in any::<Index>(), bit in 0_u8..8, cut: bool) {
        let repository = Repository::of_length(3);
        let messages = signed_messages(&repository);
        let mut bytes = messages[which.index(messages.len())].clone();
        prop_assert!(verify_all(&bytes, &repository.id()));
        let at = at.index(bytes.len());
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1 << bit;
        }
        decode_as_everything(&bytes);
        prop_assert!(!verify_all(&bytes, &repository.id()), "changed at {}", at);
    }

    #[test]
    fn requests_round_trip(request in some_request()) {
        let bytes = wire::encode(&request);
        prop_assert!(bytes.len() <= Request::LEN_MAX);
        prop_assert_eq!(wire::decode::<Request>(&bytes), Ok(request));
    }

    #[test]
    fn responses_round_trip(
        ids in prop::collection::vec(any::<[u8; 32]>(), 0..5),
        preimage in prop::collection::vec(any::<u8>(), 0..99),
        addresses in prop::collection::vec("/ip4/[0-9.]{1,9}/tcp/[0-9]{1,4}", 0..16),
    ) {
        let peers = ids.iter().map(|bytes| PeerAddresses {
            peer: weft_protocol::id::NodeId::new(*bytes),
            addresses: addresses.clone(),
        });
        for response in [
            Response::Peers { peers: peers.collect() },
            Response::Log { ids: ids.iter().copied().map(ObjectId::new).collect() },
            Response::Object { preimage },
            Response::NotFound,
            Response::Refused,
        ] {
            prop_assert_eq!(wire::decode::<Response>(&wire::encode(&response)), Ok(response));
        }
    }

    #[test]
    fn manifests_round_trip_or_are_refused(
        paths in prop::collection::btree_set("[a-zA-Z]{1,3}(/[a-z.]{1,3}){0,2}", 0..12),
        sizes in prop::collection::vec(1_u64..1 << 40, 12),
        message in "[ -~]{0,40}",
    ) {
        let files = paths.iter().zip(sizes).filter_map(|(path, size)| {
            let digest = *blake3::hash(path.as_bytes()).as_bytes();
            Some(File {
                path: path.parse().ok()?,
                size,
                blake3: BlobHash::new(digest),
                sha256: digest,
                git_sha1: None,
                role: Role::of_path(path),
                spans: None,
                chunks: None,
            })
        });
        let manifest = Manifest {
            repository: Repository::of_length(0).id(),
            kind: Kind::of_paths(paths.iter().map(String::as_str)),
            parents: vec![],
            files: files.collect(),
            card: Card::default(),
            tensors: vec![],
            message,
            created: NOW,
        };
        let bytes = codec::preimage(&manifest);
        let back = codec::decode_preimage::<Manifest>(codec::preimage_id(&bytes), &bytes);
        match manifest.validate() {
            Ok(()) => prop_assert_eq!(back, Ok(manifest)),
            Err(reason) => prop_assert_eq!(back, Err(DecodeError::Invalid(reason))),
        }
    }

    #[test]
    fn arbitrary_text(text in "\\PC{0,60}", noise in prop::collection::vec(any::<char>(), 0..60)) {
        let noise: String = noise.into_iter().collect();
        for text in [text, noise] {
            if let Ok(path) = text.parse::<RepoPath>() {
                prop_assert!(!path.as_str().contains("..") || path.components().all(|c| c != ".."));
                prop_assert!(!path.as_str().starts_with('/'));
            }
            if let Ok(reference) = text.parse::<Reference>() {
                let again: Result<Reference, _> = reference.to_string().parse();
                prop_assert_eq!(again, Ok(reference));
            }
            let _ = text.parse::<RefName>();
            let _ = text.parse::<RepositoryName>();
            let _ = text.parse::<RepositoryId>();
            let _ = text.parse::<ObjectId>();
            let _ = text.parse::<PublisherId>();
        }
    }

    #[test]
    fn arbitrary_identity_logs(bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..4)) {
        let events: Vec<_> =
            bodies.into_iter().map(|body| Envelope { body, signatures: vec![] }).collect();
        prop_assert!(IdentityLog::verify(NET, &events).is_err());
    }
}

#[test]
fn claimed_lengths_allocate_nothing() {
    // Each claims 2^32 items or more and ends there.
    for head in [0x9b_u8, 0xbb, 0x5b, 0x7b] {
        let mut bytes = vec![0x82, 0x02, head];
        bytes.extend([0, 0, 0, 1, 0, 0, 0, 0]);
        decode_as_everything(&bytes);
        decode_as_everything(&bytes[2..]);
    }
}

#[test]
fn deep_nesting_does_not_exhaust_the_stack() {
    for byte in [0x81, 0xa1, 0xc1, 0x9f, 0xbf] {
        let mut bytes = vec![0xa1, 0x18, 0x63];
        bytes.extend(vec![byte; 100_000]);
        decode_as_everything(&bytes);
        decode_as_everything(&bytes[3..]);
    }
}
