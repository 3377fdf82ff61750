//! What is in a revision: trees, single paths, branches and tags, the commits before it.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    http::{HeaderMap, header},
    response::Response,
};
use serde_json::{Value, json};

use super::{
    BRANCHES, Hub,
    commit::{Commit, Entry, commit_id, date},
    origin,
    query::Query,
    reply::{Answer, Fault, REPO_COMMIT, TOTAL_COUNT, ok, put},
    repos::Repo,
};

/// Entries of one page: some clients read the first page only.
const PAGE: usize = 10_000;
/// Entries of one page with the last commit of each, which is found by going back in time.
const PAGE_EXPANDED: usize = 1_000;
/// How far back is looked for the commit that last changed a path.
const HISTORY_MAX: usize = 50;
/// Commits of one page.
const COMMITS_PAGE: usize = 1_000;
/// Revisions that are walked for one list of commits.
const COMMITS_MAX: usize = 10_000;

/// A list that may go on on another page.
#[derive(Debug)]
pub(super) struct Page<'a> {
    pub(super) path: &'a str,
    pub(super) query: &'a Query,
    pub(super) headers: &'a HeaderMap,
}

impl Page<'_> {
    /// Where this page begins.
    pub(super) fn start(&self) -> usize {
        self.query.number("cursor").unwrap_or(0)
    }

    /// Points to the next page, if there is one. Clients want the whole address.
    pub(super) fn link(&self, response: &mut Response, next: Option<usize>) {
        if let Some(next) = next {
            let query = self.query.with("cursor", &next.to_string());
            let link = format!(
                "<{}{}?{query}>; rel=\"next\"",
                origin(self.headers),
                self.path
            );
            put(response, header::LINK, &link);
        }
    }
}

/// `tree/{revision}[/{folder}]`.
pub(super) async fn tree(hub: &Hub, commit: &Arc<Commit>, folder: &str, page: Page<'_>) -> Answer {
    let recursive = page.query.is_on("recursive");
    let expand = page.query.is_on("expand");
    let Some(entries) = commit.entries(folder, recursive) else {
        return Err(Fault::NoEntry {
            message: format!("there is no folder `{folder}`"),
            commit: commit.id(),
        });
    };
    let most = if expand { PAGE_EXPANDED } else { PAGE };
    let limit = page.query.number("limit").unwrap_or(most).clamp(1, most);
    let start = page.start();
    let shown: Vec<_> = entries.iter().copied().skip(start).take(limit).collect();
    let end = start.saturating_add(shown.len());
    let listed = if expand {
        expanded(hub, commit, &shown).await?
    } else {
        shown.iter().map(|entry| entry.json()).collect()
    };
    let mut response = ok(&listed);
    put(&mut response, REPO_COMMIT, &commit.id());
    page.link(&mut response, (end < entries.len()).then_some(end));
    Ok(response)
}

/// `paths-info/{revision}`: those of the paths that exist.
pub(super) async fn paths(
    hub: &Hub,
    commit: &Arc<Commit>,
    paths: &[String],
    expand: bool,
) -> Answer {
    let found = |path: &String| {
        let path = path.trim_matches('/');
        commit
            .file(path)
            .map(Entry::File)
            .or_else(|| commit.folder(path))
    };
    let entries: Vec<_> = paths.iter().filter_map(found).collect();
    let listed = if expand {
        expanded(hub, commit, &entries).await?
    } else {
        entries.iter().map(|entry| entry.json()).collect()
    };
    Ok(ok(&listed))
}

/// Entries with the last commit that changed each, as far back as is known here.
async fn expanded(
    hub: &Hub,
    commit: &Arc<Commit>,
    entries: &[Entry<'_>],
) -> Result<Vec<Value>, Fault> {
    let mut open: BTreeMap<usize, String> = entries
        .iter()
        .enumerate()
        .map(|(at, entry)| (at, identity(*entry)))
        .collect();
    let mut last: Vec<Value> = vec![Value::Null; entries.len()];
    let mut newer = Arc::clone(commit);
    for _ in 0..HISTORY_MAX {
        let Some(older) = parent(hub, &newer).await? else {
            break;
        };
        open.retain(|at, before| {
            let same = entries.get(*at).is_some_and(|entry| {
                let path = entry.path();
                let there = older.file(path).map(Entry::File);
                let there = there.or_else(|| older.folder(path));
                there.is_some_and(|there| identity(there) == *before)
            });
            if !same && let Some(slot) = last.get_mut(*at) {
                *slot = newer.brief();
            }
            same
        });
        newer = older;
        if open.is_empty() {
            break;
        }
    }
    for at in open.keys() {
        if let Some(slot) = last.get_mut(*at) {
            *slot = newer.brief();
        }
    }
    let with = |(entry, commit): (&Entry<'_>, Value)| {
        let mut json = entry.json();
        json["lastCommit"] = commit;
        json
    };
    Ok(entries.iter().zip(last).map(with).collect())
}

fn identity(entry: Entry<'_>) -> String {
    match entry {
        Entry::File(file) => file.blake3.to_string(),
        Entry::Folder { oid, .. } => oid.to_owned(),
    }
}

/// The revision before, if it is known here.
async fn parent(hub: &Hub, commit: &Commit) -> Result<Option<Arc<Commit>>, Fault> {
    match commit.manifest.parents.first() {
        Some(parent) => hub.load(*parent).await,
        None => Ok(None),
    }
}

/// `refs`.
pub(super) fn refs(repo: &Repo, query: &Query) -> Response {
    let named = |name: &str, group: &str, target: &str| json!({ "name": name, "ref": format!("refs/{group}/{name}"), "targetCommit": target });
    let mut branches = vec![named("main", "heads", &repo.main.id())];
    let mut tags = Vec::new();
    for (name, revision) in &repo.refs.names {
        let target = commit_id(revision);
        match name.as_str().strip_prefix(BRANCHES) {
            Some(branch) => branches.push(named(branch, "heads", &target)),
            None => tags.push(named(name.as_str(), "tags", &target)),
        }
    }
    let mut all = json!({ "branches": branches, "tags": tags, "converts": [] });
    if query.is_on("include_prs") || query.is_on("include_pull_requests") {
        all["pullRequests"] = json!([]);
    }
    ok(&all)
}

/// `commits/{revision}`: this revision and those before it, as far as they are known here.
pub(super) async fn commits(hub: &Hub, repo: &Repo, commit: Arc<Commit>, page: Page<'_>) -> Answer {
    let author = repo.name.namespace.as_deref().unwrap_or_default();
    let formatted = page.query.all("expand").any(|what| what == "formatted");
    let mut all = Vec::new();
    let mut at = Some(commit);
    while let Some(commit) = at {
        let mut entry = json!({
            "id": commit.id(),
            "title": commit.title(),
            "message": commit.description(),
            "date": date(commit.manifest.created),
            "authors": [{ "user": author, "avatar": "" }],
            "parents": commit.manifest.parents.iter().map(commit_id).collect::<Vec<_>>(),
        });
        if formatted {
            entry["formatted"] =
                json!({ "title": commit.title(), "message": commit.description() });
        }
        all.push(entry);
        if all.len() >= COMMITS_MAX {
            break;
        }
        at = parent(hub, &commit).await?;
    }
    let limit = page
        .query
        .number("limit")
        .unwrap_or(COMMITS_PAGE)
        .clamp(1, COMMITS_PAGE);
    let start = match page.query.number("p") {
        Some(number) => number.saturating_mul(limit),
        None => page.start(),
    };
    let total = all.len();
    let shown: Vec<_> = all.into_iter().skip(start).take(limit).collect();
    let end = start.saturating_add(shown.len());
    let mut response = ok(&shown);
    put(&mut response, TOTAL_COUNT, &total.to_string());
    page.link(&mut response, (end < total).then_some(end));
    Ok(response)
}
