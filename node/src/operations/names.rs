//! From what a person writes to what is meant: petnames, id prefixes, full references.

use weft_protocol::{
    id::{PublisherId, RepositoryId},
    op::MirrorScope,
    path::RepoPath,
    reference::{Reference, ReferenceError},
    service::Selector,
};
use weft_registry::PetnameTarget;

use super::{Operations, blocking, shutting_down};
use crate::api::{ErrorBody, ErrorCode};

/// Shortest prefix of a publisher id that is taken for one.
const PREFIX_LEN_MIN: usize = 8;

/// What a reference means on this node.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) repository: RepositoryId,
    pub(super) selector: Selector,
    pub(super) path: Option<RepoPath>,
}

impl Operations {
    /// Resolves a full reference, or a petname of a repository.
    pub(super) async fn target(&self, text: &str) -> Result<Target, ErrorBody> {
        if let Some(PetnameTarget::Repository(repository)) = self.petname(text).await? {
            return Ok(Target {
                repository,
                selector: Selector::Latest,
                path: None,
            });
        }
        let reference: Reference = text.parse().map_err(|e: ReferenceError| {
            ErrorBody::new(ErrorCode::Usage, e.to_string()).with_hint(
                "write PUBLISHER/NAME, PUBLISHER/NAME@TAG or PUBLISHER/NAME@REVISION; `weft ls` shows what is known",
            )
        })?;
        Ok(Target {
            repository: RepositoryId {
                publisher: self.publisher(&reference.publisher).await?,
                name: reference.name,
            },
            selector: reference.selector,
            path: reference.path,
        })
    }

    /// Resolves a publisher's id, petname or unique id prefix.
    pub(crate) async fn publisher(&self, text: &str) -> Result<PublisherId, ErrorBody> {
        if let Ok(publisher) = text.parse() {
            return Ok(publisher);
        }
        match self.petname(text).await? {
            Some(PetnameTarget::Publisher(publisher)) => return Ok(publisher),
            Some(PetnameTarget::Repository(repository)) => return Ok(repository.publisher),
            None => {}
        }
        let mut matches = Vec::new();
        if text.len() >= PREFIX_LEN_MIN {
            matches = self.known_publishers().await?;
            matches.retain(|publisher| publisher.to_string().starts_with(text));
        }
        match matches.as_slice() {
            [publisher] => Ok(*publisher),
            [] => Err(ErrorBody::new(
                ErrorCode::Usage,
                format!("`{text}` is not a publisher id, a petname or the start of a known id"),
            )
            .with_hint(
                "a publisher id has 52 characters; `weft alias NAME ID` gives it a short name",
            )),
            _ => Err(ErrorBody::new(
                ErrorCode::Usage,
                format!("`{text}` is the start of {} publisher ids", matches.len()),
            )
            .with_hint("write a few characters more")),
        }
    }

    /// Resolves what a mirror follows: `publisher/name` or a publisher.
    pub(super) async fn scope(&self, text: &str) -> Result<MirrorScope, ErrorBody> {
        if text.contains('/') {
            return Ok(MirrorScope::Repository(self.target(text).await?.repository));
        }
        match self.petname(text).await? {
            Some(PetnameTarget::Repository(repository)) => Ok(MirrorScope::Repository(repository)),
            _ => self.publisher(text).await.map(MirrorScope::Publisher),
        }
    }

    pub(crate) async fn petname(&self, name: &str) -> Result<Option<PetnameTarget>, ErrorBody> {
        let (registry, name) = (self.registry.clone(), name.to_owned());
        blocking(move || registry.petname(&name)).await
    }

    async fn known_publishers(&self) -> Result<Vec<PublisherId>, ErrorBody> {
        let mut publishers = self
            .service
            .view(|service| {
                service
                    .repositories()
                    .into_iter()
                    .map(|view| view.repository.publisher)
                    .collect::<Vec<_>>()
            })
            .await
            .ok_or_else(shutting_down)?;
        publishers.extend(self.keys.publishers());
        publishers.sort();
        publishers.dedup();
        Ok(publishers)
    }
}
