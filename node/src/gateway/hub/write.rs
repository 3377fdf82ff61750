//! Repositories, branches and tags: made, changed and deleted under the identity whose keys are on this node.

use serde::Deserialize;
use serde_json::{Value, json};
use weft_protocol::{
    id::{PublisherId, RepositoryId},
    manifest::Kind,
    refs::{MAIN, RefName},
};

use super::{
    BRANCHES, Call, Hub, origin,
    reply::{Answer, Fault, ok},
    repos::{Repo, named},
    route::{RepoKind, RepoName, is_reserved},
};
use crate::{
    operations::{Base, Next},
    service::unix,
};

/// A repository as bodies name it.
#[derive(Debug, Deserialize)]
struct Named {
    name: String,
    #[serde(default)]
    organization: Option<String>,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    private: Option<bool>,
    #[serde(default)]
    visibility: Option<String>,
}

impl Named {
    fn read(body: &[u8]) -> Result<Self, Fault> {
        serde_json::from_slice(body)
            .map_err(|error| Fault::Invalid(format!("the request: {error}")))
    }

    fn kind(&self) -> Result<RepoKind, Fault> {
        RepoKind::of_singular(self.kind.as_deref())
            .ok_or_else(|| Fault::Invalid("weft keeps models, datasets and spaces".to_owned()))
    }

    /// The repository that is meant, in the namespace of this node's own identity if none is named.
    async fn repo(&self, hub: &Hub) -> Result<RepoName, Fault> {
        let kind = self.kind()?;
        let (namespace, name) = match (self.name.split_once('/'), &self.organization) {
            (Some((namespace, name)), _) => (namespace.to_owned(), name.to_owned()),
            (None, Some(organization)) => (organization.clone(), self.name.clone()),
            (None, None) => {
                let publisher = hub.operations.default_publisher().await?;
                let publisher = publisher.ok_or_else(no_identity)?;
                (hub.namespace_of(publisher).await, self.name.clone())
            }
        };
        Ok(RepoName {
            kind,
            namespace: Some(namespace),
            name,
        })
    }
}

/// `POST /api/repos/create`.
pub(super) async fn create(hub: &Hub, call: &Call<'_>, body: &[u8]) -> Answer {
    let named = Named::read(body)?;
    if named.private == Some(true) || named.visibility.as_deref().is_some_and(|v| v != "public") {
        return Err(not_private());
    }
    let name = named.repo(hub).await?;
    let id = own_repository(hub, &name).await?;
    if is_reserved(&name.name) || name.name.ends_with(".git") {
        let message = format!("`{}` cannot be a repository's name", name.name);
        return Err(Fault::Invalid(message));
    }
    let url = format!(
        "{}/{}{}",
        origin(call.headers),
        name.kind.prefix(),
        name.id()
    );
    // Names are unique over all kinds.
    for kind in [RepoKind::Model, RepoKind::Dataset, RepoKind::Space] {
        let other = RepoName {
            kind,
            ..name.clone()
        };
        match hub.repo(&other).await {
            Ok(_) => {
                return Err(Fault::Exists {
                    message: format!("`{}` exists already, as a {}", name.id(), kind.singular()),
                    url: (kind == name.kind).then_some(url),
                });
            }
            Err(Fault::NoRepo(_)) => {}
            Err(fault) => return Err(fault),
        }
    }
    let kind = match name.kind {
        RepoKind::Model => Kind::Model,
        RepoKind::Dataset => Kind::Dataset,
        RepoKind::Space => Kind::Space,
    };
    hub.records.create(&id, kind, unix())?;
    Ok(ok(
        &json!({ "url": url, "name": name.id(), "id": name.id() }),
    ))
}

/// `DELETE /api/repos/delete`: forgotten here; what others hold of it is theirs.
pub(super) async fn delete(hub: &Hub, body: &[u8]) -> Answer {
    let name = Named::read(body)?.repo(hub).await?;
    let id = own_repository(hub, &name).await?;
    hub.repo(&name).await?;
    let (tip, _) = hub.operations.held_head(&id).await?;
    // Hidden first: half deleted is deleted.
    hub.records.delete(&id, tip.as_ref().map(|tip| tip.index))?;
    if tip.is_some() {
        hub.operations.forget_all(&id).await?;
    }
    Ok(ok(&json!({})))
}

/// `PUT settings`: there is nothing to set, but some wishes must not be ignored.
pub(super) fn settings(body: &[u8]) -> Answer {
    let wish: Value = serde_json::from_slice(body)
        .map_err(|error| Fault::Invalid(format!("the request: {error}")))?;
    let private = wish["private"] == json!(true)
        || wish["visibility"].as_str().is_some_and(|v| v != "public");
    let gated = !matches!(wish["gated"], Value::Null | Value::Bool(false));
    if private || gated {
        return Err(not_private());
    }
    Ok(ok(&json!({ "private": false, "gated": false })))
}

/// `POST`, `DELETE branch/{name}`.
pub(super) async fn branch(
    hub: &Hub,
    repo: &Repo,
    name: &str,
    call: &Call<'_>,
    body: &[u8],
) -> Answer {
    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Wish {
        starting_point: Option<String>,
        overwrite: bool,
    }
    own(hub, &repo.id.publisher)?;
    if name == MAIN {
        return Err(Fault::Forbidden("`main` is always there".to_owned()));
    }
    let full = reference(&format!("{BRANCHES}{name}"))?;
    if call.method == axum::http::Method::DELETE {
        return remove(hub, repo, full, name).await;
    }
    let wish: Wish = if body.is_empty() {
        Wish::default()
    } else {
        serde_json::from_slice(body)
            .map_err(|error| Fault::Invalid(format!("the request: {error}")))?
    };
    let start = wish.starting_point.as_deref().unwrap_or(MAIN);
    point(hub, repo, full, start, wish.overwrite).await
}

/// `POST tag/{revision}`.
pub(super) async fn tag(hub: &Hub, repo: &Repo, revision: &str, body: &[u8]) -> Answer {
    #[derive(Debug, Deserialize)]
    struct Wish {
        tag: String,
    }
    own(hub, &repo.id.publisher)?;
    let wish: Wish = serde_json::from_slice(body)
        .map_err(|error| Fault::Invalid(format!("the request: {error}")))?;
    if wish.tag.starts_with(BRANCHES) {
        return Err(Fault::Invalid(format!(
            "a tag cannot begin with `{BRANCHES}`"
        )));
    }
    point(hub, repo, reference(&wish.tag)?, revision, false).await
}

/// `DELETE tag/{name}`.
pub(super) async fn untag(hub: &Hub, repo: &Repo, name: &str) -> Answer {
    own(hub, &repo.id.publisher)?;
    remove(hub, repo, reference(name)?, name).await
}

/// Lets a new reference point to a revision.
async fn point(hub: &Hub, repo: &Repo, name: RefName, revision: &str, overwrite: bool) -> Answer {
    let target = hub.commit(repo, revision).await?.revision;
    if !overwrite && repo.refs.names.iter().any(|(other, _)| *other == name) {
        return Err(Fault::Exists {
            message: format!("`{name}` exists already"),
            url: None,
        });
    }
    edit(hub, repo, |refs| {
        refs.retain(|(other, _)| *other != name);
        refs.push((name, target));
    })
    .await
}

async fn remove(hub: &Hub, repo: &Repo, name: RefName, shown: &str) -> Answer {
    if !repo.refs.names.iter().any(|(other, _)| *other == name) {
        let other = named(repo, shown).map_or("", |_| ", but something else of that name");
        let message = format!(
            "`{}` has no such reference `{shown}`{other}",
            repo.name.id()
        );
        return Err(Fault::NoRevision(message));
    }
    edit(hub, repo, |refs| refs.retain(|(other, _)| *other != name)).await
}

/// Signs a head that says the same as before, with other references.
async fn edit(
    hub: &Hub,
    repo: &Repo,
    change: impl FnOnce(&mut Vec<(RefName, weft_protocol::id::RevisionId)>),
) -> Answer {
    let record = hub.records.get(&repo.id)?;
    let hidden = record.and_then(|record| record.hidden_to);
    hub.operations
        .change(&repo.id, hidden, async |base: Base| {
            let main = match base.main {
                Some(revision) => hub.load(revision).await?,
                None => None,
            };
            let mut refs = base.refs;
            change(&mut refs.names);
            Ok::<_, Fault>(Next {
                main: main.map_or_else(|| repo.main.manifest.clone(), |main| main.manifest.clone()),
                refs,
                others: Vec::new(),
            })
        })
        .await?;
    hub.records.published(&repo.id)?;
    Ok(ok(&json!({})))
}

fn reference(name: &str) -> Result<RefName, Fault> {
    name.parse().map_err(Fault::Invalid)
}

/// The id of a repository that this node may write to.
pub(super) async fn own_repository(hub: &Hub, name: &RepoName) -> Result<RepositoryId, Fault> {
    let namespace = name.namespace.as_deref().unwrap_or_default();
    let publisher = hub.publisher(namespace).await?.ok_or_else(|| {
        Fault::Forbidden(format!(
            "`{namespace}` is no identity of this node; `weft id show` lists those, `weft alias` gives one a short name"
        ))
    })?;
    own(hub, &publisher)?;
    Ok(RepositoryId {
        publisher,
        name: name
            .name
            .parse()
            .map_err(|error| Fault::Invalid(format!("{error}")))?,
    })
}

/// Only the holder of the keys can write.
pub(super) fn own(hub: &Hub, publisher: &PublisherId) -> Result<(), Fault> {
    if hub.operations.is_own(publisher) {
        return Ok(());
    }
    Err(Fault::Forbidden(format!(
        "the keys of publisher `{}` are not on this node",
        publisher.fmt_short()
    )))
}

fn no_identity() -> Fault {
    Fault::Forbidden("there is no identity on this node yet; `weft id new` makes one".to_owned())
}

fn not_private() -> Fault {
    Fault::Forbidden(
        "nothing in weft is private or gated: whoever knows a repository's id can fetch it"
            .to_owned(),
    )
}
