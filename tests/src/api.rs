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

/// Lines of a long answer, as they come. Dropping it closes the connection.
#[derive(Debug)]
pub struct Lines(std::io::BufReader<TcpStream>);

/// Posts JSON to a path of the API and reads the answer line by line.
///
/// # Errors
/// When the node does not answer with status 200.
pub fn post_lines(home: &Path, gateway: &str, path: &str, body: &Value) -> Result<Lines> {
    use std::io::BufRead as _;

    let mut reader = std::io::BufReader::new(post(home, gateway, path, body)?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        ensure!(reader.read_line(&mut head)? > 0, "no answer: {head}");
    }
    ensure!(head.starts_with("HTTP/1.1 200"), "POST {path}: {head}");
    Ok(Lines(reader))
}

/// Posts JSON to a path of the API; the answer is still to be read.
///
/// # Errors
/// When the node cannot be reached.
pub fn post(home: &Path, gateway: &str, path: &str, body: &Value) -> Result<TcpStream> {
    let token = fs::read_to_string(home.join("control.token")).context("no control token")?;
    let address = gateway.strip_prefix("http://").context("a local URL")?;
    let address = address.trim_end_matches('/');
    let mut stream = TcpStream::connect(address)?;
    // An answer may wait for a dead peer to be noticed, and for another model to load.
    stream.set_read_timeout(Some(TIMEOUT * 6))?;
    let body = body.to_string();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        token.trim(),
        body.len()
    )?;
    Ok(stream)
}

impl Iterator for Lines {
    type Item = Result<Value>;

    fn next(&mut self) -> Option<Self::Item> {
        use std::io::BufRead as _;

        loop {
            let mut line = String::new();
            match self.0.read_line(&mut line) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) => return Some(Err(error.into())),
            }
            // What is between are the lengths of chunks.
            let line = line.trim();
            let line = line.strip_prefix("data: ").unwrap_or(line);
            if line.starts_with('{') {
                return Some(serde_json::from_str(line).context("not JSON"));
            }
            if line == "0" {
                return None;
            }
        }
    }
}
