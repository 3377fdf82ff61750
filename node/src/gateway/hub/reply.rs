//! Answers as the hub's clients read them: JSON bodies, and errors with the headers that name them.
//!
//! Clients map errors to exceptions by `X-Error-Code`; without it every missing file becomes a puzzle.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::json;

use crate::api::{ErrorBody, ErrorCode};

pub(super) const ERROR_CODE: HeaderName = HeaderName::from_static("x-error-code");
pub(super) const ERROR_MESSAGE: HeaderName = HeaderName::from_static("x-error-message");
pub(super) const REPO_COMMIT: HeaderName = HeaderName::from_static("x-repo-commit");
pub(super) const TOTAL_COUNT: HeaderName = HeaderName::from_static("x-total-count");

/// How soon to ask again for what is not here yet, in seconds.
const RETRY_AFTER_SECONDS: u32 = 2;

pub(super) type Answer = Result<Response, Fault>;

/// Why a request is not answered as asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// There is no such repository, as far as this node can find out.
    NoRepo(String),
    /// The repository has no such branch, tag or commit.
    NoRevision(String),
    /// The revision has no such file or folder; its commit, so that clients can remember that.
    NoEntry { message: String, commit: String },
    /// Nothing is under this path.
    NoRoute,
    /// The request makes no sense.
    Invalid(String),
    /// Changing things wants a token.
    Unauthorized,
    /// The token does not allow it.
    Forbidden(String),
    /// It exists already. `url` says where.
    Exists {
        message: String,
        url: Option<String>,
    },
    /// Somebody else was faster.
    Stale(String),
    /// The body is larger than this route takes.
    TooLarge(String),
    /// The client was too slow with its body.
    TooSlow,
    /// Not under this method.
    Method,
    /// Not here yet: worth asking again.
    Later(String),
    /// The hub behind this node does not let this user in.
    Denied {
        status: u16,
        code: Option<String>,
        message: String,
    },
    /// The hub behind this node answers with something that is no answer.
    Upstream { message: String },
    /// This node cannot, for reasons of its own.
    Node(String),
}

impl Fault {
    fn parts(&self) -> (StatusCode, Option<&'static str>, &str) {
        match self {
            Self::NoRepo(message) => (StatusCode::NOT_FOUND, Some("RepoNotFound"), message),
            Self::NoRevision(message) => (StatusCode::NOT_FOUND, Some("RevisionNotFound"), message),
            Self::NoEntry { message, .. } => {
                (StatusCode::NOT_FOUND, Some("EntryNotFound"), message)
            }
            Self::NoRoute => (
                StatusCode::NOT_FOUND,
                None,
                "there is nothing under this path",
            ),
            Self::Invalid(message) => (StatusCode::BAD_REQUEST, None, message),
            Self::Unauthorized => (
                StatusCode::UNAUTHORIZED,
                None,
                "Invalid credentials in Authorization header: this node's own token is needed to change something; `weft env --hf` shows it as HF_TOKEN",
            ),
            Self::Forbidden(message) => (StatusCode::FORBIDDEN, None, message),
            Self::Exists { message, .. } => (StatusCode::CONFLICT, None, message),
            Self::Stale(message) => (StatusCode::PRECONDITION_FAILED, None, message),
            Self::TooLarge(message) => (StatusCode::PAYLOAD_TOO_LARGE, None, message),
            Self::TooSlow => (
                StatusCode::REQUEST_TIMEOUT,
                None,
                "the body came too slowly",
            ),
            Self::Method => (
                StatusCode::METHOD_NOT_ALLOWED,
                None,
                "this path does not answer to this method",
            ),
            Self::Later(message) => (StatusCode::TOO_MANY_REQUESTS, None, message),
            Self::Denied {
                status, message, ..
            } => {
                let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::FORBIDDEN);
                (status, None, message)
            }
            Self::Upstream { message } => (StatusCode::BAD_GATEWAY, None, message),
            Self::Node(message) => (StatusCode::INTERNAL_SERVER_ERROR, None, message),
        }
    }

    /// The same fault for a client that only retries another status: old Python clients retry 503 and not 429.
    pub(super) fn into_response_for(self, request: &HeaderMap) -> Response {
        let old = request
            .get(header::USER_AGENT)
            .and_then(|agent| agent.to_str().ok())
            .is_some_and(|agent| agent.contains("hf_hub/0."));
        let later = matches!(self, Self::Later(_));
        let mut response = self.into_response();
        if old && later {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        response
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let (status, code, message) = self.parts();
        let mut body = json!({ "error": message });
        if let Self::Exists { url: Some(url), .. } = &self {
            body["url"] = json!(url);
        }
        let mut response = with_json(status, &body);
        let headers = response.headers_mut();
        if let Some(code) = code {
            headers.insert(ERROR_CODE, HeaderValue::from_static(code));
        }
        if let Ok(message) = HeaderValue::from_str(&ascii(message)) {
            headers.insert(ERROR_MESSAGE, message);
        }
        match &self {
            Self::NoEntry { commit, .. } => {
                if let Ok(commit) = HeaderValue::from_str(commit) {
                    headers.insert(REPO_COMMIT, commit);
                }
            }
            Self::Denied {
                code: Some(code), ..
            } => {
                if let Ok(code) = HeaderValue::from_str(code) {
                    headers.insert(ERROR_CODE, code);
                }
            }
            Self::Later(_) => {
                headers.insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS.into());
            }
            // What is left of the body is not read, so the connection cannot go on.
            Self::TooLarge(_) | Self::TooSlow => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}

impl From<ErrorBody> for Fault {
    fn from(error: ErrorBody) -> Self {
        let message = match &error.hint {
            Some(hint) => format!("{}; {hint}", error.message),
            None => error.message.clone(),
        };
        match error.code {
            ErrorCode::NotFound => Self::NoRepo(message),
            ErrorCode::Usage => Self::Invalid(message),
            ErrorCode::Refused | ErrorCode::Verification => Self::Forbidden(message),
            ErrorCode::Offline | ErrorCode::Cancelled => Self::Later(message),
            ErrorCode::Storage | ErrorCode::Failure => Self::Node(message),
        }
    }
}

/// Header values are ASCII on the wire of every client that reads them.
fn ascii(text: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_graphic() || c == ' ' {
            c
        } else {
            '?'
        }
    };
    text.chars().map(plain).take(1_000).collect()
}

/// A JSON answer with status 200.
pub(super) fn ok<T: Serialize + ?Sized>(value: &T) -> Response {
    with_json(StatusCode::OK, value)
}

/// A JSON answer.
pub(super) fn with_json<T: Serialize + ?Sized>(status: StatusCode, value: &T) -> Response {
    let body = serde_json::to_vec(value).unwrap_or_else(|error| {
        tracing::error!(%error, "an answer cannot be written as JSON");
        br#"{"error":"the answer cannot be written"}"#.to_vec()
    });
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    (status, [(header::CONTENT_TYPE, json)], Body::from(body)).into_response()
}

/// Puts a header on an answer; what cannot be a header value is left out.
pub(super) fn put(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_carry_what_clients_look_at() {
        let fault = Fault::NoEntry {
            message: "no `x.txt` · here".to_owned(),
            commit: "a".repeat(40),
        };
        let response = fault.into_response();
        assert_eq!(response.status(), 404);
        assert_eq!(response.headers()[ERROR_CODE], "EntryNotFound");
        assert_eq!(response.headers()[REPO_COMMIT], "a".repeat(40));
        assert_eq!(response.headers()[ERROR_MESSAGE], "no `x.txt` ? here");
    }

    #[test]
    fn every_client_gets_the_status_that_it_retries() {
        let status = |agent: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
            let response = Fault::Later("soon".to_owned()).into_response_for(&headers);
            assert!(response.headers().contains_key(header::RETRY_AFTER));
            response.status().as_u16()
        };
        assert_eq!(status("unknown/None; hf_hub/0.36.2; python/3.11"), 503);
        assert_eq!(status("unknown/None; hf_hub/2.4.0; python/3.11"), 429);
    }
}
