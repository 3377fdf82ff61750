//! Answers and errors in OpenAI's shape.

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use weft_protocol::infer::{Finish, Usage};

use crate::gateway::ask::{Fault, FaultKind};

pub(super) type Answer = Result<Response, Fault>;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A fault as a response.
#[derive(Debug)]
pub(super) struct Failed(pub(super) Fault);

impl Failed {
    /// The body, which is also what a stream that breaks off ends with.
    pub(super) fn body(&self) -> Value {
        let Fault {
            kind,
            code,
            message,
            param,
            ..
        } = &self.0;
        let kind = match kind {
            FaultKind::Invalid | FaultKind::NoModel => "invalid_request_error",
            FaultKind::Forbidden => "permission_error",
            FaultKind::Busy => "rate_limit_error",
            FaultKind::Failed => "server_error",
        };
        json!({ "error": { "message": message, "type": kind, "param": param, "code": code } })
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
        named(response)
    }
}

/// A whole answer.
pub(super) fn ok(body: Value) -> Response {
    named(axum::Json(body).into_response())
}

/// Gives a response a name that logs of clients can show.
pub(super) fn named(mut response: Response) -> Response {
    if let Ok(id) = HeaderValue::from_str(&id("req_")) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// A name nobody else has.
pub(super) fn id(prefix: &str) -> String {
    format!("{prefix}{:032x}", fastrand::u128(..))
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}

/// Why an answer ended.
pub(super) const fn finish_reason(finish: Option<Finish>) -> &'static str {
    match finish {
        Some(Finish::Length) => "length",
        Some(Finish::Stop | Finish::Cancelled) | None => "stop",
    }
}

/// What several answers to one prompt took.
pub(super) fn usage(all: &[Usage], prompts: usize) -> Value {
    // Each prompt is counted once, however many answers it had.
    let each = (all.len() / prompts.max(1)).max(1);
    let prompt: u64 = all
        .iter()
        .step_by(each)
        .map(|u| u64::from(u.prompt_tokens))
        .sum();
    let cached: u64 = all
        .iter()
        .step_by(each)
        .map(|u| u64::from(u.cached_tokens))
        .sum();
    let answer: u64 = all.iter().map(|u| u64::from(u.answer_tokens)).sum();
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": answer,
        "total_tokens": prompt + answer,
        "prompt_tokens_details": { "cached_tokens": cached },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_prompt_counts_once_and_each_answer_in_full() {
        let one = Usage {
            prompt_tokens: 10,
            answer_tokens: 3,
            ..Usage::default()
        };
        let usage = usage(&[one; 4], 2);
        assert_eq!(usage["prompt_tokens"], 20);
        assert_eq!(usage["completion_tokens"], 12);
        assert_eq!(usage["total_tokens"], 32);
    }

    #[test]
    fn errors_have_all_four_fields() {
        let body = Failed(Fault::invalid("no").at("n")).body();
        let expected = json!({ "error": {
            "message": "no", "type": "invalid_request_error", "param": "n", "code": null } });
        assert_eq!(body, expected);
    }
}
