//! What `rm` and `prune` share: showing what would go, asking, and doing it.

use std::io::{self, BufRead as _, IsTerminal as _};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use weft_node::api::{ErrorCode, RemovedResponse};

use crate::{
    client::Client,
    context::Context,
    failure::fail,
    render::{Column, Style, Table, repository, short_revision},
    units::Size,
};

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Deleting")]
pub(crate) struct Consent {
    /// Only tell what would go
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask
    #[arg(long, short = 'y')]
    pub(crate) yes: bool,
}

/// Runs a request that deletes: first as a rehearsal, then, with consent, for real.
pub(super) fn run<R: Serialize>(
    client: &Client,
    route: &str,
    request: impl Fn(bool) -> R,
    consent: &Consent,
    context: &Context,
) -> anyhow::Result<()> {
    let rehearsal: RemovedResponse = client
        .post(route, &request(true))
        .context("could not find out what would go")?;
    if consent.dry_run || rehearsal.revisions.is_empty() {
        return show(&rehearsal, context);
    }
    if !consent.yes {
        ask(&rehearsal, context)?;
    }
    let removed: RemovedResponse = client
        .post(route, &request(false))
        .context("could not remove it")?;
    show(&removed, context)
}

fn show(removed: &RemovedResponse, context: &Context) -> anyhow::Result<()> {
    context.screen.facts(
        removed,
        |removed| {
            removed
                .revisions
                .iter()
                .map(|r| r.revision.clone())
                .collect()
        },
        human,
    )?;
    Ok(())
}

fn ask(rehearsal: &RemovedResponse, context: &Context) -> anyhow::Result<()> {
    if !io::stdin().is_terminal() {
        return Err(fail(
            ErrorCode::Usage,
            "this deletes, and there is nobody to ask",
            "say `-y` to agree, or `--dry-run` to see what would go",
        ));
    }
    context
        .screen
        .complain(&human(rehearsal, context.screen.talk_style()));
    context.screen.complain("Go on? [y/N]");
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .context("could not read the answer")?;
    if matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") {
        Ok(())
    } else {
        Err(fail(
            ErrorCode::Failure,
            "nothing was removed",
            "answer `y` to go on",
        ))
    }
}

fn human(removed: &RemovedResponse, style: Style) -> String {
    let mut table = Table::new([
        Column::Left("REPOSITORY"),
        Column::Left("REVISION"),
        Column::Right("SIZE"),
    ]);
    for revision in &removed.revisions {
        table.row([
            repository(&revision.repository, None),
            short_revision(&revision.revision).to_owned(),
            Size(revision.bytes).to_string(),
        ]);
    }
    let (verb, size) = (
        if removed.dry_run {
            "would free"
        } else {
            "freed"
        },
        Size(removed.bytes),
    );
    if removed.revisions.is_empty() {
        return "nothing to remove".to_owned();
    }
    format!("{}\n{verb} up to {size}", table.render(style, ""))
}

#[cfg(test)]
mod tests {
    use weft_node::api::RemovedRevision;

    use super::*;

    #[test]
    fn rehearsal_reads_differently_from_the_deed() {
        let mut removed = RemovedResponse {
            revisions: vec![RemovedRevision {
                repository: "p/n".to_owned(),
                revision: "00".to_owned(),
                bytes: 2_000,
            }],
            bytes: 2_000,
            dry_run: true,
        };
        assert!(human(&removed, Style::plain()).ends_with("would free up to 2.0 kB"));
        removed.dry_run = false;
        assert!(human(&removed, Style::plain()).ends_with("\nfreed up to 2.0 kB"));
        assert_eq!(
            human(&RemovedResponse::default(), Style::plain()),
            "nothing to remove"
        );
    }
}
