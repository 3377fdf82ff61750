//! The content-addressed way in that current Python clients take for large files (`hf_xet`): chunks in bundles (*xorbs*),
//! then a list (*shard*) that says which chunks make which file.
//!
//! A shard's files are put together at once and held against their SHA-256; from there on they are uploads like any other,
//! and a commit names them. The bundles stay for a while, because clients remember what they have sent, and later send
//! lists that refer to it. What a client calls a bundle is not checked: only whole files count.

mod format;
mod lz4;

use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use data_encoding::HEXLOWER;
use serde_json::json;

use self::format::{FileList, Term, Xorb};
use super::{
    Call, Hub, origin, read_body,
    reply::{Answer, Fault, ok, put},
    route::RepoName,
    write,
};
use crate::service::unix;

/// A bundle: 64 MiB of chunks, and what stands before each.
const XORB_LEN_MAX: usize = 80 * 1024 * 1024;
/// A list: 96 bytes for some MiB each.
const SHARD_LEN_MAX: usize = 64 * 1024 * 1024;
/// Bundles that stay for later lists.
const KEPT_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
/// One that no list has named yet belongs to an upload under way, for so long.
const UNDER_WAY: Duration = Duration::from_secs(24 * 3_600);
/// How long a client may send with one token; it asks for another by itself.
const TOKEN_SECONDS: u64 = 3_600;

/// `GET xet-write-token/{revision}`: where to send chunks, and what to show there.
pub(super) async fn token(hub: &Hub, call: &Call<'_>, name: &RepoName) -> Answer {
    call.must_write()?;
    let repo = hub.repo(name).await?;
    write::own(hub, &repo.id.publisher)?;
    let expires = unix().0 + TOKEN_SECONDS;
    let (url, token) = (origin(call.headers), hub.xet_token(expires));
    let mut response = ok(&json!({ "casUrl": url, "exp": expires, "accessToken": token }));
    for (name, value) in [
        ("x-xet-cas-url", url),
        ("x-xet-access-token", token),
        ("x-xet-token-expiration", expires.to_string()),
    ] {
        put(&mut response, HeaderName::from_static(name), &value);
    }
    Ok(response)
}

/// `POST /v1/xorbs/default/{hash}`.
pub(super) async fn xorb(hub: &Hub, call: &Call<'_>, hash: &str, body: Body) -> Answer {
    hub.check_xet(call.headers)?;
    let path = hub.staging.xorb(hash).ok_or(Fault::NoRoute)?;
    let bytes = read_body(body, XORB_LEN_MAX).await?;
    Xorb::parse(&bytes).ok_or_else(|| Fault::Invalid("this is no bundle of chunks".to_owned()))?;
    let kept = blocking(move || {
        let is_new = !path.exists();
        if is_new {
            let temporary = path.with_extension("part");
            std::fs::create_dir_all(path.parent().unwrap_or(&path))?;
            std::fs::write(&temporary, &bytes)?;
            std::fs::rename(&temporary, &path)?;
        }
        Ok(is_new)
    });
    Ok(ok(&json!({ "was_inserted": kept.await? })))
}

/// `POST /v2/shards` and `/v1/shards`.
pub(super) async fn shard(hub: &Hub, call: &Call<'_>, version: &str, body: Body) -> Answer {
    hub.check_xet(call.headers)?;
    let bytes = read_body(body, SHARD_LEN_MAX).await?;
    let files = FileList::parse(&bytes);
    let files = files.ok_or_else(|| Fault::Invalid("this is no list of files".to_owned()))?;
    for file in &files.0 {
        if let Err(message) = put_together(hub, file).await? {
            let error = json!({ "type": "error", "message": message, "retryable": false });
            return match version {
                "v2" => Ok(lines(&error.to_string())),
                _ => Err(Fault::Invalid(message)),
            };
        }
    }
    let root = hub.staging.xorbs();
    let named = files.0.iter().flat_map(|file| &file.terms);
    let named: Vec<_> = named.map(|term| term.xorb.clone()).collect();
    blocking(move || sweep(&root, &named)).await?;
    match version {
        "v2" => Ok(lines(r#"{"type":"result"}"#)),
        _ => Ok(ok(&json!({ "result": 1 }))),
    }
}

fn lines(line: &str) -> Response {
    let mut response = Body::from(format!("{line}\n")).into_response();
    put(&mut response, header::CONTENT_TYPE, "application/x-ndjson");
    response
}

/// Nobody counts here.
pub(super) fn telemetry() -> Response {
    StatusCode::OK.into_response()
}

/// Makes one file out of its chunks. The inner error is for the client.
async fn put_together(hub: &Hub, file: &format::Listed) -> Result<Result<(), String>, Fault> {
    let sha256 = file.sha256;
    let transfer = &hub.operations.transfer;
    if hub.staging.uploaded(transfer, &sha256).await.is_some() {
        return Ok(Ok(()));
    }
    let size_max = file.terms.iter().map(|term| term.len).sum();
    let mut part = hub.staging.begin().await?;
    for term in &file.terms {
        let Some(path) = hub.staging.xorb(&term.xorb) else {
            return Ok(Err(format!("`{}` is no bundle", term.xorb)));
        };
        let Term { range, len, .. } = term.clone();
        let read = blocking(move || {
            let bytes = match std::fs::read(&path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
                other => other?,
            };
            let xorb = Xorb::parse(&bytes);
            Ok(Some(xorb.and_then(|xorb| xorb.bytes(range, len))))
        });
        let bytes = match read.await? {
            Some(Some(bytes)) => bytes,
            Some(None) => return Ok(Err(format!("bundle `{}` is damaged", term.xorb))),
            None => {
                return Ok(Err(format!(
                    "bundle `{}` is not here any more: remove the folder `xet` in HF_HOME, and send the file again",
                    term.xorb
                )));
            }
        };
        part.write(bytes.into(), size_max).await?;
    }
    let made = hub.staging.keep_part(part, &sha256).await;
    Ok(match made {
        Ok(()) => Ok(()),
        Err(Fault::Invalid(message)) => Err(message),
        Err(other) => return Err(other),
    })
}

/// Removes the oldest bundles beyond what is kept, but none of an upload under way.
fn sweep(root: &Path, named: &[String]) -> io::Result<()> {
    let mut kept: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
        let metadata = entry.metadata()?;
        kept.push((metadata.modified()?, metadata.len(), entry.path()));
    }
    kept.sort();
    let mut total: u64 = kept.iter().map(|(_, len, _)| len).sum();
    for (modified, len, path) in kept {
        if total <= KEPT_BYTES_MAX {
            break;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_old = modified.elapsed().is_ok_and(|age| age > UNDER_WAY);
        if is_old || named.iter().any(|named| *named == name) {
            std::fs::remove_file(&path)?;
            total -= len;
        }
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Fault> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.unwrap_or_else(|error| Err(io::Error::other(error)));
    done.map_err(|error| Fault::Node(format!("an upload cannot be kept: {error}")))
}

impl Hub {
    /// What shows that this node let somebody send chunks until then.
    fn xet_token(&self, expires: u64) -> String {
        let mut hasher = blake3::Hasher::new_keyed(&self.upload_key);
        hasher.update(b"xet");
        hasher.update(&expires.to_le_bytes());
        format!(
            "{expires}.{}",
            HEXLOWER.encode(hasher.finalize().as_bytes())
        )
    }

    fn check_xet(&self, headers: &HeaderMap) -> Result<(), Fault> {
        let shown = headers.get(header::AUTHORIZATION);
        let shown = shown.and_then(|shown| shown.to_str().ok());
        let shown = shown.and_then(|shown| shown.strip_prefix("Bearer "));
        let shown = shown.ok_or(Fault::Unauthorized)?;
        let expires = shown
            .split_once('.')
            .and_then(|(expires, _)| expires.parse().ok());
        let expires = expires.filter(|expires| *expires >= unix().0);
        // Hashes are compared, so that time tells nothing about the right one.
        let hash = |text: &str| blake3::hash(text.as_bytes());
        let is_right = |expires| hash(&self.xet_token(expires)) == hash(shown);
        if expires.is_some_and(is_right) {
            Ok(())
        } else {
            Err(Fault::Unauthorized)
        }
    }
}
