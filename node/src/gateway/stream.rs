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
    api::{AskLine, AskResult, ErrorBody, Line, Progress},
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

/// Lines of an answer that wait for a slow reader; more makes the answer wait.
const ANSWER_MAX: usize = 16;

/// Runs a question to a model and streams the answer. Dropping it, with the connection, cancels the question.
pub(super) fn answer<F>(
    operations: Arc<Operations>,
    start: impl FnOnce(Arc<Operations>, mpsc::Sender<AskLine>) -> F,
) -> Response
where
    F: Future<Output = Result<AskResult, ErrorBody>> + Send + 'static,
{
    let (sender, lines) = mpsc::channel(ANSWER_MAX);
    let work: Work<AskResult> = Box::pin(start(operations, sender));
    let body = stream::unfold((Some(work), lines), |(work, mut lines)| async {
        let mut work: Work<AskResult> = work?;
        let line = tokio::select! {
            biased;
            Some(line) = lines.recv() => line,
            result = &mut work => {
                // Each line was taken before the work went on to its end, or waits here.
                let mut last: Vec<u8> = Vec::new();
                while let Ok(line) = lines.try_recv() {
                    last.extend_from_slice(&encode(&line));
                }
                let end = match result {
                    Ok(result) => AskLine::Result(result),
                    Err(error) => AskLine::Error(error),
                };
                last.extend_from_slice(&encode(&end));
                return Some((Ok::<_, Infallible>(last.into()), (None, lines)));
            }
        };
        Some((Ok(encode(&line)), (Some(work), lines)))
    });
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    (kind, Body::from_stream(body)).into_response()
}

fn encode(line: &impl Serialize) -> Bytes {
    let mut text = serde_json::to_vec(line).unwrap_or_else(|error| {
        tracing::error!(%error, "a result cannot be written as JSON");
        br#"{"error":{"code":"failure","message":"the result cannot be written"}}"#.to_vec()
    });
    text.push(b'\n');
    text.into()
}
