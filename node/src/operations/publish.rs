//! `weft publish`: import, sign, commit, announce.
//!
//! Files are imported by reference, so nothing is copied. The head is signed over the tip that the machine holds and
//! handed to the machine, which judges it by the same rule as everybody else's. A crash at any point leaves the old
//! tip or the new one.

mod chunks;
mod head;
mod tensors;

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use weft_protocol::{
    codec,
    id::{ObjectId, RepositoryId, RepositoryName},
    manifest::{Card, File, Kind, Manifest, Role, Spans},
    refs::{RefName, Refs},
    service::{Command, Resolved, Selector},
};

pub(super) use self::head::{Content, Tip};
use super::{
    Operations, Reporter, blocking_io, collect, collect::Found, from_hub::HubReference, inspect,
};
use crate::{
    api::{ErrorBody, ErrorCode, Phase, Progress, PublishRequest, PublishResult},
    defaults,
    service::unix,
    transfer::Imported,
};

impl Operations {
    /// Gives large files the hashes by which parts of them can be checked.
    pub(crate) async fn add_spans(&self, files: &mut [File]) {
        let bytes_total = files.iter().map(|file| file.size).sum();
        let log2 = Spans::log2_for(bytes_total);
        for file in files {
            file.spans = self.transfer.spans(file.blake3, file.size, log2).await;
        }
    }

    /// What is to be published out of a hub: its files in a folder, and in the message where they come from.
    async fn with_hub_files(
        &self,
        mut request: PublishRequest,
        from: &str,
        reporter: &Reporter,
    ) -> Result<PublishRequest, ErrorBody> {
        let reference = HubReference::parse(from)?;
        let held = self.hold_from_hub(&reference, None, reporter).await?;
        let folder = self.hub_folder(&reference, &held);
        let folder = self.show_hub(&held, folder).await?;
        request.directory = folder.display().to_string();
        request.kind = Some(reference.kind().singular().to_owned());
        let name = || reference.name().to_owned();
        request.name = Some(request.name.unwrap_or_else(name));
        let snapshot = &held.snapshot;
        let origin = format!(
            "Origin: {} {} {}",
            snapshot.hub, snapshot.id, snapshot.commit
        );
        request.message = Some(match request.message {
            Some(message) => format!("{message}\n\n{origin}"),
            None => format!("As at {}\n\n{origin}", reference.name()),
        });
        Ok(request)
    }

    /// Signs a folder as a new revision and starts offering it.
    pub(crate) async fn publish(
        &self,
        request: PublishRequest,
        reporter: &Reporter,
    ) -> Result<PublishResult, ErrorBody> {
        let request = match request.from.clone() {
            Some(from) => self.with_hub_files(request, &from, reporter).await?,
            None => request,
        };
        let _one_at_a_time = self.publishing.lock().await;
        let root = PathBuf::from(&request.directory);
        let name = repository_name(&request, &root)?;
        let references = parse_references(&request.references)?;
        let kind = parse_kind(request.kind.as_deref())?;
        let found = {
            let root = root.clone();
            blocking_io(move || collect::collect(&root)).await?
        };
        let is_first = request.publisher.is_none() && self.local_publishers().await?.is_empty();
        let publisher = match is_first {
            true => None,
            false => Some(self.signer(request.publisher.as_deref()).await?),
        };

        let imported = self.import(&found, reporter).await?;
        let mut files = describe(&found, &imported);
        self.add_spans(&mut files).await;
        let card = read_card(&found, &request).await?;
        // Drawn late and given up if anything fails: the user sees its phrase only when all went well.
        let (identity, drawn) = match publisher {
            Some(publisher) => (self.identity_log(publisher).await?, None),
            None => {
                let drawn = self.draw_identity().await?;
                (Some(drawn.created.log.clone()), Some(drawn))
            }
        };
        let identity = identity.ok_or_else(super::identities::no_identity)?;
        let publisher = identity.publisher();
        let repository = RepositoryId { publisher, name };
        let tip = self.tip(&repository).await?;
        let mut manifest = Manifest {
            repository: repository.clone(),
            kind,
            parents: tip.iter().map(|tip| tip.head.manifest).collect(),
            files,
            card,
            tensors: Vec::new(),
            message: request.message.unwrap_or_default(),
            created: unix(),
        };
        let (files, bytes_total) = (manifest.files.len() as u64, manifest.bytes_total());
        let old = match &tip {
            Some(tip) => self.manifest(tip.head.manifest).await?,
            None => None,
        };
        if let Some(old) = &old {
            chunks::keep_chunks(&mut manifest.files, old);
        }
        // Publishing this would say nothing new. A tip that was signed before the last rotation is signed again.
        let is_unchanged = |tip: &&Tip| {
            let is_same = |old: &Manifest| {
                old.files == manifest.files && old.card == manifest.card && old.kind == kind
            };
            references.is_empty()
                && tip.head.identity == identity.tip_id()
                && old.as_ref().is_some_and(is_same)
        };
        let unchanged = tip.as_ref().filter(is_unchanged);
        let unchanged = unchanged.map(|tip| (tip.head.index, tip.head.manifest));
        let (index, revision) = match unchanged {
            Some((index, revision)) => {
                self.keep_offering(&repository, revision).await?;
                (index, revision)
            }
            None => {
                self.index_tensors(&mut manifest, old.clone(), &found, reporter)
                    .await;
                if let Some(old) = &old {
                    self.cut_followers(&mut manifest, old).await;
                }
                let refs = self.next_refs(tip.as_ref(), &references, &manifest).await?;
                let content = Content {
                    manifest: encode_manifest(&manifest)?,
                    refs,
                    others: Vec::new(),
                };
                reporter.report(Progress {
                    phase: Phase::Signing,
                    bytes_done: bytes_total,
                    bytes_total,
                    ..Progress::default()
                });
                self.sign_and_commit(&repository, &identity, tip, content)
                    .await?
            }
        };
        let recovery_phrase = match drawn {
            None => None,
            Some(drawn) => Some(self.keep_identity(drawn).await?.1),
        };
        // Held until here: from now on the machine's own protection covers the files.
        drop(imported);
        let resolved = Resolved {
            repository,
            revision,
            index,
            freshness: weft_protocol::service::Freshness::Fresh,
        };
        Ok(PublishResult {
            repository: resolved.repository.to_string(),
            revision: revision.to_string(),
            reference: inspect::reference_text(&resolved),
            publisher: publisher.to_string(),
            files,
            bytes_total,
            index,
            recovery_phrase,
        })
    }

    async fn import(
        &self,
        found: &[Found],
        reporter: &Reporter,
    ) -> Result<Vec<Imported>, ErrorBody> {
        let mut bytes_total = 0;
        for file in found {
            bytes_total += std::fs::metadata(&file.source).map_or(0, |m| m.len());
        }
        let bytes_done = AtomicU64::new(0);
        let mut imports = Vec::with_capacity(found.len());
        for file in found {
            let import = self.import_one(file, (&bytes_done, bytes_total), reporter);
            imports.push(import.boxed());
        }
        // The store hashes as many as there are cores; the rest stand ready.
        stream::iter(imports)
            .buffered(defaults::IMPORTS_AT_ONCE)
            .try_collect()
            .await
    }

    async fn import_one(
        &self,
        file: &Found,
        (bytes_done, bytes_total): (&AtomicU64, u64),
        reporter: &Reporter,
    ) -> Result<Imported, ErrorBody> {
        let mut of_this = 0;
        let report = |bytes: u64| {
            let step = bytes.saturating_sub(of_this);
            of_this = bytes;
            reporter.report(Progress {
                phase: Phase::Importing,
                bytes_done: bytes_done.fetch_add(step, Ordering::Relaxed) + step,
                bytes_total,
                message: Some(file.path.to_string()),
                ..Progress::default()
            });
        };
        let imported = self.transfer.import(&file.source, report).await;
        imported.map_err(|error| crate::error::import(&error))
    }

    /// Publishing what is the tip already still means that it is kept and offered from here on.
    async fn keep_offering(
        &self,
        repository: &RepositoryId,
        revision: ObjectId,
    ) -> Result<(), ErrorBody> {
        let command = Command::Seed {
            repository: repository.clone(),
            selector: Selector::Revision(revision),
        };
        self.service.command(command).await.answer().await?;
        Ok(())
    }

    async fn next_refs(
        &self,
        tip: Option<&Tip>,
        references: &[RefName],
        manifest: &Manifest,
    ) -> Result<Refs, ErrorBody> {
        let mut refs = match tip.and_then(|tip| tip.head.refs) {
            Some(id) => self.refs(id).await?.ok_or_else(|| {
                ErrorBody::new(ErrorCode::Storage, "the references of the tip are not here")
            })?,
            None => Refs::default(),
        };
        let revision = codec::object_id::<Manifest>(&codec::encode(manifest));
        for name in references {
            refs.names.retain(|(other, _)| other != name);
            refs.names.push((name.clone(), revision));
        }
        refs.names.sort();
        Ok(refs)
    }
}

fn describe(found: &[Found], imported: &[Imported]) -> Vec<File> {
    found
        .iter()
        .zip(imported)
        .map(|(found, imported)| File {
            path: found.path.clone(),
            size: imported.size,
            blake3: imported.blake3,
            sha256: imported.sha256,
            git_sha1: imported.git_sha1,
            role: Role::of_path(found.path.as_str()),
            spans: None,
            chunks: None,
        })
        .collect()
}

pub(super) fn encode_manifest(manifest: &Manifest) -> Result<Vec<u8>, ErrorBody> {
    codec::Object::validate(manifest)
        .map_err(|e| ErrorBody::new(ErrorCode::Usage, format!("cannot publish this: {e}")))?;
    Ok(codec::preimage(manifest))
}

async fn read_card(found: &[Found], request: &PublishRequest) -> Result<Card, ErrorBody> {
    let readme = found
        .iter()
        .find(|found| found.path.as_str() == "README.md");
    let mut card = match readme {
        None => Card::default(),
        Some(found) => {
            let path = found.source.clone();
            // A card that is not text says nothing.
            let text =
                blocking_io(move || Ok(std::fs::read_to_string(path).unwrap_or_default())).await?;
            super::card::parse(&text)
        }
    };
    if let Some(license) = &request.license {
        card.license = Some(license.clone());
    }
    card.tags.extend(request.tags.iter().cloned());
    card.tags.sort();
    card.tags.dedup();
    Ok(card)
}

fn repository_name(request: &PublishRequest, root: &Path) -> Result<RepositoryName, ErrorBody> {
    let absolute = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    let name = request.name.clone().unwrap_or_else(|| {
        let stem = if absolute.is_file() {
            absolute.file_stem()
        } else {
            absolute.file_name()
        };
        stem.unwrap_or_default().to_string_lossy().into_owned()
    });
    name.parse().map_err(|e| {
        ErrorBody::new(ErrorCode::Usage, format!("{e}")).with_hint("choose one with `--name`")
    })
}

fn parse_references(names: &[String]) -> Result<Vec<RefName>, ErrorBody> {
    names
        .iter()
        .map(|name| {
            name.parse().map_err(|e| {
                ErrorBody::new(ErrorCode::Usage, format!("`{name}` is not a tag: {e}"))
            })
        })
        .collect()
}

fn parse_kind(kind: Option<&str>) -> Result<Kind, ErrorBody> {
    match kind {
        None | Some("model") => Ok(Kind::Model),
        Some("dataset") => Ok(Kind::Dataset),
        Some("space") => Ok(Kind::Space),
        Some("adapter") => Ok(Kind::Adapter),
        Some(other) => Err(ErrorBody::new(
            ErrorCode::Usage,
            format!("`{other}` is not a kind of repository"),
        )
        .with_hint("use model, dataset, space or adapter")),
    }
}
