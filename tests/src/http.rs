//! HTTP by hand: what no client library would send, and answers byte for byte.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};

/// A silent node is a broken one.
const TIMEOUT: Duration = Duration::from_secs(30);

/// An answer as it came.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Names in lower case, in order.
    pub headers: Vec<(String, String)>,
    /// With chunked transfer undone.
    pub body: Vec<u8>,
}

impl Reply {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends bytes to a node's local port and reads one answer. `method` only tells whether a body follows.
///
/// # Errors
/// When nobody answers in HTTP.
pub fn exchange(gateway: &str, method: &str, request: &[u8]) -> Result<Reply> {
    let address = address(gateway)?;
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    // A node that refuses a large request may close before all of it was sent.
    let sent = stream.write_all(request);
    let reply = read_reply(&mut BufReader::new(&stream), method);
    match (reply, sent) {
        (Ok(reply), _) => Ok(reply),
        (Err(error), Ok(())) => Err(error),
        (Err(error), Err(sent)) => Err(error.context(sent)),
    }
}

/// Sends a request with these headers and reads the answer.
///
/// # Errors
/// When nobody answers in HTTP.
pub fn send(
    gateway: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Reply> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    let has = |wanted: &str| {
        headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case(wanted))
    };
    if !has("Host") {
        head.push_str(&format!("Host: {}\r\n", address(gateway)?));
    }
    if !body.is_empty() && !has("Transfer-Encoding") {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    exchange(gateway, method, &[head.as_bytes(), body].concat())
}

/// `GET`, following redirects within the node.
///
/// # Errors
/// When nobody answers in HTTP, or redirects go in circles.
pub fn get(gateway: &str, path: &str, headers: &[(&str, &str)]) -> Result<Reply> {
    let mut path = path.to_owned();
    for _ in 0..4 {
        let reply = send(gateway, "GET", &path, headers, &[])?;
        match (reply.status, reply.header("location")) {
            (307, Some(location)) => path = location.to_owned(),
            _ => return Ok(reply),
        }
    }
    bail!("`{path}` redirects in circles")
}

fn address(gateway: &str) -> Result<&str> {
    let address = gateway.strip_prefix("http://");
    let address = address.with_context(|| format!("`{gateway}` is not a local URL"))?;
    Ok(address.trim_end_matches('/'))
}

fn read_reply(reader: &mut BufReader<&TcpStream>, method: &str) -> Result<Reply> {
    let status = line(reader)?;
    let status = status
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .with_context(|| format!("no status line: {status:?}"))?;
    let mut headers = Vec::new();
    loop {
        let line = line(reader)?;
        let Some((name, value)) = line.split_once(':') else {
            ensure!(line.is_empty(), "no header: {line:?}");
            break;
        };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let mut reply = Reply {
        status,
        headers,
        body: Vec::new(),
    };
    if method == "HEAD" || matches!(status, 204 | 304) {
        return Ok(reply);
    }
    if reply.header("transfer-encoding") == Some("chunked") {
        loop {
            let size = line(reader)?;
            let size = u64::from_str_radix(&size, 16).context("no chunk size")?;
            reader.take(size).read_to_end(&mut reply.body)?;
            line(reader)?;
            if size == 0 {
                break;
            }
        }
    } else {
        let len = reply.header("content-length").context("no length")?;
        let len: u64 = len.parse()?;
        reader.take(len).read_to_end(&mut reply.body)?;
        ensure!(reply.body.len() as u64 == len, "the body was cut short");
    }
    Ok(reply)
}

fn line(reader: &mut BufReader<&TcpStream>) -> Result<String> {
    let mut line = String::new();
    ensure!(
        reader.read_line(&mut line)? > 0,
        "the connection was closed"
    );
    line.truncate(line.trim_end().len());
    Ok(line)
}
