//! What travels between nodes.

use weft_protocol::{
    accept::{EquivocationProof, EquivocationSubject, RepositoryRecord},
    codec,
    head::Head,
    id::NodeId,
    log,
    refs::Refs,
    sign::Envelope,
    wire::{self, Announcement, Hello, Message, PeerAddresses, Request, Response, RevisionProof},
};

use super::file::{Vector, VectorFile};
use crate::fixture::{FRESHNESS, NET, NOW, RELEASE, Repository, id, sign};

const HELLO: &str = r#""addresses": ["127.0.0.1:4778", "[::1]:4778"], "agent": "weft/0.1.0""#;

fn hello() -> Hello {
    Hello {
        data_addresses: vec!["127.0.0.1:4778".to_owned(), "[::1]:4778".to_owned()],
        agent: "weft/0.1.0".to_owned(),
    }
}

/// A message that round-trips. What it means stands in `meaning`, as JSON.
fn said<T: Message + PartialEq>(
    kind: &'static str,
    name: &str,
    message: &T,
    meaning: &str,
) -> Vector {
    let bytes = wire::encode(message);
    let verdict = wire::decode::<T>(&bytes).map(|back| assert!(back == *message));
    Vector::new(kind, name, "What it means stands in `meaning`.", bytes)
        .with("meaning", meaning)
        .valid(verdict)
}

fn refused<T: Message>(kind: &'static str, name: &str, comment: &str, bytes: &[u8]) -> Vector {
    let verdict = wire::decode::<T>(bytes);
    Vector::new(kind, name, comment, bytes.to_vec()).invalid(verdict)
}

pub(super) fn request() -> VectorFile {
    let repository = Repository::of_length(0).id();
    let about = format!(r#""repository": "{repository}""#);
    let publisher = repository.publisher;
    let (one, say) = (id(1), |name: &str, request: &Request, meaning: &str| {
        said("request", name, request, meaning)
    });
    let long = Request::Hello(Hello {
        agent: "a".repeat(65),
        ..hello()
    });
    VectorFile {
        name: "request",
        about: "Questions over /weft/registry/1: arrays of a tag and its payload.",
        vectors: vec![
            say(
                "hello",
                &Request::Hello(hello()),
                &format!(r#"{{"hello": {{{HELLO}}}}}"#),
            ),
            say(
                "repository",
                &Request::Repository {
                    repository: repository.clone(),
                    have: None,
                },
                &format!(r#"{{"repository": {{{about}}}}}"#),
            ),
            say(
                "repository_have",
                &Request::Repository {
                    repository: repository.clone(),
                    have: Some(41),
                },
                &format!(r#"{{"repository": {{{about}, "have": 41}}}}"#),
            ),
            say(
                "log",
                &Request::Log {
                    repository: repository.clone(),
                    first: 4_096,
                },
                &format!(r#"{{"log": {{{about}, "first": 4096}}}}"#),
            ),
            say(
                "publisher",
                &Request::Publisher {
                    publisher,
                    after: None,
                },
                &format!(r#"{{"publisher": {{"publisher": "{publisher}"}}}}"#),
            ),
            say(
                "publisher_after",
                &Request::Publisher {
                    publisher,
                    after: Some(repository.name.clone()),
                },
                &format!(r#"{{"publisher": {{"publisher": "{publisher}", "after": "tiny"}}}}"#),
            ),
            say(
                "object",
                &Request::Object { id: one },
                &format!(r#"{{"object": {{"id": "{one}"}}}}"#),
            ),
            say(
                "revision",
                &Request::Revision {
                    repository: repository.clone(),
                    revision: one,
                },
                &format!(r#"{{"revision": {{{about}, "revision": "{one}"}}}}"#),
            ),
            say(
                "peers",
                &Request::Peers { revision: one },
                &format!(r#"{{"peers": {{"revision": "{one}"}}}}"#),
            ),
            refused::<Request>(
                "request",
                "unknown_tag",
                "No request has tag 9.",
                &[0x81, 9],
            ),
            refused::<Request>(
                "request",
                "null_for_absent",
                "An absent index is left out, not null.",
                &{
                    let mut bytes = wire::encode(&Request::Repository {
                        repository,
                        have: None,
                    });
                    bytes[0] = 0x83;
                    bytes.push(0xf6);
                    bytes
                },
            ),
            refused::<Request>("request", "long_tag", "A tag not in its shortest form.", &{
                let mut bytes = wire::encode(&Request::Object { id: one });
                bytes.splice(1..2, [0x18, 4]);
                bytes
            }),
            refused::<Request>(
                "request",
                "long_agent",
                "A software name of 65 bytes.",
                &wire::encode(&long),
            ),
            refused::<Request>("request", "truncated", "The last byte is missing.", &{
                let mut bytes = wire::encode(&Request::Peers { revision: one });
                bytes.pop();
                bytes
            }),
        ],
    }
}

/// A record and a proof over one fixture, to put into messages.
fn signed() -> (
    Repository,
    RepositoryRecord,
    EquivocationProof,
    RevisionProof,
) {
    let repository = Repository::of_length(3);
    let freshness = Some(sign(&repository.freshness(2), &[(0, FRESHNESS)]));
    let record = RepositoryRecord {
        freshness,
        ..repository.record(2, None)
    };
    let mut pair = [10, 20].map(|n| sign(&Repository::of_length(1).next_head(n), &[(0, RELEASE)]));
    pair.sort_by_key(Envelope::id::<Head>);
    let [first, second] = pair;
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
    (repository, record, proof, revision)
}

pub(super) fn response() -> VectorFile {
    let (repository, record, _, revision) = signed();
    let say =
        |name: &str, response: &Response, meaning: &str| said("response", name, response, meaning);
    let names = ["a", "Tiny"]
        .map(|name| name.parse().expect("a valid name"))
        .to_vec();
    let peer = NodeId::new([5; 32]);
    let addresses = vec!["/ip4/192.0.2.1/tcp/4777".to_owned()];
    let peers = vec![PeerAddresses { peer, addresses }];
    let preimage = codec::preimage(&Refs::default());
    let object = codec::preimage_id(&preimage);
    let (one, two) = (id(1), id(2));
    VectorFile {
        name: "response",
        about: "Answers over /weft/registry/1: arrays of a tag and its payload.\n\
            What is signed or hashed inside is verified as such.",
        vectors: vec![
            say(
                "hello",
                &Response::Hello(hello()),
                &format!(r#"{{"hello": {{{HELLO}}}}}"#),
            ),
            say(
                "repository",
                &Response::Repository(Box::new(record)),
                &format!(
                    r#"{{"repository": {{"repository": "{}", "index": 2}}}}"#,
                    repository.id()
                ),
            )
            .with("network", NET.0)
            .with("now", NOW),
            say(
                "log",
                &Response::Log {
                    ids: vec![one, two],
                },
                &format!(r#"{{"log": {{"ids": ["{one}", "{two}"]}}}}"#),
            ),
            say(
                "publisher",
                &Response::Publisher { names },
                r#"{"publisher": {"names": ["a", "Tiny"]}}"#,
            ),
            say(
                "object",
                &Response::Object { preimage },
                &format!(r#"{{"object": {{"id": "{object}"}}}}"#),
            ),
            say(
                "revision",
                &Response::Revision(Box::new(revision)),
                &format!(
                    r#"{{"revision": {{"repository": "{}", "revision": "{}"}}}}"#,
                    repository.id(),
                    id(0)
                ),
            )
            .with("network", NET.0),
            say(
                "peers",
                &Response::Peers { peers },
                &format!(
                    r#"{{"peers": {{"peers": [{{"peer": "{peer}", "addresses": ["/ip4/192.0.2.1/tcp/4777"]}}]}}}}"#
                ),
            ),
            say("not_found", &Response::NotFound, r#"{"not_found": {}}"#),
            say("refused", &Response::Refused, r#"{"refused": {}}"#),
            refused::<Response>(
                "response",
                "unknown_tag",
                "No answer has tag 9.",
                &[0x81, 9],
            ),
            refused::<Response>(
                "response",
                "payload_missing",
                "A log answer without a log.",
                &[0x81, 2],
            ),
            refused::<Response>(
                "response",
                "indefinite",
                "A list of indefinite length.",
                &[0x82, 2, 0x9f, 0xff],
            ),
            refused::<Response>("response", "short_id", "An id of 31 bytes.", &{
                let mut bytes = vec![0x82, 2, 0x81, 0x58, 31];
                bytes.extend([1; 31]);
                bytes
            }),
            refused::<Response>(
                "response",
                "claimed_length",
                "A list that claims 2^32 ids.",
                &[0x82, 2, 0x9b, 0, 0, 0, 1, 0, 0, 0, 0],
            ),
        ],
    }
}

pub(super) fn announcement() -> VectorFile {
    let (repository, record, proof, _) = signed();
    let bytes = wire::encode(&Announcement::Head(Box::new(record.clone())));
    let with_context = |vector: Vector| vector.with("network", NET.0).with("now", NOW);
    VectorFile {
        name: "announcement",
        about: "Gossip on the topic weft/announce/1: arrays of a tag and a record or proof.",
        vectors: vec![
            with_context(said(
                "announcement",
                "head",
                &Announcement::Head(Box::new(record)),
                &format!(
                    r#"{{"head": {{"repository": "{}", "index": 2}}}}"#,
                    repository.id()
                ),
            )),
            with_context(said(
                "announcement",
                "equivocation",
                &Announcement::Equivocation(Box::new(proof)),
                &format!(
                    r#"{{"equivocation": {{"repository": "{}", "index": 1}}}}"#,
                    repository.id()
                ),
            )),
            with_context(refused::<Announcement>(
                "announcement",
                "wrong_tag",
                "A record under the tag of a proof.",
                &{
                    let mut bytes = bytes;
                    bytes[1] = 1;
                    bytes
                },
            )),
            with_context(refused::<Announcement>(
                "announcement",
                "unknown_tag",
                "No announcement has tag 2.",
                &{
                    let mut bytes = wire::encode(&Announcement::Head(Box::new(signed().1)));
                    bytes[1] = 2;
                    bytes
                },
            )),
        ],
    }
}
