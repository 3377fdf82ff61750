//! The control API from the caller's side: blocking, on purpose, because a command has one thing to wait for.
//!
//! Dropping a running call (the program ends) closes the connection, which cancels the command at the node.

use std::{
    io::{BufRead, BufReader, Read},
    time::Duration,
};

use anyhow::Context as _;
use serde::{Serialize, de::DeserializeOwned};
use ureq::{Body, http};
use weft_node::api::{
    AskLine, AskPeersLine, AskPeersRequest, AskRequest, AskResult, ErrorBody, ErrorCode,
    ErrorResponse, Line, Progress, StatusResponse, route,
};

use crate::{failure::fail, home::Control};

/// How long a running node may take to accept a connection; it is on this machine.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a running node may take to say that it is there, even while it hashes terabytes.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);
/// One line of an answer: a list of 100,000 damaged files with their reasons.
const LINE_LEN_MAX: u64 = 64 * 1024 * 1024;

/// A node that answers.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    agent: ureq::Agent,
    control: Control,
}

/// What became of an attempt to reach the node that the data directory names.
#[derive(Debug)]
pub(crate) enum Probe {
    /// It answers.
    Alive(Box<StatusResponse>),
    /// Nobody listens there, or somebody else does: the node died without cleaning up.
    Stale,
    /// Somebody listens but does not answer in time.
    Silent,
}

impl Client {
    pub(crate) fn new(control: Control) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .user_agent(concat!("weft/", env!("CARGO_PKG_VERSION")))
            .build();
        Self {
            agent: config.into(),
            control,
        }
    }

    /// URL of the node's local port.
    pub(crate) fn url(&self) -> &str {
        &self.control.url
    }

    /// Looks whether the node is there.
    pub(crate) fn probe(&self) -> Probe {
        let request = self
            .agent
            .get(self.address(route::STATUS))
            .header("Authorization", self.authorization())
            .config()
            .timeout_global(Some(PROBE_TIMEOUT))
            .build();
        match request.call() {
            Ok(mut response) if response.status() == 200 => read_json(&mut response)
                .map_or(Probe::Stale, |status| Probe::Alive(Box::new(status))),
            Err(ureq::Error::Timeout(_)) => Probe::Silent,
            // Another program took the port, or the token is not the one of this data directory.
            Ok(_) | Err(_) => Probe::Stale,
        }
    }

    /// Reads something.
    pub(crate) fn get<T: DeserializeOwned>(
        &self,
        route: &str,
        query: &[(&str, &str)],
    ) -> anyhow::Result<T> {
        let request = self
            .agent
            .get(self.address(route))
            .header("Authorization", self.authorization())
            .query_pairs(query.iter().copied());
        short(request.call().map_err(|e| unreachable(&e))?)
    }

    /// Changes something that takes no time.
    pub(crate) fn post<T: DeserializeOwned>(
        &self,
        route: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<T> {
        short(self.send(route, body)?)
    }

    /// Runs a long command; `progress` hears how far it is.
    pub(crate) fn stream<T: DeserializeOwned>(
        &self,
        route: &str,
        body: &impl Serialize,
        progress: impl FnMut(&Progress),
    ) -> anyhow::Result<T> {
        let mut response = self.send(route, body)?;
        if response.status() != 200 {
            return Err(error_of(&mut response).into());
        }
        lines(response.into_body().into_reader(), progress)
    }

    /// Asks a model; `hear` is told of everything before the end.
    pub(crate) fn ask(
        &self,
        request: &AskRequest,
        mut hear: impl FnMut(AskLine),
    ) -> anyhow::Result<AskResult> {
        let mut response = self.send(route::ASK, request)?;
        if response.status() != 200 {
            return Err(error_of(&mut response).into());
        }
        let mut reader = BufReader::new(response.into_body().into_reader());
        loop {
            match line(&mut reader)? {
                AskLine::Result(result) => return Ok(result),
                AskLine::Error(error) if error.code == ErrorCode::Cancelled => return Err(ended()),
                AskLine::Error(error) => return Err(error.into()),
                more @ (AskLine::Progress(_) | AskLine::Text(_)) => hear(more),
            }
        }
    }

    /// Asks peers, line by line.
    pub(crate) fn ask_peers(
        &self,
        request: &AskPeersRequest,
        mut hear: impl FnMut(AskPeersLine) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut response = self.send(route::ASK_PEERS, request)?;
        if response.status() != 200 {
            return Err(error_of(&mut response).into());
        }
        let mut reader = BufReader::new(response.into_body().into_reader());
        let mut line = String::new();
        loop {
            line.clear();
            if reader.by_ref().take(LINE_LEN_MAX).read_line(&mut line)? == 0 {
                return Ok(());
            }
            hear(serde_json::from_str(&line).context("the node's answer makes no sense")?)?;
        }
    }

    fn send(&self, route: &str, body: &impl Serialize) -> anyhow::Result<http::Response<Body>> {
        self.agent
            .post(self.address(route))
            .header("Authorization", self.authorization())
            .send_json(body)
            .map_err(|e| unreachable(&e))
    }

    fn address(&self, route: &str) -> String {
        format!("{}{route}", self.control.url)
    }

    fn authorization(&self) -> String {
        format!("Bearer {}", self.control.token)
    }
}

fn unreachable(error: &ureq::Error) -> anyhow::Error {
    let hint = "`weft status` shows whether the node still runs; `weft serve` starts it";
    fail(
        ErrorCode::Failure,
        format!("the connection to the node failed: {error}"),
        hint,
    )
}

fn short<T: DeserializeOwned>(mut response: http::Response<Body>) -> anyhow::Result<T> {
    if response.status() == 200 {
        read_json(&mut response).context("the node's answer makes no sense to this version of weft")
    } else {
        Err(error_of(&mut response).into())
    }
}

/// Lists may be long: no limit, the node is trusted with this machine's memory anyway.
fn read_json<T: DeserializeOwned>(response: &mut http::Response<Body>) -> Result<T, ureq::Error> {
    response
        .body_mut()
        .with_config()
        .limit(u64::MAX)
        .read_json()
}

fn error_of(response: &mut http::Response<Body>) -> ErrorBody {
    let status = response.status();
    read_json::<ErrorResponse>(response).map_or_else(
        |_| {
            ErrorBody::new(
                ErrorCode::Failure,
                format!("the node answered with HTTP status {status}"),
            )
        },
        |response| response.error,
    )
}

fn ended() -> anyhow::Error {
    fail(
        ErrorCode::Failure,
        "the node ended before it answered",
        "run the same command again, best with a node that stays (`weft serve`): what has arrived is kept",
    )
}

/// Reads progress lines until the result.
fn lines<T: DeserializeOwned>(
    reader: impl Read,
    mut progress: impl FnMut(&Progress),
) -> anyhow::Result<T> {
    let mut reader = BufReader::new(reader);
    loop {
        match line(&mut reader)? {
            Line::Progress(now) => progress(&now),
            Line::Result(result) => return Ok(result),
            // Whoever is here did not cancel: the node ends, or it was the short-lived one of another command.
            Line::Error(error) if error.code == ErrorCode::Cancelled => return Err(ended()),
            Line::Error(error) => return Err(error.into()),
        }
    }
}

/// Reads one line.
fn line<T: DeserializeOwned>(reader: &mut impl BufRead) -> anyhow::Result<T> {
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        let read = reader
            .by_ref()
            .take(LINE_LEN_MAX)
            .read_until(b'\n', &mut buffer);
        match read {
            Ok(1..) => {}
            Ok(0) | Err(_) => return Err(ended()),
        }
        if !buffer.iter().all(u8::is_ascii_whitespace) {
            return serde_json::from_slice(&buffer)
                .context("the node's answer makes no sense to this version of weft");
        }
    }
}

#[cfg(test)]
mod tests;
