//! Models by name: which weights are meant, which are here, and getting those that are not.
//!
//! A model is called `PUBLISHER/NAME[@REVISION][:TAG]`, or by the petname of a repository. A tag is the quantization of
//! a GGUF file, its name, `safetensors`, or else a branch or tag of the repository. What is not here is fetched: the
//! files that are needed, and no others.

mod family;
mod held;

use std::{sync::Arc, time::Duration};

use data_encoding::HEXLOWER;
use tokio::time;
use weft_protocol::{
    id::{RepositoryId, RevisionId},
    infer::{
        ModelId,
        model::{self, ChoiceError},
    },
    manifest::{File, Kind, Manifest},
    service::Selector,
};

pub(crate) use self::held::{HeldModel, HeldWeights};
use super::{Operations, Reporter, names::Target};
use crate::{
    api::{ErrorBody, ErrorCode, FileProgress, Phase, Progress},
    defaults,
    infer::{Answerer, Model, Peers, Route},
    transfer::Local,
};

/// How long peers are asked what a name means.
const LOOK_UP_BUDGET: Duration = Duration::from_secs(20);

impl Operations {
    /// Who answers questions of programs about models.
    pub(crate) fn answerer(&self) -> Arc<dyn Answerer> {
        Arc::new(Route {
            here: self.pool.clone(),
            elsewhere: self.asker.clone(),
            peers: self.config.peers,
        })
    }

    /// What a model's name means to a program. What is missing is fetched, unless peers are to answer.
    pub(crate) async fn model_for_program(
        &self,
        text: &str,
        reporter: &Reporter,
    ) -> Result<Model, ErrorBody> {
        match self.config.peers {
            Peers::Never => self.model(text, reporter).await,
            Peers::Missing | Peers::Always => self.model_of(&self.meant(text).await?).await,
        }
    }

    /// What a model's name means; what is missing of it is fetched.
    ///
    /// # Errors
    /// `NotFound` if nobody knows it or it has no such weights, `Usage` if it is no name or means several, and what a
    /// fetch may end with.
    pub(crate) async fn model(&self, text: &str, reporter: &Reporter) -> Result<Model, ErrorBody> {
        let (target, revision, manifest, id) = self.weights(text).await?;
        let model = Model {
            name: self.model_name(&manifest, &id).await,
            id,
        };
        self.have(&target, revision, &manifest, &model.id, reporter)
            .await?;
        Ok(model)
    }

    /// A model by its id, as it is called here.
    pub(crate) async fn model_of(&self, id: &ModelId) -> Result<Model, ErrorBody> {
        let manifest = self.stored_manifest(id.revision).await?;
        Ok(Model {
            name: self.model_name(&manifest, id).await,
            id: id.clone(),
        })
    }

    /// Which weights a name means, whether they are here or not.
    pub(crate) async fn meant(&self, text: &str) -> Result<ModelId, ErrorBody> {
        let (_, _, _, id) = self.weights(text).await?;
        Ok(id)
    }

    /// Which weights a name means, and the manifest that has them.
    async fn weights(
        &self,
        text: &str,
    ) -> Result<(RepositoryId, RevisionId, Manifest, ModelId), ErrorBody> {
        let (base, tag) = split_tag(text);
        let mut target = self.target(base).await?;
        let mut wanted = tag.map(str::to_owned);
        if let Some(path) = target.path.take() {
            wanted = Some(path.to_string());
        }
        let (revision, manifest) = self.manifest_of(&target).await?;
        let chosen = model::choose(&manifest.files, wanted.as_deref());
        let unknown = matches!(chosen, Err(ChoiceError::NoSuch { .. }));
        if let (true, Some(tag), Selector::Latest) = (unknown, tag, &target.selector)
            && let Ok(at) = self.target(&format!("{base}@{tag}")).await
            && let Ok((revision, manifest)) = self.manifest_of(&at).await
        {
            let file = model::choose(&manifest.files, None).map_err(|e| choice_error(text, &e))?;
            return Ok((
                target.repository,
                revision,
                manifest,
                ModelId { revision, file },
            ));
        }
        let file = chosen.map_err(|error| choice_error(text, &error))?;
        Ok((
            target.repository,
            revision,
            manifest,
            ModelId { revision, file },
        ))
    }

    /// The manifest of what a target names. The newest that is held will do: nobody waits for news to ask a model.
    async fn manifest_of(&self, target: &Target) -> Result<(RevisionId, Manifest), ErrorBody> {
        if target.selector == Selector::Latest
            && let (Some(tip), _) = self.held_head(&target.repository).await?
            && let Some(manifest) = self.manifest(tip.revision).await?
        {
            return check_kind(tip.revision, manifest);
        }
        let selector = target.selector.clone();
        let resolved = self
            .look_up(&target.repository, selector, LOOK_UP_BUDGET)
            .await?;
        let manifest = self.stored_manifest(resolved.revision).await?;
        check_kind(resolved.revision, manifest)
    }

    async fn model_name(&self, manifest: &Manifest, id: &ModelId) -> String {
        let base = self.base_name(&manifest.repository).await;
        let usual = model::choose(&manifest.files, None);
        match &id.file {
            file if usual.as_ref() == Ok(file) => base,
            Some(path) => format!("{base}:{}", model::tag_of(path)),
            None => format!("{base}:{}", model::SAFETENSORS),
        }
    }

    async fn base_name(&self, repository: &RepositoryId) -> String {
        self.names_of(repository).await.swap_remove(0)
    }

    /// Fetches what an engine needs of a revision and is not here.
    async fn have(
        &self,
        repository: &RepositoryId,
        revision: RevisionId,
        manifest: &Manifest,
        id: &ModelId,
        reporter: &Reporter,
    ) -> Result<(), ErrorBody> {
        let needed = model::needed(&manifest.files, id.file.as_ref());
        let bytes_total: u64 = needed.iter().map(|file| file.size).sum();
        let mut missing = Vec::new();
        for file in needed {
            let local = self.transfer.local(file.blake3, file.size).await;
            if !local.is_complete() {
                missing.push((file, local));
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let mut pending = self.start_read(repository, revision).await;
        let mut readings = Vec::new();
        for (file, _) in &missing {
            let mut reading = self.transfer.reading(file.blake3);
            reading.at(0..file.size).await;
            readings.push(reading);
        }
        let arrive = arrive(&mut missing, bytes_total, reporter);
        tokio::select! {
            arrived = arrive => arrived,
            ended = Self::fetch_ended(&mut pending) => ended,
        }
    }
}

/// Waits until everything is here.
async fn arrive(
    missing: &mut [(&File, Local)],
    bytes_total: u64,
    reporter: &Reporter,
) -> Result<(), ErrorBody> {
    let mut ticks = time::interval(defaults::PROGRESS_INTERVAL);
    let to_come: u64 = missing.iter().map(|(file, _)| file.size).sum();
    let before = bytes_total.saturating_sub(to_come);
    let mut done = 0;
    for (file, local) in missing {
        while !local.is_complete() {
            tokio::select! {
                more = local.changed() => if !more {
                    return Err(super::shutting_down());
                },
                _ = ticks.tick() => {
                    let ready = local.ready_from(0).min(file.size);
                    reporter.report(Progress {
                        phase: Phase::Fetching,
                        bytes_done: before + done + ready,
                        bytes_total,
                        bytes_reused: before,
                        message: Some(file.path.to_string()),
                        file: Some(FileProgress {
                            sha256: HEXLOWER.encode(&file.sha256),
                            bytes_done: ready,
                            bytes_total: file.size,
                        }),
                        ..Progress::default()
                    });
                }
            }
        }
        done += file.size;
    }
    Ok(())
}

/// Splits `NAME:TAG`. The colon of a scheme and one in a path are none.
fn split_tag(text: &str) -> (&str, Option<&str>) {
    let text = text.trim();
    let rest = match text.split_once(':') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("weft") => rest,
        _ => text,
    };
    match rest.rsplit_once(':') {
        Some((base, tag)) if !tag.contains('/') && !base.is_empty() && !tag.is_empty() => {
            (base, Some(tag))
        }
        _ => (rest, None),
    }
}

fn check_kind(
    revision: RevisionId,
    manifest: Manifest,
) -> Result<(RevisionId, Manifest), ErrorBody> {
    if manifest.kind == Kind::Model {
        return Ok((revision, manifest));
    }
    let message = format!("`{}` is not a model", manifest.repository);
    Err(ErrorBody::new(ErrorCode::Usage, message))
}

fn choice_error(name: &str, error: &ChoiceError) -> ErrorBody {
    let message = format!("`{name}`: {error}");
    match error {
        ChoiceError::None => ErrorBody::new(ErrorCode::Usage, message)
            .with_hint("`weft info REF` lists the files; GGUF files and safetensors can be run"),
        ChoiceError::NoSuch { .. } => ErrorBody::new(ErrorCode::NotFound, message),
        ChoiceError::Several { .. } => {
            ErrorBody::new(ErrorCode::Usage, message).with_hint("write PUBLISHER/NAME:TAG")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_told_from_a_scheme_and_a_path() {
        for (text, base, tag) in [
            ("a/b", "a/b", None),
            ("a/b:Q8_0", "a/b", Some("Q8_0")),
            ("weft:a/b", "a/b", None),
            ("weft:a/b:latest", "a/b", Some("latest")),
            ("a/b@v1:Q4_K_M", "a/b@v1", Some("Q4_K_M")),
            ("wren:q8_0", "wren", Some("q8_0")),
            (
                "http://127.0.0.1:4780/a/b",
                "http://127.0.0.1:4780/a/b",
                None,
            ),
            ("a/b:", "a/b:", None),
        ] {
            assert_eq!(split_tag(text), (base, tag), "{text}");
        }
    }
}
