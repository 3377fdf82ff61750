//! Web servers that a user names as further sources of a fetch.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time;
use weft_protocol::{id::NodeId, service::CommandId};

use super::{Operations, shutting_down};
use crate::{
    api::{ErrorBody, ErrorCode},
    defaults,
    origin::{Base, Origin},
    transfer::OpenOrigin,
};

/// Web servers that one fetch may use; more would be a mistake in a script.
const WEB_SEEDS_MAX: usize = 16;

/// Tells one use of a web server from the next.
static USES: AtomicU64 = AtomicU64::new(0);

/// The web servers of one fetch. They are let go with this value.
#[derive(Debug, Default)]
pub(super) struct Used(Vec<(NodeId, String, OpenOrigin)>);

impl Used {
    /// The name of a source that is one of them.
    pub(super) fn name(&self, id: &NodeId) -> Option<String> {
        let found = self.0.iter().find(|(origin, _, _)| origin == id);
        found.map(|(_, name, _)| name.clone())
    }
}

/// Reads the URLs that a user gave.
///
/// # Errors
/// `Usage` if one of them is no folder on a web server. The message does not repeat it: it may hold a password.
pub(super) fn parse(urls: &[String]) -> Result<Vec<Base>, ErrorBody> {
    let usage = |message| {
        ErrorBody::new(ErrorCode::Usage, message)
            .with_hint("it looks like https://example.org/models/tiny, with the files below it")
    };
    if urls.len() > WEB_SEEDS_MAX {
        return Err(usage(format!(
            "{} web seeds are more than {WEB_SEEDS_MAX}",
            urls.len()
        )));
    }
    let parsed = urls.iter().enumerate();
    parsed
        .map(|(n, url)| {
            Base::parse(url)
                .map_err(|error| usage(format!("web seed {} cannot be used: {error}", n + 1)))
        })
        .collect()
}

impl Operations {
    /// Makes `bases` sources of the download that a command waits for, as soon as it is known what is to be
    /// downloaded. Returns only if that fails.
    pub(super) async fn use_web_seeds(
        &self,
        command: CommandId,
        bases: Vec<Base>,
        used: &mut Used,
    ) -> ErrorBody {
        if bases.is_empty() {
            return std::future::pending().await;
        }
        let mut ticks = time::interval(defaults::PROGRESS_INTERVAL);
        let revision = loop {
            ticks.tick().await;
            let transfer = self.service.view(move |service| {
                let mut transfers = service.transfers().into_iter();
                transfers.find(|transfer| transfer.commands.contains(&command))
            });
            match transfer.await {
                None => return shutting_down(),
                Some(Some(transfer)) => break transfer.revision,
                Some(None) => {}
            }
        };
        let manifest = match self.stored_manifest(revision).await {
            Ok(manifest) => manifest,
            Err(error) => return error,
        };
        for base in bases {
            let nonce = USES.fetch_add(1, Ordering::Relaxed);
            let origin = match Origin::new(base, revision, &manifest, nonce) {
                Ok(origin) => origin,
                Err(error) => return ErrorBody::new(ErrorCode::Failure, error.to_string()),
            };
            let (id, name) = (origin.id(), origin.name());
            tracing::debug!(origin = name, revision = %revision.fmt_short(), "a web seed is used");
            let open = self.transfer.open_origin(origin, revision).await;
            used.0.push((id, name, open));
        }
        std::future::pending().await
    }
}
