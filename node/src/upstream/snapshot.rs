//! What a hub says a revision is: its commit, its files with their hashes, and what it tells of the repository.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use weft_protocol::{limits, path::RepoPath, wire::near::ContentHash};

use super::{Key, Kind, Upstream, client::Trouble, lock};
use crate::files;

/// Digits of a commit id.
const COMMIT_LEN: usize = 40;
/// Separates keys of snapshots from every other hash.
const KEY_CONTEXT: &[u8] = b"weft/near/snapshot/v1\0";
/// What an upstream says of a repository that means nothing, or the wrong thing, at another endpoint.
const UNTOLD: [&str; 6] = [
    "siblings",
    "xetEnabled",
    "inferenceProviderMapping",
    "inference",
    "securityRepoStatus",
    "_id",
];

/// One revision, pinned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    /// URL of the hub.
    pub(crate) hub: String,
    pub(crate) kind: Kind,
    /// As it was asked for.
    pub(crate) id: String,
    pub(crate) commit: String,
    /// Whether anybody may have it.
    pub(crate) public: bool,
    /// Whether the hub itself said all this to this node; otherwise somebody near here did.
    pub(crate) first_hand: bool,
    /// By path.
    pub(crate) files: Vec<Entry>,
    /// What the hub tells of the repository, without what means nothing here.
    pub(crate) info: Value,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) path: String,
    pub(crate) size: u64,
    /// Git's id of what git holds: the content, or the pointer to a large one.
    oid: String,
    /// Of a large file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
}

impl Entry {
    /// The hash that the content must have. Checked when the snapshot was made.
    pub(crate) fn content(&self) -> Option<ContentHash> {
        match &self.sha256 {
            Some(sha256) => Some(ContentHash::Sha256(hex(sha256)?)),
            None => Some(ContentHash::GitSha1(hex(&self.oid)?)),
        }
    }
}

/// Whether a text is a whole commit id.
pub(super) fn is_commit(text: &str) -> bool {
    text.len() == COMMIT_LEN && hex::<20>(text).is_some()
}

pub(super) fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).ok()?;
    bytes.try_into().ok()
}

impl Snapshot {
    /// The file at a path.
    pub(crate) fn file(&self, path: &str) -> Option<&Entry> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Makes one of what the hub answered: of the repository, and of its files.
    pub(super) fn new(
        upstream: &Upstream,
        (kind, id): (Kind, &str),
        commit: &str,
        mut info: Value,
        tree: &[Value],
    ) -> Result<Self, Trouble> {
        let nonsense = |what: &str| upstream.client.nonsense(what);
        let mut files = Vec::new();
        for entry in tree {
            if entry["type"] != "file" {
                continue;
            }
            let text = entry["path"].as_str();
            let text = text.ok_or_else(|| nonsense("lists a file without a path"))?;
            if text.parse::<RepoPath>().is_err() {
                tracing::warn!(
                    hub = upstream.name(),
                    id,
                    path = text,
                    "a file is left out: its name cannot be kept on every disk"
                );
                continue;
            };
            let lfs = entry.get("lfs").filter(|lfs| !lfs.is_null());
            let sha256 = lfs.map(|lfs| lfs["oid"].as_str().unwrap_or_default().to_owned());
            let size = lfs.map_or(&entry["size"], |lfs| &lfs["size"]).as_u64();
            let file = Entry {
                path: text.to_owned(),
                size: size.ok_or_else(|| nonsense("lists a file without a size"))?,
                oid: entry["oid"].as_str().unwrap_or_default().to_owned(),
                sha256,
            };
            files.push(file);
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let public = info["private"] != true && is_off(&info["gated"]);
        if let Some(info) = info.as_object_mut() {
            for key in UNTOLD {
                info.remove(key);
            }
        }
        let snapshot = Self {
            hub: upstream.client.url(),
            kind,
            id: id.to_owned(),
            commit: commit.to_owned(),
            public,
            first_hand: true,
            files,
            info,
        };
        snapshot.check().map_err(|what| nonsense(&what))?;
        Ok(snapshot)
    }

    /// Whether it can be one.
    pub(super) fn check(&self) -> Result<(), String> {
        if !is_commit(&self.commit) {
            return Err("names a commit that is none".to_owned());
        }
        if self.files.len() > limits::FILES_MAX {
            return Err(format!("lists {} files", self.files.len()));
        }
        if !self.files.is_sorted_by(|a, b| a.path < b.path) {
            return Err("lists a path twice".to_owned());
        }
        for file in &self.files {
            if file.path.parse::<RepoPath>().is_err() {
                return Err("lists a path that is none".to_owned());
            }
            if file.content().is_none() {
                return Err(format!("lists `{}` without a hash", file.path));
            }
            if file.size > limits::REVISION_SIZE_MAX {
                return Err(format!("lists `{}` with an impossible size", file.path));
            }
        }
        Ok(())
    }

    fn key(&self) -> Key {
        key(&self.hub, self.kind, &self.id, &self.commit)
    }

    /// What two nodes must agree on to have the same revision.
    pub(super) fn digest(&self) -> blake3::Hash {
        let files = serde_json::to_vec(&(&self.commit, &self.files)).unwrap_or_default();
        blake3::hash(&files)
    }
}

fn is_off(gated: &Value) -> bool {
    gated.is_null() || *gated == false
}

/// What a name is kept and asked for under.
pub(super) fn key(hub: &str, kind: Kind, id: &str, revision: &str) -> Key {
    let mut hasher = blake3::Hasher::new();
    hasher.update(KEY_CONTEXT);
    for part in [hub, kind.singular(), id, revision] {
        hasher.update(part.as_bytes());
        hasher.update(&[0]);
    }
    Key(*hasher.finalize().as_bytes())
}

impl Upstream {
    pub(super) fn key(&self, kind: Kind, id: &str, revision: &str) -> Key {
        key(&self.client.url(), kind, id, revision)
    }

    /// Writes a snapshot down.
    pub(super) fn keep(&self, snapshot: Snapshot) -> Arc<Snapshot> {
        if snapshot.public {
            let contents = snapshot.files.iter().filter_map(Entry::content);
            lock(&self.public).extend(contents);
        }
        let path = self.snapshot_path(&snapshot.key());
        let bytes = serde_json::to_vec(&snapshot).unwrap_or_default();
        if let Err(error) = files::write_private(&path, &bytes) {
            tracing::warn!(%error, "what the hub said cannot be kept for later");
        }
        let snapshot = Arc::new(snapshot);
        self.remember(&snapshot);
        snapshot
    }

    fn remember(&self, snapshot: &Arc<Snapshot>) {
        let mut kept = lock(&self.snapshots);
        let key = snapshot.key();
        kept.retain(|other| other.key() != key);
        kept.insert(0, Arc::clone(snapshot));
        kept.truncate(super::SNAPSHOTS_MAX);
    }

    /// Lets a name mean a snapshot.
    pub(super) fn keep_name(&self, name: &Key, snapshot: &Snapshot) {
        let path = self.root.join("names").join(name.text());
        if let Err(error) = files::write_private(&path, snapshot.key().text().as_bytes()) {
            tracing::warn!(%error, "what a name means cannot be kept for later");
        }
    }

    /// The snapshot that a name, or a commit, meant last.
    pub(super) fn named(&self, name: &Key) -> Option<Arc<Snapshot>> {
        let path = self.root.join("names").join(name.text());
        let key = std::fs::read_to_string(path).ok();
        let key = key.and_then(|key| hex(&key)).map_or(*name, Key);
        self.held(&key)
    }

    /// A snapshot that is here.
    pub(super) fn held(&self, key: &Key) -> Option<Arc<Snapshot>> {
        let found = lock(&self.snapshots)
            .iter()
            .find(|snapshot| snapshot.key() == *key)
            .map(Arc::clone);
        if found.is_some() {
            return found;
        }
        let snapshot = self.load(&self.snapshot_path(key))?;
        let snapshot = Arc::new(snapshot);
        self.remember(&snapshot);
        Some(snapshot)
    }

    fn load(&self, path: &Path) -> Option<Snapshot> {
        let bytes = std::fs::read(path).ok()?;
        let snapshot: Snapshot = serde_json::from_slice(&bytes).ok()?;
        snapshot.check().is_ok().then_some(snapshot)
    }

    fn snapshot_path(&self, key: &Key) -> PathBuf {
        self.root.join("snapshots").join(key.text())
    }

    /// Finds out what may be told to others of what earlier runs kept.
    pub(super) fn load_public(&self) -> io::Result<()> {
        for snapshot in self.all_snapshots()?.iter().filter(|s| s.public) {
            let contents = snapshot.files.iter().filter_map(Entry::content);
            lock(&self.public).extend(contents);
        }
        Ok(())
    }

    /// All revisions that are known, of whatever hub.
    pub(super) fn all_snapshots(&self) -> io::Result<Vec<Snapshot>> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(self.root.join("snapshots"))? {
            all.extend(self.load(&entry?.path()));
        }
        Ok(all)
    }
}
