//! `POST /api/pull`: gets a model, and tells how far that is.

use std::{pin::Pin, time::Duration};

use axum::body::Body;
use futures::{StreamExt, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{sync::mpsc, time};

use super::reply::{Answer, Failed, lines, ok};
use crate::{
    api::{ErrorBody, FileProgress, Progress},
    gateway::ask::{self, Fault, Shared},
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
        async move {
            let model = operations.model(&name, &Reporter::new(sender)).await?;
            operations.files_of(&model.id).await
        }
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
    let early = time::timeout(PATIENCE, &mut work).await;
    let first = stream::iter([json!({ "status": "pulling manifest" })]);
    let state = match early {
        Ok(Ok(files)) => State::Found(files),
        Ok(Err(error)) => return Err(Fault::of_model(&name, &error)),
        Err(_) => State::Working(work, progress, name),
    };
    let rest = stream::unfold(state, State::next).flat_map(stream::iter);
    Ok(lines(first.chain(rest)))
}

/// Ends with the files of the model.
type Work = Pin<Box<dyn Future<Output = Result<Vec<FileProgress>, ErrorBody>> + Send>>;

enum State {
    Working(Work, mpsc::Receiver<Progress>, String),
    Found(Vec<FileProgress>),
    Over,
}

impl State {
    async fn next(self) -> Option<(Vec<Value>, Self)> {
        let (mut work, mut progress, name) = match self {
            Self::Working(work, progress, name) => (work, progress, name),
            Self::Found(files) => return Some((last(&files), Self::Over)),
            Self::Over => return None,
        };
        tokio::select! {
            biased;
            found = &mut work => match found {
                Ok(files) => Some((last(&files), Self::Over)),
                Err(error) => {
                    let fault = Fault::of_model(&name, &error);
                    Some((vec![Failed(fault).body()], Self::Over))
                }
            },
            Some(report) = progress.recv() => {
                let line = report.file.as_ref().map(line);
                Some((line.into_iter().collect(), Self::Working(work, progress, name)))
            }
        }
    }
}

/// Clients show one bar for each digest.
fn line(file: &FileProgress) -> Value {
    let short = file.sha256.get(..12).unwrap_or(&file.sha256);
    json!({
        "status": format!("pulling {short}"),
        "digest": format!("sha256:{}", file.sha256),
        "total": file.bytes_total,
        "completed": file.bytes_done,
    })
}

fn last(files: &[FileProgress]) -> Vec<Value> {
    let whole = files.iter().map(line);
    let end = ["verifying sha256 digest", "writing manifest", "success"]
        .map(|status| json!({ "status": status }));
    whole.chain(end).collect()
}
