//! A complete revision shown in the cache folder of Hugging Face clients, so that they, and this node, share one copy.
//!
//! The layout is theirs: `blobs/<content id>`, `snapshots/<commit>/<path>` as links into it, `refs/<name>` with the
//! commit. Blobs are second names of the store's own files where the file system allows. Removing the folder takes
//! nothing from the store, and forgetting the revision here takes nothing from the folder.

use std::{
    io,
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER;
use weft_protocol::{
    id::RevisionId,
    manifest::{File, Kind, Manifest},
    path::RepoPath,
    reference::Reference,
    refs::{BRANCHES, MAIN},
    service::Selector,
};

use super::{Operations, Reporter, blocking_io};
use crate::{
    api::{ErrorBody, ErrorCode, Phase, Progress},
    error,
};

/// Hex digits of a commit id, as clients want it.
const COMMIT_LEN: usize = 40;

/// A commit id out of a revision id.
pub(crate) fn commit_id(revision: &RevisionId) -> String {
    let mut text = revision.to_string();
    text.truncate(COMMIT_LEN);
    text
}

/// What identifies a file's content to clients: they name their cached copy so.
pub(crate) fn content_id(file: &File) -> String {
    let plain = file.git_sha1.map(|sha1| HEXLOWER.encode(&sha1));
    plain.unwrap_or_else(|| HEXLOWER.encode(&file.sha256))
}

impl Operations {
    /// Shows a complete revision in a client's cache; the folder of its snapshot. `asked` is what the user wrote: the
    /// client will ask by the same name.
    pub(super) async fn show_in_cache(
        &self,
        revision: RevisionId,
        manifest: &Manifest,
        asked: &str,
        cache: &Path,
        reporter: &Reporter,
    ) -> Result<PathBuf, ErrorBody> {
        let reference: Option<Reference> = asked.parse().ok();
        let root = cache.join(folder(manifest, reference.as_ref()));
        let commit = commit_id(&revision);
        let snapshot = root.join("snapshots").join(&commit);
        let bytes_total = manifest.bytes_total();
        let mut bytes_done = 0;
        for file in &manifest.files {
            let id = content_id(file);
            let name: RepoPath = id.parse().map_err(|e| {
                ErrorBody::new(ErrorCode::Failure, format!("the content id `{id}`: {e}"))
            })?;
            self.transfer
                .place(file.blake3, &root.join("blobs"), &name)
                .await
                .map_err(|e| error::place(&e))?;
            let (snapshot, path) = (snapshot.clone(), file.path.clone());
            blocking_io(move || {
                link(&snapshot, &path, &id).map_err(|e| {
                    error::io(
                        format!("cannot link `{path}` in `{}`", snapshot.display()),
                        &e,
                    )
                })
            })
            .await?;
            bytes_done += file.size;
            reporter.report(Progress {
                phase: Phase::Exporting,
                bytes_done,
                bytes_total,
                ..Progress::default()
            });
        }
        let name = match reference.map(|reference| reference.selector) {
            None | Some(Selector::Latest) => Some(MAIN.to_owned()),
            Some(Selector::Reference(name)) => Some(
                name.as_str()
                    .strip_prefix(BRANCHES)
                    .unwrap_or(name.as_str())
                    .to_owned(),
            ),
            Some(Selector::Revision(_) | Selector::Prefix(_)) => None,
        };
        if let Some(name) = name {
            let path = root.join("refs").join(name);
            blocking_io(move || {
                let parent = path.parent().unwrap_or(&path);
                std::fs::create_dir_all(parent)
                    .and_then(|()| std::fs::write(&path, commit))
                    .map_err(|e| error::io(format!("cannot write `{}`", path.display()), &e))
            })
            .await?;
        }
        Ok(snapshot)
    }
}

/// `models--alice--tiny`.
fn folder(manifest: &Manifest, reference: Option<&Reference>) -> String {
    let kind = match manifest.kind {
        Kind::Model | Kind::Adapter => "models",
        Kind::Dataset => "datasets",
        Kind::Space => "spaces",
    };
    let publisher = manifest.repository.publisher.to_string();
    let (namespace, name) = match reference {
        Some(reference) => (reference.publisher.as_str(), reference.name.to_string()),
        None => (publisher.as_str(), manifest.repository.name.to_string()),
    };
    format!("{kind}--{namespace}--{name}")
}

/// Makes the name of one file in a snapshot, as a relative link to its blob.
pub(crate) fn link(snapshot: &Path, path: &RepoPath, id: &str) -> io::Result<()> {
    let at = snapshot.join(path.as_str());
    let up = "../".repeat(path.components().count() + 1);
    let target = PathBuf::from(format!("{up}blobs/{id}"));
    if let Some(parent) = at.parent() {
        std::fs::create_dir_all(parent)?;
    }
    match std::fs::read_link(&at) {
        Ok(there) if there == target => return Ok(()),
        // A link of a client that was there before: what it showed is the same by its name, or was never whole.
        Ok(_) => std::fs::remove_file(&at)?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    std::os::unix::fs::symlink(&target, &at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_links_to_blobs_from_any_depth_and_twice() {
        let directory = tempfile::tempdir().unwrap();
        let blobs = directory.path().join("blobs");
        std::fs::create_dir(&blobs).unwrap();
        std::fs::write(blobs.join("abc"), "content").unwrap();
        let snapshot = directory.path().join("snapshots/commit");
        for path in ["a.txt", "b/c/d.txt"] {
            let path: RepoPath = path.parse().unwrap();
            for _ in 0..2 {
                link(&snapshot, &path, "abc").unwrap();
                let read = std::fs::read_to_string(snapshot.join(path.as_str()));
                assert_eq!(read.unwrap(), "content");
            }
        }
        // A file that is no link is somebody's own.
        std::fs::write(snapshot.join("own"), "x").unwrap();
        assert!(link(&snapshot, &"own".parse().unwrap(), "abc").is_err());
    }
}
