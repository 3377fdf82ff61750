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
  weft info alice/tiny --tensors                  what its weight files hold
  weft info alice/tiny --json | jq .files")]
pub(crate) struct Arguments {
    /// Which repository or revision
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// List all files
    #[arg(long, help_heading = "Output")]
    pub(crate) files: bool,
    /// List the tensors of its weight files
    #[arg(long, help_heading = "Output")]
    pub(crate) tensors: bool,
    #[command(flatten)]
    pub(crate) network: Network,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<()> {
    let reference = &arguments.reference;
    let info: RepositoryInfo = context
        .network(&arguments.network)?
        .get(
            route::REPOSITORY,
            &[
                ("reference", reference),
                ("tensors", if arguments.tensors { "true" } else { "false" }),
            ],
        )
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
            ("tensors", tensor_count(info)),
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
    let files = table.render(style, "no files");
    let tensors = tensors(info, style);
    format!("{text}\n\n{files}{more}{tensors}")
}

/// The tensors that were asked for, as a table below the files.
fn tensors(info: &RepositoryInfo, style: Style) -> String {
    if info.tensors.is_empty() {
        return String::new();
    }
    let columns = [
        Column::Right("SIZE"),
        Column::Left("TYPE"),
        Column::Left("SHAPE"),
        Column::Left("TENSOR"),
        Column::Left("FILE"),
    ];
    let mut table = Table::new(columns);
    for tensor in &info.tensors {
        let shape: Vec<_> = tensor.shape.iter().map(ToString::to_string).collect();
        table.row([
            Size(tensor.len).to_string(),
            tensor.dtype.clone(),
            format!("[{}]", shape.join(", ")),
            tensor.name.clone(),
            tensor.path.clone(),
        ]);
    }
    format!("\n\n{}", table.render(style, ""))
}

fn tensor_count(info: &RepositoryInfo) -> String {
    match (info.tensor_count, info.tensors.is_empty()) {
        (0, _) => String::new(),
        (count, true) => format!("{count}; `--tensors` lists them"),
        (count, false) => count.to_string(),
    }
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
    use weft_node::api::{FileView, TensorView};

    use super::*;

    #[test]
    fn long_lists_of_files_are_cut() {
        let info = info();
        let text = human(&info, FILES_SHOWN, Style::plain());
        assert!(
            text.ends_with("… and 10 more; `--files` lists all"),
            "{text}"
        );
        assert!(text.contains("license     CC0-1.0"), "{text}");
        assert!(!text.contains("petname"), "{text}");
        assert!(!human(&info, usize::MAX, Style::plain()).contains("more;"));
    }

    #[test]
    fn tensors_are_counted_and_listed_when_asked_for() {
        let mut info = info();
        let text = human(&info, FILES_SHOWN, Style::plain());
        assert!(text.contains("tensors     2; `--tensors`"), "{text}");
        let tensor = |name: &str| TensorView {
            path: "shard-1.safetensors".to_owned(),
            name: name.to_owned(),
            dtype: "BF16".to_owned(),
            shape: vec![2048, 256],
            offset: 8,
            len: 1_048_576,
            blake3: String::new(),
        };
        info.tensors = vec![tensor("lm_head.weight"), tensor("b")];
        let text = human(&info, FILES_SHOWN, Style::plain());
        let line = "BF16  [2048, 256]  lm_head.weight  shard-1.safetensors";
        assert!(text.contains(line), "{text}");
    }

    fn info() -> RepositoryInfo {
        let file = |n: usize| FileView {
            path: format!("shard-{n}.safetensors"),
            size: 1_000,
            blake3: String::new(),
            sha256: String::new(),
        };
        RepositoryInfo {
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
            tensor_count: 2,
            tensors: Vec::new(),
            bytes_total: 30_000,
            state: RevisionState::Known,
            pin: Pin::None,
            seed: false,
            path: None,
        }
    }
}
