//! Who may talk to the local port.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::routes::Failure;
use crate::api::{ErrorBody, ErrorCode};

/// What a request must show.
#[derive(Debug)]
pub(super) struct Guard {
    hosts: Vec<String>,
    token: String,
}

impl Guard {
    pub(super) fn new(address: SocketAddr, token: String) -> Self {
        let port = address.port();
        let hosts = ["127.0.0.1", "localhost", "[::1]"]
            .iter()
            .map(|host| format!("{host}:{port}"))
            .collect();
        Self { hosts, token }
    }

    /// Whether a `Host` value, or the host part of an `Origin`, is this port.
    fn is_own(&self, host: &str) -> bool {
        self.hosts.iter().any(|own| own.eq_ignore_ascii_case(host))
    }

    fn check_local(&self, headers: &HeaderMap) -> Result<(), ErrorBody> {
        let one = |name: header::HeaderName| {
            let mut values = headers.get_all(name).iter();
            match (values.next(), values.next()) {
                (Some(value), None) => value.to_str().ok(),
                _ => None,
            }
        };
        if !one(header::HOST).is_some_and(|host| self.is_own(host)) {
            return Err(refused("the Host header is not this node's local address"));
        }
        if headers.contains_key(header::ORIGIN) {
            let own = one(header::ORIGIN)
                .and_then(|origin| origin.strip_prefix("http://"))
                .is_some_and(|host| self.is_own(host));
            if !own {
                return Err(refused("requests from web pages elsewhere are refused"));
            }
        }
        Ok(())
    }

    fn check_token(&self, headers: &HeaderMap) -> Result<(), ErrorBody> {
        let shown = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "));
        // Hashes of the two are compared, so that time tells nothing about the token.
        if shown.is_some_and(|shown| {
            blake3::hash(shown.as_bytes()) == blake3::hash(self.token.as_bytes())
        }) {
            Ok(())
        } else {
            Err(refused("the control token is missing or wrong")
                .with_hint("it lies in the data directory as `control.token`"))
        }
    }
}

/// Lets only programs on this machine through, and no web page of another site.
pub(super) async fn local(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    match guard.check_local(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => Failure(error).into_response(),
    }
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

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn guard() -> Guard {
        Guard::new("127.0.0.1:4780".parse().unwrap(), "secret".to_owned())
    }

    fn check(headers: &[(header::HeaderName, &'static str)], allowed: bool) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, HeaderValue::from_static(value));
        }
        assert_eq!(guard().check_local(&map).is_ok(), allowed, "{headers:?}");
    }

    #[test]
    fn only_own_hosts_pass() {
        check(&[(header::HOST, "127.0.0.1:4780")], true);
        check(&[(header::HOST, "LOCALHOST:4780")], true);
        check(&[(header::HOST, "[::1]:4780")], true);
        check(&[(header::HOST, "localhost")], false);
        check(&[(header::HOST, "127.0.0.1:4781")], false);
        check(&[(header::HOST, "evil.example:4780")], false);
        check(&[], false);
        check(
            &[
                (header::HOST, "127.0.0.1:4780"),
                (header::HOST, "evil.example"),
            ],
            false,
        );
    }

    #[test]
    fn only_own_origins_pass() {
        let host = (header::HOST, "127.0.0.1:4780");
        check(
            &[host.clone(), (header::ORIGIN, "http://localhost:4780")],
            true,
        );
        check(
            &[host.clone(), (header::ORIGIN, "https://localhost:4780")],
            false,
        );
        check(
            &[host.clone(), (header::ORIGIN, "http://evil.example")],
            false,
        );
        check(&[host, (header::ORIGIN, "null")], false);
    }

    #[test]
    fn only_the_token_passes() {
        let check = |value: Option<&'static str>| {
            let mut map = HeaderMap::new();
            if let Some(value) = value {
                map.insert(header::AUTHORIZATION, HeaderValue::from_static(value));
            }
            guard().check_token(&map).is_ok()
        };
        assert!(check(Some("Bearer secret")));
        assert!(!check(Some("Bearer secrets")));
        assert!(!check(Some("secret")));
        assert!(!check(None));
    }
}
