//! `POST /api/pull`: gets a model, and tells how far that is.

use std::time::Duration;

use axum::body::Body;
use futures::{StreamExt, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{sync::mpsc, time};

use super::reply::{Answer, Failed, lines, ok};
use crate::{
    api::{ErrorBody, Progress},
    gateway::ask::{self, Fault, Shared},
    infer::Model,
    operations::Reporter,
};

/// Reports that may wait for a slow reader; older news is dropped for newer.
const PROGRESS_MAX: usize = 4;
/// How soon an error still has a status of its own.
const PATIENCE: Duration = Duration::from_millis(500);

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Request {
    model: Option<String>,
    name: Option<String>,
    stream: Option<bool>,
}

pub(super) async fn answer(operations: Shared, body: Body) -> Answer {
    let request: Request = ask::read(body).await?;
    let named = request
        .model
        .filter(|model| !model.is_empty())
        .or(request.name);
    let name = named.ok_or_else(|| Fault::invalid("`model` is missing").at("model"))?;
    let (sender, mut progress) = mpsc::channel(PROGRESS_MAX);
    let work = {
        let name = name.clone();
        async move { operations.model(&name, &Reporter::new(sender)).await }
    };
    let mut work: Work = Box::pin(work);
    let success = json!({ "status": "success" });
    if !request.stream.unwrap_or(true) {
        let found = tokio::select! {
            found = &mut work => found,
            // Nobody reads it, but it must not fill up.
            () = async { while progress.recv().await.is_some() {} std::future::pending().await } => unreachable!("it waits"),
        };
        found.map_err(|error| Fault::of_model(&name, &error))?;
        return Ok(ok(success));
    }
    let early = time::timeout(PATIENCE, &mut work).await.ok();
    if let Some(Err(error)) = early {
        return Err(Fault::of_model(&name, &error));
    }
    let first = stream::iter([json!({ "status": "pulling manifest" })]);
    let state = match early {
        Some(Ok(_)) => State::Found,
        Some(Err(_)) | None => State::Working(work, progress, name),
    };
    let rest = stream::unfold(state, State::next).flat_map(stream::iter);
    Ok(lines(first.chain(rest)))
}

type Work = std::pin::Pin<Box<dyn Future<Output = Result<Model, ErrorBody>> + Send>>;

enum State {
    Working(Work, mpsc::Receiver<Progress>, String),
    Found,
    Over,
}

impl State {
    async fn next(self) -> Option<(Vec<Value>, Self)> {
        let (mut work, mut progress, name) = match self {
            Self::Working(work, progress, name) => (work, progress, name),
            Self::Found => return Some((last(), Self::Over)),
            Self::Over => return None,
        };
        tokio::select! {
            biased;
            found = &mut work => match found {
                Ok(_) => Some((last(), Self::Over)),
                Err(error) => {
                    let fault = Fault::of_model(&name, &error);
                    Some((vec![Failed(fault).body()], Self::Over))
                }
            },
            Some(report) = progress.recv() => {
                let line = line(&report, &name);
                Some((vec![line], Self::Working(work, progress, name)))
            }
        }
    }
}

fn line(report: &Progress, name: &str) -> Value {
    let what = report.message.as_deref().unwrap_or(name);
    // Clients show one bar for each digest; a file has one here, whatever it is.
    let digest = blake3::hash(what.as_bytes()).to_hex();
    let short = digest.as_str().get(..12).unwrap_or_default();
    json!({
        "status": format!("pulling {short}"),
        "digest": format!("sha256:{digest}"),
        "total": report.bytes_total,
        "completed": report.bytes_done,
    })
}

fn last() -> Vec<Value> {
    ["verifying sha256 digest", "writing manifest", "success"]
        .map(|status| json!({ "status": status }))
        .to_vec()
}
