//! `weft info` and `weft log`.

use weft_protocol::{
    codec,
    head::Head,
    id::{ObjectId, RepositoryId},
    manifest::{Kind, Manifest},
    op::Pin,
    refs::Refs,
    service::{Command, Outcome, Resolved, Selector},
};

use super::{Operations, blocking, names::Target, shutting_down};
use crate::api::{
    ContradictingHead, Equivocation, ErrorBody, ErrorCode, FileView, LogEntry, LogResponse,
    NamedRevision, RepositoryInfo, RevisionState, TensorView,
};

impl Operations {
    /// One revision with everything known about it; asks peers if need be, but fetches no file.
    /// The tensor index can be long and is told only if asked for.
    pub(crate) async fn info(
        &self,
        reference: &str,
        tensors: bool,
    ) -> Result<RepositoryInfo, ErrorBody> {
        let mut target = self.target(reference).await?;
        self.stay_at_frozen_tip(&mut target).await?;
        let resolved = self.resolve(&target).await?;
        let manifest = self.stored_manifest(resolved.revision).await?;
        let record = self
            .held(&target.repository)
            .await?
            .into_iter()
            .find(|record| record.revision == resolved.revision);
        let (frozen, refs) = self.tip_of(&target.repository).await?;
        let references = match refs {
            Some(refs) => self.references(refs).await?,
            None => Vec::new(),
        };
        let petname = self.petname_of(target.repository.publisher).await;
        Ok(RepositoryInfo {
            repository: resolved.repository.to_string(),
            alias: petname.map(|name| format!("{name}/{}", resolved.repository.name)),
            reference: reference_text(&resolved),
            publisher: resolved.repository.publisher.to_string(),
            revision: resolved.revision.to_string(),
            index: resolved.index,
            freshness: resolved.freshness.into(),
            frozen,
            kind: kind_name(manifest.kind).to_owned(),
            message: manifest.message.clone(),
            created: manifest.created.0,
            parents: manifest.parents.iter().map(ToString::to_string).collect(),
            references,
            license: manifest.card.license.clone(),
            tags: manifest.card.tags.clone(),
            pipeline_tag: manifest.card.pipeline_tag.clone(),
            library: manifest.card.library.clone(),
            languages: manifest.card.languages.clone(),
            files: file_views(&manifest),
            tensor_count: manifest.tensors.len() as u64,
            tensors: match tensors {
                true => tensor_views(&manifest),
                false => Vec::new(),
            },
            bytes_total: manifest.bytes_total(),
            state: record
                .as_ref()
                .map_or(RevisionState::Known, |record| record.state.into()),
            pin: record
                .as_ref()
                .map_or(Pin::None, |record| record.pin)
                .into(),
            seed: record.as_ref().is_some_and(|record| record.seed),
            path: record.as_ref().and_then(|record| self.shown(record)),
        })
    }

    /// The heads of a repository that are held here, newest first.
    pub(crate) async fn log(&self, reference: &str) -> Result<LogResponse, ErrorBody> {
        let target = self.target(reference).await?;
        let resolved = self.resolve(&target).await;
        let repository = target.repository;
        let (frozen, _) = self.tip_of(&repository).await?;
        // Nothing newer is looked for across a contradiction, but what is held can still be told.
        if !frozen {
            resolved?;
        }
        let equivocation = self.equivocation(&repository).await?;
        let held = self.held(&repository).await?;
        let tip_index = {
            let repository = repository.clone();
            self.service
                .view(move |service| service.tip(&repository).map(|(tip, _)| tip.head.index))
                .await
                .ok_or_else(shutting_down)?
                .unwrap_or(0)
        };
        let mut entries = Vec::new();
        for index in (0..=tip_index).rev() {
            let (registry, wanted) = (self.registry.clone(), repository.clone());
            let Some(envelope) = blocking(move || registry.head(&wanted, index)).await? else {
                continue;
            };
            let Ok(head) = envelope.decode_body::<Head>() else {
                continue;
            };
            let manifest = self.manifest(head.manifest).await?;
            let record = held.iter().find(|record| record.revision == head.manifest);
            entries.push(LogEntry {
                index,
                head: envelope.id::<Head>().to_string(),
                revision: head.manifest.to_string(),
                issued: head.issued.0,
                expires: head.expires.0,
                message: manifest.as_ref().map(|m| m.message.clone()),
                files: manifest.as_ref().map(|m| m.files.len() as u64),
                bytes_total: manifest.as_ref().map(Manifest::bytes_total),
                state: record.map_or(RevisionState::Known, |record| record.state.into()),
            });
        }
        Ok(LogResponse {
            repository: repository.to_string(),
            frozen,
            entries,
            equivocation,
        })
    }

    /// The two heads that froze a repository, if it is frozen.
    async fn equivocation(
        &self,
        repository: &RepositoryId,
    ) -> Result<Option<Equivocation>, ErrorBody> {
        let repository = repository.clone();
        let proof = self
            .service
            .view(move |service| service.equivocation(&repository))
            .await
            .ok_or_else(shutting_down)?;
        let Some(proof) = proof else {
            return Ok(None);
        };
        let mut index = 0;
        let mut heads = Vec::new();
        for envelope in [&proof.first, &proof.second] {
            let Ok(head) = envelope.decode_body::<Head>() else {
                continue;
            };
            index = head.index;
            heads.push(ContradictingHead {
                head: envelope.id::<Head>().to_string(),
                revision: head.manifest.to_string(),
                issued: head.issued.0,
            });
        }
        Ok(Some(Equivocation { index, heads }))
    }

    /// Finds out which revision a target names and gets its manifest.
    pub(super) async fn resolve(&self, target: &Target) -> Result<Resolved, ErrorBody> {
        let command = Command::Resolve {
            repository: target.repository.clone(),
            selector: target.selector.clone(),
        };
        match self.service.command(command).await.answer().await? {
            Outcome::Resolved(resolved) => Ok(resolved),
            other => Err(ErrorBody::new(
                ErrorCode::Failure,
                format!("the node gave an unexpected answer: {other:?}"),
            )),
        }
    }

    /// Nothing newer is looked for across a contradiction: the revision held last is meant.
    async fn stay_at_frozen_tip(&self, target: &mut Target) -> Result<(), ErrorBody> {
        if target.selector != Selector::Latest {
            return Ok(());
        }
        let repository = target.repository.clone();
        let tip = self
            .service
            .view(move |service| {
                service.equivocation(&repository)?;
                service.tip(&repository).map(|(tip, _)| tip.head.manifest)
            })
            .await
            .ok_or_else(shutting_down)?;
        if let Some(revision) = tip {
            target.selector = Selector::Revision(revision);
        }
        Ok(())
    }

    /// Whether a repository is frozen, and the references object of its tip.
    async fn tip_of(
        &self,
        repository: &RepositoryId,
    ) -> Result<(bool, Option<ObjectId>), ErrorBody> {
        let repository = repository.clone();
        self.service
            .view(move |service| {
                let frozen = service
                    .repositories()
                    .iter()
                    .any(|view| view.repository == repository && view.frozen);
                let refs = service.tip(&repository).and_then(|(tip, _)| tip.head.refs);
                (frozen, refs)
            })
            .await
            .ok_or_else(shutting_down)
    }

    /// The references object, if it is here.
    pub(crate) async fn refs(&self, id: ObjectId) -> Result<Option<Refs>, ErrorBody> {
        let registry = self.registry.clone();
        let preimage = blocking(move || registry.object(id)).await?;
        Ok(preimage.and_then(|preimage| codec::decode_preimage(id, &preimage).ok()))
    }

    async fn references(&self, id: ObjectId) -> Result<Vec<NamedRevision>, ErrorBody> {
        Ok(self
            .refs(id)
            .await?
            .unwrap_or_default()
            .names
            .iter()
            .map(|(name, revision)| NamedRevision {
                name: name.to_string(),
                revision: revision.to_string(),
            })
            .collect())
    }
}

pub(super) fn reference_text(resolved: &Resolved) -> String {
    format!("weft:{}@{}", resolved.repository, resolved.revision)
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Model => "model",
        Kind::Dataset => "dataset",
        Kind::Space => "space",
        Kind::Adapter => "adapter",
    }
}

fn file_views(manifest: &Manifest) -> Vec<FileView> {
    manifest
        .files
        .iter()
        .map(|file| FileView {
            path: file.path.to_string(),
            size: file.size,
            blake3: file.blake3.to_string(),
            sha256: weft_protocol::id::BlobHash::new(file.sha256).to_string(),
        })
        .collect()
}

fn tensor_views(manifest: &Manifest) -> Vec<TensorView> {
    let path = |file: u32| {
        let file = usize::try_from(file).ok()?;
        Some(manifest.files.get(file)?.path.to_string())
    };
    manifest
        .tensors
        .iter()
        .map(|tensor| TensorView {
            path: path(tensor.file).unwrap_or_default(),
            name: tensor.name.clone(),
            dtype: tensor.dtype.clone(),
            shape: tensor.shape.clone(),
            offset: tensor.offset,
            len: tensor.len,
            blake3: tensor.blake3.to_string(),
        })
        .collect()
}
