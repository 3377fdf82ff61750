//! `weft fetch`: every file of a revision, verified, in a folder.

use std::{path::PathBuf, time::Duration};

use tokio::time;
use weft_protocol::{
    manifest::Manifest,
    op::Pin,
    path::RepoPath,
    service::{Command, Fetched, Outcome},
};

use super::{
    Operations, Reporter, from_hub,
    origins::{self, Used},
    shutting_down,
};
use crate::{
    api::{ErrorBody, ErrorCode, FetchRequest, FetchResult, Phase, Progress, Source},
    defaults,
    service::Pending,
};

impl Operations {
    /// Gets a revision, keeps it, offers it if asked, and shows it in a folder.
    pub(crate) async fn fetch(
        &self,
        request: FetchRequest,
        reporter: &Reporter,
    ) -> Result<FetchResult, ErrorBody> {
        if from_hub::is_for_hub(&request.reference) {
            return self.fetch_from_hub(request, reporter).await;
        }
        let start = std::time::Instant::now();
        let mut web_seeds = origins::parse(&request.web_seeds)?;
        let target = self.target(&request.reference).await?;
        let configured = self.config.web_seeds.iter();
        let configured = configured.filter(|seed| seed.repository == target.repository);
        web_seeds.extend(configured.map(|seed| seed.base.clone()));
        let command = Command::Fetch {
            repository: target.repository,
            selector: target.selector,
            pin: Pin::User,
            seed: request.seed,
        };
        let mut pending = self.service.command(command).await;
        let mut used = Used::default();
        let helping = self.use_web_seeds(pending.id(), web_seeds, &mut used);
        let waiting = async {
            tokio::select! {
                fetched = self.fetched(&mut pending, reporter) => fetched,
                failed = helping => Err(failed),
            }
        };
        let fetched = match request.timeout_seconds {
            None => waiting.await?,
            Some(seconds) => time::timeout(Duration::from_secs(seconds), waiting)
                .await
                .map_err(|_| {
                    ErrorBody::new(
                        ErrorCode::Offline,
                        format!("not complete after {seconds} seconds"),
                    )
                    .with_hint("what arrived is kept: run the same command again to go on")
                })??,
        };
        let resolved = &fetched.resolved;
        let manifest = self.stored_manifest(resolved.revision).await?;
        let path = match (&request.cache, &request.ollama, request.to) {
            (_, Some(models), _) => {
                let models = PathBuf::from(models);
                self.show_in_ollama(&manifest, &request.reference, &models, reporter)
                    .await?
            }
            (Some(cache), None, _) => {
                let (revision, cache) = (resolved.revision, PathBuf::from(cache));
                self.show_in_cache(revision, &manifest, &request.reference, &cache, reporter)
                    .await?
            }
            (None, None, to) => {
                let directory = to.map_or_else(
                    || self.view_directory(&resolved.repository, &resolved.revision),
                    PathBuf::from,
                );
                self.show(&manifest, directory, target.path.as_ref(), reporter)
                    .await?
            }
        };
        Ok(FetchResult {
            path: path.display().to_string(),
            repository: resolved.repository.to_string(),
            revision: resolved.revision.to_string(),
            files: manifest.files.len() as u64,
            bytes_total: fetched.bytes_total,
            bytes_fetched: fetched.bytes_fetched,
            bytes_reused: fetched.bytes_reused,
            seconds: start.elapsed().as_secs_f64(),
            verified: true,
            sources: fetched
                .sources
                .iter()
                .map(|(peer, bytes)| Source {
                    peer: used.name(peer).unwrap_or_else(|| peer.to_string()),
                    bytes: *bytes,
                })
                .collect(),
            freshness: Some(resolved.freshness.into()),
        })
    }

    /// Waits for a fetch or seed command, reporting how far its download is.
    pub(super) async fn fetched(
        &self,
        pending: &mut Pending,
        reporter: &Reporter,
    ) -> Result<Fetched, ErrorBody> {
        let mut ticks = time::interval(defaults::PROGRESS_INTERVAL);
        let mut rate = Rate::default();
        loop {
            tokio::select! {
                answer = pending.answer() => return match answer? {
                    Outcome::Fetched(fetched) => Ok(fetched),
                    other => Err(ErrorBody::new(
                        ErrorCode::Failure,
                        format!("the node gave an unexpected answer: {other:?}"),
                    )),
                },
                _ = ticks.tick() => {
                    let id = pending.id();
                    let transfer = self.service.view(move |service| {
                        service.transfers().into_iter().find(|t| t.commands.contains(&id))
                    });
                    let progress = match transfer.await.ok_or_else(shutting_down)? {
                        None => Progress { phase: Phase::Resolving, ..Progress::default() },
                        Some(transfer) => Progress {
                            phase: if transfer.peers_active == 0 { Phase::Waiting } else { Phase::Fetching },
                            bytes_done: transfer.bytes_done,
                            bytes_total: transfer.bytes_total,
                            bytes_reused: transfer.bytes_reused,
                            rate: rate.update(transfer.bytes_done),
                            peers_active: transfer.peers_active,
                            peers_known: transfer.peers_known,
                            ..Progress::default()
                        },
                    };
                    reporter.report(progress);
                }
            }
        }
    }

    /// Makes the files of a complete revision visible in `directory`; the path to tell the user.
    pub(super) async fn show(
        &self,
        manifest: &Manifest,
        directory: PathBuf,
        only: Option<&RepoPath>,
        reporter: &Reporter,
    ) -> Result<PathBuf, ErrorBody> {
        if let Some(path) = only
            && !manifest.files.iter().any(|file| file.path == *path)
        {
            return Err(ErrorBody::new(
                ErrorCode::NotFound,
                format!("`{path}` is not a file of this revision"),
            )
            .with_hint("`weft info REF` lists its files"));
        }
        let bytes_total = manifest.bytes_total();
        let mut bytes_done = 0;
        for file in &manifest.files {
            if only.is_some_and(|path| file.path != *path) {
                continue;
            }
            self.transfer
                .place(file.blake3, &directory, &file.path)
                .await
                .map_err(|e| crate::error::place(&e))?;
            bytes_done += file.size;
            reporter.report(Progress {
                phase: Phase::Exporting,
                bytes_done,
                bytes_total,
                ..Progress::default()
            });
        }
        Ok(match only {
            Some(path) => directory.join(path.as_str()),
            None => directory,
        })
    }
}

/// Bytes per second, smoothed over the last few reports.
#[derive(Debug, Default)]
struct Rate {
    last: Option<(std::time::Instant, u64)>,
    smoothed: Option<f64>,
}

impl Rate {
    fn update(&mut self, bytes: u64) -> Option<u64> {
        let now = std::time::Instant::now();
        if let Some((then, before)) = self.last.replace((now, bytes)) {
            let seconds = now.duration_since(then).as_secs_f64().max(0.001);
            // Exact below 2^53 bytes; only a display.
            let current = bytes.saturating_sub(before) as f64 / seconds;
            let smoothed = self
                .smoothed
                .map_or(current, |old| old * 0.8 + current * 0.2);
            self.smoothed = Some(smoothed);
        }
        self.smoothed.map(|rate| rate as u64)
    }
}
