//! One question to a web server: a range of a file, exactly.

use std::{ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use reqwest::{
    Response, StatusCode,
    header::{
        ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_RANGE, HeaderMap, LOCATION, RANGE, RETRY_AFTER,
    },
    redirect,
};
use rustls_platform_verifier::BuilderVerifierExt as _;
use url::Url;

use super::{
    SetupError,
    address::{Base, Guard, GuardedResolver, TooNear},
};

/// A TCP and TLS handshake on a bad line; whoever needs longer serves nobody.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Silence in the middle of an answer. Slow ones are for the machine to give up.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections kept for the next request: as many as one source has transfers.
const IDLE_MAX: usize = 8;
/// Redirects of one request: object stores behind hubs need one or two.
const REDIRECTS_MAX: usize = 5;
/// Header lines of one answer; a verbose one has thirty.
const HEADERS_MAX: usize = 64;
/// How long a server that says 429 or 503 without saying more is left alone.
const BUSY_DEFAULT: Duration = Duration::from_secs(5);
/// Longer than this, and the transfer fails instead of waiting.
const BUSY_MAX: Duration = Duration::from_secs(120);

/// Why an answer is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Come back later.
    #[error("the origin is busy for {0:?}")]
    Busy(Duration),
    /// The origin does not let us in.
    #[error("the origin refuses with status {0}")]
    Refused(StatusCode),
    /// A status that brings no content.
    #[error("the origin answers with status {0}")]
    Status(StatusCode),
    /// It leads in circles, nowhere, or where it must not.
    #[error("the origin redirects {0}")]
    Redirect(&'static str),
    /// An answer to another question than the one that was asked.
    #[error("the origin sends {0}")]
    Answer(&'static str),
    /// The connection.
    #[error("the connection to the origin failed: {0}")]
    Connection(String),
}

impl From<TooNear> for Failure {
    fn from(_: TooNear) -> Self {
        Self::Redirect("to an address nearer than its own")
    }
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        // Its URL may hold a secret. The cause at the end of the chain says most.
        let error = error.without_url();
        let mut cause: &dyn std::error::Error = &error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        Self::Connection(cause.to_string())
    }
}

/// The HTTP side of one origin.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    guard: Arc<Guard>,
}

/// The content of an answer: as many bytes as were asked for, or an error.
#[derive(Debug)]
pub(super) struct Body {
    response: Response,
    left: u64,
}

impl Client {
    /// A client that talks to the server of `base` and to those it redirects to.
    pub(super) fn new(base: &Base) -> Result<Self, SetupError> {
        let (http, guard) = http(base)?;
        Ok(Self { http, guard })
    }

    /// Asks for `bytes` of the file at `url`, which has `size` bytes.
    pub(super) async fn get(
        &self,
        url: Url,
        bytes: &Range<u64>,
        size: u64,
    ) -> Result<Body, Failure> {
        let range = format!("bytes={}-{}", bytes.start, bytes.end.saturating_sub(1));
        let mut at = url;
        for _ in 0..=REDIRECTS_MAX {
            self.guard.check(&at)?;
            let request = self
                .http
                .get(at.clone())
                .header(RANGE, &range)
                // Compressed bytes are other bytes.
                .header(ACCEPT_ENCODING, "identity");
            let response = request.send().await?;
            if !response.status().is_redirection() {
                return check(response, bytes, size);
            }
            at = next_hop(&at, response.headers())?;
        }
        Err(Failure::Redirect("too often"))
    }
}

/// What speaks HTTP to the server of `base` and to those it redirects to, by the rules of this module.
pub(crate) fn http(base: &Base) -> Result<(reqwest::Client, Arc<Guard>), SetupError> {
    let guard = Arc::new(Guard::default());
    // An address in the URL settles at once how far away the origin is.
    guard
        .check(base.url())
        .map_err(|error| SetupError(error.to_string()))?;
    let http = reqwest::Client::builder()
        .tls_backend_preconfigured(tls()?)
        .dns_resolver(GuardedResolver(Arc::clone(&guard)))
        // Followed by hand: each hop is judged.
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        // A proxy would look names up and connect in our place, past the guard.
        .no_proxy()
        .referer(false)
        .http1_only()
        .http1_max_headers(HEADERS_MAX)
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .pool_max_idle_per_host(IDLE_MAX)
        .user_agent(concat!("weft/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| SetupError(error.without_url().to_string()))?;
    Ok((http, guard))
}

/// Where a redirect leads.
pub(crate) fn next_hop(from: &Url, headers: &HeaderMap) -> Result<Url, Failure> {
    let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let mut to = location
        .and_then(|location| from.join(location).ok())
        .ok_or(Failure::Redirect("nowhere"))?;
    match (from.scheme(), to.scheme()) {
        ("https", "https") | ("http", "http" | "https") => {}
        ("https", "http") => return Err(Failure::Redirect("from HTTPS to HTTP")),
        _ => return Err(Failure::Redirect("to another protocol")),
    }
    // Ours go to the server that they were given for, and an origin has none to give.
    let (user, password) = if from.origin() == to.origin() {
        (from.username().to_owned(), from.password())
    } else {
        (String::new(), None)
    };
    to.set_username(&user)
        .and_then(|()| to.set_password(password))
        .map_err(|()| Failure::Redirect("nowhere"))?;
    Ok(to)
}

/// Whether an answer holds just what was asked for.
fn check(response: Response, bytes: &Range<u64>, size: u64) -> Result<Body, Failure> {
    let headers = response.headers();
    match response.status() {
        StatusCode::PARTIAL_CONTENT => {
            let range = headers.get(CONTENT_RANGE).and_then(|v| v.to_str().ok());
            let expected = format!("bytes {}-{}/", bytes.start, bytes.end.saturating_sub(1));
            let total = range.and_then(|range| range.strip_prefix(&expected));
            match total {
                Some("*") => {}
                Some(total) if total.parse() == Ok(size) => {}
                Some(_) => return Err(Failure::Answer("a file of another size")),
                None => return Err(Failure::Answer("another range")),
            }
        }
        // A server that knows no ranges may still be asked for whole files.
        StatusCode::OK if *bytes != (0..size) => {
            return Err(Failure::Answer("the whole file instead of a range"));
        }
        StatusCode::OK => {}
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            return Err(Failure::Busy(retry_after(headers)));
        }
        status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
            return Err(Failure::Refused(status));
        }
        status => return Err(Failure::Status(status)),
    }
    let encoding = headers.get(CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Failure::Answer("compressed bytes"));
    }
    let left = bytes.end - bytes.start;
    if response
        .content_length()
        .is_some_and(|length| length != left)
    {
        return Err(Failure::Answer("another number of bytes"));
    }
    Ok(Body { response, left })
}

/// For how long a busy server wants to be left alone. Dates are not read: they need two clocks that agree.
fn retry_after(headers: &HeaderMap) -> Duration {
    let text = headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok());
    let seconds = text.and_then(|text| text.trim().parse().ok());
    seconds.map_or(BUSY_DEFAULT, Duration::from_secs)
}

impl Failure {
    /// How long to wait before the same question is asked again, if it is worth it.
    pub(super) fn pause(&self) -> Option<Duration> {
        match self {
            Self::Busy(pause) => Some(*pause).filter(|pause| *pause <= BUSY_MAX),
            Self::Refused(_)
            | Self::Status(_)
            | Self::Redirect(_)
            | Self::Answer(_)
            | Self::Connection(_) => None,
        }
    }
}

impl Body {
    /// The next bytes; `None` when all have come.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        if self.left == 0 {
            return Ok(None);
        }
        let Some(mut bytes) = self.response.chunk().await? else {
            return Err(Failure::Connection("it ended too early".to_owned()));
        };
        // More than was asked for is not read.
        bytes.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= bytes.len() as u64;
        Ok(Some(bytes))
    }
}

fn tls() -> Result<rustls::ClientConfig, SetupError> {
    let failed = |error: rustls::Error| SetupError(error.to_string());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions();
    match builder.clone().map_err(failed)?.with_platform_verifier() {
        Ok(verifying) => Ok(verifying.with_no_client_auth()),
        Err(error) => {
            // Plain HTTP still works, and every HTTPS server is refused.
            tracing::debug!(%error, "no certificates are trusted on this machine");
            let trusted = rustls::RootCertStore::empty();
            let builder = builder.map_err(failed)?;
            Ok(builder
                .with_root_certificates(trusted)
                .with_no_client_auth())
        }
    }
}
