//! Long answers: lines of JSON, progress first, the result last.

use std::{convert::Infallible, future::Future, pin::Pin, sync::Arc};

use axum::{
    body::{Body, Bytes},
    http::header,
    response::{IntoResponse, Response},
};
use futures::stream;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::{
    api::{ErrorBody, Line, Progress},
    operations::{Operations, Reporter, shutting_down},
};

/// Progress lines that may wait for a slow reader; older news is dropped for newer.
const PROGRESS_MAX: usize = 4;

type Work<T> = Pin<Box<dyn Future<Output = Result<T, ErrorBody>> + Send>>;

enum State<T> {
    Running(Work<T>, mpsc::Receiver<Progress>),
    Done,
}

/// Runs a long operation and streams it. The operation is dropped, and so cancelled, with the connection.
pub(super) fn lines<T, F>(
    operations: Arc<Operations>,
    start: impl FnOnce(Arc<Operations>, Reporter) -> F,
) -> Response
where
    T: Serialize + Send + 'static,
    F: Future<Output = Result<T, ErrorBody>> + Send + 'static,
{
    let (sender, progress) = mpsc::channel(PROGRESS_MAX);
    let shutdown = operations.shutdown.clone();
    let work = start(operations, Reporter::new(sender));
    // Without this, one long command would hold up the ordered end of the node.
    let work: Work<T> = Box::pin(async move {
        tokio::select! {
            biased;
            result = work => result,
            () = shutdown.cancelled() => Err(shutting_down()),
        }
    });
    let body = stream::unfold(State::Running(work, progress), |state| async {
        let State::Running(mut work, mut progress) = state else {
            return None;
        };
        let (line, state) = tokio::select! {
            biased;
            result = &mut work => {
                let line = match result {
                    Ok(result) => Line::Result(result),
                    Err(error) => Line::Error(error),
                };
                (line, State::Done)
            }
            Some(report) = progress.recv() => {
                (Line::Progress(report), State::Running(work, progress))
            }
        };
        Some((Ok::<_, Infallible>(encode(&line)), state))
    });
    (
        [(header::CONTENT_TYPE, "application/x-ndjson")],
        Body::from_stream(body),
    )
        .into_response()
}

fn encode<T: Serialize>(line: &Line<T>) -> Bytes {
    let mut text = serde_json::to_vec(line).unwrap_or_else(|error| {
        tracing::error!(%error, "a result cannot be written as JSON");
        br#"{"error":{"code":"failure","message":"the result cannot be written"}}"#.to_vec()
    });
    text.push(b'\n');
    text.into()
}
