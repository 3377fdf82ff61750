//! What the hub endpoint asks of the node.

use std::time::Duration;

use tokio::time;
use weft_protocol::{
    id::{ObjectId, PublisherId, RepositoryId, RevisionId},
    service::{Command, Outcome, Resolved, Selector},
};

use super::{Operations, names::Target, shutting_down};
use crate::{
    api::{ErrorBody, ErrorCode, RemoveRequest},
    service::Pending,
};

/// The newest head that is held of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeldTip {
    pub(crate) repository: RepositoryId,
    pub(crate) index: u64,
    pub(crate) revision: RevisionId,
    pub(crate) refs: Option<ObjectId>,
}

impl Operations {
    /// The newest head held of a repository, and how many peers could be asked for a newer one.
    pub(crate) async fn held_head(
        &self,
        repository: &RepositoryId,
    ) -> Result<(Option<HeldTip>, usize), ErrorBody> {
        let repository = repository.clone();
        self.service
            .view(move |service| {
                let tip = service.tip(&repository).map(|(tip, _)| HeldTip {
                    repository: repository.clone(),
                    index: tip.head.index,
                    revision: tip.head.manifest,
                    refs: tip.head.refs,
                });
                (tip, service.peers().len())
            })
            .await
            .ok_or_else(shutting_down)
    }

    /// The newest heads of all repositories known here.
    pub(crate) async fn held_heads(&self) -> Result<Vec<HeldTip>, ErrorBody> {
        self.service
            .view(|service| {
                let known = service.repositories();
                known
                    .into_iter()
                    .filter_map(|view| {
                        let (tip, _) = service.tip(&view.repository)?;
                        Some(HeldTip {
                            repository: view.repository,
                            index: tip.head.index,
                            revision: tip.head.manifest,
                            refs: tip.head.refs,
                        })
                    })
                    .collect()
            })
            .await
            .ok_or_else(shutting_down)
    }

    /// Asks peers which revision is meant and gets its manifest. `Offline` when that takes longer than `budget`.
    pub(crate) async fn look_up(
        &self,
        repository: &RepositoryId,
        selector: Selector,
        budget: Duration,
    ) -> Result<Resolved, ErrorBody> {
        let target = Target {
            repository: repository.clone(),
            selector,
            path: None,
        };
        let slow = || {
            let message = format!("`{repository}` is still being looked for");
            Err(ErrorBody::new(ErrorCode::Offline, message))
        };
        time::timeout(budget, self.resolve(&target))
            .await
            .unwrap_or_else(|_| slow())
    }

    /// Whether the keys of a publisher are on this node.
    pub(crate) fn is_own(&self, publisher: &PublisherId) -> bool {
        self.keys.publishers().contains(publisher)
    }

    /// Whose identity signs when no other is named, if there is one.
    pub(crate) async fn default_publisher(&self) -> Result<Option<PublisherId>, ErrorBody> {
        match self.signer(None).await {
            Ok(publisher) => Ok(Some(publisher)),
            Err(error) if error.code == ErrorCode::Storage => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// Forgets all that is here of a repository, files included unless another one needs them.
    pub(crate) async fn forget_all(&self, repository: &RepositoryId) -> Result<(), ErrorBody> {
        let request = RemoveRequest {
            reference: repository.to_string(),
            dry_run: false,
        };
        match self.remove(request).await {
            Err(error) if error.code != ErrorCode::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Starts to fetch what is read of a revision, to be kept as long as there is room. It goes on until the answer is
    /// dropped.
    pub(crate) async fn start_read(
        &self,
        repository: &RepositoryId,
        revision: RevisionId,
    ) -> Pending {
        let command = Command::Read {
            repository: repository.clone(),
            revision,
        };
        self.service.command(command).await
    }

    /// Waits for a fetch. Cancel safe.
    pub(crate) async fn fetch_ended(pending: &mut Pending) -> Result<(), ErrorBody> {
        match pending.answer().await? {
            Outcome::Fetched(_) => Ok(()),
            other => Err(ErrorBody::new(
                ErrorCode::Failure,
                format!("the node gave an unexpected answer: {other:?}"),
            )),
        }
    }
}
