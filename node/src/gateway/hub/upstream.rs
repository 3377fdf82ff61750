//! Repositories of the hub behind this node, in the words of all others: a snapshot becomes a commit, and what goes wrong
//! there becomes an error that clients understand.

use std::sync::Arc;

use axum::http::{HeaderMap, header};
use serde_json::Value;
use weft_protocol::{
    id::{BlobHash, PublisherId, RepositoryId, RevisionId},
    manifest::{Card, File, Kind, Manifest, Role},
    time::Timestamp,
    wire::near::ContentHash,
};

use super::{
    Hub,
    commit::Commit,
    reply::{Answer, Fault, ok},
    repos::Repo,
    route::{RepoKind, RepoName},
};
use crate::upstream::{self, Entry, Snapshot, Token, Trouble, Upstream};

/// What is only told of the revision that was asked for.
const OWN: [&str; 5] = ["_id", "id", "modelId", "sha", "siblings"];

/// Where a repository comes from that is not weft's.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) hub: Arc<Upstream>,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) token: Option<Token>,
}

impl Hub {
    /// A repository and one of its revisions (`main` if none is named), whoever has it: weft first, and the hub for
    /// namespaces that mean nothing here.
    pub(super) async fn find(
        &self,
        name: &RepoName,
        revision: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<(Repo, Arc<Commit>), Fault> {
        let is_known = match &name.namespace {
            Some(namespace) => self.publisher(namespace).await?.is_some(),
            None => self.repository_id(name).await.is_ok(),
        };
        let hub = self.operations.upstream.as_ref().filter(|_| !is_known);
        let Some(hub) = hub else {
            let repo = self.repo(name).await?;
            let commit = match revision {
                None => Arc::clone(&repo.main),
                Some(revision) => self.commit(&repo, revision).await?,
            };
            return Ok((repo, commit));
        };
        let token = self.foreign_token(headers);
        let (kind, id) = (kind(name.kind), name.id());
        let revision = revision.unwrap_or("main");
        let resolved = hub.resolve(kind, &id, revision, token.as_ref()).await;
        let snapshot = resolved?;
        if !snapshot.public && token.is_none() {
            return Err(Fault::Denied {
                status: 401,
                code: Some("GatedRepo".to_owned()),
                message: format!("`{id}` is not for everybody: a token of the hub is needed"),
            });
        }
        let repository = repository(&snapshot);
        let commit = match self.cache.commit_named(&repository, &snapshot.commit) {
            Some(commit) => commit,
            None => {
                let commit = commit(&repository, &snapshot);
                let commit = Arc::new(commit.ok_or_else(|| Fault::Upstream {
                    message: format!("what the hub says of `{id}` cannot be shown"),
                })?);
                self.cache.keep_commit(Arc::clone(&commit));
                commit
            }
        };
        let repo = Repo {
            name: name.clone(),
            id: repository,
            main: Arc::clone(&commit),
            refs: Arc::default(),
            is_empty: false,
            origin: Some(Origin {
                hub: Arc::clone(hub),
                snapshot,
                token,
            }),
        };
        Ok((repo, commit))
    }

    /// The token that a client sent for the hub: whatever is not one of this node.
    fn foreign_token(&self, headers: &HeaderMap) -> Option<Token> {
        let sent = headers.get(header::AUTHORIZATION)?;
        let is_bearer = sent.as_bytes().starts_with(b"Bearer ");
        (is_bearer && !self.tokens.writes(headers)).then(|| Token::new(sent))
    }
}

impl Origin {
    /// What the hub tells of the repository, laid over what follows from its files.
    pub(super) fn describe(&self, mut shown: Value) -> Value {
        let told = self.snapshot.info.as_object().into_iter().flatten();
        for (key, value) in told.filter(|(key, _)| !OWN.contains(&key.as_str())) {
            shown[key] = value.clone();
        }
        shown
    }

    pub(super) async fn refs(&self) -> Answer {
        let refs = self.hub.refs(&self.snapshot, self.token.as_ref()).await;
        Ok(ok(&refs))
    }

    /// One of its files.
    pub(super) fn file(&self, path: &str) -> Option<(&Entry, ContentHash)> {
        let entry = self.snapshot.file(path)?;
        Some((entry, entry.content()?))
    }
}

fn kind(kind: RepoKind) -> upstream::Kind {
    match kind {
        RepoKind::Model => upstream::Kind::Model,
        RepoKind::Dataset => upstream::Kind::Dataset,
        RepoKind::Space => upstream::Kind::Space,
    }
}

/// An id that no publisher can have, for what wants one.
fn repository(snapshot: &Snapshot) -> RepositoryId {
    let hub = blake3::hash(snapshot.hub.as_bytes());
    let id = format!("{}/{}", snapshot.kind.singular(), snapshot.id);
    let id = blake3::hash(id.as_bytes()).to_hex();
    RepositoryId {
        publisher: PublisherId::new(*hub.as_bytes()),
        name: format!("u{}", id.get(..40).unwrap_or_default())
            .parse()
            .expect("letters and digits are a name"),
    }
}

fn commit(repository: &RepositoryId, snapshot: &Snapshot) -> Option<Commit> {
    let mut id = [0; 32];
    let sha1 = data_encoding::HEXLOWER
        .decode(snapshot.commit.as_bytes())
        .ok()?;
    id.get_mut(..sha1.len())?.copy_from_slice(&sha1);
    let mut files = Vec::new();
    for entry in &snapshot.files {
        let hash = entry.content()?;
        let (sha256, git_sha1) = match hash {
            ContentHash::Sha256(sha256) => (sha256, None),
            ContentHash::GitSha1(sha1) => ([0; 32], Some(sha1)),
        };
        files.push(File {
            path: entry.path.parse().ok()?,
            size: entry.size,
            // Not known before the bytes are.
            blake3: BlobHash::new([0; 32]),
            sha256,
            git_sha1,
            role: Role::of_path(&entry.path),
            spans: None,
            chunks: None,
        });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let manifest = Manifest {
        repository: repository.clone(),
        kind: match snapshot.kind {
            upstream::Kind::Model => Kind::Model,
            upstream::Kind::Dataset => Kind::Dataset,
            upstream::Kind::Space => Kind::Space,
        },
        parents: Vec::new(),
        files,
        card: Card::default(),
        tensors: Vec::new(),
        message: String::new(),
        created: Timestamp(0),
    };
    Some(Commit::new(RevisionId::new(id), manifest))
}

impl From<Trouble> for Fault {
    fn from(trouble: Trouble) -> Self {
        let message = trouble.to_string();
        match trouble {
            Trouble::Missing { code, .. } if code == "RevisionNotFound" => {
                Self::NoRevision(message)
            }
            Trouble::Missing { .. } => Self::NoRepo(message),
            Trouble::Denied { status, code, .. } => Self::Denied {
                status,
                code,
                message,
            },
            Trouble::Busy { .. } | Trouble::Unreachable { .. } => Self::Later(message),
            Trouble::Nonsense { .. } => Self::Upstream { message },
        }
    }
}
