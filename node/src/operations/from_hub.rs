//! `hf:` references: revisions of the hub behind this node, fetched as a whole and shown like those of weft.

use std::{
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use data_encoding::HEXLOWER;
use tokio::time;
use weft_protocol::{path::RepoPath, wire::near::ContentHash};

use super::{Operations, Reporter, blocking_io, hf_cache};
use crate::{
    api::{ErrorBody, ErrorCode, FetchRequest, FetchResult, Phase, Progress, Source},
    error,
    transfer::Parts,
    upstream::{Entry, Kind, Snapshot, Token, Trouble, Upstream},
};

/// What such references begin with.
const PREFIX: &str = "hf:";
/// Digits of a commit that a folder is named by.
const SHORT: usize = 12;

/// `hf:[datasets/|spaces/]org/name[@revision]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HubReference {
    kind: Kind,
    id: String,
    /// None is `main`.
    revision: Option<String>,
}

/// A revision of the hub that is here as a whole.
pub(super) struct Held {
    pub(super) snapshot: Arc<Snapshot>,
    /// Where each file lies, in the snapshot's order.
    files: Vec<PathBuf>,
    bytes_total: u64,
    bytes_before: u64,
}

/// Whether a reference is for the hub.
pub(super) fn is_for_hub(reference: &str) -> bool {
    reference.starts_with(PREFIX)
}

impl HubReference {
    pub(super) fn parse(text: &str) -> Result<Self, ErrorBody> {
        let usage = || {
            let message = format!("`{text}` names nothing at a hub");
            ErrorBody::new(ErrorCode::Usage, message).with_hint(
                "it looks like hf:org/name, hf:org/name@revision or hf:datasets/org/name",
            )
        };
        let rest = text.strip_prefix(PREFIX).ok_or_else(usage)?;
        let (path, revision) = match rest.split_once('@') {
            Some((path, revision)) => (path, Some(revision.to_owned())),
            None => (rest, None),
        };
        let (kind, id) = match path.split_once('/') {
            Some(("datasets", id)) => (Kind::Dataset, id),
            Some(("spaces", id)) => (Kind::Space, id),
            Some(("models", id)) => (Kind::Model, id),
            _ => (Kind::Model, path),
        };
        let is_part = |part: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
            !part.is_empty() && !part.starts_with('.') && part.chars().all(plain)
        };
        let parts: Vec<_> = id.split('/').collect();
        let is_good = parts.len() <= 2 && parts.into_iter().all(is_part);
        let is_named = revision.as_ref().is_none_or(|name| !name.is_empty());
        if !is_good || !is_named {
            return Err(usage());
        }
        Ok(Self {
            kind,
            id: id.to_owned(),
            revision,
        })
    }

    /// The last part of the id.
    pub(super) fn name(&self) -> &str {
        self.id.rsplit('/').next().unwrap_or(&self.id)
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// As clients name its folder.
    fn folder(&self) -> String {
        format!("{}s--{}", self.kind.singular(), self.id.replace('/', "--"))
    }
}

impl Operations {
    fn hub(&self) -> Result<&Arc<Upstream>, ErrorBody> {
        self.upstream.as_ref().ok_or_else(|| {
            ErrorBody::new(ErrorCode::Refused, "no hub is named that could be asked").with_hint(
                "`weft config set origin.hub https://huggingface.co`, then start the node again",
            )
        })
    }

    /// Gets all files of a revision of the hub.
    pub(super) async fn hold_from_hub(
        &self,
        reference: &HubReference,
        token: Option<&Token>,
        reporter: &Reporter,
    ) -> Result<Held, ErrorBody> {
        let hub = self.hub()?;
        let revision = reference.revision.as_deref().unwrap_or("main");
        let asked = hub.resolve(reference.kind, &reference.id, revision, token);
        let snapshot = asked.await.map_err(|trouble| of_trouble(&trouble))?;
        if !snapshot.public && token.is_none() {
            let message = format!("`{}` is not for everybody", reference.id);
            return Err(ErrorBody::new(ErrorCode::Refused, message)
                .with_hint("`weft fetch` takes the hub's token from HF_TOKEN"));
        }
        let bytes_total = snapshot.files.iter().map(|file| file.size).sum();
        let bytes_before = hub.bytes_here(&snapshot);
        let report = |bytes_done| {
            reporter.report(Progress {
                phase: Phase::Fetching,
                bytes_done,
                bytes_total,
                ..Progress::default()
            });
        };
        let fetched = hub.fetch_all(&snapshot, token, report).await;
        let files = fetched.map_err(|reason| ErrorBody::new(ErrorCode::Offline, reason))?;
        Ok(Held {
            snapshot,
            files,
            bytes_total,
            bytes_before,
        })
    }

    /// `weft fetch hf:…`.
    pub(super) async fn fetch_from_hub(
        &self,
        request: FetchRequest,
        reporter: &Reporter,
    ) -> Result<FetchResult, ErrorBody> {
        let start = std::time::Instant::now();
        let reference = HubReference::parse(&request.reference)?;
        let token = request.token.as_ref().map(|token| {
            Token::bearer(&token.0)
                .ok_or_else(|| ErrorBody::new(ErrorCode::Usage, "the hub's token is not a token"))
        });
        let token = token.transpose()?;
        let holding = self.hold_from_hub(&reference, token.as_ref(), reporter);
        let held = match request.timeout_seconds {
            None => holding.await?,
            Some(seconds) => time::timeout(Duration::from_secs(seconds), holding)
                .await
                .map_err(|_| {
                    let message = format!("not complete after {seconds} seconds");
                    ErrorBody::new(ErrorCode::Offline, message)
                        .with_hint("what arrived is kept: run the same command again to go on")
                })??,
        };
        let path = match (request.cache, request.to) {
            (Some(cache), _) => {
                let root = PathBuf::from(cache).join(reference.folder());
                self.show_hub_in_cache(&held, &root, reference.revision.as_deref())
                    .await?
            }
            (None, Some(to)) => self.show_hub(&held, PathBuf::from(to)).await?,
            (None, None) => {
                let folder = self.hub_folder(&reference, &held);
                self.show_hub(&held, folder).await?
            }
        };
        let fetched = held.bytes_total - held.bytes_before;
        Ok(FetchResult {
            path: path.display().to_string(),
            repository: format!("{PREFIX}{}", reference.id),
            revision: held.snapshot.commit.clone(),
            files: held.files.len() as u64,
            bytes_total: held.bytes_total,
            bytes_fetched: fetched,
            bytes_reused: held.bytes_before,
            seconds: start.elapsed().as_secs_f64(),
            verified: true,
            sources: match fetched {
                0 => Vec::new(),
                bytes => vec![Source {
                    peer: self.hub()?.name(),
                    bytes,
                }],
            },
            freshness: None,
        })
    }

    /// Where a revision of the hub is shown inside the data directory.
    pub(super) fn hub_folder(&self, reference: &HubReference, held: &Held) -> PathBuf {
        let commit = held.snapshot.commit.get(..SHORT).unwrap_or_default();
        let root = self.home.repositories().join("hf");
        root.join(reference.folder()).join(commit)
    }

    /// Shows the files in a folder.
    pub(super) async fn show_hub(
        &self,
        held: &Held,
        folder: PathBuf,
    ) -> Result<PathBuf, ErrorBody> {
        let files = held.snapshot.files.iter().zip(&held.files);
        let files: Vec<_> = files
            .map(|(entry, from)| (from.clone(), folder.join(&entry.path), entry.content()))
            .collect();
        place_all(files, self.transfer.parts()).await?;
        Ok(folder)
    }

    async fn show_hub_in_cache(
        &self,
        held: &Held,
        root: &Path,
        revision: Option<&str>,
    ) -> Result<PathBuf, ErrorBody> {
        let blobs = root.join("blobs");
        let name = |entry: &Entry| entry.content().map_or_else(String::new, |hash| text(&hash));
        let files = held.snapshot.files.iter().zip(&held.files);
        let files: Vec<_> = files
            .map(|(entry, from)| (from.clone(), blobs.join(name(entry)), entry.content()))
            .collect();
        place_all(files, self.transfer.parts()).await?;
        let commit = held.snapshot.commit.clone();
        let snapshot = root.join("snapshots").join(&commit);
        let links: Vec<_> = held
            .snapshot
            .files
            .iter()
            .filter_map(|entry| Some((entry.path.parse::<RepoPath>().ok()?, name(entry))))
            .collect();
        let revision = revision.unwrap_or("main");
        let reference = (revision != commit).then(|| root.join("refs").join(revision));
        let shown = snapshot.clone();
        blocking_io(move || {
            let linked = links
                .iter()
                .try_for_each(|(path, id)| hf_cache::link(&shown, path, id));
            let noted = linked.and_then(|()| match &reference {
                Some(path) => {
                    std::fs::create_dir_all(path.parent().unwrap_or(path))?;
                    std::fs::write(path, commit)
                }
                None => Ok(()),
            });
            let failed = |e| error::io(format!("cannot write `{}`", shown.display()), &e);
            noted.map_err(failed)
        })
        .await?;
        Ok(snapshot)
    }
}

fn text(hash: &ContentHash) -> String {
    match hash {
        ContentHash::Sha256(sha256) => HEXLOWER.encode(sha256),
        ContentHash::GitSha1(sha1) => HEXLOWER.encode(sha1),
    }
}

async fn place_all(
    files: Vec<(PathBuf, PathBuf, Option<ContentHash>)>,
    parts: Arc<Parts>,
) -> Result<(), ErrorBody> {
    blocking_io(move || {
        for (from, to, hash) in files {
            let placed = place(&from, &to, hash, &parts);
            placed.map_err(|e| error::io(format!("cannot write `{}`", to.display()), &e))?;
        }
        Ok(())
    })
    .await
}

/// Gives a file a second name, or a copy where the file system has no such thing. One with the same content may be there.
fn place(from: &Path, to: &Path, hash: Option<ContentHash>, parts: &Parts) -> io::Result<()> {
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent)?;
    }
    match std::fs::hard_link(from, to) {
        Ok(()) => return Ok(()),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            let (ours, theirs) = (std::fs::metadata(from)?, std::fs::symlink_metadata(to)?);
            let one = (ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino());
            let same = || {
                let is_file = theirs.is_file() && theirs.len() == ours.len();
                Ok::<_, io::Error>(is_file && hash.is_some_and(|hash| same_content(to, hash)))
            };
            return match one || same()? {
                true => Ok(()),
                false => Err(io::Error::other("another file has this name")),
            };
        }
        Err(_) => {}
    }
    let part = parts.beside(to)?;
    std::fs::copy(from, part.path())?;
    part.finish(to)
}

fn same_content(path: &Path, hash: ContentHash) -> bool {
    crate::upstream::is_content(path, hash).unwrap_or(false)
}

fn of_trouble(trouble: &Trouble) -> ErrorBody {
    let code = match trouble {
        Trouble::Missing { .. } => ErrorCode::NotFound,
        Trouble::Denied { .. } => ErrorCode::Refused,
        Trouble::Busy { .. } | Trouble::Unreachable { .. } => ErrorCode::Offline,
        Trouble::Nonsense { .. } => ErrorCode::Verification,
    };
    ErrorBody::new(code, trouble.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_names_kind_repository_and_revision() {
        let parse = |text: &str| HubReference::parse(text).unwrap();
        let plain = parse("hf:acme/Tiny.Model");
        assert_eq!((plain.kind, plain.revision.as_deref()), (Kind::Model, None));
        assert_eq!(
            (plain.id.as_str(), plain.name()),
            ("acme/Tiny.Model", "Tiny.Model")
        );
        let tag = parse("hf:datasets/acme/rows@feature/x");
        assert_eq!(
            (tag.kind, tag.revision.as_deref()),
            (Kind::Dataset, Some("feature/x"))
        );
        assert_eq!(tag.folder(), "datasets--acme--rows");
        assert_eq!(parse("hf:gpt2").id, "gpt2");
        for text in ["hf:", "hf:a/b/c", "hf:../x", "hf:a/b@", "hf:a b", "acme/x"] {
            assert!(HubReference::parse(text).is_err(), "{text}");
        }
    }
}
