//! `weft verify`: re-reads every byte of a revision and compares it with the signed manifest.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use weft_protocol::manifest::File;

use super::{Operations, Reporter, blocking_io};
use crate::api::{DamagedFile, ErrorBody, Phase, Progress, VerifyRequest, VerifyResult};

impl Operations {
    /// Checks what the node holds of a revision, or a copy of it in a folder.
    pub(crate) async fn verify(
        &self,
        request: VerifyRequest,
        reporter: &Reporter,
    ) -> Result<VerifyResult, ErrorBody> {
        let target = self.target(&request.reference).await?;
        let resolved = self.resolve(&target).await?;
        let manifest = self.stored_manifest(resolved.revision).await?;
        let view = self.view_directory(&resolved.repository, &resolved.revision);
        let directory = request.directory.map(PathBuf::from);
        let bytes_total = manifest.bytes_total();
        let mut bytes_done = 0;
        let mut damaged = Vec::new();
        for file in &manifest.files {
            reporter.report(Progress {
                phase: Phase::Verifying,
                bytes_done,
                bytes_total,
                message: Some(file.path.to_string()),
                ..Progress::default()
            });
            let reason = match &directory {
                Some(directory) => check_file(directory, file).await?,
                None => self.check_held(&view, file).await?,
            };
            if let Some(reason) = reason {
                damaged.push(DamagedFile {
                    path: file.path.to_string(),
                    reason,
                });
            }
            bytes_done += file.size;
        }
        Ok(VerifyResult {
            repository: resolved.repository.to_string(),
            revision: resolved.revision.to_string(),
            files: manifest.files.len() as u64,
            bytes_total,
            verified: damaged.is_empty(),
            damaged,
        })
    }

    /// What is wrong with what the node serves, or with the copy of it that a `fetch` showed.
    async fn check_held(&self, view: &Path, file: &File) -> Result<Option<String>, ErrorBody> {
        if !self.transfer.verify(file.blake3, file.size).await {
            let reason = "missing or different from what was signed";
            return Ok(Some(reason.to_owned()));
        }
        let shown = view.join(file.path.as_str());
        // A second name of the store's own file was read just now; what was not shown cannot be wrong.
        match std::fs::metadata(&shown) {
            Ok(metadata) if metadata.nlink() == 1 => check_file(view, file).await,
            Ok(metadata) if metadata.len() != file.size => check_file(view, file).await,
            _ => Ok(None),
        }
    }
}

/// What is wrong with one file of a folder; `None` if nothing is.
async fn check_file(directory: &Path, file: &File) -> Result<Option<String>, ErrorBody> {
    let path = directory.join(file.path.as_str());
    let (size, expected) = (file.size, file.blake3);
    blocking_io(move || {
        let metadata = match std::fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Some("missing".to_owned()));
            }
            Err(e) => return Ok(Some(e.to_string())),
        };
        if metadata.len() != size {
            return Ok(Some(format!(
                "{} bytes long instead of {size}",
                metadata.len()
            )));
        }
        let hashed = std::fs::File::open(&path).and_then(|file| {
            let mut hasher = blake3::Hasher::new();
            hasher.update_reader(file)?;
            Ok(hasher.finalize())
        });
        match hashed {
            Ok(hash) if hash.as_bytes() == expected.as_bytes() => Ok(None),
            Ok(_) => Ok(Some("its bytes differ from what was signed".to_owned())),
            Err(e) => Ok(Some(e.to_string())),
        }
    })
    .await
}
