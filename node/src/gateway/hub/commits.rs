//! Commits: what a client wants changed, applied to what there is, signed as a new revision.
//!
//! The body is lines of JSON: a header, then one line for each file. Contents that come along are written to disk line
//! by line. Nothing is visible before the new head is signed and committed, so a client that goes away in the middle
//! leaves nothing but files nobody refers to.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::body::Body;
use data_encoding::BASE64;
use futures::{StreamExt, TryStreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time;
use weft_protocol::{
    limits,
    manifest::{Card, File, Manifest, Role},
    path::RepoPath,
    refs::{MAIN, RefName},
};

use super::{
    BRANCHES, Call, Hub,
    commit::{Commit, commit_id},
    origin,
    reply::{Answer, Fault, ok},
    repos::Repo,
    staging::parse_oid,
};
use crate::{
    operations::{Base, Next, parse_card},
    service::unix,
    transfer::Imported,
};

/// The longest line: a file that comes along inside it takes a third more than its size.
const LINE_LEN_MAX: usize = 256 * 1024 * 1024;
/// How long a client may send nothing in the middle of a commit.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// A card larger than this says nothing.
const CARD_LEN_MAX: u64 = 1024 * 1024;

/// One line of a commit.
#[derive(Debug, Deserialize)]
#[serde(tag = "key", content = "value", rename_all = "camelCase")]
enum Line {
    Header(Header),
    File {
        path: String,
        content: String,
        #[serde(default)]
        encoding: Option<String>,
    },
    LfsFile {
        path: String,
        oid: String,
    },
    DeletedFile {
        path: String,
    },
    DeletedFolder {
        path: String,
    },
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    #[serde(default)]
    summary: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    parent_commit: Option<String>,
}

/// A commit as read.
#[derive(Debug, Default)]
struct Wish {
    header: Header,
    adds: Vec<(RepoPath, [u8; 32])>,
    deletes: Vec<String>,
}

/// `POST commit/{revision}`.
pub(super) async fn answer(
    hub: &Hub,
    repo: &Repo,
    revision: &str,
    call: &Call<'_>,
    body: Body,
) -> Answer {
    if call.query.is_on("create_pr") {
        let message = "weft has no pull requests: commit to a branch instead";
        return Err(Fault::Forbidden(message.to_owned()));
    }
    let branch = branch(repo, revision)?;
    let wish = read(hub, body).await?;
    // What is new is taken into the blob store before anything is decided, and held until all is signed.
    let mut imported = BTreeMap::new();
    let known = known_files(hub, repo).await?;
    for (path, sha256) in &wish.adds {
        if imported.contains_key(sha256) {
            continue;
        }
        // What is known may have come again: then it goes from where uploads lie.
        let one = hub.staging.take(&hub.operations.transfer, sha256).await?;
        if one.is_none() && known.contains_key(sha256) {
            continue;
        }
        let one =
            one.ok_or_else(|| Fault::Invalid(format!("the content of `{path}` was not uploaded")))?;
        imported.insert(*sha256, one);
    }
    let record = hub.records.get(&repo.id)?;
    let hidden = record.as_ref().and_then(|record| record.hidden_to);
    let mut created = None;
    hub.operations
        .change(&repo.id, hidden, async |base: Base| {
            let (next, new) =
                apply(hub, repo, branch.as_ref(), &wish, base, &known, &imported).await?;
            created = Some(new);
            Ok::<_, Fault>(next)
        })
        .await?;
    hub.records.published(&repo.id)?;
    drop(imported);
    let id = created.unwrap_or_else(|| repo.main.id());
    let url = format!(
        "{}/{}{}/commit/{id}",
        origin(call.headers),
        repo.name.kind.prefix(),
        repo.name.id()
    );
    Ok(ok(&json!({
        "success": true,
        "commitOid": id,
        "commitUrl": url,
        "hookOutput": "",
    })))
}

/// The branch a commit goes to: none for `main`.
fn branch(repo: &Repo, revision: &str) -> Result<Option<RefName>, Fault> {
    let name = revision.strip_prefix("refs/heads/").unwrap_or(revision);
    if name == MAIN {
        return Ok(None);
    }
    let full: Result<RefName, _> = format!("{BRANCHES}{name}").parse();
    full.ok()
        .filter(|full| repo.refs.names.iter().any(|(other, _)| other == full))
        .map(Some)
        .ok_or_else(|| Fault::NoRevision(format!("`{}` has no branch `{name}`", repo.name.id())))
}

/// Files of this repository by hash: what a client wants to add again need not be uploaded again.
pub(super) async fn known_files(hub: &Hub, repo: &Repo) -> Result<BTreeMap<[u8; 32], File>, Fault> {
    let mut known = BTreeMap::new();
    let mut add = |commit: &Commit| {
        for file in &commit.manifest.files {
            known.insert(file.sha256, file.clone());
        }
    };
    add(&repo.main);
    for (_, revision) in &repo.refs.names {
        if let Some(commit) = hub.load(*revision).await? {
            add(&commit);
        }
    }
    Ok(known)
}

async fn apply(
    hub: &Hub,
    repo: &Repo,
    branch: Option<&RefName>,
    wish: &Wish,
    base: Base,
    known: &BTreeMap<[u8; 32], File>,
    imported: &BTreeMap<[u8; 32], Imported>,
) -> Result<(Next, String), Fault> {
    let main = match base.main {
        Some(revision) => hub.load(revision).await?.ok_or_else(gone)?,
        None => Arc::clone(&repo.main),
    };
    let parent = match branch {
        None => Arc::clone(&main),
        Some(branch) => {
            let mut names = base.refs.names.iter();
            let found = names.find(|(name, _)| name == branch).ok_or_else(gone)?;
            hub.load(found.1).await?.ok_or_else(gone)?
        }
    };
    if let Some(expected) = &wish.header.parent_commit
        && !parent
            .revision
            .to_string()
            .starts_with(&expected.to_ascii_lowercase())
    {
        return Err(Fault::Stale(format!(
            "the branch is at {}, not at {expected}: somebody committed meanwhile",
            parent.id()
        )));
    }
    let mut files = changed(&parent, wish, known, imported)?;
    hub.operations.add_spans(&mut files).await;
    let card = card(hub, &files, &parent).await;
    let published = base.main.is_some() || branch.is_some();
    let mut manifest = Manifest {
        repository: repo.id.clone(),
        kind: parent.manifest.kind,
        parents: if published {
            vec![parent.revision]
        } else {
            Vec::new()
        },
        files,
        card,
        tensors: Vec::new(),
        message: message(&wish.header),
        created: unix(),
    };
    hub.operations
        .index_stored(&mut manifest, &parent.manifest)
        .await;
    let preimage = weft_protocol::codec::preimage(&manifest);
    let revision = weft_protocol::codec::preimage_id(&preimage);
    let mut refs = base.refs;
    let next = match branch {
        None => Next {
            main: manifest,
            refs,
            others: Vec::new(),
        },
        Some(branch) => {
            refs.names.retain(|(name, _)| name != branch);
            refs.names.push((branch.clone(), revision));
            Next {
                main: main.manifest.clone(),
                refs,
                others: vec![manifest],
            }
        }
    };
    Ok((next, commit_id(&revision)))
}

/// The files after the commit: first what goes, then what comes.
fn changed(
    parent: &Commit,
    wish: &Wish,
    known: &BTreeMap<[u8; 32], File>,
    imported: &BTreeMap<[u8; 32], Imported>,
) -> Result<Vec<File>, Fault> {
    let files = parent.manifest.files.iter();
    let mut files: BTreeMap<RepoPath, File> = files
        .map(|file| (file.path.clone(), file.clone()))
        .collect();
    for path in &wish.deletes {
        let folder = path.trim_matches('/');
        let before = files.len();
        files.retain(|other, _| {
            let rest = other.as_str().strip_prefix(folder);
            !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        if files.len() == before {
            return Err(Fault::NoEntry {
                message: format!("there is no `{folder}` to delete"),
                commit: parent.id(),
            });
        }
    }
    for (path, sha256) in &wish.adds {
        let role = Role::of_path(path.as_str());
        let file = match (imported.get(sha256), known.get(sha256)) {
            (Some(new), _) => File {
                path: path.clone(),
                size: new.size,
                blake3: new.blake3,
                sha256: new.sha256,
                git_sha1: new.git_sha1,
                role,
                spans: None,
                chunks: None,
            },
            (None, Some(old)) => File {
                path: path.clone(),
                role,
                ..old.clone()
            },
            (None, None) => return Err(gone()),
        };
        files.insert(path.clone(), file);
    }
    Ok(files.into_values().collect())
}

/// The card of the new revision: out of its README, if that is new.
async fn card(hub: &Hub, files: &[File], parent: &Commit) -> Card {
    let readme = files.iter().find(|file| file.path.as_str() == "README.md");
    let Some(readme) = readme.filter(|file| file.size <= CARD_LEN_MAX) else {
        return Card::default();
    };
    let before = parent.file("README.md");
    if before.is_some_and(|before| before.blake3 == readme.blake3) {
        return parent.manifest.card.clone();
    }
    let local = hub
        .operations
        .transfer
        .local(readme.blake3, readme.size)
        .await;
    let parts = local.read(0..readme.size).try_collect::<Vec<_>>().await;
    let bytes = parts.ok().map(|parts| parts.concat());
    bytes.map_or_else(Card::default, |bytes| {
        parse_card(&String::from_utf8_lossy(&bytes))
    })
}

fn message(header: &Header) -> String {
    let description = header.description.as_deref().unwrap_or_default().trim();
    let mut message = match description {
        "" => header.summary.trim().to_owned(),
        description => format!("{}\n\n{description}", header.summary.trim()),
    };
    message.retain(|c| c == '\n' || !c.is_control());
    let mut end = message.len().min(limits::MESSAGE_LEN_MAX);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message.truncate(end);
    message
}

fn gone() -> Fault {
    Fault::Stale("the branch is gone: somebody deleted it meanwhile".to_owned())
}

/// Reads the lines of a commit; contents go to disk as they come.
async fn read(hub: &Hub, body: Body) -> Result<Wish, Fault> {
    let mut wish = Wish::default();
    let mut frames = body.into_data_stream();
    let mut line: Vec<u8> = Vec::new();
    loop {
        let frame = time::timeout(SILENCE_MAX, frames.next()).await;
        let frame = match frame.map_err(|_| Fault::TooSlow)? {
            None => break,
            Some(Err(error)) => return Err(Fault::Invalid(format!("the body: {error}"))),
            Some(Ok(frame)) => frame,
        };
        let mut rest: &[u8] = &frame;
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            let (head, tail) = rest.split_at(at);
            line.extend_from_slice(head);
            take(hub, &mut wish, &std::mem::take(&mut line)).await?;
            rest = tail.get(1..).unwrap_or_default();
        }
        line.extend_from_slice(rest);
        if line.len() > LINE_LEN_MAX {
            return Err(Fault::TooLarge(
                "a file inside a commit is too large: upload it the way of large files".to_owned(),
            ));
        }
    }
    take(hub, &mut wish, &line).await?;
    Ok(wish)
}

async fn take(hub: &Hub, wish: &mut Wish, line: &[u8]) -> Result<(), Fault> {
    if line.iter().all(u8::is_ascii_whitespace) {
        return Ok(());
    }
    if wish.adds.len() + wish.deletes.len() >= limits::FILES_MAX {
        return Err(Fault::TooLarge("too many files in one commit".to_owned()));
    }
    let parsed: Line = serde_json::from_slice(line)
        .map_err(|error| Fault::Invalid(format!("a line of the commit: {error}")))?;
    match parsed {
        Line::Header(header) => wish.header = header,
        Line::File {
            path,
            content,
            encoding,
        } => {
            let bytes = match encoding.as_deref() {
                Some("base64") => BASE64
                    .decode(content.as_bytes())
                    .map_err(|error| Fault::Invalid(format!("the content of `{path}`: {error}")))?,
                None | Some("utf-8") => content.into_bytes(),
                Some(other) => {
                    return Err(Fault::Invalid(format!("`{other}` is not an encoding")));
                }
            };
            let path = repo_path(&path)?;
            wish.adds.push((path, hub.staging.keep(bytes).await?));
        }
        Line::LfsFile { path, oid } => wish.adds.push((repo_path(&path)?, parse_oid(&oid)?)),
        Line::DeletedFile { path } | Line::DeletedFolder { path } => wish.deletes.push(path),
    }
    Ok(())
}

fn repo_path(path: &str) -> Result<RepoPath, Fault> {
    path.parse()
        .map_err(|error| Fault::Invalid(format!("`{path}` cannot be published: {error}")))
}

/// Whether a README's front matter can be read.
pub(super) fn validate_yaml(body: &[u8]) -> Answer {
    #[derive(Deserialize)]
    struct Asked {
        content: String,
    }
    let asked: Asked = serde_json::from_slice(body)
        .map_err(|error| Fault::Invalid(format!("the question: {error}")))?;
    let yaml = crate::operations::front_matter(&asked.content);
    let errors = match yaml.map(serde_saphyr::from_str::<Value>) {
        Some(Err(error)) => vec![json!({ "message": error.to_string() })],
        Some(Ok(_)) | None => Vec::new(),
    };
    Ok(ok(&json!({ "errors": errors, "warnings": [] })))
}
