//! `weft df`: how much disk is used, and for what.

mod usage;

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use weft_node::api::{Pin, RepositoriesResponse, RevisionState, route};

use self::usage::Area;
pub(crate) use self::usage::free_bytes;
use crate::{
    context::Context,
    render::{Column, Style, Table, repository, short_revision},
    units::Size,
};

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  weft df\n  weft df --json | jq .used_bytes")]
pub(crate) struct Arguments {}

/// What takes space.
#[derive(Debug, Serialize)]
struct Usage {
    home: String,
    /// Bytes on disk under the data directory; a file with several names counts once.
    used_bytes: u64,
    /// Bytes that the disk has left.
    #[serde(skip_serializing_if = "Option::is_none")]
    free_bytes: Option<u64>,
    areas: Vec<Area>,
    revisions: Vec<Revision>,
}

#[derive(Debug, Serialize)]
struct Revision {
    repository: String,
    revision: String,
    bytes: u64,
    kept: bool,
    #[serde(skip)]
    alias: Option<String>,
}

pub(crate) fn run(context: &Context) -> anyhow::Result<()> {
    let home = context.home()?;
    let answer: RepositoriesResponse = context
        .local()?
        .get(route::REPOSITORIES, &[])
        .context("could not list repositories")?;
    let areas =
        usage::areas(&home).with_context(|| format!("could not measure `{}`", home.display()))?;
    let usage = Usage {
        home: home.display().to_string(),
        used_bytes: areas.iter().map(|area| area.bytes).sum(),
        free_bytes: free_bytes(&home),
        areas,
        revisions: revisions(answer),
    };
    context.screen.facts(
        &usage,
        |usage| {
            usage
                .revisions
                .iter()
                .map(|revision| revision.revision.clone())
                .collect()
        },
        human,
    )?;
    Ok(())
}

fn revisions(answer: RepositoriesResponse) -> Vec<Revision> {
    let mut revisions: Vec<Revision> = answer
        .repositories
        .into_iter()
        .flat_map(|repository| {
            let (name, alias) = (repository.repository, repository.alias);
            let complete = repository
                .revisions
                .into_iter()
                .filter(|revision| revision.state == RevisionState::Complete);
            complete.map(move |revision| Revision {
                repository: name.clone(),
                alias: alias.clone(),
                revision: revision.revision,
                bytes: revision.bytes_total,
                kept: revision.pin != Pin::None,
            })
        })
        .collect();
    revisions.sort_by_key(|revision| std::cmp::Reverse(revision.bytes));
    revisions
}

fn human(usage: &Usage, style: Style) -> String {
    let mut areas = Table::new([Column::Left("AREA"), Column::Right("ON DISK")]);
    for area in &usage.areas {
        areas.row([area.name.clone(), Size(area.bytes).to_string()]);
    }
    let free = usage
        .free_bytes
        .map(|bytes| format!(", {} free on that disk", Size(bytes)))
        .unwrap_or_default();
    let mut text = format!(
        "{} in {}{free}\n\n{}",
        Size(usage.used_bytes),
        usage.home,
        areas.render(style, "nothing yet")
    );
    if !usage.revisions.is_empty() {
        let mut table = Table::new([
            Column::Left("REPOSITORY"),
            Column::Left("REVISION"),
            Column::Right("SIZE"),
            Column::Left("KEPT"),
        ]);
        for revision in &usage.revisions {
            table.row([
                repository(&revision.repository, revision.alias.as_deref()),
                short_revision(&revision.revision).to_owned(),
                Size(revision.bytes).to_string(),
                if revision.kept {
                    "yes"
                } else {
                    "no, `weft prune` frees it"
                }
                .to_owned(),
            ]);
        }
        text.push_str("\n\n");
        text.push_str(&table.render(style, ""));
    }
    text
}
