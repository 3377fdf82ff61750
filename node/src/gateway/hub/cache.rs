//! Decoded revisions, kept for the next request: a client asks for every file of one commit in a row.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use weft_protocol::{
    id::{ObjectId, RepositoryId, RevisionId},
    refs::Refs,
};

use super::commit::Commit;

/// Commits kept at most.
const COMMITS_MAX: usize = 64;
/// Files in all kept commits together: some 60 MiB at worst.
const FILES_MAX: usize = 200_000;
/// Reference objects kept at most; each has up to 64 KiB.
const REFS_MAX: usize = 32;
/// Repositories whose last look at the network is remembered.
const LOOKED_MAX: usize = 4_096;
/// How long what peers said about the newest revision is taken to be still true.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// Shared by all requests.
#[derive(Debug, Default)]
pub(super) struct Cache {
    commits: Mutex<VecDeque<Arc<Commit>>>,
    refs: Mutex<VecDeque<(ObjectId, Arc<Refs>)>>,
    looked: Mutex<BTreeMap<RepositoryId, Instant>>,
}

impl Cache {
    pub(super) fn commit(&self, revision: &RevisionId) -> Option<Arc<Commit>> {
        self.find(|commit| commit.revision == *revision)
    }

    /// The commit of a repository that a client names by its 40 digits.
    pub(super) fn commit_named(&self, repository: &RepositoryId, id: &str) -> Option<Arc<Commit>> {
        self.find(|commit| {
            commit.manifest.repository == *repository && commit.revision.to_string().starts_with(id)
        })
    }

    fn find(&self, wanted: impl Fn(&Commit) -> bool) -> Option<Arc<Commit>> {
        let mut commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        let at = commits.iter().position(|commit| wanted(commit))?;
        let commit = commits.remove(at)?;
        commits.push_front(Arc::clone(&commit));
        Some(commit)
    }

    pub(super) fn keep_commit(&self, commit: Arc<Commit>) {
        let mut commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        commits.retain(|other| other.revision != commit.revision);
        commits.push_front(commit);
        let mut files = 0;
        let fit = commits.iter().take(COMMITS_MAX).take_while(|commit| {
            files += commit.manifest.files.len();
            files <= FILES_MAX
        });
        // The newest stays however large it is.
        let fit = fit.count().max(1);
        commits.truncate(fit);
    }

    pub(super) fn refs(&self, id: &ObjectId) -> Option<Arc<Refs>> {
        let refs = self.refs.lock().unwrap_or_else(PoisonError::into_inner);
        let found = refs.iter().find(|(other, _)| other == id);
        found.map(|(_, refs)| Arc::clone(refs))
    }

    pub(super) fn keep_refs(&self, id: ObjectId, value: Arc<Refs>) {
        let mut refs = self.refs.lock().unwrap_or_else(PoisonError::into_inner);
        refs.push_front((id, value));
        refs.truncate(REFS_MAX);
    }

    /// Whether it is time to ask peers again for the newest revision; says yes once in a while.
    pub(super) fn is_due(&self, repository: &RepositoryId) -> bool {
        let now = Instant::now();
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = |then: &Instant| now.duration_since(*then) < LOOK_INTERVAL;
        if looked.get(repository).is_some_and(recent) {
            return false;
        }
        looked.retain(|_, then| recent(then));
        if looked.len() < LOOKED_MAX {
            looked.insert(repository.clone(), now);
        }
        true
    }
}
