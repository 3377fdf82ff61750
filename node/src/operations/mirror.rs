//! `weft mirror`.

use tokio::sync::broadcast::error::RecvError;
use weft_protocol::{
    op::{MirrorRecord, MirrorScope, Pin, RevisionState},
    service::Command,
};

use super::{Operations, Reporter, shutting_down};
use crate::{
    api::{
        Done, ErrorBody, MirrorRequest, MirrorView, MirrorsResponse, Phase, Progress,
        UnmirrorRequest,
    },
    service::unix,
};

impl Operations {
    /// Follows a publisher or a repository.
    pub(crate) async fn mirror(
        &self,
        request: MirrorRequest,
        reporter: &Reporter,
    ) -> Result<MirrorView, ErrorBody> {
        let record = MirrorRecord {
            scope: self.scope(&request.target).await?,
            bytes_max: request.bytes_max,
            created: unix(),
        };
        // Watch before asking, so that nothing completes unseen.
        let mut events = self.service.events();
        self.service
            .command(Command::Mirror(record.clone()))
            .await
            .answer()
            .await?;
        if request.wait {
            loop {
                if self.tips_complete(&record.scope).await? {
                    break;
                }
                reporter.report(Progress {
                    phase: Phase::Waiting,
                    ..Progress::default()
                });
                match events.recv().await {
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return Err(shutting_down()),
                }
            }
        }
        self.mirror_view(&record).await
    }

    /// Stops following; what is held loses its pin.
    pub(crate) async fn unmirror(&self, request: UnmirrorRequest) -> Result<Done, ErrorBody> {
        let scope = self.scope(&request.target).await?;
        self.service
            .command(Command::Unmirror(scope))
            .await
            .answer()
            .await?;
        Ok(Done {
            message: Some(format!("`{}` is no longer mirrored", request.target)),
        })
    }

    /// All standing orders.
    pub(crate) async fn mirrors(&self) -> Result<MirrorsResponse, ErrorBody> {
        let records = self
            .service
            .view(|service| service.mirrors())
            .await
            .ok_or_else(shutting_down)?;
        let mut mirrors = Vec::with_capacity(records.len());
        for record in &records {
            mirrors.push(self.mirror_view(record).await?);
        }
        Ok(MirrorsResponse { mirrors })
    }

    /// Whether the tip of every repository in `scope`, at least one, is complete here.
    async fn tips_complete(&self, scope: &MirrorScope) -> Result<bool, ErrorBody> {
        let scope = scope.clone();
        self.service
            .view(move |service| {
                let mut covered = service
                    .repositories()
                    .into_iter()
                    .filter(|view| covers(&scope, &view.repository))
                    .peekable();
                covered.peek().is_some()
                    && covered.all(|view| {
                        view.revisions.iter().any(|record| {
                            record.revision == view.revision
                                && record.state == RevisionState::Complete
                        })
                    })
            })
            .await
            .ok_or_else(shutting_down)
    }

    async fn mirror_view(&self, record: &MirrorRecord) -> Result<MirrorView, ErrorBody> {
        let scope = record.scope.clone();
        let (repositories, bytes_used) = self
            .service
            .view(move |service| {
                let covered: Vec<_> = service
                    .repositories()
                    .into_iter()
                    .filter(|view| covers(&scope, &view.repository))
                    .collect();
                let bytes = covered
                    .iter()
                    .flat_map(|view| &view.revisions)
                    .filter(|r| r.pin == Pin::Mirror && r.state == RevisionState::Complete)
                    .map(|record| record.bytes_total)
                    .sum();
                (covered.len() as u64, bytes)
            })
            .await
            .ok_or_else(shutting_down)?;
        let (target, publisher) = match &record.scope {
            MirrorScope::Publisher(publisher) => (publisher.to_string(), *publisher),
            MirrorScope::Repository(repository) => (repository.to_string(), repository.publisher),
        };
        let alias = self
            .petname_of(publisher)
            .await
            .map(|name| match &record.scope {
                MirrorScope::Publisher(_) => name,
                MirrorScope::Repository(repository) => format!("{name}/{}", repository.name),
            });
        Ok(MirrorView {
            target,
            alias,
            bytes_max: record.bytes_max,
            bytes_used,
            repositories,
            created: record.created.0,
        })
    }
}

fn covers(scope: &MirrorScope, repository: &weft_protocol::id::RepositoryId) -> bool {
    match scope {
        MirrorScope::Publisher(publisher) => repository.publisher == *publisher,
        MirrorScope::Repository(one) => repository == one,
    }
}
