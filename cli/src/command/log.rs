//! `weft log`: a repository's history of signed heads.

use anyhow::Context as _;
use clap::Args;
use weft_node::api::{LogResponse, RevisionState, route};

use super::network::Network;
use crate::{
    context::Context,
    render::{Style, short_revision},
    units::{Size, ago, count, date},
};

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  weft log alice/tiny\n  weft log alice/tiny -n 3 --json")]
pub(crate) struct Arguments {
    /// Which repository
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// Show so many at most
    #[arg(long, short = 'n', value_name = "COUNT", help_heading = "Output")]
    pub(crate) limit: Option<usize>,
    #[command(flatten)]
    pub(crate) network: Network,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<()> {
    let reference = &arguments.reference;
    let mut log: LogResponse = context
        .network(&arguments.network)?
        .get(route::LOG, &[("reference", reference)])
        .with_context(|| format!("could not read the history of `{reference}`"))?;
    log.entries.truncate(arguments.limit.unwrap_or(usize::MAX));
    context.screen.facts(
        &log,
        |log| {
            log.entries
                .iter()
                .map(|entry| entry.revision.clone())
                .collect()
        },
        human,
    )?;
    Ok(())
}

fn human(log: &LogResponse, style: Style) -> String {
    let entries = log.entries.iter().map(|entry| {
        let mut lines = vec![format!(
            "{} {} {}",
            style.yellow(&format!("{:>4}", entry.index + 1)),
            style.bold(short_revision(&entry.revision)),
            style.dim(&format!("{}, {}", date(entry.issued), ago(entry.issued)))
        )];
        if let Some(message) = entry
            .message
            .as_deref()
            .filter(|message| !message.is_empty())
        {
            lines.extend(message.lines().map(|line| format!("     {line}")));
        }
        let mut facts = Vec::new();
        if let Some(files) = entry.files {
            facts.push(count(files, "file"));
        }
        if let Some(bytes) = entry.bytes_total {
            facts.push(Size(bytes).to_string());
        }
        facts.extend(match entry.state {
            RevisionState::Known => None,
            RevisionState::Wanted => Some("on its way".to_owned()),
            RevisionState::Complete => Some("here".to_owned()),
        });
        if !facts.is_empty() {
            lines.push(format!("     {}", facts.join(", ")));
        }
        lines.join("\n")
    });
    let frozen = log
        .frozen
        .then(|| style.red("FROZEN: the publisher signed two different heads at one index"));
    let proof = log.equivocation.iter().flat_map(|proof| {
        let number = proof.index + 1;
        proof.heads.iter().map(move |head| {
            format!(
                "{number:>4} {} says {}, signed {}",
                short_revision(&head.head),
                short_revision(&head.revision),
                date(head.issued)
            )
        })
    });
    frozen
        .into_iter()
        .chain(proof)
        .chain(entries)
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use weft_node::api::LogEntry;

    use super::*;

    #[test]
    fn heads_are_counted_from_one() {
        let log = LogResponse {
            repository: "p/n".to_owned(),
            frozen: true,
            entries: vec![LogEntry {
                index: 0,
                head: "00".to_owned(),
                revision: "0123456789abcdef".to_owned(),
                issued: 0,
                expires: 1,
                message: Some("first".to_owned()),
                files: Some(3),
                bytes_total: Some(1_000),
                state: RevisionState::Complete,
            }],
            equivocation: None,
        };
        let text = human(&log, Style::plain());
        assert!(text.starts_with("FROZEN"), "{text}");
        assert!(
            text.contains("   1 0123456789ab 1970-01-01 00:00 UTC"),
            "{text}"
        );
        assert!(
            text.ends_with("     first\n     3 files, 1.0 kB, here"),
            "{text}"
        );
    }
}
