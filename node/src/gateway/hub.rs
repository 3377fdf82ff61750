//! The endpoint that Hugging Face clients understand: `HF_ENDPOINT=http://127.0.0.1:4780` and nothing else changes.
//!
//! Reading needs no token; a foreign one that a client sends along is handed to the hub behind this node, if there is one
//! and it is asked (`upstream`), and is not kept. A request goes
//! `route` (what is meant) → `repos` (does it exist) → one of `file`, `info`, `tree`, `small`. Bytes come out of
//! `body`; what is not here is fetched for as long as somebody reads it (`demand`). Writing wants this node's token:
//! `write` makes repositories, branches and tags, `lfs`, `xet` and `staging` take contents in, `commits` signs revisions.
//! `chunks` hands out files that clients do not take whole, `cached` shares one copy with their cache.

mod body;
mod cache;
mod cached;
mod chunks;
mod commit;
mod commits;
mod demand;
mod file;
mod info;
mod lfs;
mod query;
mod range;
mod records;
mod reply;
mod repos;
mod route;
mod small;
mod staging;
mod tree;
mod upstream;
mod write;
mod xet;

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, Method, header},
    response::Response,
};
use weft_protocol::{
    id::{PublisherId, RepositoryId},
    refs::BRANCHES,
};

pub(super) use self::commit::date;
use self::{
    query::Query,
    reply::{Answer, Fault},
    route::{Route, file_path},
    tree::Page,
};
use super::guard::Tokens;
use crate::{api::route::PREFIX, operations::Operations};

/// The largest body of a question, a list of paths.
const QUESTION_LEN_MAX: usize = 4 * 1024 * 1024;

/// What all requests share.
#[derive(Debug)]
struct Hub {
    operations: Arc<Operations>,
    tokens: Tokens,
    records: records::Records,
    cache: cache::Cache,
    demand: Arc<demand::Demand>,
    staging: staging::Staging,
    upload_key: [u8; 32],
    passes: chunks::Passes,
}

/// One request, apart from its body.
#[derive(Debug)]
struct Call<'a> {
    method: &'a Method,
    path: &'a str,
    query: &'a Query,
    headers: &'a HeaderMap,
    /// Whether the request may change something.
    writes: bool,
}

impl Call<'_> {
    /// Lets only holders of this node's token go on.
    fn must_write(&self) -> Result<(), Fault> {
        if self.writes {
            Ok(())
        } else {
            Err(Fault::Unauthorized)
        }
    }

    fn page(&self) -> Page<'_> {
        Page {
            path: self.path,
            query: self.query,
            headers: self.headers,
        }
    }
}

/// Answers everything on the port that is not this node's own API.
pub(super) fn router(operations: Arc<Operations>, tokens: Tokens) -> Router {
    let hub = Hub {
        records: records::Records::new(operations.registry.clone()),
        cache: cache::Cache::default(),
        demand: Arc::default(),
        staging: staging::Staging::new(operations.home.uploads()),
        upload_key: tokens.upload_key(),
        passes: chunks::Passes::default(),
        operations,
        tokens,
    };
    Router::new().fallback(handle).with_state(Arc::new(hub))
}

async fn handle(State(hub): State<Arc<Hub>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let query = Query::parse(parts.uri.query());
    let call = Call {
        method: &parts.method,
        path,
        query: &query,
        headers: &parts.headers,
        writes: hub.tokens.writes(&parts.headers),
    };
    let answer = hub.answer(&call, body).await;
    let mut response = answer.unwrap_or_else(|fault| {
        tracing::debug!(method = %call.method, path, ?fault, "refused");
        fault.into_response_for(&parts.headers)
    });
    if parts.method == Method::HEAD {
        // The headers of the answer to GET, without its body.
        let (head, body) = response.into_parts();
        let len = http_body_len(&body);
        response = Response::from_parts(head, Body::empty());
        if let (Some(len), false) = (len, response.headers().contains_key(header::CONTENT_LENGTH)) {
            response
                .headers_mut()
                .insert(header::CONTENT_LENGTH, len.into());
        }
    }
    response
}

fn http_body_len(body: &Body) -> Option<u64> {
    hyper::body::Body::size_hint(body).exact()
}

impl Hub {
    async fn answer(&self, call: &Call<'_>, body: Body) -> Answer {
        let reads = matches!(*call.method, Method::GET | Method::HEAD);
        match route::parse(call.path) {
            Route::File {
                repo,
                revision,
                path,
                raw,
            } => {
                if !reads {
                    return Err(Fault::Method);
                }
                let asked = file::Asked {
                    repo: &repo,
                    revision: &revision,
                    path: &path,
                    raw,
                    method: call.method,
                    headers: call.headers,
                };
                file::answer(self, asked).await
            }
            Route::List(kind) if reads => info::list(self, kind, call.page()).await,
            Route::Repo { repo, verb, rest } if reads || verb == "paths-info" => {
                self.read(call, &repo, &verb, &rest, body).await
            }
            Route::Other(_) if call.path.starts_with(PREFIX) => Err(Fault::NoRoute),
            Route::Other(segments) => {
                let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
                match segments.as_slice() {
                    // The address is the permission.
                    [lfs::UPLOADS, rest @ ..] => lfs::upload(self, call, rest, body).await,
                    [version @ ("v1" | "v2"), "reconstructions", sha256] if reads => {
                        chunks::list(self, call, version, sha256).await
                    }
                    [chunks::BUNDLES, rest @ ..] if reads => chunks::bundle(self, call, rest).await,
                    segments if reads => small::other(self, call, segments).await,
                    segments => self.write_other(call, segments, body).await,
                }
            }
            Route::List(_) => Err(Fault::Method),
            Route::Lfs { repo, rest } => self.write_lfs(call, &repo, &rest, body).await,
            Route::Repo { repo, verb, rest } => self.write(call, &repo, &verb, &rest, body).await,
        }
    }

    /// Changes that are about no repository, or about one that the body names.
    async fn write_other(&self, call: &Call<'_>, segments: &[&str], body: Body) -> Answer {
        match (call.method.as_str(), segments) {
            // A question, although it is sent like a change.
            ("POST", ["api", "validate-yaml"]) => {
                commits::validate_yaml(&read_body(body, QUESTION_LEN_MAX).await?)
            }
            ("POST", ["api", "telemetry", ..]) => small::other(self, call, segments).await,
            ("POST", ["api", "repos", "create"]) => {
                call.must_write()?;
                write::create(self, call, &read_body(body, QUESTION_LEN_MAX).await?).await
            }
            ("DELETE", ["api", "repos", "delete"]) => {
                call.must_write()?;
                write::delete(self, &read_body(body, QUESTION_LEN_MAX).await?).await
            }
            ("POST", ["v1", "xorbs", "default", hash]) => xet::xorb(self, call, hash, body).await,
            ("POST", [version @ ("v1" | "v2"), "shards"]) => {
                xet::shard(self, call, version, body).await
            }
            ("POST", ["v1", "telemetry"]) => Ok(xet::telemetry()),
            // Not offered here; clients then take the way above.
            ("POST", ["v1", "xorb-grants", ..]) => Err(Fault::NoRoute),
            ("POST", ["api", "repos", "move"]) => {
                call.must_write()?;
                let message = "a repository's name is signed and cannot be changed";
                Err(Fault::Forbidden(message.to_owned()))
            }
            _ => Err(Fault::Method),
        }
    }

    async fn write_lfs(
        &self,
        call: &Call<'_>,
        name: &route::RepoName,
        rest: &[String],
        body: Body,
    ) -> Answer {
        if *call.method != Method::POST || rest.join("/") != "objects/batch" {
            return Err(Fault::Method);
        }
        call.must_write()?;
        let body = read_body(body, QUESTION_LEN_MAX).await?;
        let repo = self.repo(name).await?;
        write::own(self, &repo.id.publisher)?;
        lfs::batch(self, &repo, call, &body).await
    }

    /// Changes of one repository.
    async fn write(
        &self,
        call: &Call<'_>,
        name: &route::RepoName,
        verb: &str,
        rest: &[String],
        body: Body,
    ) -> Answer {
        const CHANGES: [(&str, &str); 8] = [
            ("POST", "preupload"),
            ("POST", "commit"),
            ("POST", "branch"),
            ("DELETE", "branch"),
            ("POST", "tag"),
            ("DELETE", "tag"),
            ("PUT", "settings"),
            ("POST", "super-squash"),
        ];
        if !CHANGES.contains(&(call.method.as_str(), verb)) {
            return Err(Fault::Method);
        }
        call.must_write()?;
        let what = file_path(rest).decoded;
        if verb == "commit" {
            let repo = self.repo(name).await?;
            write::own(self, &repo.id.publisher)?;
            return commits::answer(self, &repo, &what, call, body).await;
        }
        let body = read_body(body, QUESTION_LEN_MAX).await?;
        let repo = self.repo(name).await?;
        match (verb, *call.method == Method::DELETE) {
            ("preupload", _) => {
                write::own(self, &repo.id.publisher)?;
                lfs::preupload(self, &repo, &what, &body).await
            }
            ("branch", _) => write::branch(self, &repo, &what, call, &body).await,
            ("tag", false) => write::tag(self, &repo, &what, &body).await,
            ("tag", true) => write::untag(self, &repo, &what).await,
            ("settings", _) => write::settings(&body),
            _ => Err(Fault::Forbidden(
                "a signed history cannot be rewritten".to_owned(),
            )),
        }
    }

    async fn read(
        &self,
        call: &Call<'_>,
        name: &route::RepoName,
        verb: &str,
        rest: &[String],
        body: Body,
    ) -> Answer {
        if verb == "xet-write-token" {
            return xet::token(self, call, name).await;
        }
        if verb == "xet-read-token" {
            return chunks::token(self, call, name, &file_path(rest).decoded).await;
        }
        let asked = match (verb, rest.first()) {
            // What follows the revision is a folder.
            ("tree", Some(revision)) => Some(route::decode(revision)),
            ("revision" | "commits" | "paths-info", Some(revision)) => {
                Some(whole_revision(rest, route::decode(revision)))
            }
            _ => None,
        };
        let (repo, commit) = self.find(name, asked.as_deref(), call.headers).await?;
        match (verb, asked) {
            ("", _) | ("revision", Some(_)) => info::answer(self, &repo, &commit, call.query).await,
            ("tree", Some(_)) => {
                let folder = file_path(rest.get(1..).unwrap_or_default());
                tree::tree(self, &commit, &folder.decoded, call.page()).await
            }
            ("commits", Some(_)) => tree::commits(self, &repo, commit, call.page()).await,
            ("paths-info", Some(_)) if *call.method == Method::POST => {
                let body = read_body(body, QUESTION_LEN_MAX).await?;
                let (paths, expand) = asked_paths(&body)?;
                tree::paths(self, &commit, &paths, expand).await
            }
            ("paths-info", _) => Err(Fault::Method),
            ("refs", _) => match &repo.origin {
                Some(origin) => origin.refs().await,
                None => Ok(tree::refs(&repo, call.query)),
            },
            _ => small::about(&repo, verb, rest, call),
        }
    }

    /// What a repository's publisher is called in ids that this node makes up.
    async fn namespace(&self, repository: &RepositoryId) -> String {
        self.namespace_of(repository.publisher).await
    }

    async fn namespace_of(&self, publisher: PublisherId) -> String {
        let petname = self.operations.petname_of(publisher).await;
        petname.unwrap_or_else(|| publisher.to_string())
    }
}

/// A revision at the end of a path may have come with its slashes as they are.
fn whole_revision(rest: &[String], first: String) -> String {
    if rest.len() > 1 {
        file_path(rest).decoded
    } else {
        first
    }
}

/// `http://HOST`, as the client knows this node.
fn origin(headers: &HeaderMap) -> String {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    format!("http://{}", host.unwrap_or("127.0.0.1"))
}

/// Reads a small body.
async fn read_body(body: Body, len_max: usize) -> Result<Bytes, Fault> {
    let read = axum::body::to_bytes(body, len_max);
    match tokio::time::timeout(BODY_TIMEOUT, read).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a request's body cannot be read");
            Err(Fault::TooLarge(format!(
                "the body is cut short or larger than {len_max} bytes"
            )))
        }
        Err(_) => Err(Fault::TooSlow),
    }
}

/// How long a small body may take.
const BODY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

/// The body of `paths-info`: JSON, or a form.
fn asked_paths(body: &[u8]) -> Result<(Vec<String>, bool), Fault> {
    #[derive(serde::Deserialize)]
    struct Asked {
        paths: Vec<String>,
        #[serde(default)]
        expand: bool,
    }
    if body.first() == Some(&b'{') {
        let asked: Asked = serde_json::from_slice(body)
            .map_err(|error| Fault::Invalid(format!("the list of paths: {error}")))?;
        return Ok((asked.paths, asked.expand));
    }
    let text = std::str::from_utf8(body)
        .map_err(|_| Fault::Invalid("the list of paths is not text".to_owned()))?;
    let form = Query::parse(Some(text));
    let paths = form.all("paths").map(str::to_owned).collect();
    Ok((paths, form.is_on("expand")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_come_as_json_or_as_a_form() {
        let expected = (vec!["a b".to_owned(), "c".to_owned()], true);
        let json = asked_paths(br#"{"paths":["a b","c"],"expand":true}"#);
        assert_eq!(json, Ok(expected.clone()));
        let form = asked_paths(b"paths=a+b&paths=c&expand=True");
        assert_eq!(form, Ok(expected));
        assert!(asked_paths(b"{").is_err());
    }
}
