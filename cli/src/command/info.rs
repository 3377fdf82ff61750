//! `weft info`: everything known about a repository.

use anyhow::Context as _;
use clap::Args;
use weft_node::api::{Freshness, Pin, RepositoryInfo, RevisionState, route};

use super::network::Network;
use crate::{
    context::Context,
    render::{Column, Style, Table, fields, short_revision},
    units::{Size, ago, count, date},
};

/// Files that are listed unless all are asked for.
const FILES_SHOWN: usize = 20;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weft info alice/tiny                            the newest revision
  weft info alice/tiny@v1.0 --files               with all its files
  weft info alice/tiny --json | jq .files")]
pub(crate) struct Arguments {
    /// Which repository or revision
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// List all files
    #[arg(long, help_heading = "Output")]
    pub(crate) files: bool,
    #[command(flatten)]
    pub(crate) network: Network,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<()> {
    let reference = &arguments.reference;
    let info: RepositoryInfo = context
        .network(&arguments.network)?
        .get(route::REPOSITORY, &[("reference", reference)])
        .with_context(|| format!("could not look up `{reference}`"))?;
    let files_shown = if arguments.files {
        usize::MAX
    } else {
        FILES_SHOWN
    };
    context.screen.facts(
        &info,
        |info| vec![info.revision.clone()],
        |info, style| human(info, files_shown, style),
    )?;
    Ok(())
}

fn human(info: &RepositoryInfo, files_shown: usize, style: Style) -> String {
    let references: Vec<String> = info
        .references
        .iter()
        .map(|named| format!("{} → {}", named.name, short_revision(&named.revision)))
        .collect();
    let text = fields(
        &[
            ("repository", info.repository.clone()),
            ("petname", info.alias.clone().unwrap_or_default()),
            ("reference", info.reference.clone()),
            ("revision", info.revision.clone()),
            (
                "history",
                format!("{} so far", count(info.index + 1, "head")),
            ),
            ("head", head(info, style)),
            ("kind", info.kind.clone()),
            (
                "made",
                format!("{}, {}", date(info.created), ago(info.created)),
            ),
            ("message", info.message.clone()),
            ("license", info.license.clone().unwrap_or_default()),
            ("task", info.pipeline_tag.clone().unwrap_or_default()),
            ("library", info.library.clone().unwrap_or_default()),
            ("languages", info.languages.join(", ")),
            ("keywords", info.tags.join(", ")),
            ("references", references.join("\n")),
            ("here", here(info)),
            ("path", info.path.clone().unwrap_or_default()),
            (
                "size",
                format!(
                    "{} in {}",
                    Size(info.bytes_total),
                    count(info.files.len() as u64, "file")
                ),
            ),
        ],
        style,
    );
    let mut table = Table::new([Column::Right("SIZE"), Column::Left("FILE")]);
    for file in info.files.iter().take(files_shown) {
        table.row([Size(file.size).to_string(), file.path.clone()]);
    }
    let hidden = info.files.len().saturating_sub(files_shown);
    let more = if hidden > 0 {
        format!("\n… and {hidden} more; `--files` lists all")
    } else {
        String::new()
    };
    format!("{text}\n\n{}{more}", table.render(style, "no files"))
}

fn head(info: &RepositoryInfo, style: Style) -> String {
    if info.frozen {
        return style.red(
            "FROZEN: the publisher signed two different heads at one index; nothing is updated",
        );
    }
    match info.freshness {
        Freshness::Fresh => "fresh: the publisher confirmed it within two days".to_owned(),
        Freshness::Stale => style.yellow("stale: there may be something newer"),
        Freshness::Expired => style.yellow("EXPIRED: the signature is past its time"),
        Freshness::Forked => style.red("FORKED: the publisher's identity contradicts itself"),
    }
}

fn here(info: &RepositoryInfo) -> String {
    let state = match info.state {
        RevisionState::Known => return "no; `weft fetch` gets it".to_owned(),
        RevisionState::Wanted => "on its way",
        RevisionState::Complete => "complete",
    };
    let pin = match info.pin {
        Pin::None => "may go when space is needed",
        Pin::Mirror => "kept by a mirror order",
        Pin::User => "kept",
    };
    let seed = if info.seed {
        ", seeded"
    } else {
        ", not seeded"
    };
    format!("{state}, {pin}{seed}")
}

#[cfg(test)]
mod tests {
    use weft_node::api::FileView;

    use super::*;

    #[test]
    fn long_lists_of_files_are_cut() {
        let file = |n: usize| FileView {
            path: format!("shard-{n}.safetensors"),
            size: 1_000,
            blake3: String::new(),
            sha256: String::new(),
        };
        let info = RepositoryInfo {
            repository: "p/n".to_owned(),
            alias: None,
            reference: "weft:p/n@00".to_owned(),
            publisher: "p".to_owned(),
            revision: "00".to_owned(),
            index: 0,
            freshness: Freshness::Fresh,
            frozen: false,
            kind: "model".to_owned(),
            message: String::new(),
            created: 0,
            parents: Vec::new(),
            references: Vec::new(),
            license: Some("CC0-1.0".to_owned()),
            tags: Vec::new(),
            pipeline_tag: None,
            library: None,
            languages: Vec::new(),
            files: (0..30).map(file).collect(),
            bytes_total: 30_000,
            state: RevisionState::Known,
            pin: Pin::None,
            seed: false,
            path: None,
        };
        let text = human(&info, FILES_SHOWN, Style::plain());
        assert!(
            text.ends_with("… and 10 more; `--files` lists all"),
            "{text}"
        );
        assert!(text.contains("license     CC0-1.0"), "{text}");
        assert!(!text.contains("petname"), "{text}");
        assert!(!human(&info, usize::MAX, Style::plain()).contains("more;"));
    }
}
