//! `weft config` of a running node.

use weft_protocol::service::Command;

use super::{Operations, blocking_io};
use crate::{
    api::{ConfigResponse, ErrorBody, ErrorCode, SetConfigRequest, SetConfigResponse},
    config::{self, Config},
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
        let live = config::is_live(&request.key);
        let response = blocking_io(move || {
            let value = request.value.as_deref().unwrap_or_default();
            config::set(&home, &request.key, value)?;
            let entry = config::show(&home, &running)?
                .entries
                .into_iter()
                .find(|entry| entry.key == request.key)
                .ok_or_else(|| config::unknown_key(&request.key))?;
            Ok(SetConfigResponse {
                entry,
                restart_required: !live,
                notice: config::notice(&request.key, value),
            })
        })
        .await?;
        if live {
            self.take_up_limits().await?;
        }
        Ok(response)
    }

    /// Reads the limits again and keeps to them from now on. What flags set at the start goes on to count.
    async fn take_up_limits(&self) -> Result<(), ErrorBody> {
        let (home, running) = (self.home.clone(), self.config.overrides.clone());
        let limits = blocking_io(move || Ok(Config::load(&home, &running)?.limits)).await?;
        let mut set = self.service.command(Command::SetLimits(limits)).await;
        set.answer()
            .await
            .map(drop)
            .map_err(|e| ErrorBody::new(ErrorCode::Failure, e.to_string()))
    }
}
