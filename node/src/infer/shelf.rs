//! Files of a model laid out for an engine: a folder that shows the verified files of a revision under their names.
//!
//! The folder holds links to where the bytes are, in the store or where their publisher keeps them, and nothing else.
//! Engines only read. A file that changed since it was verified is not laid out.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Arc,
};

use weft_protocol::{
    codec,
    infer::{ModelId, Refusal, model},
    manifest::Manifest,
};
use weft_registry::Registry;

use crate::transfer::{self, PlaceError};

/// Where models are laid out, and from what.
#[derive(Debug, Clone)]
pub(super) struct Shelf {
    pub(super) registry: Arc<dyn Registry>,
    pub(super) transfer: transfer::Handle,
    /// The folder; nothing in it outlives the node's run.
    pub(super) directory: PathBuf,
}

/// A model as an engine finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Laid {
    /// The GGUF file, or the folder with the safetensors files.
    pub(super) path: PathBuf,
    /// Sum of the files' sizes.
    pub(super) bytes: u64,
}

impl Shelf {
    /// Lays a model out.
    ///
    /// # Errors
    /// `NotFound` if not all of it is here, `Broken` if a file is not what it was, `Failed` if the disk fails.
    pub(super) async fn lay_out(&self, id: &ModelId) -> Result<Laid, Refusal> {
        let manifest = self.manifest(id).await?;
        let files = model::needed(&manifest.files, id.file.as_ref());
        let mut revision = id.revision.to_string();
        revision.truncate(16);
        let kind = if id.file.is_some() {
            "gguf"
        } else {
            model::SAFETENSORS
        };
        let root = self.directory.join(revision).join(kind);
        let mut links = Vec::with_capacity(files.len());
        let mut bytes = 0_u64;
        for file in &files {
            bytes = bytes.saturating_add(file.size);
            let source = match file.size {
                0 => None,
                _ => Some(self.source(file.blake3).await?),
            };
            links.push((root.join(file.path.as_str()), source));
        }
        let path = match (&id.file, links.first()) {
            (Some(_), Some((path, _))) => path.clone(),
            (None, Some(_)) => root,
            (_, None) => {
                let message = "the revision does not have these weights";
                return Err(Refusal::NotFound(message.to_owned()));
            }
        };
        let linked = tokio::task::spawn_blocking(move || {
            links
                .iter()
                .try_for_each(|(path, source)| link(path, source.as_deref()))
        });
        match linked.await {
            Ok(Ok(())) => Ok(Laid { path, bytes }),
            Ok(Err(error)) => Err(failed(&error)),
            Err(error) => Err(failed(&error)),
        }
    }

    async fn manifest(&self, id: &ModelId) -> Result<Manifest, Refusal> {
        let (registry, revision) = (Arc::clone(&self.registry), id.revision);
        let found = tokio::task::spawn_blocking(move || registry.object(revision)).await;
        let preimage = match found {
            Ok(Ok(Some(preimage))) => preimage,
            Ok(Ok(None)) => {
                let message = format!("the manifest `{}` is not here", id.revision.fmt_short());
                return Err(Refusal::NotFound(message));
            }
            Ok(Err(error)) => return Err(failed(&error)),
            Err(error) => return Err(failed(&error)),
        };
        codec::decode_preimage(id.revision, &preimage).map_err(|error| failed(&error))
    }

    async fn source(&self, blob: weft_protocol::id::BlobHash) -> Result<PathBuf, Refusal> {
        self.transfer
            .whole_file(blob)
            .await
            .map_err(|error| match error {
                PlaceError::Incomplete(_) => {
                    Refusal::NotFound("a file of the model is not here".to_owned())
                }
                PlaceError::Damaged(_) => Refusal::Broken(
                    "a file of the model was changed since it was published or fetched".to_owned(),
                ),
                error @ (PlaceError::NotADirectory(_)
                | PlaceError::Occupied(_)
                | PlaceError::Write { .. }) => failed(&error),
            })
    }

    /// Removes what earlier runs left.
    pub(super) fn clear(&self) {
        if let Err(error) = fs::remove_dir_all(&self.directory)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "the folder of running models cannot be removed");
        }
    }
}

fn link(path: &Path, source: Option<&Path>) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    match source {
        Some(source) => symlink(source, path),
        None => fs::write(path, []),
    }
}

fn failed(error: &dyn std::error::Error) -> Refusal {
    Refusal::Failed(format!("the model cannot be laid out: {error}"))
}
