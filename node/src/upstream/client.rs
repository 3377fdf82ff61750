//! Questions to the upstream hub over HTTP: one request, judged; nothing is kept here.
//!
//! The hub is the one that the user named. Its redirects are followed by the rules of every origin (see
//! [`crate::origin`]): no nearer than it is itself, and not from HTTPS to HTTP. The user's token goes to the hub's own
//! server only, is shown in no log and outlives no request.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{
    Response, StatusCode,
    header::{
        ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE,
        HeaderMap, HeaderName, HeaderValue, LINK, RANGE, RETRY_AFTER,
    },
};
use serde_json::Value;
use url::Url;

use super::Kind;
use crate::origin::{Base, Guard, http, next_hop};

/// Redirects of one request.
const REDIRECTS_MAX: usize = 5;
/// The longest answer that is no file: a list of a hundred thousand files in pages has some hundred KiB each.
const JSON_LEN_MAX: usize = 64 * 1024 * 1024;
/// How long a busy hub that does not say more is left alone.
const BUSY_DEFAULT: Duration = Duration::from_secs(2);
const ERROR_CODE: HeaderName = HeaderName::from_static("x-error-code");

/// What stands in a path segment as it is.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');
const PATH: &AsciiSet = &SEGMENT.remove(b'/');

/// The `Authorization` that a client sent for the hub.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(HeaderValue);

impl Token {
    pub(crate) fn new(value: &HeaderValue) -> Self {
        let mut value = value.clone();
        value.set_sensitive(true);
        Self(value)
    }

    /// Out of what a user wrote; `None` if no token looks like that.
    pub(crate) fn bearer(token: &str) -> Option<Self> {
        let token = token.trim();
        let value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
        (!token.is_empty()).then(|| Self::new(&value))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// Why the hub did not give what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Trouble {
    /// It says that there is no such thing.
    #[error("{hub} says: {message}")]
    Missing {
        hub: String,
        /// As in `X-Error-Code`.
        code: String,
        message: String,
    },
    /// It does not let this user in.
    #[error("{hub} refuses with status {status}: {message}")]
    Denied {
        hub: String,
        status: u16,
        code: Option<String>,
        message: String,
    },
    /// It wants to be left alone for a while.
    #[error("{hub} is busy (status {status})")]
    Busy {
        hub: String,
        status: u16,
        pause: Duration,
    },
    /// The connection failed or broke.
    #[error("{hub} cannot be reached: {reason}")]
    Unreachable { hub: String, reason: String },
    /// Its answer is none.
    #[error("{hub} {what}")]
    Nonsense { hub: String, what: String },
}

impl Trouble {
    /// Whether the same question may be answered another time.
    pub(crate) fn may_pass(&self) -> bool {
        !matches!(self, Self::Missing { .. } | Self::Denied { .. })
    }

    /// How long to wait before asking again.
    pub(super) fn pause(&self) -> Option<Duration> {
        match self {
            Self::Busy { pause, .. } => Some(*pause),
            _ => None,
        }
    }
}

/// The way to one hub.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    guard: Arc<Guard>,
    base: Base,
}

/// The bytes of a file on their way.
pub(super) struct Download {
    response: Response,
    hub: String,
    left: u64,
}

/// A page of JSON, and where the next one is.
pub(super) struct Page {
    pub(super) value: Value,
    pub(super) next: Option<Url>,
}

impl Client {
    pub(super) fn new(base: Base) -> Result<Self, String> {
        let (http, guard) = http(&base).map_err(|error| error.to_string())?;
        Ok(Self { http, guard, base })
    }

    /// Scheme, host and port, for people.
    pub(super) fn name(&self) -> String {
        self.base.name()
    }

    /// The whole URL: what names the hub in keys.
    pub(super) fn url(&self) -> String {
        self.base.url().as_str().trim_end_matches('/').to_owned()
    }

    /// `/api/{kind}s/{id}{rest}`, where `rest` is a path and query that is ready to be sent.
    pub(super) fn api(&self, kind: Kind, id: &str, rest: &str) -> Option<Url> {
        let id = utf8_percent_encode(id, PATH);
        self.join(&format!("api/{}s/{id}{rest}", kind.singular()))
    }

    fn file(&self, kind: Kind, id: &str, commit: &str, path: &str) -> Option<Url> {
        let id = utf8_percent_encode(id, PATH);
        let path = utf8_percent_encode(path, PATH);
        self.join(&format!("{}{id}/resolve/{commit}/{path}", kind.prefix()))
    }

    fn join(&self, rest: &str) -> Option<Url> {
        Url::parse(&format!("{}/{rest}", self.url())).ok()
    }

    /// One segment of a path, encoded.
    pub(super) fn segment(text: &str) -> String {
        utf8_percent_encode(text, SEGMENT).to_string()
    }

    /// Asks for JSON.
    pub(super) async fn json(&self, url: Url, token: Option<&Token>) -> Result<Page, Trouble> {
        let response = self.get(url, token, None).await?;
        let response = self.check(response)?;
        let is_page = of(response.headers(), &CONTENT_TYPE).is_some_and(|t| t.contains("html"));
        if is_page {
            return Err(self.nonsense("sends a web page instead of an answer"));
        }
        let next = of(response.headers(), &LINK).and_then(next_page);
        let next = next.and_then(|next| response.url().join(&next).ok());
        let next = next.filter(|next| next.origin() == self.base.url().origin());
        let mut response = response;
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(|e| self.broken(e))? {
            body.extend_from_slice(&part);
            if body.len() > JSON_LEN_MAX {
                return Err(self.nonsense("sends an answer without end"));
            }
        }
        let value = serde_json::from_slice(&body)
            .map_err(|_| self.nonsense("sends something that is no JSON"))?;
        Ok(Page { value, next })
    }

    /// Asks for a file from `start` on.
    pub(super) async fn download(
        &self,
        (kind, id, commit, path): (Kind, &str, &str, &str),
        start: u64,
        size: u64,
        token: Option<&Token>,
    ) -> Result<Download, Trouble> {
        let url = self.file(kind, id, commit, path);
        let url = url.ok_or_else(|| self.nonsense("cannot be asked for this path"))?;
        let response = self.get(url, token, Some(start)).await?;
        let response = self.check(response)?;
        let headers = response.headers();
        let is_page = of(headers, &CONTENT_TYPE).is_some_and(|kind| kind.contains("text/html"));
        let ends = path.rsplit('.').next().unwrap_or_default();
        if is_page && !ends.to_ascii_lowercase().starts_with("htm") {
            return Err(self.nonsense("sends a web page instead of the file"));
        }
        if of(headers, &CONTENT_ENCODING).is_some_and(|e| !e.eq_ignore_ascii_case("identity")) {
            return Err(self.nonsense("sends compressed bytes"));
        }
        match response.status() {
            StatusCode::PARTIAL_CONTENT => {
                let expected = format!("bytes {start}-{}/{size}", size.saturating_sub(1));
                if of(headers, &CONTENT_RANGE) != Some(expected.as_str()) {
                    return Err(self.nonsense("sends another range, or a file of another size"));
                }
            }
            // A server that knows no ranges sends all of it.
            _ if start == 0 => {}
            _ => return Err(self.nonsense("sends the whole file instead of a range")),
        }
        let left = size - start;
        if response.content_length().is_some_and(|len| len != left) {
            return Err(self.nonsense("sends a file of another size than it told"));
        }
        Ok(Download {
            response,
            hub: self.name(),
            left,
        })
    }

    async fn get(
        &self,
        url: Url,
        token: Option<&Token>,
        start: Option<u64>,
    ) -> Result<Response, Trouble> {
        let own = self.base.url().origin();
        let mut at = url;
        for _ in 0..=REDIRECTS_MAX {
            let judged = self.guard.check(&at);
            judged.map_err(|_| self.nonsense("redirects to an address nearer than its own"))?;
            let mut request = self
                .http
                .get(at.clone())
                .header(ACCEPT_ENCODING, "identity");
            if let Some(start) = start {
                request = request.header(RANGE, format!("bytes={start}-"));
            } else {
                request = request.header(ACCEPT, "application/json");
            }
            if let Some(token) = token.filter(|_| at.origin() == own) {
                request = request.header(AUTHORIZATION, token.0.clone());
            }
            let response = request.send().await.map_err(|error| self.broken(error))?;
            if !response.status().is_redirection() {
                return Ok(response);
            }
            let next = next_hop(&at, response.headers());
            at = next.map_err(|error| self.nonsense(&error.to_string()))?;
        }
        Err(self.nonsense("redirects too often"))
    }

    fn check(&self, response: Response) -> Result<Response, Trouble> {
        let status = response.status();
        if matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT) {
            return Ok(response);
        }
        let hub = self.name();
        let code = of(response.headers(), &ERROR_CODE).map(str::to_owned);
        let pause = of(response.headers(), &RETRY_AFTER).and_then(|text| text.trim().parse().ok());
        let message = of(
            response.headers(),
            &HeaderName::from_static("x-error-message"),
        );
        let message = message.map_or_else(|| status.to_string(), str::to_owned);
        Err(match status.as_u16() {
            404 => Trouble::Missing {
                hub,
                code: code.unwrap_or_else(|| "RepoNotFound".to_owned()),
                message,
            },
            // What a hub says to strangers of what does not exist.
            401 if code.as_deref() == Some("RepoNotFound") => Trouble::Missing {
                hub,
                code: "RepoNotFound".to_owned(),
                message,
            },
            status @ (401 | 403) => Trouble::Denied {
                hub,
                status,
                code,
                message,
            },
            status @ (408 | 429 | 500..=599) => Trouble::Busy {
                hub,
                status,
                pause: pause.map_or(BUSY_DEFAULT, Duration::from_secs),
            },
            status => self.nonsense(&format!("answers with status {status}")),
        })
    }

    pub(super) fn nonsense(&self, what: &str) -> Trouble {
        Trouble::Nonsense {
            hub: self.name(),
            what: what.to_owned(),
        }
    }

    fn broken(&self, error: reqwest::Error) -> Trouble {
        broken(self.name(), error)
    }
}

impl Download {
    /// The next bytes; `None` when all have come. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Trouble> {
        if self.left == 0 {
            return Ok(None);
        }
        let part = self.response.chunk().await;
        match part.map_err(|error| broken(self.hub.clone(), error))? {
            Some(mut bytes) => {
                bytes.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
                self.left -= bytes.len() as u64;
                Ok(Some(bytes))
            }
            None => Err(Trouble::Unreachable {
                hub: self.hub.clone(),
                reason: "the answer ended too early".to_owned(),
            }),
        }
    }
}

fn broken(hub: String, error: reqwest::Error) -> Trouble {
    // Its URL may hold a secret. The cause at the end of the chain says most.
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    Trouble::Unreachable {
        hub,
        reason: cause.to_string(),
    }
}

fn of<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The target of `rel="next"` in a `Link` header.
fn next_page(link: &str) -> Option<String> {
    link.split(',').find_map(|one| {
        let (target, rest) = one.trim().strip_prefix('<')?.split_once('>')?;
        rest.contains("rel=\"next\"").then(|| target.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_in_no_text() {
        let token = Token::new(&HeaderValue::from_static("Bearer hf_secret"));
        assert!(!format!("{token:?}").contains("secret"));
    }

    #[test]
    fn next_page_is_read_from_a_link() {
        let link = "<http://h/a?cursor=1>; rel=\"next\", <http://h/b>; rel=\"prev\"";
        assert_eq!(next_page(link).as_deref(), Some("http://h/a?cursor=1"));
        assert_eq!(next_page("<http://h/b>; rel=\"prev\""), None);
    }
}
