//! `weft seed` and `weft unseed`.

use weft_protocol::service::{Command, Selector};

use super::{Operations, Reporter};
use crate::api::{Done, ErrorBody, ErrorCode, SeedRequest, SeedResult, UnseedRequest};

impl Operations {
    /// Keeps and offers a revision; fetches it first if it is not here.
    pub(crate) async fn seed(
        &self,
        request: SeedRequest,
        reporter: &Reporter,
    ) -> Result<SeedResult, ErrorBody> {
        let target = self.target(&request.reference).await?;
        let command = Command::Seed {
            repository: target.repository,
            selector: target.selector,
        };
        let mut pending = self.service.command(command).await;
        let fetched = self.fetched(&mut pending, reporter).await?;
        Ok(SeedResult {
            repository: fetched.resolved.repository.to_string(),
            revision: fetched.resolved.revision.to_string(),
            bytes_total: fetched.bytes_total,
        })
    }

    /// Stops keeping and offering.
    pub(crate) async fn unseed(&self, request: UnseedRequest) -> Result<Done, ErrorBody> {
        let target = self.target(&request.reference).await?;
        let revision = self.held_or_all(&target).await?;
        let mut pending = self
            .service
            .command(Command::Unseed {
                repository: target.repository.clone(),
                revision,
            })
            .await;
        pending.answer().await?;
        Ok(Done {
            message: Some(format!("`{}` is no longer seeded", target.repository)),
        })
    }

    /// Which revision held here a target names; `None`, for all of them, where it names none.
    pub(super) async fn held_or_all(
        &self,
        target: &super::names::Target,
    ) -> Result<Option<weft_protocol::id::RevisionId>, ErrorBody> {
        match &target.selector {
            Selector::Latest => Ok(None),
            Selector::Reference(_) | Selector::Revision(_) | Selector::Prefix(_) => {
                self.held_revision(target).await.map(Some)
            }
        }
    }

    /// Which revision held here a target names.
    pub(super) async fn held_revision(
        &self,
        target: &super::names::Target,
    ) -> Result<weft_protocol::id::RevisionId, ErrorBody> {
        let held = self.held(&target.repository).await?;
        let matches: Vec<_> = match &target.selector {
            Selector::Revision(revision) => held
                .into_iter()
                .filter(|h| h.revision == *revision)
                .collect(),
            Selector::Prefix(prefix) => held
                .into_iter()
                .filter(|h| h.revision.to_string().starts_with(prefix.as_str()))
                .collect(),
            Selector::Reference(_) | Selector::Latest => {
                return self.resolve(target).await.map(|resolved| resolved.revision);
            }
        };
        match matches.as_slice() {
            [record] => Ok(record.revision),
            [] => Err(ErrorBody::new(
                ErrorCode::NotFound,
                format!("that revision of `{}` is not here", target.repository),
            )
            .with_hint("`weft ls` shows what is here")),
            _ => Err(ErrorBody::new(
                ErrorCode::Usage,
                "more than one revision here starts like that",
            )
            .with_hint("write a few digits more")),
        }
    }
}
