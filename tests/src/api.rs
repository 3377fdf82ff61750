//! A few lines of HTTP towards a node's local API, for looking often without starting a program.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// A silent node is a broken one.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Reads one JSON object from a path of the API.
///
/// # Errors
/// When the node does not answer with status 200 and JSON.
pub fn get(home: &Path, gateway: &str, path: &str) -> Result<Value> {
    let token = fs::read_to_string(home.join("control.token")).context("no control token")?;
    let (status, body) = request(
        gateway,
        path,
        &[("Authorization", &format!("Bearer {}", token.trim()))],
    )?;
    ensure!(status == 200, "GET {path}: status {status}: {body}");
    serde_json::from_str(&body).with_context(|| format!("GET {path}: not JSON: {body}"))
}

/// Sends a GET request with these headers; answers with status and body.
///
/// # Errors
/// When nobody answers in HTTP.
pub fn request(gateway: &str, path: &str, headers: &[(&str, &str)]) -> Result<(u16, String)> {
    let address = gateway
        .strip_prefix("http://")
        .with_context(|| format!("`{gateway}` is not a local URL"))?
        .trim_end_matches('/');
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let mut head = format!("GET {path} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "Host") {
        head.push_str(&format!("Host: {address}\r\n"));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .context("not an HTTP answer")?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .context("no status line")?;
    Ok((status, unchunk(head, body)))
}

/// Undoes chunked transfer; a body with a length is left alone.
fn unchunk(head: &str, body: &str) -> String {
    if !head.to_lowercase().contains("transfer-encoding: chunked") {
        return body.to_owned();
    }
    let mut text = String::new();
    let mut rest = body;
    while let Some((size, tail)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 || tail.len() < size {
            break;
        }
        text.push_str(&tail[..size]);
        rest = tail[size..].trim_start_matches("\r\n");
    }
    text
}
