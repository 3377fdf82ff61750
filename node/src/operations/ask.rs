//! `weft run`, `weft embed`, `weft ps` and `weft unload`.

use std::{
    task::Poll,
    time::{Duration, Instant},
};

use futures::{StreamExt, poll};
use serde_json::json;
use tokio::sync::mpsc;
use weft_protocol::infer::{
    Description, Embed, Event, Finish, Generate, Job, Prompt, Real, Refusal, Sampling, Text,
};

use super::{Operations, Reporter};
use crate::{
    api::{
        AskLine, AskRequest, AskResult, Done, EmbedRequest, EmbedResult, ErrorBody, ErrorCode,
        Phase, Progress, RunningModel, RunningResponse, UnloadRequest,
    },
    config::KeepAlive,
    infer::{Caller, Events, Keep, Model, Question, pool::Stage},
};

/// On whose behalf the control API asks: the person at this machine.
const CALLER: Caller = Caller::Local(0);
/// Reports of a fetch that may wait.
const PROGRESS_MAX: usize = 4;
/// How adventurous an answer is if nobody says otherwise.
const TEMPERATURE: f32 = 0.8;

impl Operations {
    /// Asks a model; text goes out through `lines` while it comes.
    pub(crate) async fn ask(
        &self,
        request: AskRequest,
        lines: &mpsc::Sender<AskLine>,
    ) -> Result<AskResult, ErrorBody> {
        let keep = request.keep_alive.as_deref().map(str::parse::<KeepAlive>);
        let keep = keep
            .transpose()
            .map_err(|e| ErrorBody::new(ErrorCode::Usage, e))?;
        let started = Instant::now();
        let (model, description) = self.loaded(&request.reference, lines).await?;
        let load_seconds = started.elapsed().as_secs_f64();
        if !description.generates {
            let message = format!("`{}` makes vectors and no text", model.name);
            return Err(ErrorBody::new(ErrorCode::Usage, message)
                .with_hint("`weft embed REF TEXT` shows them"));
        }
        let seed = request.seed.unwrap_or_else(|| fastrand::u64(..));
        let generate = Generate {
            sampling: Sampling {
                temperature: Real::new(request.temperature.unwrap_or(TEMPERATURE).max(0.0)),
                seed,
                ..Sampling::greedy()
            },
            tokens_max: request.tokens_max,
            ..Generate::greedy(prompt(&request, &description))
        };
        let mut result = AskResult {
            model: model.name.clone(),
            revision: model.id.revision.to_string(),
            file: model.id.file.as_ref().map(ToString::to_string),
            seed,
            load_seconds,
            ..AskResult::default()
        };
        let keep = keep.map(|keep| keep.0);
        let mut events = self.question(&model, Job::Generate(generate), keep);
        while let Some(event) = events.next().await {
            match event {
                Event::Started { .. } => {}
                Event::Tokens { text, .. } if text.is_empty() => {}
                // A reader that is gone drops all this.
                Event::Tokens { text, .. } => {
                    let _ = lines.send(AskLine::Text(text)).await;
                }
                Event::Done { finish, usage, .. } => {
                    let seconds = |nanos| Duration::from_nanos(nanos).as_secs_f64();
                    result.finish = match finish {
                        Finish::Stop | Finish::Cancelled => "stop",
                        Finish::Length => "length",
                    }
                    .to_owned();
                    result.prompt_tokens = usage.prompt_tokens;
                    result.cached_tokens = usage.cached_tokens;
                    result.answer_tokens = usage.answer_tokens;
                    result.wait_seconds = seconds(usage.wait_nanos);
                    result.prompt_seconds = seconds(usage.prompt_nanos);
                    result.answer_seconds = seconds(usage.answer_nanos);
                    return Ok(result);
                }
                Event::Failed(refusal) => return Err(refused(&refusal)),
                Event::Embedded { .. } | Event::Scored { .. } => break,
            }
        }
        Err(nonsense())
    }

    /// Makes vectors.
    pub(crate) async fn embed(
        &self,
        request: EmbedRequest,
        reporter: &Reporter,
    ) -> Result<EmbedResult, ErrorBody> {
        let model = self.model(&request.reference, reporter).await?;
        let job = Job::Embed(Embed {
            inputs: request.texts.into_iter().map(Text::Plain).collect(),
            truncate: false,
        });
        match self.question(&model, job, None).next().await {
            Some(Event::Embedded {
                vectors,
                prompt_tokens,
            }) => Ok(EmbedResult {
                model: model.name,
                revision: model.id.revision.to_string(),
                vectors: vectors
                    .into_iter()
                    .map(|vector| vector.into_iter().map(Real::get).collect())
                    .collect(),
                prompt_tokens,
            }),
            Some(Event::Failed(refusal)) => Err(refused(&refusal)),
            _ => Err(nonsense()),
        }
    }

    /// What runs.
    pub(crate) fn running(&self) -> RunningResponse {
        let overview = self.pool.overview();
        let models = overview.loaded.into_iter().map(|loaded| {
            let description = loaded.description.as_ref();
            let text = |pick: fn(&Description) -> &String| {
                description
                    .map(|description| pick(description).clone())
                    .unwrap_or_default()
            };
            RunningModel {
                name: loaded.name.clone(),
                revision: loaded.id.revision.to_string(),
                stage: match loaded.stage {
                    Stage::Waiting => "waiting",
                    Stage::Loading => "loading",
                    Stage::Ready => "ready",
                    Stage::Ending => "ending",
                }
                .to_owned(),
                memory_bytes: loaded.bytes,
                pid: loaded.pid,
                running: loaded.running as u64,
                waiting: loaded.waiting as u64,
                stays_seconds: loaded.stays.map(|stays| stays.as_secs()),
                architecture: text(|description| &description.architecture),
                quantization: text(|description| &description.quantization),
                parameters: description.map_or(0, |description| description.parameters),
                context_len: description.map_or(0, |description| description.context_len),
            }
        });
        RunningResponse {
            models: models.collect(),
            jobs_taken: overview.taken,
            jobs_refused: overview.refused,
            jobs_ended: overview.ended,
            jobs_cancelled: overview.cancelled,
            jobs_failed: overview.failed,
            loads: overview.loads,
            engines_died: overview.died,
        }
    }

    /// Lets a model go.
    pub(crate) async fn unload(&self, request: UnloadRequest) -> Result<Done, ErrorBody> {
        let id = self.meant(&request.reference).await?;
        if self.pool.keep(&id, Some(Keep::For(Duration::ZERO))) {
            return Ok(Done {
                message: Some(format!(
                    "`{}` goes when nobody waits for it",
                    request.reference
                )),
            });
        }
        let message = format!("`{}` is not in memory", request.reference);
        Err(ErrorBody::new(ErrorCode::NotFound, message).with_hint("`weft ps` shows what is"))
    }

    fn question(&self, model: &Model, job: Job, keep: Option<Keep>) -> Events {
        self.answerer().ask(Question {
            model: model.clone(),
            job,
            caller: CALLER,
            deadline: None,
            keep,
        })
    }

    /// Finds, fetches and loads a model, and tells how far that is.
    async fn loaded(
        &self,
        reference: &str,
        lines: &mpsc::Sender<AskLine>,
    ) -> Result<(Model, Description), ErrorBody> {
        let (sender, mut progress) = mpsc::channel(PROGRESS_MAX);
        let reporter = Reporter::new(sender);
        let mut finding = Box::pin(self.model(reference, &reporter));
        let model = loop {
            tokio::select! {
                found = &mut finding => break found?,
                Some(report) = progress.recv() => {
                    let _ = lines.send(AskLine::Progress(report)).await;
                }
            }
        };
        let mut describing = self.answerer().describe(model.clone(), CALLER);
        // Nothing is said of a model that is there already.
        let description = match poll!(&mut describing) {
            Poll::Ready(description) => description,
            Poll::Pending => {
                let loading = Progress {
                    phase: Phase::Loading,
                    message: Some(model.name.clone()),
                    ..Progress::default()
                };
                let _ = lines.send(AskLine::Progress(loading)).await;
                describing.await
            }
        };
        Ok((model, description.map_err(|refusal| refused(&refusal))?))
    }
}

fn prompt(request: &AskRequest, description: &Description) -> Prompt {
    if description.chats {
        return Prompt::Chat {
            messages: json!(request.messages).to_string(),
            tools: None,
            proceed: false,
        };
    }
    let texts: Vec<&str> = request
        .messages
        .iter()
        .map(|m| m.content.as_str())
        .collect();
    Prompt::Text {
        text: texts.join("\n"),
        raw: false,
    }
}

fn refused(refusal: &Refusal) -> ErrorBody {
    let code = match refusal {
        Refusal::Busy { .. } | Refusal::Forbidden(_) => ErrorCode::Refused,
        Refusal::TooLong { .. } | Refusal::Invalid(_) | Refusal::Unsupported(_) => ErrorCode::Usage,
        Refusal::NotFound(_) => ErrorCode::NotFound,
        Refusal::Broken(_) => ErrorCode::Verification,
        Refusal::Failed(_) => ErrorCode::Failure,
    };
    ErrorBody::new(code, refusal.to_string())
}

fn nonsense() -> ErrorBody {
    ErrorBody::new(ErrorCode::Failure, "the engine answered something else")
}
