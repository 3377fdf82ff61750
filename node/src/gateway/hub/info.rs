//! What is told about a repository as a whole, and lists of repositories.

use futures::TryStreamExt;
use serde_json::{Map, Value, json};
use weft_protocol::{id::RepositoryId, manifest::File};

use super::{
    Hub,
    commit::{Commit, content_id, date, lfs},
    query::Query,
    reply::{Answer, Fault, ok},
    repos::{Repo, fits},
    route::{RepoKind, RepoName},
    tree::Page,
};
use crate::operations::front_matter;

/// A card larger than this is not looked into.
const CARD_LEN_MAX: u64 = 1024 * 1024;
/// Repositories of one page of a list.
const PAGE: usize = 1_000;

/// `/api/{kind}s/{id}[/revision/{revision}]`.
pub(super) async fn answer(hub: &Hub, repo: &Repo, commit: &Commit, query: &Query) -> Answer {
    let blobs = query.is_on("blobs");
    let full = match &repo.origin {
        Some(origin) => {
            let shown = describe(&repo.name, repo, commit, &json!({}), blobs);
            origin.describe(shown)
        }
        None => {
            let card = card(hub, commit).await;
            describe(&repo.name, repo, commit, &card, blobs)
        }
    };
    Ok(ok(&expanded(full, query)))
}

/// Only what was asked for with `expand`, if anything was.
fn expanded(full: Value, query: &Query) -> Value {
    let mut wanted = query.all("expand").peekable();
    if wanted.peek().is_none() {
        return full;
    }
    let mut shown = Map::new();
    for key in ["_id", "id"].into_iter().chain(wanted) {
        if let Some(value) = full.get(key) {
            shown.insert(key.to_owned(), value.clone());
        }
    }
    Value::Object(shown)
}

fn describe(name: &RepoName, repo: &Repo, commit: &Commit, card: &Value, blobs: bool) -> Value {
    let manifest = &commit.manifest;
    let id = name.id();
    let siblings: Vec<_> = manifest
        .files
        .iter()
        .map(|file| sibling(file, blobs))
        .collect();
    let library = manifest.card.library.clone();
    let modified = date(manifest.created);
    let mut shown = json!({
        "_id": identifier(&repo.id),
        "id": id,
        "author": name.namespace,
        "sha": commit.id(),
        "lastModified": modified,
        "createdAt": modified,
        "private": false,
        "gated": false,
        "disabled": false,
        "downloads": 0,
        "downloadsAllTime": 0,
        "likes": 0,
        "trendingScore": 0,
        "tags": tags(commit),
        "cardData": card,
        "siblings": siblings,
        "usedStorage": manifest.bytes_total(),
    });
    match name.kind {
        RepoKind::Model => {
            shown["modelId"] = json!(name.id());
            shown["pipeline_tag"] = json!(manifest.card.pipeline_tag);
            shown["library_name"] = json!(library);
            shown["config"] = json!({});
            shown["spaces"] = json!([]);
        }
        RepoKind::Dataset => shown["description"] = json!(""),
        RepoKind::Space => {
            shown["sdk"] = shown["cardData"]["sdk"].clone();
            shown["runtime"] = runtime();
            shown["models"] = json!([]);
            shown["datasets"] = json!([]);
        }
    }
    shown
}

/// A space does not run here.
pub(super) fn runtime() -> Value {
    json!({
        "stage": "STOPPED",
        "hardware": { "current": null, "requested": null },
        "storage": null,
        "gcTimeout": null,
        "replicas": { "requested": 1 },
    })
}

fn sibling(file: &File, blobs: bool) -> Value {
    let mut sibling = json!({ "rfilename": file.path.as_str() });
    if blobs {
        sibling["size"] = json!(file.size);
        sibling["blobId"] = json!(content_id(file));
        if let Some(lfs) = lfs(file) {
            sibling["blobId"] = json!(super::commit::git_oid(file));
            sibling["lfs"] = json!({
                "sha256": lfs.sha256,
                "size": file.size,
                "pointerSize": lfs.pointer.len(),
            });
        }
    }
    sibling
}

/// 24 hex digits that stay the same.
fn identifier(repository: &RepositoryId) -> String {
    let mut text = blake3::hash(repository.to_string().as_bytes())
        .to_hex()
        .to_string();
    text.truncate(24);
    text
}

/// What a list can be filtered by.
fn tags(commit: &Commit) -> Vec<String> {
    let card = &commit.manifest.card;
    let mut tags = card.tags.clone();
    tags.extend(
        card.license
            .iter()
            .map(|license| format!("license:{license}")),
    );
    tags.extend(card.library.iter().cloned());
    tags.extend(card.pipeline_tag.iter().cloned());
    tags.extend(card.languages.iter().cloned());
    let mut seen = std::collections::BTreeSet::new();
    tags.retain(|tag| seen.insert(tag.clone()));
    tags
}

/// The front matter of `README.md`, if it is here; otherwise what the manifest says of it.
async fn card(hub: &Hub, commit: &Commit) -> Value {
    let readme = commit
        .file("README.md")
        .filter(|file| file.size <= CARD_LEN_MAX);
    if let Some(file) = readme {
        let local = hub.operations.transfer.local(file.blake3, file.size).await;
        if local.is_complete()
            && let Ok(parts) = local.read(0..file.size).try_collect::<Vec<_>>().await
        {
            let bytes = parts.concat();
            let text = String::from_utf8_lossy(&bytes);
            let parsed = front_matter(&text).map(serde_saphyr::from_str::<Value>);
            return match parsed {
                Some(Ok(card @ Value::Object(_))) => card,
                _ => json!({}),
            };
        }
    }
    let card = &commit.manifest.card;
    let mut shown = Map::new();
    let mut put = |key: &str, value: Value| {
        if !value.is_null() && value != json!([]) {
            shown.insert(key.to_owned(), value);
        }
    };
    put("license", json!(card.license));
    put("tags", json!(card.tags));
    put("language", json!(card.languages));
    put("pipeline_tag", json!(card.pipeline_tag));
    put("library_name", json!(card.library));
    Value::Object(shown)
}

/// `/api/{kind}s`: what is known here, newest first.
pub(super) async fn list(hub: &Hub, kind: RepoKind, page: Page<'_>) -> Answer {
    let query = page.query;
    let searched: Vec<_> = query.all("search").map(str::to_lowercase).collect();
    let filters: Vec<_> = query
        .all("filter")
        .chain(query.all("tags"))
        .flat_map(|filter| filter.split(','))
        .collect();
    let author = match query.get("author") {
        Some(author) => match hub.publisher(author).await? {
            Some(publisher) => Some((author, publisher)),
            None => return Ok(ok(&json!([]))),
        },
        None => None,
    };
    let mut found = Vec::new();
    for (repository, commit, is_empty) in shown(hub).await? {
        if !fits(kind, commit.manifest.kind) {
            continue;
        }
        let namespace = match author {
            Some((_, publisher)) if publisher != repository.publisher => continue,
            Some((author, _)) => author.to_owned(),
            None => hub.namespace(&repository).await,
        };
        let name = RepoName {
            kind,
            namespace: Some(namespace),
            name: repository.name.to_string(),
        };
        let id = name.id().to_lowercase();
        let tags = tags(&commit);
        let has = |filter: &&str| {
            let plain = filter.rsplit_once(':').map_or(*filter, |(_, value)| value);
            tags.iter().any(|tag| tag == filter || tag == plain)
        };
        let pipeline = query.get("pipeline_tag");
        if searched.iter().all(|part| id.contains(part))
            && filters.iter().all(has)
            && pipeline.is_none_or(|p| commit.manifest.card.pipeline_tag.as_deref() == Some(p))
        {
            let repo = Repo {
                name: name.clone(),
                id: repository,
                main: commit.clone(),
                refs: std::sync::Arc::default(),
                is_empty,
                origin: None,
            };
            found.push((commit.manifest.created, repo));
        }
    }
    found.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.id.cmp(&b.1.id)));
    let limit = query.number("limit").unwrap_or(PAGE).clamp(1, PAGE);
    let start = page.start();
    let total = found.len();
    let with_files = query.is_on("full") || query.all("expand").next().is_some();
    let mut listed = Vec::new();
    for (_, repo) in found.iter().skip(start).take(limit) {
        let card = match query.is_on("cardData") || query.is_on("full") {
            true => card(hub, &repo.main).await,
            false => Value::Null,
        };
        let mut entry = describe(&repo.name, repo, &repo.main, &card, false);
        if !with_files && let Some(entry) = entry.as_object_mut() {
            entry.remove("siblings");
        }
        if let Some(entry) = entry.as_object_mut()
            && entry.get("cardData").is_some_and(Value::is_null)
        {
            entry.remove("cardData");
        }
        listed.push(expanded(entry, query));
    }
    let end = start.saturating_add(listed.len());
    let mut response = ok(&listed);
    page.link(&mut response, (end < total).then_some(end));
    Ok(response)
}

/// Every repository that is shown on this node, with what `main` names.
async fn shown(hub: &Hub) -> Result<Vec<(RepositoryId, std::sync::Arc<Commit>, bool)>, Fault> {
    let mut shown = Vec::new();
    for tip in hub.operations.held_heads().await? {
        let record = hub.records.get(&tip.repository)?;
        if record.is_some_and(|record| !record.shows(tip.index)) {
            continue;
        }
        // A head without its manifest is only hearsay.
        if let Some(commit) = hub.load(tip.revision).await? {
            shown.push((tip.repository, commit, false));
        }
    }
    for (repository, record) in hub.records.created()? {
        let known = shown.iter().any(|(other, ..)| *other == repository);
        if let Some(manifest) = record.empty_revision(&repository).filter(|_| !known) {
            let revision = weft_protocol::codec::object_id::<weft_protocol::manifest::Manifest>(
                &weft_protocol::codec::encode(&manifest),
            );
            let commit = Commit::new(revision, manifest);
            shown.push((repository, std::sync::Arc::new(commit), true));
        }
    }
    Ok(shown)
}
