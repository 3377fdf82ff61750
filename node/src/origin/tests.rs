//! Origins that serve, and origins that do everything else.

mod server;

use bytes::Bytes;
use iroh_blobs::{
    Hash,
    protocol::{ChunkRanges, ChunkRangesExt as _},
    store::mem::MemStore,
};
use tokio::sync::mpsc;
use weft_protocol::{
    id::{BlobHash, ObjectId, PublisherId, RepositoryId},
    manifest::{Card, File, Kind, Manifest, Role, SPAN_LOG2_MIN, Spans, span_hash},
    service::TransferError,
    time::Timestamp,
};

use self::server::{Asked, Reply, Server};
use super::{Base, Origin};

const SPAN: usize = 1 << SPAN_LOG2_MIN;

/// A file of a revision and what is true of it.
struct Model {
    content: Vec<u8>,
    blob: BlobHash,
    manifest: Manifest,
}

impl Model {
    fn new(len: usize, with_spans: bool) -> Self {
        let mut content = vec![0; len];
        fastrand::Rng::with_seed(len as u64).fill(&mut content);
        let blob = BlobHash::new(*blake3::hash(&content).as_bytes());
        let hashes: Vec<_> = content
            .chunks(SPAN)
            .enumerate()
            .map(|(n, bytes)| span_hash((n * SPAN) as u64, bytes))
            .collect();
        let file = File {
            path: "dir/weights 1.bin".parse().unwrap(),
            size: len as u64,
            blake3: blob,
            sha256: [0; 32],
            git_sha1: None,
            role: Role::Weights,
            spans: with_spans.then(|| Spans::new(SPAN_LOG2_MIN, &hashes)),
            chunks: None,
        };
        let manifest = Manifest {
            repository: RepositoryId {
                publisher: PublisherId::new([1; 32]),
                name: "m".parse().unwrap(),
            },
            kind: Kind::Model,
            parents: Vec::new(),
            files: vec![file],
            card: Card::default(),
            tensors: Vec::new(),
            message: String::new(),
            created: Timestamp(0),
        };
        Self {
            content,
            blob,
            manifest,
        }
    }

    fn all(&self) -> ChunkRanges {
        ChunkRanges::bytes(0..self.content.len() as u64)
    }

    fn origin(&self, base: &str) -> Origin {
        let base = Base::parse(base).unwrap();
        Origin::new(base, ObjectId::new([2; 32]), &self.manifest, 0).unwrap()
    }

    /// What an origin that does as it is told sends for a request.
    fn reply(&self, asked: &Asked) -> Reply {
        let (start, end) = asked.range.expect("a range is always asked for");
        let bytes = &self.content[start..end];
        Reply::status("206 Partial Content")
            .header("Content-Range", &self.content_range(asked))
            .body(bytes)
    }

    fn content_range(&self, asked: &Asked) -> String {
        let (start, end) = asked.range.unwrap();
        format!("bytes {start}-{}/{}", end - 1, self.content.len())
    }

    /// Asks an origin for `ranges` and hands what it answers to a blob store, which trusts nobody.
    async fn fetch(&self, base: &str, ranges: ChunkRanges) -> (Outcome, Vec<Bytes>) {
        let origin = self.origin(base);
        let (sink, mut answer) = mpsc::channel(1_024);
        let result = origin.answer(&self.blob, ranges.clone(), sink).await;
        let mut parts = Vec::new();
        while let Some(part) = answer.recv().await {
            parts.push(part);
        }
        if result.is_ok() {
            let store = MemStore::new();
            let hash = Hash::from_bytes(*self.blob.as_bytes());
            store
                .import_bao_bytes(hash, ranges.clone(), parts.concat())
                .await
                .expect("what an origin hands on verifies");
            let bitfield = store.observe(hash).await.unwrap();
            assert_eq!(bitfield.ranges & &ranges, ranges, "all that was asked for");
        }
        (result, parts)
    }
}

type Outcome = Result<(), TransferError>;

/// What a request for all of a file of three spans comes to.
async fn check(reply: impl Fn(&Model, &Asked) -> Reply + Send + Sync + 'static, expected: Outcome) {
    let model = Model::new(2 * SPAN + 5_000, true);
    let shared = Model::new(2 * SPAN + 5_000, true);
    let server = Server::start(move |asked| reply(&shared, asked)).await;
    let (result, parts) = model.fetch(&server.base(), model.all()).await;
    assert_eq!(result, expected);
    let handed_on: usize = parts.iter().map(Bytes::len).sum();
    // Whatever it sent: what did not check out went no further.
    assert!(expected.is_ok() || handed_on < SPAN + 4_096, "{handed_on}");
}

#[tokio::test]
async fn origin_serves_any_run_of_groups_and_every_byte_verifies() {
    for len in [SPAN + 1, 2 * SPAN, 5 * SPAN - 77] {
        let model = Model::new(len, true);
        let shared = Model::new(len, true);
        let server = Server::start(move |asked| shared.reply(asked)).await;
        let len = len as u64;
        let group = 16 * 1024;
        for bytes in [
            0..len,
            0..group,
            group..5 * group,
            SPAN as u64..len,
            len - 1..len,
            SPAN as u64 - group..SPAN as u64 + group.min(len - SPAN as u64),
        ] {
            let (result, _) = model.fetch(&server.base(), ChunkRanges::bytes(bytes)).await;
            assert_eq!(result, Ok(()));
        }
        let both_ends = ChunkRanges::bytes(0..1) | ChunkRanges::bytes(len - 1..len);
        let (result, _) = model.fetch(&server.base(), both_ends).await;
        assert_eq!(result, Ok(()));
    }
}

#[tokio::test]
async fn small_file_needs_no_spans_and_a_large_one_does() {
    let model = Model::new(1_000_000, false);
    let shared = Model::new(1_000_000, false);
    let server = Server::start(move |asked| shared.reply(asked)).await;
    let part = ChunkRanges::bytes(100_000..200_000);
    let (result, _) = model.fetch(&server.base(), part).await;
    assert_eq!(result, Ok(()));
    let mut large = Model::new(1_000_000, false);
    large.manifest.files[0].size = (1 << 26) + 1;
    assert!(!large.origin(&server.base()).has(&large.blob));
}

#[tokio::test]
async fn path_and_credentials_reach_the_server() {
    let model = Model::new(1_000, false);
    let shared = Model::new(1_000, false);
    let server = Server::start(move |asked| {
        assert_eq!(asked.path, "/models/dir/weights%201.bin");
        // "user:secret" in base 64.
        assert!(asked.head.contains("authorization: Basic dXNlcjpzZWNyZXQ="));
        shared.reply(asked)
    })
    .await;
    let base = server.base().replace("http://", "http://user:secret@") + "/models/";
    let (result, _) = model.fetch(&base, model.all()).await;
    assert_eq!(result, Ok(()));
}

#[tokio::test]
async fn wrong_byte_costs_its_span_and_no_more() {
    check(
        |model, asked| {
            let mut reply = model.reply(asked);
            reply.flip(SPAN + 10);
            reply
        },
        Err(TransferError::Corrupt),
    )
    .await;
}

#[tokio::test]
async fn page_for_people_is_no_file() {
    let html = b"<html>Sign in</html>";
    check(
        |_, _| Reply::status("200 OK").body(html),
        Err(TransferError::Unavailable),
    )
    .await;
    // The same behind the headers of a range.
    check(
        |model, asked| {
            let range = model.content_range(asked);
            let page = html.repeat(model.content.len() / html.len() + 1);
            Reply::status("206 Partial Content")
                .header("Content-Range", &range)
                .body(&page[..model.content.len()])
        },
        Err(TransferError::Corrupt),
    )
    .await;
}

#[tokio::test]
async fn origin_without_ranges_serves_whole_files_only() {
    let reply = |model: &Model| Reply::status("200 OK").body(&model.content);
    check(move |model, _| reply(model), Ok(())).await;
    let model = Model::new(3 * SPAN, true);
    let shared = Model::new(3 * SPAN, true);
    let server = Server::start(move |_| reply(&shared)).await;
    let part = ChunkRanges::bytes(SPAN as u64..2 * SPAN as u64);
    let (result, parts) = model.fetch(&server.base(), part).await;
    assert_eq!(result, Err(TransferError::Unavailable));
    assert!(parts.is_empty());
}

#[tokio::test]
async fn truncated_answer_is_a_broken_connection() {
    check(
        |model, asked| {
            let mut reply = model.reply(asked);
            reply.cut(SPAN + SPAN / 2);
            reply
        },
        Err(TransferError::Connection),
    )
    .await;
}

#[tokio::test]
async fn answers_to_another_question_are_not_read() {
    let cases: [fn(&Model, &Asked) -> Reply; 5] = [
        |model, asked| {
            let (start, end) = asked.range.unwrap();
            let range = format!("bytes {start}-{}/{}", end - 1, model.content.len() + 1);
            Reply::status("206 Partial Content")
                .header("Content-Range", &range)
                .body(&model.content)
        },
        |model, _| {
            Reply::status("206 Partial Content")
                .header("Content-Range", "bytes 1-2/3")
                .body(&model.content)
        },
        |model, _| Reply::status("206 Partial Content").body(&model.content),
        |model, asked| model.reply(asked).header("Content-Encoding", "gzip"),
        |_, _| Reply::status("404 Not Found").body(b""),
    ];
    for case in cases {
        check(case, Err(TransferError::Unavailable)).await;
    }
    check(
        |_, _| Reply::status("403 Forbidden").body(b""),
        Err(TransferError::Refused),
    )
    .await;
}

#[tokio::test]
async fn flood_of_headers_is_cut_off() {
    check(
        |model, asked| {
            let mut reply = model.reply(asked);
            for n in 0..2_000 {
                reply = reply.header(&format!("X-{n}"), "x");
            }
            reply
        },
        Err(TransferError::Connection),
    )
    .await;
}

#[tokio::test]
async fn redirects_are_followed_but_not_for_ever() {
    check(
        |_, _| {
            Reply::status("302 Found")
                .header("Location", "/again")
                .body(b"")
        },
        Err(TransferError::Refused),
    )
    .await;
    check(
        |model, asked| match asked.path.as_str() {
            "/there" => model.reply(asked),
            _ => Reply::status("307 Temporary Redirect")
                .header("Location", "/there")
                .body(b""),
        },
        Ok(()),
    )
    .await;
    for elsewhere in ["file:///etc/passwd", "ftp://127.0.0.1/", ""] {
        check(
            move |_, _| {
                let reply = Reply::status("302 Found");
                match elsewhere {
                    "" => reply.body(b""),
                    elsewhere => reply.header("Location", elsewhere).body(b""),
                }
            },
            Err(TransferError::Refused),
        )
        .await;
    }
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirect_to_another_server() {
    let model = Model::new(1_000, false);
    let shared = Model::new(1_000, false);
    let store = Server::start(move |asked| {
        assert!(!asked.head.contains("authorization"), "{}", asked.head);
        shared.reply(asked)
    })
    .await;
    let there = store.base();
    let hub = Server::start(move |asked| {
        assert!(asked.head.contains("authorization"));
        Reply::status("302 Found")
            .header("Location", &there)
            .body(b"")
    })
    .await;
    let base = hub.base().replace("http://", "http://user:secret@");
    let (result, _) = model.fetch(&base, model.all()).await;
    assert_eq!(result, Ok(()));
}

#[tokio::test]
async fn busy_origin_is_asked_again_when_it_says() {
    let busy = |after: &str| {
        Reply::status("429 Too Many Requests")
            .header("Retry-After", after)
            .body(b"")
    };
    check(
        move |model, asked| match asked.number {
            0 | 1 => busy("0"),
            _ => model.reply(asked),
        },
        Ok(()),
    )
    .await;
    // For ever busy, and busy for longer than anybody waits.
    check(move |_, _| busy("0"), Err(TransferError::Unavailable)).await;
    check(move |_, _| busy("3600"), Err(TransferError::Unavailable)).await;
}

#[tokio::test]
async fn silent_origin_is_let_go_when_nobody_waits_any_more() {
    let server = Server::start(|_| Reply::hang()).await;
    let model = Model::new(3 * SPAN, true);
    let origin = model.origin(&server.base());
    let (sink, _answer) = mpsc::channel(1);
    let all = model.all();
    {
        let waiting = origin.answer(&model.blob, all, sink);
        tokio::select! {
            result = waiting => panic!("{result:?}"),
            () = server.wait_asked() => {}
        }
    }
    // The connection goes with the request, or the next one would wait behind it.
    server.wait_gone().await;
}
