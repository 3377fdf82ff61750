//! What the user can ask of a running node, as functions: the gateway's routes call these and nothing else.
//!
//! Each takes a request of [`crate::api`] and gives its answer. Long ones report to a [`Reporter`] while they run and
//! are cancelled by being dropped; what they had done by then stays and is taken up by the next try.

mod ask;
mod card;
mod change;
mod collect;
mod config;
mod fetch;
mod forget;
mod from_hub;
mod hf_cache;
mod hosting;
mod hub;
mod identities;
mod inspect;
mod mirror;
mod models;
mod names;
mod ollama;
mod origins;
mod publish;
mod seed;
mod status;
mod verify;

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use weft_protocol::{
    codec,
    id::{NodeId, PublisherId, RepositoryId, RevisionId},
    manifest::Manifest,
    sign::NetworkId,
};
use weft_registry::Registry;

pub(crate) use self::{
    card::{front_matter, parse as parse_card},
    change::{Base, Next},
    hf_cache::{commit_id, content_id, link},
    hub::HeldTip,
    models::{HeldModel, HeldWeights},
};
use crate::{
    api::{ErrorBody, ErrorCode, Progress},
    config::Config,
    home::Home,
    identity::KeyStore,
    infer::{Asker, pool::Pool},
    network, service, transfer,
    upstream::Upstream,
};

/// A running node, as the operations see it.
#[derive(Debug)]
pub(crate) struct Operations {
    pub(crate) node: NodeId,
    pub(crate) home: Home,
    pub(crate) config: Config,
    pub(crate) network_id: NetworkId,
    pub(crate) keys: KeyStore,
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) service: service::Handle,
    pub(crate) network: network::Handle,
    pub(crate) transfer: transfer::Handle,
    /// The hub behind this node, if the user named one.
    pub(crate) upstream: Option<Arc<Upstream>>,
    /// The models that run here.
    pub(crate) pool: Pool,
    /// Asks other nodes about models.
    pub(crate) asker: Asker,
    /// `http://…` of the local port.
    pub(crate) gateway: String,
    pub(crate) started: std::time::Instant,
    /// One publication at a time: two would sign two heads at one index.
    pub(crate) publishing: tokio::sync::Mutex<()>,
    /// Ends the node.
    pub(crate) shutdown: CancellationToken,
}

impl Operations {
    /// The manifest of a revision, if it is here.
    pub(crate) async fn manifest(
        &self,
        revision: RevisionId,
    ) -> Result<Option<Manifest>, ErrorBody> {
        let registry = self.registry.clone();
        let preimage = blocking(move || registry.object(revision)).await?;
        preimage
            .map(|preimage| codec::decode_preimage(revision, &preimage))
            .transpose()
            .map_err(|e| {
                ErrorBody::new(
                    ErrorCode::Storage,
                    format!(
                        "the stored manifest `{}` is damaged: {e}",
                        revision.fmt_short()
                    ),
                )
            })
    }

    /// The manifest of a revision that must be here by now.
    async fn stored_manifest(&self, revision: RevisionId) -> Result<Manifest, ErrorBody> {
        self.manifest(revision).await?.ok_or_else(|| {
            ErrorBody::new(
                ErrorCode::NotFound,
                format!(
                    "the manifest of revision `{}` is not here",
                    revision.fmt_short()
                ),
            )
            .with_hint("`weft fetch` gets it")
        })
    }

    /// Where the files of a revision are shown inside the data directory.
    fn view_directory(
        &self,
        repository: &RepositoryId,
        revision: &RevisionId,
    ) -> std::path::PathBuf {
        let mut short = revision.to_string();
        short.truncate(12);
        self.home
            .repositories()
            .join(repository.publisher.to_string())
            .join(repository.name.folded())
            .join(short)
    }

    /// The petname of a publisher, if it has one.
    pub(crate) async fn petname_of(&self, publisher: PublisherId) -> Option<String> {
        let registry = self.registry.clone();
        let names = blocking(move || registry.petnames()).await.ok()?;
        names
            .into_iter()
            .find(|name| name.target == weft_registry::PetnameTarget::Publisher(publisher))
            .map(|name| name.name)
    }
}

/// Where a long operation tells how far it is. Reports that nobody takes in time are dropped.
#[derive(Debug, Clone)]
pub(crate) struct Reporter(mpsc::Sender<Progress>);

impl Reporter {
    pub(crate) fn new(channel: mpsc::Sender<Progress>) -> Self {
        Self(channel)
    }

    pub(crate) fn report(&self, progress: Progress) {
        let _ = self.0.try_send(progress);
    }
}

/// Runs a blocking read of the registry off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, weft_registry::Error> + Send + 'static,
) -> Result<T, ErrorBody> {
    blocking_io(move || {
        work().map_err(|error| {
            ErrorBody::new(ErrorCode::Storage, error.to_string())
                .with_hint("`weft doctor` checks the data directory and its disk")
        })
    })
    .await
}

/// Runs blocking work off the async threads.
async fn blocking_io<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ErrorBody> + Send + 'static,
) -> Result<T, ErrorBody> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| {
        Err(ErrorBody::new(
            ErrorCode::Failure,
            format!("a task died: {e}"),
        ))
    })
}

/// The node is going down while an operation runs.
pub(crate) fn shutting_down() -> ErrorBody {
    ErrorBody::new(ErrorCode::Cancelled, "the node is shutting down")
}
