use super::*;

fn guard() -> Guard {
    Guard::new("127.0.0.1:4780".parse().unwrap(), Tokens::new("secret"))
}

fn map(headers: &[(HeaderName, &'static str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(name, HeaderValue::from_static(value));
    }
    map
}

fn check(target: &'static str, headers: &[(HeaderName, &'static str)], allowed: bool) {
    let uri = Uri::from_static(target);
    let result = guard().check_local(&uri, &map(headers));
    assert_eq!(result.is_ok(), allowed, "{target} {headers:?}");
}

#[test]
fn only_own_hosts_pass() {
    for (host, allowed) in [
        ("127.0.0.1:4780", true),
        ("LOCALHOST:4780", true),
        ("[::1]:4780", true),
        ("localhost", false),
        ("127.0.0.1:4781", false),
        ("localhost.:4780", false),
        ("evil.example:4780", false),
        ("127.0.0.1:4780@evil.example", false),
    ] {
        check("/", &[(header::HOST, host)], allowed);
    }
    check("/", &[], false);
    let two = [(header::HOST, "127.0.0.1:4780"), (header::HOST, "evil")];
    check("/", &two, false);
}

#[test]
fn a_whole_url_in_the_request_line_is_judged_too() {
    let host = [(header::HOST, "127.0.0.1:4780")];
    check("http://127.0.0.1:4780/x", &host, true);
    check("http://evil.example/x", &host, false);
    check("https://127.0.0.1:4780/x", &host, false);
}

#[test]
fn only_own_origins_pass() {
    let host = (header::HOST, "127.0.0.1:4780");
    for (origin, allowed) in [
        ("http://localhost:4780", true),
        ("https://localhost:4780", false),
        ("http://evil.example", false),
        ("null", false),
    ] {
        check("/", &[host.clone(), (header::ORIGIN, origin)], allowed);
    }
}

#[test]
fn only_what_no_other_site_caused_passes() {
    let host = (header::HOST, "127.0.0.1:4780");
    for (site, allowed) in [
        ("none", true),
        ("same-origin", true),
        ("same-site", false),
        ("cross-site", false),
        ("", false),
    ] {
        check("/", &[host.clone(), (SEC_FETCH_SITE, site)], allowed);
    }
}

#[test]
fn only_the_token_passes() {
    let control =
        |value: &'static str| guard().check_token(&map(&[(header::AUTHORIZATION, value)]));
    assert!(control("Bearer secret").is_ok());
    assert!(control("Bearer secrets").is_err());
    assert!(control("secret").is_err());
    assert!(guard().check_token(&HeaderMap::new()).is_err());
}

#[test]
fn the_hub_token_writes_repositories_and_controls_nothing() {
    let token = hub_token("secret");
    assert!(token.len() >= 37 && token.bytes().skip(3).all(|b| b.is_ascii_alphanumeric()));
    let mut headers = HeaderMap::new();
    headers.insert(
        header::AUTHORIZATION,
        format!("Bearer {token}").parse().unwrap(),
    );
    let tokens = Tokens::new("secret");
    assert!(tokens.writes(&headers) && !tokens.controls(&headers));
    assert!(!Tokens::new("other").writes(&headers));
    assert!(!tokens.writes(&HeaderMap::new()));
}
