//! Models that are here, and every name by which they can be asked for.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use weft_protocol::{
    id::{RepositoryId, RevisionId},
    infer::{ModelId, model},
    manifest::{File, Kind, Manifest},
};
use weft_registry::PetnameTarget;

use super::super::{Operations, blocking};
use crate::api::{ErrorBody, FileProgress};

/// A model whose files are here.
#[derive(Debug, Clone)]
pub(crate) struct HeldModel {
    /// What it is called here: `PETNAME/NAME`, or `PUBLISHER/NAME` if the publisher has no petname.
    pub(crate) base: String,
    /// Its other names without a tag; each means the same.
    pub(crate) others: Vec<String>,
    pub(crate) manifest: Arc<Manifest>,
    /// Each form in which its weights are here.
    pub(crate) weights: Vec<HeldWeights>,
}

/// Weights that are here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeldWeights {
    pub(crate) id: ModelId,
    pub(crate) tag: String,
    /// Whether the name without a tag means these.
    pub(crate) is_usual: bool,
    /// Sum of their files' sizes.
    pub(crate) bytes: u64,
    /// SHA-256 of the GGUF file, or else the id of the revision: 64 hex.
    pub(crate) digest: String,
}

impl HeldModel {
    /// Its names without a tag, the one that it is called by first.
    pub(crate) fn bases(&self) -> impl Iterator<Item = &str> {
        [&self.base]
            .into_iter()
            .chain(&self.others)
            .map(String::as_str)
    }

    /// Names for a list: under each name without a tag first the usual weights, then each with its tag.
    pub(crate) fn names(&self) -> impl Iterator<Item = (String, &HeldWeights)> {
        self.bases().flat_map(|base| {
            self.weights.iter().flat_map(move |weights| {
                let usual = weights.is_usual.then(|| (base.to_owned(), weights));
                let tagged = (format!("{base}:{}", weights.tag), weights);
                usual.into_iter().chain([tagged])
            })
        })
    }
}

impl Operations {
    /// Models whose files are here, of the newest revision held of each repository.
    pub(crate) async fn held_models(&self) -> Result<Vec<HeldModel>, ErrorBody> {
        let mut models = Vec::new();
        for tip in self.held_heads().await? {
            let Some(manifest) = self.manifest(tip.revision).await? else {
                continue;
            };
            if manifest.kind != Kind::Model {
                continue;
            }
            let weights = self.held_weights(tip.revision, &manifest).await;
            if !weights.is_empty() {
                models.push(self.held_as(manifest, weights).await);
            }
        }
        Ok(models)
    }

    /// The model of a name, and which of its weights are meant, if they are here. Every name that a question may have is
    /// understood, also of a revision that is not the newest.
    ///
    /// # Errors
    /// If the name means nothing.
    pub(crate) async fn held_model(
        &self,
        text: &str,
    ) -> Result<Option<(HeldModel, HeldWeights)>, ErrorBody> {
        let (_, revision, manifest, id) = self.weights(text).await?;
        let all = self.held_weights(revision, &manifest).await;
        let Some(meant) = all.iter().find(|weights| weights.id == id).cloned() else {
            return Ok(None);
        };
        Ok(Some((self.held_as(manifest, all).await, meant)))
    }

    /// The files of a model whose bytes are here, as a fetch of each ends.
    pub(crate) async fn files_of(&self, id: &ModelId) -> Result<Vec<FileProgress>, ErrorBody> {
        let manifest = self.stored_manifest(id.revision).await?;
        let files = model::needed(&manifest.files, id.file.as_ref()).into_iter();
        let whole = files.map(|file| FileProgress {
            sha256: HEXLOWER.encode(&file.sha256),
            bytes_done: file.size,
            bytes_total: file.size,
        });
        Ok(whole.collect())
    }

    async fn held_as(&self, manifest: Manifest, weights: Vec<HeldWeights>) -> HeldModel {
        let mut names = self.names_of(&manifest.repository).await;
        let base = names.remove(0);
        HeldModel {
            base,
            others: names,
            manifest: Arc::new(manifest),
            weights,
        }
    }

    async fn held_weights(&self, revision: RevisionId, manifest: &Manifest) -> Vec<HeldWeights> {
        let usual = model::choose(&manifest.files, None);
        let mut weights = Vec::new();
        for tag in model::tags(&manifest.files) {
            let Ok(file) = model::choose(&manifest.files, Some(&tag)) else {
                continue;
            };
            let needed = model::needed(&manifest.files, file.as_ref());
            if !self.are_here(&needed).await {
                continue;
            }
            let digest = match (&file, needed.first()) {
                (Some(_), Some(file)) => HEXLOWER.encode(&file.sha256),
                _ => revision.to_string(),
            };
            weights.push(HeldWeights {
                is_usual: usual.as_ref() == Ok(&file),
                bytes: needed.iter().map(|file| file.size).sum(),
                id: ModelId { revision, file },
                tag,
                digest,
            });
        }
        weights
    }

    async fn are_here(&self, files: &[&File]) -> bool {
        for file in files {
            let is_here = file.size == 0
                || self
                    .transfer
                    .local(file.blake3, file.size)
                    .await
                    .is_complete();
            if !is_here {
                return false;
            }
        }
        true
    }

    /// Every name of a repository, the one that it is called by first: with petnames of its publisher, with the
    /// publisher's id, and its own petnames.
    pub(super) async fn names_of(&self, repository: &RepositoryId) -> Vec<String> {
        let registry = self.registry.clone();
        let petnames = blocking(move || registry.petnames()).await;
        let petnames = petnames.unwrap_or_default();
        let by_publisher = petnames
            .iter()
            .filter(|petname| petname.target == PetnameTarget::Publisher(repository.publisher))
            .map(|petname| format!("{}/{}", petname.name, repository.name));
        let own = petnames.iter().filter(
            |petname| matches!(&petname.target, PetnameTarget::Repository(of) if of == repository),
        );
        by_publisher
            .chain([repository.to_string()])
            .chain(own.map(|petname| petname.name.clone()))
            .collect()
    }
}
