//! Files in chunks, for clients that take very large ones no other way: huggingface_hub refuses a body of more than 50 GB
//! and hands the file over to `hf_xet`.
//!
//! That one asks for a list of which chunks of which bundles make a part of the file, and then for these bundles. Here a
//! bundle is some MiB of the file with a head before each chunk, made while it is sent: nothing is stored in this form.
//! What the client shows is where it reads: repository, commit, and a key to the token that it sent for another hub.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use futures::{StreamExt, stream};
use percent_encoding::utf8_percent_encode;
use serde_json::{Map, Value, json};
use weft_protocol::manifest::File;

use super::{
    Call, Hub, body,
    commit::Commit,
    file::PATH,
    origin,
    range::{self, Wanted},
    reply::{Answer, Fault, ok, put},
    repos::Repo,
    route::{RepoKind, RepoName},
    staging::parse_oid,
};
use crate::service::unix;

/// The first segment of a bundle's address; never a namespace.
pub(super) const BUNDLES: &str = "cdn";
/// The largest chunk that clients take.
const CHUNK: u64 = 128 * 1024;
/// What stands before each chunk.
const HEAD: u64 = 8;
/// Chunks of a bundle.
const CHUNKS: u64 = 256;
/// Bytes of the file in a bundle.
const BUNDLE: u64 = CHUNK * CHUNKS;
/// How long the first bytes may take: this client waits for minutes.
const FIRST_BYTES: Duration = Duration::from_secs(60);
/// How long a client may read with one pass; it asks for another by itself.
const PASS_SECONDS: u64 = 3_600;
/// Foreign tokens that are kept in memory for their readers.
const KEYS_MAX: usize = 1_000;

/// Foreign tokens by the keys in passes.
#[derive(Debug, Default)]
pub(super) struct Passes(Mutex<BTreeMap<String, (u64, HeaderValue)>>);

/// Where a client reads.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pass {
    name: RepoName,
    commit: String,
    /// Empty if no token came along.
    key: String,
}

impl Pass {
    fn text(&self) -> String {
        let plain = format!(
            "{}/{}/{}/{}",
            self.name.kind.singular(),
            self.commit,
            self.key,
            self.name.id()
        );
        BASE64URL_NOPAD.encode(plain.as_bytes())
    }

    fn parse(text: &str) -> Option<Self> {
        let plain = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let plain = String::from_utf8(plain).ok()?;
        let mut parts = plain.splitn(4, '/');
        let kind = RepoKind::of_singular(Some(parts.next()?))?;
        let (commit, key, id) = (parts.next()?, parts.next()?, parts.next()?);
        let (namespace, name) = match id.split_once('/') {
            Some((namespace, name)) => (Some(namespace.to_owned()), name),
            None => (None, id),
        };
        Some(Self {
            name: RepoName {
                kind,
                namespace,
                name: name.to_owned(),
            },
            commit: commit.to_owned(),
            key: key.to_owned(),
        })
    }
}

impl Passes {
    /// Keeps a token, and gives the key to it.
    fn keep(&self, token: &HeaderValue) -> Result<String, Fault> {
        let mut key = [0; 16];
        getrandom::fill(&mut key)
            .map_err(|error| Fault::Node(format!("no random numbers: {error}")))?;
        let key = HEXLOWER.encode(&key);
        let mut token = token.clone();
        token.set_sensitive(true);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = unix().0;
        kept.retain(|_, (expires, _)| *expires >= now);
        if kept.len() >= KEYS_MAX {
            return Err(Fault::Later("too many readers at once".to_owned()));
        }
        // A bundle that was listed just before the end is still to be read.
        kept.insert(key.clone(), (now + 2 * PASS_SECONDS, token));
        Ok(key)
    }

    /// The headers that a reader would send if it could.
    fn headers(&self, key: &str) -> Result<HeaderMap, Fault> {
        let mut headers = HeaderMap::new();
        if key.is_empty() {
            return Ok(headers);
        }
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.get(key).filter(|(expires, _)| *expires >= unix().0);
        // The client asks for a new list, with a new pass, when it is told so.
        let (_, token) = found.ok_or_else(|| Fault::Forbidden("this is over".to_owned()))?;
        headers.insert(header::AUTHORIZATION, token.clone());
        Ok(headers)
    }
}

/// Tells a client that a file can be had in chunks, if it is so large that it will not take it whole.
pub(super) fn offer(
    hub: &Hub,
    repo: &Repo,
    commit: &Commit,
    file: &File,
    request: &HeaderMap,
    response: &mut Response,
) {
    if file.size <= hub.operations.config.chunks_above {
        return;
    }
    let route = format!(
        "{}/api/{}s/{}/xet-read-token/{}",
        origin(request),
        repo.name.kind.singular(),
        utf8_percent_encode(&repo.name.id(), PATH),
        commit.id()
    );
    let link = format!("<{route}>; rel=\"xet-auth\"");
    put(response, header::LINK, &link);
    for (name, value) in [
        ("x-xet-hash", HEXLOWER.encode(&file.sha256)),
        ("x-xet-refresh-route", route),
    ] {
        put(response, HeaderName::from_static(name), &value);
    }
}

/// `GET xet-read-token/{revision}`: where to ask for lists, and what to show there.
pub(super) async fn token(hub: &Hub, call: &Call<'_>, name: &RepoName, revision: &str) -> Answer {
    let (_, commit) = hub.find(name, Some(revision), call.headers).await?;
    let key = match call.headers.get(header::AUTHORIZATION) {
        Some(token) if !call.writes => hub.passes.keep(token)?,
        _ => String::new(),
    };
    let pass = Pass {
        name: name.clone(),
        commit: commit.id(),
        key,
    };
    let (url, token, expires) = (origin(call.headers), pass.text(), unix().0 + PASS_SECONDS);
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

/// `GET /v1/reconstructions/{hash}` and `/v2/…`: which chunks make the asked part of a file.
pub(super) async fn list(hub: &Hub, call: &Call<'_>, version: &str, sha256: &str) -> Answer {
    let shown = call.headers.get(header::AUTHORIZATION);
    let shown = shown.and_then(|shown| shown.to_str().ok()?.strip_prefix("Bearer "));
    let shown = shown.ok_or(Fault::Unauthorized)?;
    let reading = Reading::of(hub, shown, sha256).await?;
    let size = reading.size();
    let asked = call.headers.get(header::RANGE);
    let asked = asked.and_then(|range| range.to_str().ok());
    let part = match range::parse(asked, size) {
        Wanted::Whole => 0..size,
        Wanted::Part(part) => part,
        Wanted::Outside => return Ok(StatusCode::RANGE_NOT_SATISFIABLE.into_response()),
    };
    let address = format!("{}/{BUNDLES}/{shown}/{sha256}", origin(call.headers));
    Ok(ok(&listed(&reading.sha256, size, &part, &address, version)))
}

/// A file that is read in chunks.
struct Reading {
    repo: Repo,
    commit: std::sync::Arc<Commit>,
    sha256: [u8; 32],
    index: usize,
}

impl Reading {
    async fn of(hub: &Hub, pass: &str, sha256: &str) -> Result<Self, Fault> {
        let pass = Pass::parse(pass).ok_or(Fault::Unauthorized)?;
        let headers = hub.passes.headers(&pass.key)?;
        let sha256 = parse_oid(sha256)?;
        let found = hub.find(&pass.name, Some(&pass.commit), &headers).await;
        let (repo, commit) = found?;
        let mut files = commit.manifest.files.iter();
        let index = files.position(|file| file.git_sha1.is_none() && file.sha256 == sha256);
        let index = index.ok_or_else(|| Fault::NoEntry {
            message: format!("`{}` has no file of this hash", repo.name.id()),
            commit: commit.id(),
        })?;
        Ok(Self {
            repo,
            commit,
            sha256,
            index,
        })
    }

    fn file(&self) -> Option<&File> {
        self.commit.manifest.files.get(self.index)
    }

    fn size(&self) -> u64 {
        self.file().map_or(0, |file| file.size)
    }
}

/// The list for some bytes of a file.
fn listed(sha256: &[u8; 32], size: u64, part: &Range<u64>, address: &str, version: &str) -> Value {
    let (mut terms, mut bundles) = (Vec::new(), Map::new());
    // Whole chunks only.
    let (start, end) = (part.start / CHUNK * CHUNK, part.end.next_multiple_of(CHUNK));
    let mut at = start;
    while at < end.min(size) {
        let number = at / BUNDLE;
        let bytes = at..end.min(size).min((number + 1) * BUNDLE);
        let first = bytes.start / CHUNK % CHUNKS;
        let chunks = json!({
            "start": first,
            "end": first + (bytes.end - bytes.start).div_ceil(CHUNK),
        });
        // As sent; the last byte is meant.
        let sent = packed(&bytes, number);
        let sent = json!({ "start": sent.start, "end": sent.end - 1 });
        let hash = bundle_name(sha256, number);
        terms.push(json!({
            "hash": hash, "unpacked_length": bytes.end - bytes.start, "range": chunks.clone(),
        }));
        let url = format!("{address}/{number}");
        let fetch = match version {
            "v1" => json!({ "range": chunks, "url": url, "url_range": sent }),
            _ => json!({ "url": url, "ranges": [{ "chunks": chunks, "bytes": sent }] }),
        };
        bundles.insert(hash, json!([fetch]));
        at = bytes.end;
    }
    let name = if version == "v1" {
        "fetch_info"
    } else {
        "xorbs"
    };
    json!({ "offset_into_first_range": part.start - start, "terms": terms, name: bundles })
}

/// What a bundle is called: the same for the same bytes, since clients may keep it.
fn bundle_name(sha256: &[u8; 32], number: u64) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("weft 2026 bundles of chunks of large files");
    hasher.update(sha256);
    hasher.update(&number.to_le_bytes());
    HEXLOWER.encode(hasher.finalize().as_bytes())
}

/// Where bytes of a file that make whole chunks lie in their bundle.
fn packed(bytes: &Range<u64>, number: u64) -> Range<u64> {
    let place = |at: u64| {
        let at = at - number * BUNDLE;
        at + at.div_ceil(CHUNK) * HEAD
    };
    place(bytes.start)..place(bytes.end)
}

/// The bytes of a file that lie there; `None` if these are no whole chunks.
fn unpacked(sent: &Range<u64>, number: u64, size: u64) -> Option<Range<u64>> {
    let start = number.checked_mul(BUNDLE)?;
    let whole = start..size.min(start.checked_add(BUNDLE)?);
    let place = |at: u64| {
        let into = (at % (CHUNK + HEAD)).saturating_sub(HEAD);
        (start + at / (CHUNK + HEAD) * CHUNK + into).min(whole.end)
    };
    let bytes = place(sent.start)..place(sent.end);
    let is_whole = |at: u64| at.is_multiple_of(CHUNK) || at == whole.end;
    let is_good = is_whole(bytes.start) && is_whole(bytes.end) && bytes.start < bytes.end;
    (is_good && packed(&bytes, number) == *sent).then_some(bytes)
}

/// `GET /cdn/{pass}/{sha256}/{number}`: some chunks of a bundle.
pub(super) async fn bundle(hub: &Hub, call: &Call<'_>, segments: &[&str]) -> Answer {
    let [pass, sha256, number] = segments else {
        return Err(Fault::NoRoute);
    };
    let number: u64 = number.parse().map_err(|_| Fault::NoRoute)?;
    let reading = Reading::of(hub, pass, sha256).await?;
    let file = reading.file().ok_or(Fault::NoRoute)?;
    let start = number
        .checked_mul(BUNDLE)
        .filter(|start| *start < file.size);
    let start = start.ok_or(Fault::NoRoute)?;
    let all = packed(&(start..file.size.min(start + BUNDLE)), number);
    let asked = call.headers.get(header::RANGE);
    let asked = asked.and_then(|range| range.to_str().ok());
    let (status, sent) = match range::parse(asked, all.end) {
        Wanted::Whole => (StatusCode::OK, all.clone()),
        Wanted::Part(part) => (StatusCode::PARTIAL_CONTENT, part),
        Wanted::Outside => return Ok(StatusCode::RANGE_NOT_SATISFIABLE.into_response()),
    };
    let Some(bytes) = unpacked(&sent, number, file.size) else {
        return Ok(StatusCode::RANGE_NOT_SATISFIABLE.into_response());
    };
    let (repo, commit) = (&reading.repo, &reading.commit);
    let plain = body::open(hub, repo, commit, file, bytes.clone(), FIRST_BYTES).await?;
    let mut response = (status, pack(plain, bytes)).into_response();
    put(
        &mut response,
        header::CONTENT_TYPE,
        "application/octet-stream",
    );
    put(
        &mut response,
        header::CONTENT_LENGTH,
        &(sent.end - sent.start).to_string(),
    );
    if status == StatusCode::PARTIAL_CONTENT {
        let shown = format!("bytes {}-{}/{}", sent.start, sent.end - 1, all.end);
        put(&mut response, header::CONTENT_RANGE, &shown);
    }
    Ok(response)
}

/// Puts the heads between the bytes of a file.
fn pack(plain: Body, bytes: Range<u64>) -> Body {
    let mut at = bytes.start;
    let parts = plain.into_data_stream().map(move |part| {
        let mut out = Vec::new();
        match part {
            Err(error) => out.push(Err(error)),
            Ok(mut part) => {
                while !part.is_empty() {
                    let into = at % CHUNK;
                    if into == 0 {
                        out.push(Ok(head(CHUNK.min(bytes.end - at))));
                    }
                    let len = (CHUNK - into).min(part.len() as u64);
                    at += len;
                    out.push(Ok(part.split_to(usize::try_from(len).unwrap_or(part.len()))));
                }
            }
        }
        stream::iter(out)
    });
    Body::from_stream(parts.flatten())
}

/// Version, length as sent, how it is packed (not at all), length.
fn head(len: u64) -> Bytes {
    let [a, b, c, ..] = len.to_le_bytes();
    Bytes::copy_from_slice(&[0, a, b, c, 0, a, b, c])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pass_says_where() {
        let pass = Pass {
            name: RepoName {
                kind: RepoKind::Dataset,
                namespace: Some("alice".to_owned()),
                name: "rows".to_owned(),
            },
            commit: "a".repeat(40),
            key: String::new(),
        };
        assert_eq!(Pass::parse(&pass.text()), Some(pass));
        assert_eq!(Pass::parse("x"), None);
    }

    #[test]
    fn key_gives_the_token_back_and_no_other_does() {
        let passes = Passes::default();
        let key = passes
            .keep(&HeaderValue::from_static("Bearer hf_x"))
            .unwrap();
        let headers = passes.headers(&key).unwrap();
        assert_eq!(headers[header::AUTHORIZATION], "Bearer hf_x");
        assert!(passes.headers("0").is_err() && passes.headers("").unwrap().is_empty());
        assert!(!format!("{passes:?}").contains("hf_x"));
    }

    #[test]
    fn list_covers_what_is_asked_in_whole_chunks() {
        let size = 2 * BUNDLE + CHUNK + 5;
        let part = BUNDLE - 10..size - 1;
        let list = listed(&[1; 32], size, &part, "http://x", "v2");
        assert_eq!(list["offset_into_first_range"], CHUNK - 10);
        let terms = list["terms"].as_array().unwrap();
        let lens: Vec<_> = terms.iter().map(|term| &term["unpacked_length"]).collect();
        assert_eq!(lens, [CHUNK, BUNDLE, CHUNK + 5]);
        assert_eq!(
            terms[0]["range"],
            json!({ "start": CHUNKS - 1, "end": CHUNKS })
        );
        let last = &list["xorbs"][terms[2]["hash"].as_str().unwrap()][0];
        assert_eq!(last["url"], "http://x/2");
        let sent = json!({ "start": 0, "end": CHUNK + 5 + 2 * HEAD - 1 });
        assert_eq!(last["ranges"][0]["bytes"], sent);
        let old = listed(&[1; 32], size, &part, "http://x", "v1");
        assert_eq!(old["fetch_info"].as_object().map(Map::len), Some(3));
    }

    #[test]
    fn places_in_a_bundle_and_in_the_file_are_the_same_bytes() {
        let size = BUNDLE + 3 * CHUNK + 7;
        for bytes in [
            BUNDLE..size,
            BUNDLE + CHUNK..BUNDLE + 2 * CHUNK,
            BUNDLE + 3 * CHUNK..size,
        ] {
            assert_eq!(unpacked(&packed(&bytes, 1), 1, size), Some(bytes));
        }
        assert_eq!(unpacked(&(1..CHUNK + HEAD), 0, size), None);
        assert_eq!(unpacked(&(0..CHUNK), 0, size), None);
    }

    #[tokio::test]
    async fn heads_stand_before_each_chunk_however_the_bytes_come() {
        let size = CHUNK + 3;
        let parts = [CHUNK - 1, 2, 2].map(|len| Ok::<_, std::io::Error>(vec![7; len as usize]));
        let packed = pack(Body::from_stream(stream::iter(parts)), 0..size);
        let got = axum::body::to_bytes(packed, usize::MAX).await.unwrap();
        let mut expected = head(CHUNK).to_vec();
        expected.extend(vec![7; CHUNK as usize]);
        expected.extend(head(3));
        expected.extend([7; 3]);
        assert_eq!(got, expected);
    }
}
