//! Who may talk to the local port.
//!
//! Every request passes [`local`] before anything looks at it. It is about browsers: a web page can send requests to
//! this port, but it cannot forge the `Host`, `Origin` and `Sec-Fetch-Site` that its browser adds. So exactly the
//! addresses of this port are accepted as a host (a name that somebody's DNS points at 127.0.0.1 is not one), and
//! nothing that another site caused. No answer ever allows another origin to read it.
//!
//! Whether a request may *change* something is a second question, answered by [`token`] for the control API and by
//! the endpoint itself elsewhere.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Uri, header, uri::Scheme},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::routes::Failure;
use crate::api::{ErrorBody, ErrorCode};

#[cfg(test)]
mod tests;

/// Says how the page came to send the request; set by browsers, not by pages.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Keeps other origins from embedding an answer, which needs no permission to read.
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
/// Separates the hub's token from the secret it is made of.
const HUB_TOKEN_CONTEXT: &str = "weft 2026 token of the local hub endpoint";
/// Separates the key of upload addresses from the same.
const UPLOADS_CONTEXT: &str = "weft 2026 addresses of uploads";

/// What a request must show.
#[derive(Debug)]
pub(super) struct Guard {
    hosts: Vec<String>,
    tokens: Tokens,
}

/// The two secrets that programs on this machine may show.
#[derive(Debug, Clone)]
pub(super) struct Tokens {
    control: blake3::Hash,
    hub: blake3::Hash,
    uploads: [u8; 32],
}

impl Tokens {
    pub(super) fn new(control: &str) -> Self {
        Self {
            control: blake3::hash(control.as_bytes()),
            hub: blake3::hash(hub_token(control).as_bytes()),
            uploads: blake3::derive_key(UPLOADS_CONTEXT, control.trim().as_bytes()),
        }
    }

    /// The key of the addresses that uploads are sent to.
    pub(super) fn upload_key(&self) -> [u8; 32] {
        self.uploads
    }

    /// Whether a request may use the control API.
    fn controls(&self, headers: &HeaderMap) -> bool {
        shown(headers).is_some_and(|shown| shown == self.control)
    }

    /// Whether a request may change repositories through the hub endpoint.
    pub(super) fn writes(&self, headers: &HeaderMap) -> bool {
        shown(headers).is_some_and(|shown| shown == self.hub || shown == self.control)
    }
}

/// What hub clients show to write (`HF_TOKEN`): made of the control token and weaker than it, because those clients
/// keep it in files of their own.
pub fn hub_token(control: &str) -> String {
    let derived = blake3::derive_key(HUB_TOKEN_CONTEXT, control.trim().as_bytes());
    let text = weft_protocol::id::BlobHash::new(derived).to_string();
    // Some clients only take what looks like a hub's token: `hf_` and at least 34 letters and digits.
    format!("hf_{}", text.get(..40).unwrap_or(&text))
}

/// The hash of the shown token. Hashes are compared, so that time tells nothing about a token.
fn shown(headers: &HeaderMap) -> Option<blake3::Hash> {
    let shown = one(headers, &header::AUTHORIZATION)?.strip_prefix("Bearer ")?;
    Some(blake3::hash(shown.as_bytes()))
}

/// The value of a header that is there exactly once.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

impl Guard {
    pub(super) fn new(address: SocketAddr, tokens: Tokens) -> Self {
        let port = address.port();
        let mut hosts: Vec<_> = ["127.0.0.1", "localhost", "[::1]"]
            .iter()
            .map(|host| format!("{host}:{port}"))
            .collect();
        let bound = address.to_string();
        if !hosts.contains(&bound) {
            // Another loopback address that the user chose.
            hosts.push(bound);
        }
        Self { hosts, tokens }
    }

    /// Whether a `Host` value, or the host part of an `Origin`, is this port.
    fn is_own(&self, host: &str) -> bool {
        self.hosts.iter().any(|own| own.eq_ignore_ascii_case(host))
    }

    fn check_local(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), ErrorBody> {
        if !one(headers, &header::HOST).is_some_and(|host| self.is_own(host)) {
            return Err(refused("the Host header is not this node's local address"));
        }
        // A request line with a whole URL in it, as proxies get them.
        let own_authority = uri.authority().is_none_or(|a| self.is_own(a.as_str()));
        let own_scheme = uri.scheme().is_none_or(|scheme| *scheme == Scheme::HTTP);
        if !own_authority || !own_scheme {
            return Err(refused("this is no proxy"));
        }
        if headers.contains_key(header::ORIGIN) {
            let own = one(headers, &header::ORIGIN)
                .and_then(|origin| origin.strip_prefix("http://"))
                .is_some_and(|host| self.is_own(host));
            if !own {
                return Err(refused("requests from web pages elsewhere are refused"));
            }
        }
        if headers.contains_key(SEC_FETCH_SITE) {
            // `same-site` is another port or another name of this machine: somebody else's page all the same.
            let own = matches!(one(headers, &SEC_FETCH_SITE), Some("none" | "same-origin"));
            if !own {
                return Err(refused("requests from web pages elsewhere are refused"));
            }
        }
        Ok(())
    }

    fn check_token(&self, headers: &HeaderMap) -> Result<(), ErrorBody> {
        if self.tokens.controls(headers) {
            return Ok(());
        }
        Err(refused("the control token is missing or wrong")
            .with_hint("it lies in the data directory as `control.token`"))
    }
}

/// Lets only programs on this machine through, and no web page of another site.
pub(super) async fn local(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = match guard.check_local(request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => Failure(error).into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    // A page that somebody published is shown, if at all, as a page without scripts and without an origin.
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; sandbox"),
    );
    response
}

/// Lets only holders of the control token through.
pub(super) async fn token(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    match guard.check_token(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => Failure(error).into_response(),
    }
}

fn refused(message: &str) -> ErrorBody {
    ErrorBody::new(ErrorCode::Refused, message)
}
