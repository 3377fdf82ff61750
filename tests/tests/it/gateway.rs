//! The guard of the local port: who is let in, who is not, and that a refused request changes nothing.

use std::fs;

use anyhow::{Result, ensure};
use weft_tests::{Node, Options, World, http};

/// Would give the publisher of this id a name here, if it were let through.
const CHANGE: &str =
    r#"{"name":"mallory","publisher":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}"#;
const ALIASES: &str = "/weft/v1/aliases";

/// One column of the matrix: a value, and whether it is let through.
type Column = Vec<(Option<String>, bool)>;

fn hosts(port: &str) -> Column {
    let good = ["127.0.0.1", "localhost", "LocalHost", "[::1]"];
    // Other spellings of the same address, names that somebody's DNS could point here, and tricks.
    let bad = [
        "127.1",
        "127.0.0.2",
        "2130706433",
        "0x7f000001",
        "0.0.0.0",
        "[::ffff:127.0.0.1]",
        "[::]",
        "localhost.",
        "localhost.evil.example",
        "evil.example",
        "127.0.0.1.nip.io",
        "user@127.0.0.1",
    ];
    let mut all: Column = Vec::new();
    all.extend(good.map(|host| (Some(format!("{host}:{port}")), true)));
    all.extend(bad.map(|host| (Some(format!("{host}:{port}")), false)));
    all.extend(["127.0.0.1", "localhost", "127.0.0.1:1", ""].map(|h| (Some(h.to_owned()), false)));
    all.push((None, false));
    all
}

fn origins(port: &str) -> Column {
    let own = [
        format!("http://127.0.0.1:{port}"),
        format!("http://localhost:{port}"),
    ];
    let other = [
        "null".to_owned(),
        "http://evil.example".to_owned(),
        format!("https://127.0.0.1:{port}"),
        "http://127.0.0.1:1".to_owned(),
        format!("http://evil.example:{port}"),
    ];
    let mut all: Column = vec![(None, true)];
    all.extend(own.map(|origin| (Some(origin), true)));
    all.extend(other.map(|origin| (Some(origin), false)));
    all
}

/// What is asked, with what kind of body, and the status of one that is let through.
fn requests() -> Vec<(&'static str, &'static str, Option<&'static str>, u16)> {
    vec![
        ("GET", "/health", None, 200),
        ("HEAD", "/api/models", None, 200),
        ("GET", "/weft/v1/status", None, 200),
        ("GET", "/weft/v1/nothing", None, 404),
        ("GET", "/a/b/resolve/main/c", None, 404),
        ("GET", "/v1/models", None, 200),
        ("HEAD", "/", None, 200),
        ("GET", "/api/tags", None, 200),
        ("OPTIONS", "/v1/chat/completions", None, 405),
        ("OPTIONS", "/api/chat", None, 405),
        ("POST", "/v1/chat/completions", Some("text/plain"), 400),
        ("POST", "/v1/embeddings", None, 400),
        ("POST", "/api/generate", Some("text/plain"), 404),
        (
            "POST",
            "/api/pull",
            Some("application/x-www-form-urlencoded"),
            404,
        ),
        ("OPTIONS", ALIASES, None, 405),
        ("OPTIONS", "/api/models", None, 405),
        ("DELETE", ALIASES, None, 405),
        ("POST", ALIASES, Some("text/plain"), 400),
        (
            "POST",
            ALIASES,
            Some("application/x-www-form-urlencoded"),
            400,
        ),
        (
            "POST",
            ALIASES,
            Some("multipart/form-data; boundary=x"),
            400,
        ),
        ("POST", ALIASES, None, 400),
    ]
}

#[derive(Clone, Copy)]
struct Case<'a> {
    method: &'a str,
    target: &'a str,
    host: &'a Option<String>,
    origin: &'a Option<String>,
    kind: Option<&'a str>,
    extra: &'a [(&'a str, &'a str)],
    token: Option<&'a str>,
}

fn status(node: &Node, case: &Case<'_>) -> Result<u16> {
    let mut head = format!(
        "{} {} HTTP/1.1\r\nConnection: close\r\n",
        case.method, case.target
    );
    let mut add = |name: &str, value: &str| head.push_str(&format!("{name}: {value}\r\n"));
    for (name, value) in [("Host", case.host), ("Origin", case.origin)] {
        if let Some(value) = value {
            add(name, value);
        }
    }
    if let Some(token) = case.token {
        add("Authorization", &format!("Bearer {token}"));
    }
    for (name, value) in case.extra {
        add(name, value);
    }
    if let Some(kind) = case.kind {
        add("Content-Type", kind);
    }
    let body = if case.method == "POST" { CHANGE } else { "" };
    add("Content-Length", &body.len().to_string());
    head.push_str("\r\n");
    head.push_str(body);
    let reply = http::exchange(node.gateway(), case.method, head.as_bytes())?;
    let allows = reply
        .headers
        .iter()
        .find(|(name, _)| name.starts_with("access-control"));
    ensure!(allows.is_none(), "another origin is let in: {allows:?}");
    ensure!(
        reply.header("cross-origin-resource-policy") == Some("same-origin"),
        "may be embedded elsewhere: {:?}",
        reply.headers
    );
    Ok(reply.status)
}

fn aliases(node: &Node, token: &str) -> Result<String> {
    let bearer = format!("Bearer {token}");
    let reply = http::send(
        node.gateway(),
        "GET",
        ALIASES,
        &[("Authorization", &bearer)],
        &[],
    )?;
    ensure!(reply.status == 200, "{reply:?}");
    Ok(reply.text())
}

#[test]
fn only_this_machines_own_requests_are_let_in_and_refused_ones_change_nothing() -> Result<()> {
    let world = World::new()?;
    let node = world.node("alice", Options::default())?;
    let port = node
        .gateway()
        .rsplit(':')
        .next()
        .unwrap_or_default()
        .to_owned();
    let token = fs::read_to_string(node.home().join("control.token"))?;
    let token = token.trim();
    let before = aliases(&node, token)?;

    let mut cases = 0;
    for (host, host_good) in &hosts(&port) {
        for (origin, origin_good) in &origins(&port) {
            for (method, target, kind, allowed) in requests() {
                // All pairs of the bad with everything, and all of the good, would be thousands: each bad value
                // meets every request, and every good pair does.
                if !host_good && !origin_good {
                    continue;
                }
                let expected = if *host_good && *origin_good {
                    allowed
                } else {
                    403
                };
                let case = Case {
                    method,
                    target,
                    host,
                    origin,
                    kind,
                    extra: &[],
                    token: Some(token),
                };
                let status = status(&node, &case)?;
                cases += 1;
                ensure!(
                    status == expected,
                    "{method} {target} {kind:?} from {host:?}, {origin:?}: {status}, not {expected}"
                );
            }
        }
    }
    ensure!(cases >= 200, "only {cases} cases");
    ensure!(aliases(&node, token)? == before, "something was changed");

    // The same request is carried out when nothing is wrong with it: the cases above could have changed something.
    let own = Some(format!("127.0.0.1:{port}"));
    let json = Some("application/json");
    let mut case = Case {
        method: "POST",
        target: ALIASES,
        host: &own,
        origin: &None,
        kind: json,
        extra: &[],
        token: Some(token),
    };
    for site in ["cross-site", "same-site", "", "Same-Origin"] {
        let extra = [("Sec-Fetch-Site", site)];
        let case = Case {
            extra: &extra,
            ..case
        };
        ensure!(status(&node, &case)? == 403, "{site} was let in");
    }
    for wrong in [None, Some("x"), Some("")] {
        case.token = wrong;
        ensure!(status(&node, &case)? == 403, "{wrong:?} was let in");
    }
    case.token = Some(token);
    for prefix in [
        "http://evil.example",
        "https://127.0.0.1:1",
        "http://127.0.0.1:1",
    ] {
        let target = format!("{prefix}{ALIASES}");
        let case = Case {
            target: &target,
            ..case
        };
        ensure!(status(&node, &case)? == 403, "{target} was let in");
    }
    let two = [("Host", "evil.example")];
    case.extra = &two;
    ensure!(status(&node, &case)? == 403, "two hosts were let in");
    ensure!(aliases(&node, token)? == before, "something was changed");
    case.extra = &[("Sec-Fetch-Site", "same-origin")];
    ensure!(status(&node, &case)? == 200);
    ensure!(aliases(&node, token)?.contains("mallory"));
    Ok(())
}

#[test]
fn heads_and_bodies_have_limits() -> Result<()> {
    let world = World::new()?;
    let node = world.node("alice", Options::default())?;
    let long = "x".repeat(100 * 1024);
    let reply = http::send(node.gateway(), "GET", "/health", &[("X-Long", &long)], &[])?;
    ensure!(reply.status == 431, "{reply:?}");
    let many: Vec<_> = (0..200).map(|_| ("X-Many", "x")).collect();
    let reply = http::send(node.gateway(), "GET", "/health", &many, &[])?;
    ensure!(reply.status == 431, "{reply:?}");

    let token = fs::read_to_string(node.home().join("control.token"))?;
    let bearer = format!("Bearer {}", token.trim());
    let headers = [
        ("Authorization", bearer.as_str()),
        ("Content-Type", "application/json"),
    ];
    let large = vec![b' '; 2 * 1024 * 1024];
    let reply = http::send(node.gateway(), "POST", ALIASES, &headers, &large)?;
    ensure!(matches!(reply.status, 400 | 413), "{reply:?}");
    let reply = http::send(node.gateway(), "GET", "/health", &[], &[])?;
    ensure!(reply.status == 200, "it answers no more: {reply:?}");
    Ok(())
}
