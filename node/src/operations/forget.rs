//! `weft rm` and `weft prune`.

use weft_protocol::{
    id::RepositoryId,
    op::{Pin, RevisionRecord},
    service::{Command, Selector},
};

use super::{Operations, blocking_io, shutting_down};
use crate::api::{
    ErrorBody, ErrorCode, PruneRequest, RemoveRequest, RemovedResponse, RemovedRevision,
};

impl Operations {
    /// Forgets revisions at once, pinned or not.
    pub(crate) async fn remove(
        &self,
        request: RemoveRequest,
    ) -> Result<RemovedResponse, ErrorBody> {
        let target = self.target(&request.reference).await?;
        let revision = match &target.selector {
            Selector::Latest => None,
            Selector::Reference(_) | Selector::Revision(_) | Selector::Prefix(_) => {
                Some(self.held_revision(&target).await?)
            }
        };
        let mut going = self.held(&target.repository).await?;
        going.retain(|record| revision.is_none_or(|revision| record.revision == revision));
        if going.is_empty() {
            return Err(ErrorBody::new(
                ErrorCode::NotFound,
                format!("nothing of `{}` is here", target.repository),
            )
            .with_hint("`weft ls` shows what is here"));
        }
        let command = Command::Remove {
            repository: target.repository,
            revision,
        };
        self.forget(command, going, request.dry_run).await
    }

    /// Collects everything that nothing pins.
    pub(crate) async fn prune(&self, request: PruneRequest) -> Result<RemovedResponse, ErrorBody> {
        let going = self
            .service
            .view(|service| {
                service
                    .repositories()
                    .into_iter()
                    .flat_map(|view| view.revisions)
                    .filter(|record| record.pin == Pin::None)
                    .collect::<Vec<_>>()
            })
            .await
            .ok_or_else(shutting_down)?;
        let mut removed = self.forget(Command::Prune, going, request.dry_run).await?;
        let Some(upstream) = self.upstream.clone() else {
            return Ok(removed);
        };
        let loose = blocking_io(move || {
            upstream
                .let_go(request.dry_run)
                .map_err(|e| crate::error::io("cannot remove files of the hub".to_owned(), &e))
        });
        for loose in loose.await? {
            removed.bytes += loose.bytes;
            removed.revisions.push(RemovedRevision {
                repository: format!("hf:{}", loose.snapshot.id),
                revision: loose.snapshot.commit,
                bytes: loose.bytes,
            });
        }
        Ok(removed)
    }

    /// Revisions of a repository that are here or on their way.
    pub(super) async fn held(
        &self,
        repository: &RepositoryId,
    ) -> Result<Vec<RevisionRecord>, ErrorBody> {
        let repository = repository.clone();
        self.service
            .view(move |service| {
                service
                    .repositories()
                    .into_iter()
                    .find(|view| view.repository == repository)
                    .map(|view| view.revisions)
                    .unwrap_or_default()
            })
            .await
            .ok_or_else(shutting_down)
    }

    async fn forget(
        &self,
        command: Command,
        going: Vec<RevisionRecord>,
        dry_run: bool,
    ) -> Result<RemovedResponse, ErrorBody> {
        if !dry_run {
            self.service.command(command).await.answer().await?;
            for record in &going {
                // Inside the data directory only: folders the user chose stay the user's.
                let directory = self.view_directory(&record.repository, &record.revision);
                blocking_io(move || match std::fs::remove_dir_all(&directory) {
                    Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(crate::error::io(
                        format!("cannot remove `{}`", directory.display()),
                        &e,
                    )),
                    _ => Ok(()),
                })
                .await?;
            }
            // Once the machine answers again it has also said what is still protected; the rest goes now,
            // because whoever forgets something wants the space.
            self.service.view(|_| ()).await.ok_or_else(shutting_down)?;
            self.transfer.collect().await;
        }
        Ok(RemovedResponse {
            bytes: going.iter().map(|record| record.bytes_total).sum(),
            revisions: going
                .iter()
                .map(|record| RemovedRevision {
                    repository: record.repository.to_string(),
                    revision: record.revision.to_string(),
                    bytes: record.bytes_total,
                })
                .collect(),
            dry_run,
        })
    }
}
