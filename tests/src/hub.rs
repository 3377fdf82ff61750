//! A hub on loopback with one repository, made of a folder; it may be as bad as a test wants it.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use anyhow::{Context as _, Result};
use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::Model;

/// The one repository.
pub const ID: &str = "acme/Tiny.Model";
/// The commit that `main` and `v1` are.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
/// Files of this size and more are large ones.
const LFS_MIN: usize = 100_000;

/// What the hub does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Answers 429 to every second request.
    Busy,
    /// Hangs up in the middle of every file the first times.
    Cut,
    /// Sends a wrong byte in every file.
    Flip,
    /// Sends pages for people.
    Page,
    /// Redirects in circles.
    Circle,
    /// Sends files of another size than it lists.
    Size,
    /// Wants a token for files and says so of the repository.
    Gated,
}

/// A running hub; it takes no more connections once the value is dropped.
#[derive(Debug)]
pub struct HubServer {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    fault: Mutex<Fault>,
    /// Bytes of files that were sent.
    sent: AtomicU64,
    requests: AtomicU64,
    cuts: AtomicU64,
    tokens: Mutex<Vec<String>>,
    ended: AtomicBool,
}

/// The token that opens a gated repository.
pub const TOKEN: &str = "hf_of_a_user_of_the_hub_and_nobody_elses";

impl HubServer {
    /// Serves the files of a folder.
    ///
    /// # Errors
    /// When there is no port.
    pub fn start(model: &Model, fault: Fault) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let mut files = BTreeMap::new();
        for path in crate::model::digest(model.path())?.keys() {
            files.insert(path.clone(), fs::read(model.path().join(path))?);
        }
        let state = Arc::new(State {
            files,
            fault: Mutex::new(fault),
            sent: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            cuts: AtomicU64::new(0),
            tokens: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.ended.load(Ordering::Relaxed) {
                    return;
                }
                let state = Arc::clone(&shared);
                thread::spawn(move || {
                    // The other side may hang up whenever it likes.
                    let _ = talk(&stream, &state);
                });
            }
        });
        Ok(Self { address, state })
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Bytes of files that it has sent, right or wrong.
    pub fn sent(&self) -> u64 {
        self.state.sent.load(Ordering::Relaxed)
    }

    /// Requests of any kind.
    pub fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::Relaxed)
    }

    /// `Authorization` headers that it was shown, each once.
    pub fn tokens(&self) -> Vec<String> {
        let mut tokens = lock(&self.state.tokens).clone();
        tokens.sort();
        tokens.dedup();
        tokens
    }

    /// Does something else wrong from now on.
    pub fn set_fault(&self, fault: Fault) {
        *lock(&self.state.fault) = fault;
    }
}

impl Drop for HubServer {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for a connection.
        let _ = TcpStream::connect(self.address);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn talk(mut stream: &TcpStream, state: &State) -> Result<()> {
    let mut lines = BufReader::new(stream).lines();
    while let Some(first) = lines.next() {
        let first = first?;
        let target = first.split(' ').nth(1).context("a path")?.to_owned();
        let (mut start, mut token) = (None, None);
        for line in lines.by_ref() {
            let line = line?;
            if line.is_empty() {
                break;
            }
            let lower = line.to_lowercase();
            if let Some(bytes) = lower.strip_prefix("range: bytes=") {
                start = Some(bytes.trim_end_matches('-').parse::<usize>()?);
            }
            if lower.starts_with("authorization: ") {
                let shown = line["authorization: ".len()..].to_owned();
                lock(&state.tokens).push(shown.clone());
                token = Some(shown);
            }
        }
        if state.ended.load(Ordering::Relaxed) {
            return Ok(());
        }
        let number = state.requests.fetch_add(1, Ordering::Relaxed);
        let fault = *lock(&state.fault);
        let path = target.split('?').next().unwrap_or_default();
        let mut extra = String::new();
        let mut hang_up = false;
        let (mut status, mut body) = answer(state, path, start, &mut extra, fault, &mut hang_up);
        let opens = token.as_deref() == Some(&format!("Bearer {TOKEN}"));
        match fault {
            Fault::Busy if number.is_multiple_of(2) => {
                (status, body) = (429, Vec::new());
                extra = "Retry-After: 0\r\n".to_owned();
            }
            Fault::Page => {
                (status, body) = (200, b"<html>Please sign in</html>".to_vec());
                extra = "Content-Type: text/html\r\n".to_owned();
            }
            Fault::Circle => {
                (status, body) = (302, Vec::new());
                extra = format!("Location: {path}\r\n");
            }
            Fault::Gated if path.contains("/resolve/") && !opens => {
                (status, body) = (403, Vec::new());
                extra = "X-Error-Code: GatedRepo\r\nX-Error-Message: ask for access first\r\n"
                    .to_owned();
            }
            _ => {}
        }
        let len = body.len();
        if hang_up {
            body.truncate(len / 2);
        }
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {len}\r\n{extra}\r\n");
        stream.write_all(head.as_bytes())?;
        stream.write_all(&body)?;
        if path.contains("/resolve/") {
            state.sent.fetch_add(body.len() as u64, Ordering::Relaxed);
        }
        if hang_up {
            return Ok(());
        }
    }
    Ok(())
}

fn answer(
    state: &State,
    path: &str,
    start: Option<usize>,
    extra: &mut String,
    fault: Fault,
    hang_up: &mut bool,
) -> (u16, Vec<u8>) {
    let missing = |extra: &mut String, code: &str| {
        let _ = write!(extra, "X-Error-Code: {code}\r\n");
        (404, b"{}".to_vec())
    };
    let ok = |value: Value| (200, value.to_string().into_bytes());
    if let Some(rest) = path.strip_prefix(&format!("/{ID}/resolve/{COMMIT}/")) {
        let Some(content) = state.files.get(rest) else {
            return missing(extra, "EntryNotFound");
        };
        let mut content = content.clone();
        if fault == Fault::Flip && !content.is_empty() {
            let middle = content.len() / 2;
            content[middle] ^= 1;
        }
        if fault == Fault::Size {
            content.push(0);
        }
        if fault == Fault::Cut && content.len() >= LFS_MIN {
            *hang_up = state.cuts.fetch_add(1, Ordering::Relaxed) < 4;
        }
        let start = start.unwrap_or(0).min(content.len());
        let _ = write!(
            extra,
            "Content-Type: application/octet-stream\r\nContent-Range: bytes {start}-{}/{}\r\n",
            content.len().saturating_sub(1),
            content.len()
        );
        return (206, content.split_off(start));
    }
    let Some(rest) = path.strip_prefix(&format!("/api/models/{ID}")) else {
        return missing(extra, "RepoNotFound");
    };
    let known = |revision: &str| matches!(revision, "main" | "v1") || revision == COMMIT;
    match rest.trim_start_matches('/').split_once('/') {
        Some(("revision", revision)) if known(revision) => ok(json!({
            "id": ID,
            "sha": COMMIT,
            "private": false,
            "gated": if fault == Fault::Gated { json!("manual") } else { json!(false) },
            "lastModified": "2026-01-02T03:04:05.000Z",
            "tags": ["license:mit", "tiny"],
            "pipeline_tag": "text-generation",
            "cardData": { "license": "mit" },
            "xetEnabled": true,
            "siblings": [],
        })),
        Some(("revision", _)) => missing(extra, "RevisionNotFound"),
        Some(("tree", revision)) if known(revision) => {
            let files = state
                .files
                .iter()
                .map(|(path, content)| entry(path, content));
            ok(files.collect())
        }
        None if rest.ends_with("refs") => ok(json!({
            "branches": [{ "name": "main", "ref": "refs/heads/main", "targetCommit": COMMIT }],
            "tags": [{ "name": "v1", "ref": "refs/tags/v1", "targetCommit": COMMIT }],
            "converts": [],
        })),
        _ => missing(extra, "RevisionNotFound"),
    }
}

fn entry(path: &str, content: &[u8]) -> Value {
    let git = |bytes: &[u8]| {
        let hasher = Sha1::new().chain_update(format!("blob {}\0", bytes.len()));
        HEXLOWER.encode(&hasher.chain_update(bytes).finalize())
    };
    let mut entry =
        json!({ "type": "file", "path": path, "size": content.len(), "oid": git(content) });
    if content.len() >= LFS_MIN {
        let sha256 = HEXLOWER.encode(&Sha256::digest(content));
        entry["oid"] = json!(git(sha256.as_bytes()));
        entry["lfs"] = json!({ "oid": sha256, "size": content.len(), "pointerSize": 134 });
        // What a mirror must not hand on.
        entry["xetHash"] = json!("0".repeat(64));
    }
    entry
}
