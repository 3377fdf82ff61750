//! `weft config` of a running node.

use super::{Operations, blocking_io};
use crate::{
    api::{ConfigResponse, ErrorBody, SetConfigRequest, SetConfigResponse},
    config,
};

impl Operations {
    /// The effective settings and where each came from.
    pub(crate) async fn config(&self) -> Result<ConfigResponse, ErrorBody> {
        let (home, running) = (self.home.clone(), self.config.overrides.clone());
        blocking_io(move || config::show(&home, &running)).await
    }

    /// Writes one setting into the file.
    pub(crate) async fn set_config(
        &self,
        request: SetConfigRequest,
    ) -> Result<SetConfigResponse, ErrorBody> {
        let (home, running) = (self.home.clone(), self.config.overrides.clone());
        blocking_io(move || {
            config::set(
                &home,
                &request.key,
                request.value.as_deref().unwrap_or_default(),
            )?;
            let entry = config::show(&home, &running)?
                .entries
                .into_iter()
                .find(|entry| entry.key == request.key)
                .ok_or_else(|| config::unknown_key(&request.key))?;
            Ok(SetConfigResponse {
                entry,
                restart_required: true,
            })
        })
        .await
    }
}
