//! One file: its headers, and the bytes a client asks for.
//!
//! A branch or tag is answered with a redirect to the commit, so that what is asked first and what is fetched
//! afterwards are of one revision even if the branch moves in between.

use std::ops::Range;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use weft_protocol::manifest::File;

use super::{
    Hub, body, cached, chunks,
    commit::{COMMIT_LEN, Commit, content_id, lfs},
    range::{self, Wanted},
    reply::{Answer, Fault, REPO_COMMIT, put},
    repos::Repo,
    route::{FilePath, RepoName},
};

const LINKED_ETAG: HeaderName = HeaderName::from_static("x-linked-etag");
const LINKED_SIZE: HeaderName = HeaderName::from_static("x-linked-size");

/// What may stand in a path segment as it is.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');
/// The same for a whole path.
pub(super) const PATH: &AsciiSet = &SEGMENT.remove(b'/');

/// What is asked of a file.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) repo: &'a RepoName,
    pub(super) revision: &'a str,
    pub(super) path: &'a FilePath,
    /// Whether git's view is wanted: for a large file its pointer.
    pub(super) raw: bool,
    pub(super) method: &'a Method,
    pub(super) headers: &'a HeaderMap,
}

/// Answers `HEAD` and `GET` of a file.
pub(super) async fn answer(hub: &Hub, asked: Asked<'_>) -> Answer {
    let found = hub
        .find(asked.repo, Some(asked.revision), asked.headers)
        .await;
    let (repo, commit) = found?;
    // The undecoded name is what clients mean that send names raw.
    let found = [&asked.path.decoded, &asked.path.raw]
        .into_iter()
        .find_map(|path| commit.file(path));
    let Some(file) = found else {
        return Err(Fault::NoEntry {
            message: format!("`{}` has no file `{}`", repo.name.id(), asked.path.decoded),
            commit: commit.id(),
        });
    };
    if !is_commit(asked.revision) {
        return Ok(redirect(&repo, &commit, file, asked.raw));
    }
    match lfs(file) {
        Some(lfs) if asked.raw => Ok(pointer(&commit, lfs.pointer, asked.method)),
        _ => content(hub, &repo, &commit, file, asked.method, asked.headers).await,
    }
}

/// A full commit id, or a whole revision id.
fn is_commit(revision: &str) -> bool {
    matches!(revision.len(), COMMIT_LEN | 64) && revision.bytes().all(|b| b.is_ascii_hexdigit())
}

fn redirect(repo: &Repo, commit: &Commit, file: &File, raw: bool) -> Response {
    // Relative: absolute ones confuse some clients.
    let location = format!(
        "/{}{}/{}/{}/{}",
        repo.name.kind.prefix(),
        utf8_percent_encode(&repo.name.id(), PATH),
        if raw { "raw" } else { "resolve" },
        commit.id(),
        utf8_percent_encode(file.path.as_str(), PATH),
    );
    let mut response = StatusCode::TEMPORARY_REDIRECT.into_response();
    put(&mut response, header::LOCATION, &location);
    put(&mut response, REPO_COMMIT, &commit.id());
    response
}

fn pointer(commit: &Commit, pointer: String, method: &Method) -> Response {
    let len = pointer.len();
    let body = if *method == Method::HEAD {
        Body::empty()
    } else {
        Body::from(pointer)
    };
    let mut response = body.into_response();
    put(
        &mut response,
        header::CONTENT_TYPE,
        "text/plain; charset=utf-8",
    );
    put(&mut response, header::CONTENT_LENGTH, &len.to_string());
    put(&mut response, REPO_COMMIT, &commit.id());
    response
}

async fn content(
    hub: &Hub,
    repo: &Repo,
    commit: &Commit,
    file: &File,
    method: &Method,
    request: &HeaderMap,
) -> Answer {
    let etag = format!("\"{}\"", content_id(file));
    if matches_etag(request, &etag) {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        put(&mut response, header::ETAG, &etag);
        put(&mut response, REPO_COMMIT, &commit.id());
        return Ok(response);
    }
    let asked = request
        .get(header::RANGE)
        .and_then(|range| range.to_str().ok());
    let wanted = match (asked, if_range(request, &etag)) {
        (Some(asked), true) => range::parse(Some(asked), file.size),
        _ => Wanted::Whole,
    };
    let (status, bytes, content_range) = match wanted {
        Wanted::Whole => (StatusCode::OK, 0..file.size, None),
        // What came before this part was wrong: from the start, then.
        Wanted::Part(part) if goes_on(asked, &part) && body::must_restart(repo, file) => {
            (StatusCode::OK, 0..file.size, None)
        }
        Wanted::Part(part) => {
            let shown = format!("bytes {}-{}/{}", part.start, part.end - 1, file.size);
            (StatusCode::PARTIAL_CONTENT, part, Some(shown))
        }
        // Clients that probe with a range take 416 for a failure, but an empty file is none.
        Wanted::Outside if file.size == 0 => (StatusCode::OK, 0..0, Some("bytes */0".to_owned())),
        Wanted::Outside => {
            let mut response = StatusCode::RANGE_NOT_SATISFIABLE.into_response();
            let shown = format!("bytes */{}", file.size);
            put(&mut response, header::CONTENT_RANGE, &shown);
            put(&mut response, REPO_COMMIT, &commit.id());
            return Ok(response);
        }
    };
    let len = bytes.end - bytes.start;
    let cache = cached::Place::of(hub, repo, commit, file);
    if let Some(cache) = cache.as_ref().filter(|_| *method == Method::HEAD) {
        // Before it asks for the bytes, the client looks whether they have come into its cache.
        body::whole(hub, repo, commit, file).await;
        cache.show().await;
    }
    let is_last = bytes.end == file.size;
    let mut body = body_for(hub, repo, commit, file, method, bytes).await?;
    if let Some(cache) = cache.filter(|_| is_last && *method == Method::GET) {
        body = cache.share_after(body, len);
    }
    let mut response = (status, body).into_response();
    let name = file.path.file_name();
    put(&mut response, header::CONTENT_TYPE, content_type(name));
    put(&mut response, header::CONTENT_LENGTH, &len.to_string());
    put(&mut response, header::ACCEPT_RANGES, "bytes");
    put(&mut response, header::ETAG, &etag);
    put(&mut response, REPO_COMMIT, &commit.id());
    put(
        &mut response,
        header::CONTENT_DISPOSITION,
        &disposition(name),
    );
    if let Some(shown) = content_range {
        put(&mut response, header::CONTENT_RANGE, &shown);
    }
    if lfs(file).is_some() {
        put(&mut response, LINKED_ETAG, &etag);
        put(&mut response, LINKED_SIZE, &file.size.to_string());
        chunks::offer(hub, repo, commit, file, request, &mut response);
    }
    Ok(response)
}

/// Whether a range is that of a client that has what comes before it.
fn goes_on(asked: Option<&str>, part: &Range<u64>) -> bool {
    part.start > 0 && asked.is_some_and(|asked| asked.trim_end().ends_with('-'))
}

async fn body_for(
    hub: &Hub,
    repo: &Repo,
    commit: &Commit,
    file: &File,
    method: &Method,
    bytes: Range<u64>,
) -> Result<Body, Fault> {
    if *method == Method::HEAD || bytes.is_empty() {
        return Ok(Body::empty());
    }
    body::open(hub, repo, commit, file, bytes, body::FIRST_BYTES).await
}

/// Whether the client has this content already. Only asked of commits, where it can never become wrong.
fn matches_etag(request: &HeaderMap, etag: &str) -> bool {
    request
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.split(',').any(|one| one.trim() == etag))
}

/// Whether a range may be served: `If-Range` is absent or names this content.
fn if_range(request: &HeaderMap, etag: &str) -> bool {
    request
        .get(header::IF_RANGE)
        .is_none_or(|value| value.as_bytes() == etag.as_bytes())
}

fn disposition(name: &str) -> String {
    let plain = |c: char| match c {
        '"' | '\\' => '_',
        c if c.is_ascii_graphic() || c == ' ' => c,
        _ => '_',
    };
    let ascii: String = name.chars().map(plain).collect();
    let encoded = utf8_percent_encode(name, SEGMENT);
    format!("inline; filename*=UTF-8''{encoded}; filename=\"{ascii}\";")
}

fn content_type(name: &str) -> &'static str {
    let end = name
        .rsplit_once('.')
        .map(|(_, end)| end.to_ascii_lowercase());
    match end.as_deref() {
        Some("json") => "application/json",
        // A page is shown as what was published, not run.
        Some(
            "txt" | "md" | "py" | "yaml" | "yml" | "toml" | "csv" | "tsv" | "jsonl" | "html"
            | "htm" | "css" | "js" | "xml" | "svg" | "jinja" | "cfg" | "ini" | "sh",
        ) => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_survive_a_content_disposition() {
        assert_eq!(
            disposition("é \"a\".bin"),
            "inline; filename*=UTF-8''%C3%A9%20%22a%22.bin; filename=\"_ _a_.bin\";"
        );
    }

    #[test]
    fn only_whole_ids_are_commits() {
        assert!(is_commit(&"a".repeat(40)) && is_commit(&"A".repeat(64)));
        assert!(!is_commit(&"a".repeat(39)) && !is_commit("main"));
        assert!(!is_commit(&"g".repeat(40)));
    }
}
