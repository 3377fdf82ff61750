//! A node around the machine: a registry of a few maps, and nobody else.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use weft_protocol::{
    codec,
    id::{BlobHash, NodeId, ObjectId, RepositoryId, RevisionId},
    layout::Layout,
    manifest::{Card, File, Kind, Manifest, Role},
    op::{IdentityFacts, Op, Pin, RepositoryFacts, RevisionRecord, RevisionState, Snapshot},
    piece_set::PieceSet,
    service::{
        Command, CommandError, CommandId, Input, Outcome, Output, Params, RequestId, Selector,
        Service, StorageError,
    },
    time::{Instant, Now},
    wire,
};

use crate::fixture::{NET, NOW, Repository};

/// A machine whose commits are answered at once, or when a test says so.
pub(super) struct Node {
    pub(super) service: Service,
    pub(super) now: Now,
    /// What the machine wanted from the world, oldest first.
    pub(super) said: VecDeque<Output>,
    /// Commits are kept back.
    pub(super) hold: bool,
    pub(super) commits: VecDeque<(RequestId, Vec<Op>)>,
    pub(super) written: Vec<Op>,
    pub(super) objects: BTreeMap<ObjectId, Vec<u8>>,
    /// Whether the blob store has every byte.
    pub(super) has_blobs: bool,
    commands: u64,
}

impl Node {
    pub(super) fn new(snapshot: Snapshot) -> Self {
        Self::with_cache(snapshot, None)
    }

    pub(super) fn with_cache(snapshot: Snapshot, cache_bytes_max: Option<u64>) -> Self {
        let now = Now {
            instant: Instant(1_000_000),
            unix: NOW,
        };
        let hello = wire::Hello {
            data_addresses: vec![],
            agent: "test".to_owned(),
        };
        let params = Params {
            node: NodeId::new([0xee; 32]),
            network: NET,
            seed: 1,
            hello,
            cache_bytes_max,
        };
        let objects = snapshot.manifests.iter().cloned().collect();
        let mut node = Self {
            service: Service::new(params, snapshot, now),
            now,
            said: VecDeque::new(),
            hold: false,
            commits: VecDeque::new(),
            written: Vec::new(),
            objects,
            has_blobs: true,
            commands: 0,
        };
        node.drain();
        node
    }

    pub(super) fn handle(&mut self, input: Input) {
        self.service.handle(self.now, input);
        self.drain();
    }

    pub(super) fn wait(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now.instant = self.now.instant + Duration::from_secs(1);
            self.now.unix.0 += 1;
            self.service.handle_timeout(self.now);
            self.drain();
        }
    }

    pub(super) fn command(&mut self, command: Command) -> CommandId {
        self.commands += 1;
        let id = CommandId(self.commands);
        self.handle(Input::Command(id, command));
        id
    }

    pub(super) fn fetch(
        &mut self,
        repository: &RepositoryId,
        selector: Selector,
        pin: Pin,
    ) -> CommandId {
        let repository = repository.clone();
        let seed = pin == Pin::User;
        self.command(Command::Fetch {
            repository,
            selector,
            pin,
            seed,
        })
    }

    /// Answers the oldest commit that was kept back.
    pub(super) fn answer_commit(&mut self, result: Result<(), StorageError>) {
        let (request, ops) = self.commits.pop_front().expect("a commit waits");
        if result.is_ok() {
            self.apply(ops);
        }
        self.handle(Input::Committed { request, result });
    }

    pub(super) fn connect(&mut self, n: u8) -> NodeId {
        let peer = NodeId::new([n; 32]);
        let address = format!("/ip4/127.0.{n}.1/tcp/1");
        self.handle(Input::PeerConnected { peer, address });
        peer
    }

    /// The oldest question that `is` picks, with whom it was put to.
    pub(super) fn asked(
        &mut self,
        is: impl Fn(&wire::Request) -> bool,
    ) -> Option<(RequestId, NodeId, wire::Request)> {
        let at = self.said.iter().position(
            |output| matches!(output, Output::SendRequest { message, .. } if is(message)),
        )?;
        match self.said.remove(at)? {
            Output::SendRequest {
                request,
                peer,
                message,
            } => Some((request, peer, message)),
            _ => None,
        }
    }

    pub(super) fn answer(&mut self, request: RequestId, response: wire::Response) {
        let result = Ok(response);
        self.handle(Input::Response { request, result });
    }

    /// The answer to a command, if it came.
    pub(super) fn reply(&self, id: CommandId) -> Option<&Result<Outcome, CommandError>> {
        let mut replies = self.said.iter().filter_map(|output| match output {
            Output::Reply { command, result } if *command == id => Some(result),
            _ => None,
        });
        let reply = replies.next();
        assert!(replies.next().is_none(), "answered twice");
        reply
    }

    fn apply(&mut self, ops: Vec<Op>) {
        for op in &ops {
            match op {
                Op::PutObject { id, preimage } => {
                    self.objects.insert(*id, preimage.clone());
                }
                Op::DeleteObject { id } => {
                    self.objects.remove(id);
                }
                _ => {}
            }
        }
        self.written.extend(ops);
    }

    fn drain(&mut self) {
        while let Some(output) = self.service.poll_output() {
            let input = match output {
                Output::Commit { request, ops } if self.hold => {
                    self.commits.push_back((request, ops));
                    continue;
                }
                Output::Commit { request, ops } => {
                    self.apply(ops);
                    let result = Ok(());
                    Input::Committed { request, result }
                }
                Output::ReadObject { request, id } => {
                    let preimage = self.objects.get(&id).cloned();
                    Input::ObjectRead { request, preimage }
                }
                Output::InspectBlobs { request, blobs } => {
                    let have = blobs.iter().map(|(_, size)| self.look(*size)).collect();
                    Input::BlobsInspected { request, have }
                }
                Output::PlanCopies { request, .. } => {
                    let plans = vec![];
                    Input::CopiesPlanned { request, plans }
                }
                other => {
                    self.said.push_back(other);
                    continue;
                }
            };
            self.service.handle(self.now, input);
        }
    }

    fn look(&self, size: u64) -> PieceSet {
        let pieces = Layout::new(size).pieces();
        if self.has_blobs {
            PieceSet::full(pieces)
        } else {
            PieceSet::empty(pieces)
        }
    }
}

/// A manifest of one file of `size` bytes, and its id.
pub(super) fn manifest(repository: &RepositoryId, n: u8, size: u64) -> (RevisionId, Vec<u8>) {
    let manifest = Manifest {
        repository: repository.clone(),
        kind: Kind::Model,
        parents: vec![],
        files: vec![File {
            path: "model.gguf".parse().expect("a valid path"),
            size,
            blake3: blob(n),
            sha256: [n; 32],
            git_sha1: None,
            role: Role::Weights,
            spans: None,
            chunks: None,
        }],
        card: Card::default(),
        tensors: vec![],
        message: String::new(),
        created: NOW,
    };
    let preimage = codec::preimage(&manifest);
    (codec::preimage_id(&preimage), preimage)
}

pub(super) fn blob(n: u8) -> BlobHash {
    BlobHash::new([n; 32])
}

pub(super) fn identity_facts(repository: &Repository) -> IdentityFacts {
    IdentityFacts {
        publisher: repository.publisher.id(),
        events: repository.publisher.events.clone(),
        fork: None,
    }
}

/// What a node knows that holds head `index` of a repository and all ids up to it.
pub(super) fn facts(repository: &Repository, index: usize) -> RepositoryFacts {
    RepositoryFacts {
        repository: repository.id(),
        head: repository.heads[index].clone(),
        freshness: None,
        leaves: repository.ids[..=index].to_vec(),
        equivocation: None,
    }
}

pub(super) fn snapshot(repository: &Repository, index: usize) -> Snapshot {
    Snapshot {
        identities: vec![identity_facts(repository)],
        repositories: vec![facts(repository, index)],
        ..Snapshot::default()
    }
}

pub(super) fn complete(
    repository: &RepositoryId,
    revision: RevisionId,
    pin: Pin,
    bytes_total: u64,
) -> RevisionRecord {
    RevisionRecord {
        repository: repository.clone(),
        revision,
        state: RevisionState::Complete,
        pin,
        seed: pin >= Pin::Mirror,
        bytes_total,
        used: NOW,
        host: None,
    }
}

/// Publishes a real manifest of one file; `(revision, preimage)`.
pub(super) fn publish(repository: &mut Repository, n: u8, size: u64) -> (RevisionId, Vec<u8>) {
    let (revision, preimage) = manifest(&repository.id(), n, size);
    let mut head = repository.next_head(0);
    head.manifest = revision;
    repository.push(crate::fixture::sign(&head, &[(0, crate::fixture::RELEASE)]));
    (revision, preimage)
}
