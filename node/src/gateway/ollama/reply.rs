//! Answers and errors in Ollama's shape.

use std::{
    convert::Infallible,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    body::Body,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use serde_json::{Value, json};
use weft_protocol::time::Timestamp;

use crate::gateway::{ask::Fault, hub};

pub(super) type Answer = Result<Response, Fault>;

/// A fault as a response.
#[derive(Debug)]
pub(super) struct Failed(pub(super) Fault);

impl Failed {
    /// The body, which is also the last line of a stream that breaks off.
    pub(super) fn body(&self) -> Value {
        json!({ "error": self.0.message })
    }
}

impl From<Failed> for Response {
    fn from(failed: Failed) -> Self {
        let status = StatusCode::from_u16(failed.0.status);
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(failed.body())).into_response();
        if let Some(seconds) = failed.0.retry_seconds {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// A whole answer.
pub(super) fn ok(body: Value) -> Response {
    axum::Json(body).into_response()
}

/// An answer in lines.
pub(super) fn lines(values: impl Stream<Item = Value> + Send + 'static) -> Response {
    let lines = values.map(|value| Ok::<_, Infallible>(Bytes::from(format!("{value}\n"))));
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    (kind, Body::from_stream(lines)).into_response()
}

/// The present moment, or one that lies so far ahead, as a date.
pub(super) fn date_in(ahead: Duration) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    date(Timestamp(now.saturating_add(ahead).as_secs()))
}

/// A date.
pub(super) fn date(time: Timestamp) -> String {
    hub::date(time)
}

/// Nanoseconds.
pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
