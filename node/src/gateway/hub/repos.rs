//! From what a client writes to what it means: repositories, branches, tags and commits.

use std::{sync::Arc, time::Duration};

use weft_protocol::{
    codec,
    id::{ObjectId, PublisherId, RepositoryId, RepositoryName, RevisionId},
    manifest::{Kind, Manifest},
    refs::{MAIN, RefName, Refs},
    service::Selector,
};
use weft_registry::PetnameTarget;

use super::{
    Hub,
    commit::{COMMIT_LEN, Commit},
    reply::Fault,
    route::{RepoKind, RepoName},
};
use crate::{
    api::{ErrorBody, ErrorCode},
    operations::HeldTip,
};

/// For finding out about a repository that is not known here: clients give up on a request after ten seconds.
const UNKNOWN_BUDGET: Duration = Duration::from_secs(8);
/// For asking whether something newer exists than what is known: the answer is wanted, but not for any price.
const KNOWN_BUDGET: Duration = Duration::from_millis(1_500);
/// The shortest prefix of a commit id that is taken for one.
const PREFIX_LEN_MIN: usize = 7;

/// A repository that exists, as one request sees it.
#[derive(Debug, Clone)]
pub(super) struct Repo {
    /// As the client wrote it: answers use its words.
    pub(super) name: RepoName,
    pub(super) id: RepositoryId,
    /// What `main` names.
    pub(super) main: Arc<Commit>,
    pub(super) refs: Arc<Refs>,
    /// Whether anything was published yet.
    pub(super) is_empty: bool,
    /// The hub it comes from, if it is not weft's.
    pub(super) origin: Option<super::upstream::Origin>,
}

impl Hub {
    /// Finds a repository; asks peers if it is not known here, or not for a while.
    pub(super) async fn repo(&self, name: &RepoName) -> Result<Repo, Fault> {
        let id = self.repository_id(name).await?;
        let record = self.records.get(&id)?;
        let own = self.operations.is_own(&id.publisher);
        let (mut tip, peers) = self.operations.held_head(&id).await?;
        let shown = |tip: &HeldTip| record.as_ref().is_none_or(|record| record.shows(tip.index));
        let wants_news = match &tip {
            Some(_) => !own && peers > 0 && self.cache.is_due(&id),
            // What is not known of one's own repositories usually does not exist.
            None => record.is_none() && (!own || peers > 0),
        };
        if wants_news {
            let budget = if tip.is_some() || own {
                KNOWN_BUDGET
            } else {
                UNKNOWN_BUDGET
            };
            let looked = self.operations.look_up(&id, Selector::Latest, budget).await;
            match looked {
                Ok(_) => tip = self.operations.held_head(&id).await?.0,
                Err(error) if tip.is_none() && !own => return Err(unknown(name, error)),
                // What is held will do.
                Err(_) => {}
            }
        }
        if let Some(tip) = tip.filter(shown) {
            return self.published(name, id, &tip).await;
        }
        let empty = record.and_then(|record| record.empty_revision(&id));
        let Some(manifest) = empty.filter(|manifest| fits(name.kind, manifest.kind)) else {
            return Err(no_repo(name));
        };
        let revision = codec::object_id::<Manifest>(&codec::encode(&manifest));
        let main = Arc::new(Commit::new(revision, manifest));
        self.cache.keep_commit(Arc::clone(&main));
        Ok(Repo {
            name: name.clone(),
            id,
            main,
            refs: Arc::default(),
            is_empty: true,
            origin: None,
        })
    }

    async fn published(
        &self,
        name: &RepoName,
        id: RepositoryId,
        tip: &HeldTip,
    ) -> Result<Repo, Fault> {
        let refs = match tip.refs {
            None => Arc::default(),
            Some(refs) => self.refs(&id, refs).await?,
        };
        let main = match self.load(tip.revision).await? {
            Some(main) => main,
            None => {
                // The head came by gossip, its manifest did not.
                let selector = Selector::Revision(tip.revision);
                let looked = self.operations.look_up(&id, selector, UNKNOWN_BUDGET).await;
                looked.map_err(|error| unknown(name, error))?;
                self.load(tip.revision)
                    .await?
                    .ok_or_else(|| no_repo(name))?
            }
        };
        if !fits(name.kind, main.manifest.kind) {
            return Err(no_repo(name));
        }
        Ok(Repo {
            name: name.clone(),
            id,
            main,
            refs,
            is_empty: false,
            origin: None,
        })
    }

    async fn refs(&self, repository: &RepositoryId, id: ObjectId) -> Result<Arc<Refs>, Fault> {
        if let Some(refs) = self.cache.refs(&id) {
            return Ok(refs);
        }
        let mut found = self.operations.refs(id).await?;
        if found.is_none() {
            // A head comes without them.
            let main = MAIN.parse().map_or(Selector::Latest, Selector::Reference);
            let looked = self
                .operations
                .look_up(repository, main, KNOWN_BUDGET)
                .await;
            if let Err(error) = looked {
                tracing::debug!(%error, %repository, "the references cannot be had");
            }
            found = self.operations.refs(id).await?;
        }
        let Some(refs) = found else {
            return Ok(Arc::default());
        };
        let refs = Arc::new(refs);
        self.cache.keep_refs(id, Arc::clone(&refs));
        Ok(refs)
    }

    /// A repository's id, whether it exists or not.
    pub(super) async fn repository_id(&self, name: &RepoName) -> Result<RepositoryId, Fault> {
        let Some(namespace) = &name.namespace else {
            return match self.operations.petname(&name.name).await? {
                Some(PetnameTarget::Repository(repository)) => Ok(repository),
                _ => Err(no_repo(name)),
            };
        };
        let publisher = self
            .publisher(namespace)
            .await?
            .ok_or_else(|| no_repo(name))?;
        let repository: Result<RepositoryName, _> = name.name.parse();
        Ok(RepositoryId {
            publisher,
            name: repository.map_err(|_| no_repo(name))?,
        })
    }

    /// Whom a namespace stands for.
    pub(super) async fn publisher(&self, namespace: &str) -> Result<Option<PublisherId>, Fault> {
        // Ids are lower case; some clients fold names, some do not.
        for text in [namespace.to_owned(), namespace.to_ascii_lowercase()] {
            match self.operations.publisher(&text).await {
                Ok(publisher) => return Ok(Some(publisher)),
                Err(error) if error.code == ErrorCode::Usage => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// A revision of the repository by whatever name.
    pub(super) async fn commit(&self, repo: &Repo, name: &str) -> Result<Arc<Commit>, Fault> {
        let missing =
            || Fault::NoRevision(format!("`{}` has no revision `{name}`", repo.name.id()));
        if let Some(revision) = named(repo, name) {
            if revision == repo.main.revision {
                return Ok(Arc::clone(&repo.main));
            }
            return self.fetch_manifest(repo, revision, missing).await;
        }
        let hex = name.to_ascii_lowercase();
        let is_hex = hex.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_hex || !(PREFIX_LEN_MIN..=64).contains(&hex.len()) {
            return Err(missing());
        }
        if repo.main.revision.to_string().starts_with(&hex) {
            return Ok(Arc::clone(&repo.main));
        }
        if hex.len() >= COMMIT_LEN
            && let Some(commit) = self.cache.commit_named(&repo.id, &hex)
        {
            return Ok(commit);
        }
        let mut known = repo.refs.names.iter().map(|(_, revision)| *revision);
        if let Some(revision) = known.find(|revision| revision.to_string().starts_with(&hex)) {
            return self.fetch_manifest(repo, revision, missing).await;
        }
        if repo.is_empty {
            return Err(missing());
        }
        let selector = hex
            .parse()
            .map_or(Selector::Prefix(hex), Selector::Revision);
        let looked = self
            .operations
            .look_up(&repo.id, selector, UNKNOWN_BUDGET)
            .await;
        let resolved = looked.map_err(|error| match error.code {
            ErrorCode::Offline | ErrorCode::NotFound | ErrorCode::Refused => missing(),
            _ => error.into(),
        })?;
        self.load(resolved.revision).await?.ok_or_else(missing)
    }

    async fn fetch_manifest(
        &self,
        repo: &Repo,
        revision: RevisionId,
        missing: impl Fn() -> Fault,
    ) -> Result<Arc<Commit>, Fault> {
        if let Some(commit) = self.load(revision).await? {
            return Ok(commit);
        }
        // Asked for by its name, it is vouched for by the references of the head; no head was ever this revision.
        let mut names = repo.refs.names.iter();
        let selector = names
            .find(|(_, other)| *other == revision)
            .map_or(Selector::Revision(revision), |(name, _)| {
                Selector::Reference(name.clone())
            });
        let looked = self
            .operations
            .look_up(&repo.id, selector, UNKNOWN_BUDGET)
            .await;
        if let Err(error) = looked {
            tracing::debug!(%error, "a named revision cannot be had");
            return Err(missing());
        }
        self.load(revision).await?.ok_or_else(missing)
    }

    /// A revision whose manifest is here.
    pub(super) async fn load(&self, revision: RevisionId) -> Result<Option<Arc<Commit>>, Fault> {
        if let Some(commit) = self.cache.commit(&revision) {
            return Ok(Some(commit));
        }
        let Some(manifest) = self.operations.manifest(revision).await? else {
            return Ok(None);
        };
        let commit = Arc::new(Commit::new(revision, manifest));
        self.cache.keep_commit(Arc::clone(&commit));
        Ok(Some(commit))
    }
}

/// What a branch or tag names. A branch goes before a tag of the same name.
pub(super) fn named(repo: &Repo, name: &str) -> Option<RevisionId> {
    let plain = name.strip_prefix("refs/heads/");
    let tag = name.strip_prefix("refs/tags/");
    let look = |name: String| {
        let name: RefName = name.parse().ok()?;
        repo.refs
            .names
            .iter()
            .find(|(other, _)| *other == name)
            .map(|(_, revision)| *revision)
    };
    if let Some(tag) = tag {
        return look(tag.to_owned());
    }
    let branch = plain.unwrap_or(name);
    if branch == MAIN || name == "HEAD" {
        return Some(repo.main.revision);
    }
    look(format!("{}{branch}", super::BRANCHES)).or_else(|| look(name.to_owned()))
}

/// Whether a repository of this kind is shown where clients look for that one.
pub(super) fn fits(asked: RepoKind, kind: Kind) -> bool {
    match asked {
        RepoKind::Model => matches!(kind, Kind::Model | Kind::Adapter),
        RepoKind::Dataset => kind == Kind::Dataset,
        RepoKind::Space => kind == Kind::Space,
    }
}

fn no_repo(name: &RepoName) -> Fault {
    let kind = name.kind.singular();
    Fault::NoRepo(format!(
        "there is no {kind} `{}`, as far as this node knows",
        name.id()
    ))
}

fn unknown(name: &RepoName, error: ErrorBody) -> Fault {
    match error.code {
        // Nobody can be asked: waiting will not help.
        ErrorCode::Offline if error.message.starts_with("no peer") => Fault::NoRepo(format!(
            "`{}` is not known here, and no peer is connected who could be asked",
            name.id()
        )),
        ErrorCode::NotFound => no_repo(name),
        _ => error.into(),
    }
}
