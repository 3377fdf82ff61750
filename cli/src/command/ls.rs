//! `weft ls`: repositories on this node.

use anyhow::Context as _;
use clap::Args;
use weft_node::api::{
    Freshness, Pin, RepositoriesResponse, RepositorySummary, RevisionState, RevisionView, route,
};

use crate::{
    context::Context,
    render::{Column, Style, Table, repository, short_revision},
    units::{Size, ago},
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weft ls
  weft ls tiny                                    only names that contain `tiny`
  weft ls -q                                      full ids, for scripts")]
pub(crate) struct Arguments {
    /// Only repositories whose name contains this
    #[arg(value_name = "TEXT")]
    pub(crate) filter: Option<String>,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<()> {
    let mut answer: RepositoriesResponse = context
        .local()?
        .get(route::REPOSITORIES, &[])
        .context("could not list repositories")?;
    if let Some(filter) = &arguments.filter {
        let filter = filter.to_lowercase();
        answer
            .repositories
            .retain(|repository| matches(repository, &filter));
    }
    context.screen.facts(
        &answer,
        |answer| {
            answer
                .repositories
                .iter()
                .map(|r| r.repository.clone())
                .collect()
        },
        human,
    )?;
    Ok(())
}

fn matches(repository: &RepositorySummary, filter: &str) -> bool {
    [Some(&repository.repository), repository.alias.as_ref()]
        .into_iter()
        .flatten()
        .any(|name| name.to_lowercase().contains(filter))
}

fn human(answer: &RepositoriesResponse, style: Style) -> String {
    let mut table = Table::new([
        Column::Left("REPOSITORY"),
        Column::Left("REVISION"),
        Column::Right("SIZE"),
        Column::Left("HERE"),
        Column::Left("HEAD"),
        Column::Left("USED"),
    ]);
    for summary in &answer.repositories {
        let name = repository(&summary.repository, summary.alias.as_deref());
        let head = head(summary).to_owned();
        if summary.revisions.is_empty() {
            let revision = short_revision(&summary.revision).to_owned();
            table.row([
                name.clone(),
                revision,
                String::new(),
                "no".to_owned(),
                head.clone(),
                String::new(),
            ]);
        }
        for revision in &summary.revisions {
            let newest = revision.revision == summary.revision;
            table.row([
                name.clone(),
                short_revision(&revision.revision).to_owned(),
                Size(revision.bytes_total).to_string(),
                here(revision),
                if newest {
                    head.clone()
                } else {
                    "older".to_owned()
                },
                ago(revision.used),
            ]);
        }
    }
    table.render(
        style,
        "no repositories yet; `weft fetch REF` gets one, `weft publish DIR` makes one",
    )
}

fn head(summary: &RepositorySummary) -> &'static str {
    if summary.frozen {
        return "FROZEN";
    }
    match summary.freshness {
        Freshness::Fresh => "fresh",
        Freshness::Stale => "stale",
        Freshness::Expired => "EXPIRED",
        Freshness::Forked => "FORKED",
    }
}

fn here(revision: &RevisionView) -> String {
    let state = match revision.state {
        RevisionState::Known => "no",
        RevisionState::Wanted => "coming",
        RevisionState::Complete => "yes",
    };
    let pin = match revision.pin {
        Pin::None => "unpinned",
        Pin::Mirror => "mirror",
        Pin::User => "kept",
    };
    let seed = if revision.seed { ", seeded" } else { "" };
    format!("{state}, {pin}{seed}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> RepositorySummary {
        RepositorySummary {
            repository: format!("{}/Tiny", "a".repeat(52)),
            alias: Some("alice/Tiny".to_owned()),
            index: 1,
            revision: "22".repeat(32),
            freshness: Freshness::Fresh,
            frozen: true,
            revisions: vec![RevisionView {
                revision: "22".repeat(32),
                state: RevisionState::Complete,
                pin: Pin::User,
                seed: true,
                bytes_total: 14_000_000,
                used: 0,
                path: None,
            }],
        }
    }

    #[test]
    fn frozen_repository_is_plain_to_see() {
        let text = human(
            &RepositoriesResponse {
                repositories: vec![summary()],
            },
            Style::plain(),
        );
        assert!(text.contains("alice/Tiny (aaaaaaaaaa)"), "{text}");
        assert!(text.contains("yes, kept, seeded  FROZEN"), "{text}");
    }

    #[test]
    fn filter_looks_at_petnames_too() {
        assert!(matches(&summary(), "alice/"));
        assert!(matches(&summary(), "tiny"));
        assert!(!matches(&summary(), "huge"));
    }
}
