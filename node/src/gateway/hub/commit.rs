//! One revision as hub clients see a commit: files with git's ids, folders with true git tree ids, dates as text.
//!
//! Whether a file counts as a large one (LFS) follows from the manifest alone, so that a commit looks the same for ever
//! and on every node: large is what has no git hash there.

use std::{collections::BTreeMap, fmt::Write as _};

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use weft_protocol::{
    id::RevisionId,
    manifest::{File, Manifest},
    path::RepoPath,
    time::Timestamp,
};

pub(super) use crate::operations::{commit_id, content_id};

/// What clients take for a commit id: the first 40 hex digits of a revision id.
pub(super) const COMMIT_LEN: usize = 40;

/// A revision with what is derived from it, made once and shared.
#[derive(Debug)]
pub(super) struct Commit {
    pub(super) revision: RevisionId,
    pub(super) manifest: Manifest,
    /// All folders by path, without the root, with their git tree ids.
    folders: BTreeMap<String, String>,
}

/// One thing in a folder.
#[derive(Debug, Clone, Copy)]
pub(super) enum Entry<'a> {
    File(&'a File),
    Folder { path: &'a str, oid: &'a str },
}

impl Commit {
    pub(super) fn new(revision: RevisionId, manifest: Manifest) -> Self {
        let folders = folders(&manifest.files);
        Self {
            revision,
            manifest,
            folders,
        }
    }

    /// 40 hex digits.
    pub(super) fn id(&self) -> String {
        commit_id(&self.revision)
    }

    /// The file at a path, if there is one.
    pub(super) fn file(&self, path: &str) -> Option<&File> {
        self.manifest.file(&path.parse::<RepoPath>().ok()?)
    }

    /// The folder at a path, if there is one. The root has none.
    pub(super) fn folder(&self, path: &str) -> Option<Entry<'_>> {
        let (path, oid) = self.folders.get_key_value(path)?;
        Some(Entry::Folder { path, oid })
    }

    /// Everything below a folder (the root is empty), sorted by path; `None` if there is no such folder.
    pub(super) fn entries(&self, folder: &str, recursive: bool) -> Option<Vec<Entry<'_>>> {
        let folder = folder.trim_matches('/');
        if !folder.is_empty() && !self.folders.contains_key(folder) {
            return None;
        }
        let inside = |path: &str| {
            let rest = if folder.is_empty() {
                Some(path)
            } else {
                path.strip_prefix(folder)
                    .and_then(|rest| rest.strip_prefix('/'))
            };
            rest.is_some_and(|rest| recursive || !rest.contains('/'))
        };
        let files = self.manifest.files.iter();
        let mut entries: Vec<_> = files
            .filter(|file| inside(file.path.as_str()))
            .map(Entry::File)
            .collect();
        let folders = self.folders.iter().filter(|(path, _)| inside(path));
        entries.extend(folders.map(|(path, oid)| Entry::Folder { path, oid }));
        entries.sort_unstable_by(|a, b| a.path().cmp(b.path()));
        Some(entries)
    }

    /// First line of the message, or something that stands for it.
    pub(super) fn title(&self) -> &str {
        let first = self.manifest.message.lines().next().unwrap_or_default();
        if first.is_empty() {
            "a revision without a message"
        } else {
            first
        }
    }

    /// The message without its first line.
    pub(super) fn description(&self) -> &str {
        let rest = self.manifest.message.split_once('\n');
        rest.map_or("", |(_, rest)| rest.trim_start_matches('\n'))
    }

    /// As a tree's `lastCommit`.
    pub(super) fn brief(&self) -> Value {
        json!({ "id": self.id(), "title": self.title(), "date": date(self.manifest.created) })
    }
}

impl<'a> Entry<'a> {
    pub(super) fn path(self) -> &'a str {
        match self {
            Self::File(file) => file.path.as_str(),
            Self::Folder { path, .. } => path,
        }
    }

    /// As a tree lists it.
    pub(super) fn json(self) -> Value {
        match self {
            Self::Folder { path, oid } => {
                json!({ "type": "directory", "oid": oid, "size": 0, "path": path })
            }
            Self::File(file) => {
                let mut entry = json!({
                    "type": "file",
                    "oid": git_oid(file),
                    "size": file.size,
                    "path": file.path.as_str(),
                });
                if let Some(lfs) = lfs(file) {
                    entry["lfs"] = json!({
                        "oid": lfs.sha256,
                        "size": file.size,
                        "pointerSize": lfs.pointer.len(),
                    });
                }
                entry
            }
        }
    }
}

/// What a large file is to git.
#[derive(Debug)]
pub(super) struct Lfs {
    pub(super) sha256: String,
    /// The text that git holds instead of the content.
    pub(super) pointer: String,
}

/// The large-file side of a file; `None` for a plain one.
pub(super) fn lfs(file: &File) -> Option<Lfs> {
    if file.git_sha1.is_some() {
        return None;
    }
    let sha256 = HEXLOWER.encode(&file.sha256);
    let pointer = format!(
        "version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {}\n",
        file.size
    );
    Some(Lfs { sha256, pointer })
}

/// Git's id of what git holds for a file: its content, or the pointer to it.
pub(super) fn git_oid(file: &File) -> String {
    HEXLOWER.encode(&git_sha1(file))
}

fn git_sha1(file: &File) -> [u8; 20] {
    match (file.git_sha1, lfs(file)) {
        (None, Some(lfs)) => git_object("blob", lfs.pointer.as_bytes()),
        (plain, _) => plain.unwrap_or_default(),
    }
}

fn git_object(kind: &str, content: &[u8]) -> [u8; 20] {
    Sha1::new()
        .chain_update(format!("{kind} {}\0", content.len()))
        .chain_update(content)
        .finalize()
        .into()
}

/// Every folder with the id that git would give its tree.
fn folders(files: &[File]) -> BTreeMap<String, String> {
    // Names directly in each folder: the key sorts as git sorts, where a folder's name ends in a slash.
    let mut content: BTreeMap<&str, BTreeMap<String, (bool, [u8; 20])>> = BTreeMap::new();
    for file in files {
        let path = file.path.as_str();
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let inside = content.entry(folder).or_default();
        inside.insert(name.to_owned(), (false, git_sha1(file)));
        let mut child = folder;
        while let Some((parent, _)) = child.rsplit_once('/') {
            content.entry(parent).or_default();
            child = parent;
        }
    }
    let mut all: Vec<&str> = content.keys().copied().collect();
    // The deepest first, so that a folder's subfolders are known before it.
    all.sort_by_key(|path| std::cmp::Reverse(path.split('/').count()));
    let mut oids = BTreeMap::new();
    for folder in all {
        if folder.is_empty() {
            continue;
        }
        let mut tree = Vec::new();
        for (name, (is_folder, sha1)) in content.get(folder).into_iter().flatten() {
            let mode = if *is_folder { "40000" } else { "100644" };
            tree.extend_from_slice(mode.as_bytes());
            tree.push(b' ');
            tree.extend_from_slice(name.trim_end_matches('/').as_bytes());
            tree.push(0);
            tree.extend_from_slice(sha1);
        }
        let sha1 = git_object("tree", &tree);
        let (parent, name) = folder.rsplit_once('/').unwrap_or(("", folder));
        let inside = content.entry(parent).or_default();
        inside.insert(format!("{name}/"), (true, sha1));
        oids.insert(folder.to_owned(), HEXLOWER.encode(&sha1));
    }
    oids
}

/// `2026-03-01T12:00:00.000Z`: the only form that every client reads.
pub(in crate::gateway) fn date(time: Timestamp) -> String {
    let days = time.0 / 86_400;
    let seconds = time.0 % 86_400;
    // Howard Hinnant's days-to-civil, for dates after 1970.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 {
        month_index + 3
    } else {
        month_index - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.000Z",
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60
    );
    text
}

#[cfg(test)]
mod tests;
