//! The client against a server of a few lines, so that what is on the wire is in plain sight.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    thread::{self, JoinHandle},
};

use weft_node::api::{FetchResult, PeersResponse, Phase};

use super::*;

/// Answers one request with `answer` and hands the request back.
fn serve_once(answer: String) -> (Client, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut request = String::new();
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            request.push_str(&line);
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        request.push_str(&String::from_utf8(body).unwrap());
        stream.write_all(answer.as_bytes()).unwrap();
        request
    });
    let token = "t0ken".to_owned();
    (Client::new(Control { url, token }), server)
}

fn answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

const LINES: &str = r#"{"progress":{"phase":"resolving"}}

{"progress":{"phase":"fetching","bytes_done":5,"bytes_total":10,"peers_active":2}}
{"result":{"path":"/x","repository":"p/n","revision":"00","files":1,"bytes_total":10,"bytes_fetched":10,
"bytes_reused":0,"seconds":1.5,"verified":true,"sources":[{"peer":"aa","bytes":10}]}}
"#;

/// [`LINES`] with the result on one line, as the wire wants it.
fn result_lines() -> String {
    LINES.replace(",\n\"", ",\"")
}

#[test]
fn long_answer_gives_progress_then_result() {
    let (client, server) = serve_once(answer("200 OK", &result_lines()));
    let mut phases = Vec::new();
    let result: FetchResult = client
        .stream(
            route::FETCH,
            &serde_json::json!({"reference": "p/n"}),
            |p| {
                phases.push((p.phase, p.peers_active));
            },
        )
        .unwrap();
    assert_eq!(phases, [(Phase::Resolving, 0), (Phase::Fetching, 2)]);
    assert_eq!(result.sources.first().unwrap().bytes, 10);
    let request = server.join().unwrap();
    assert!(
        request.starts_with("POST /weft/v1/fetch HTTP/1.1"),
        "{request}"
    );
    assert!(
        request
            .to_lowercase()
            .contains("authorization: bearer t0ken"),
        "{request}"
    );
    let (_, body) = request.split_once("\r\n\r\n").unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body, serde_json::json!({"reference": "p/n"}));
}

#[test]
fn long_answer_may_come_in_chunks() {
    let body = result_lines();
    let mut chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n".to_owned();
    for chunk in body.as_bytes().chunks(7) {
        chunked.push_str(&format!(
            "{:x}\r\n{}\r\n",
            chunk.len(),
            std::str::from_utf8(chunk).unwrap()
        ));
    }
    chunked.push_str("0\r\n\r\n");
    let (client, _server) = serve_once(chunked);
    let result: FetchResult = client.stream(route::FETCH, &(), |_| {}).unwrap();
    assert_eq!(result.path, "/x");
}

#[test]
fn error_line_keeps_code_and_hint() {
    let body =
        r#"{"error":{"code":"verification","message":"piece 17 is wrong","hint":"try again"}}"#;
    let (client, _server) = serve_once(answer("200 OK", body));
    let error = client
        .stream::<FetchResult>(route::FETCH, &(), |_| {})
        .unwrap_err();
    let body = error.downcast_ref::<ErrorBody>().unwrap();
    assert_eq!(body.code, ErrorCode::Verification);
    assert_eq!(body.hint.as_deref(), Some("try again"));
}

#[test]
fn answer_that_breaks_off_is_an_error() {
    let (client, _server) = serve_once(answer(
        "200 OK",
        "{\"progress\":{\"phase\":\"resolving\"}}\n",
    ));
    let error = client
        .stream::<FetchResult>(route::FETCH, &(), |_| {})
        .unwrap_err();
    assert!(error.to_string().contains("ended before"), "{error}");
}

#[test]
fn cancellation_by_the_node_is_no_interruption_by_the_user() {
    let body = r#"{"error":{"code":"cancelled","message":"cancelled"}}"#;
    let (client, _server) = serve_once(answer("200 OK", body));
    let error = client
        .stream::<FetchResult>(route::FETCH, &(), |_| {})
        .unwrap_err();
    assert_eq!(
        error.downcast_ref::<ErrorBody>().unwrap().code,
        ErrorCode::Failure
    );
}

#[test]
fn short_answer_with_error_status_keeps_code() {
    let body = r#"{"error":{"code":"not_found","message":"unknown"}}"#;
    let (client, _server) = serve_once(answer("404 Not Found", body));
    let error = client.get::<PeersResponse>(route::PEERS, &[]).unwrap_err();
    assert_eq!(
        error.downcast_ref::<ErrorBody>().unwrap().code,
        ErrorCode::NotFound
    );

    let (client, _server) = serve_once(answer("500 Oops", "<html>"));
    let error = client.get::<PeersResponse>(route::PEERS, &[]).unwrap_err();
    assert!(error.to_string().contains("500"), "{error}");
}

#[test]
fn query_is_escaped() {
    let (client, server) = serve_once(answer("200 OK", r#"{"peers":[]}"#));
    let answer: PeersResponse = client
        .get(route::PEERS, &[("reference", "a/b@v 1")])
        .unwrap();
    assert!(answer.peers.is_empty());
    let request = server.join().unwrap();
    let line = request.lines().next().unwrap();
    assert!(
        line.contains("reference=a") && !line.contains("v 1"),
        "{line}"
    );
}

#[test]
fn dead_and_foreign_nodes_are_recognised() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let token = "t0ken".to_owned();
    assert!(matches!(
        Client::new(Control { url, token }).probe(),
        Probe::Stale
    ));

    let (client, _server) = serve_once(answer("401 Unauthorized", "who are you"));
    assert!(matches!(client.probe(), Probe::Stale));

    let (client, _server) = serve_once(answer("200 OK", "{\"hello\":\"other program\"}"));
    assert!(matches!(client.probe(), Probe::Stale));
}
