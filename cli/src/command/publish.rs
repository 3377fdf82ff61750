//! `weft publish`: signs a folder as a new revision.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use weft_node::api::{ErrorCode, PublishRequest, PublishResult, route};

use super::network::Network;
use crate::{
    context::Context,
    failure::fail,
    phrase,
    units::{Size, count},
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weft publish ./my-model                         as PUBLISHER/my-model
  weft publish ./my-model --name tiny --tag v1.0 -m 'first release'
  weft publish --from hf:org/name@main            what another hub has, under your own signature
  weft publish ./my-model --json | jq -r .reference

The first time, this creates an identity for you and shows its recovery phrase. The last line
printed is the reference to hand to others. Large files are offered from where they lie, without
a second copy: change them only in a new folder.")]
pub(crate) struct Arguments {
    /// Folder (or single file) to publish
    #[arg(required_unless_present = "from", conflicts_with = "from")]
    pub(crate) directory: Option<PathBuf>,
    /// Publish what the hub of `origin.hub` has instead: hf:ORG/NAME[@REVISION], hf:datasets/ORG/NAME
    #[arg(long, value_name = "HF_REF", help_heading = "Revision")]
    pub(crate) from: Option<String>,
    /// Name of the repository [default: the folder's name]
    #[arg(long, value_name = "NAME", help_heading = "Revision")]
    pub(crate) name: Option<String>,
    /// Sign as this identity: id, prefix or petname [default: your only or first one]
    #[arg(long, value_name = "ID", help_heading = "Revision")]
    pub(crate) publisher: Option<String>,
    /// What it is
    #[arg(long, value_enum, default_value_t = Kind::Model, help_heading = "Revision")]
    pub(crate) kind: Kind,
    /// What changed, in a sentence
    #[arg(long, short, value_name = "TEXT", help_heading = "Revision")]
    pub(crate) message: Option<String>,
    /// Branch or tag that shall point to it (may be repeated)
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        help_heading = "Revision"
    )]
    pub(crate) tag: Vec<String>,
    /// Licence, as SPDX says it [default: what the card says]
    #[arg(long, value_name = "SPDX", help_heading = "Revision")]
    pub(crate) license: Option<String>,
    /// Word to find it by (may be repeated)
    #[arg(
        long,
        value_name = "WORD",
        value_delimiter = ',',
        help_heading = "Revision"
    )]
    pub(crate) keyword: Vec<String>,
    #[command(flatten)]
    pub(crate) network: Network,
}

/// What a repository holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Weights and what belongs to them.
    Model,
    /// Data.
    Dataset,
    /// An app.
    Space,
    /// An adapter on a base model.
    Adapter,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Dataset => "dataset",
            Self::Space => "space",
            Self::Adapter => "adapter",
        }
    }
}

pub(crate) fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    let shown = shown(&arguments);
    let network = arguments.network.clone();
    let request = request(arguments)?;
    let client = context.network(&network)?;
    let mut meter = context.screen.meter();
    let published: anyhow::Result<PublishResult> =
        client.stream(route::PUBLISH, &request, |progress| meter.update(progress));
    drop(meter);
    let published = published.with_context(|| format!("could not publish `{shown}`"))?;
    if let Some(phrase) = &published.recovery_phrase
        && !context.screen.is_json()
    {
        phrase::show(phrase, &context.screen);
    }
    context.screen.talk(&summary(&published));
    if context.is_in_process() {
        context
            .screen
            .talk("hint: nobody can fetch it until a node runs here: start one with `weft serve`");
    }
    context.screen.facts(
        &published,
        |published| vec![published.reference.clone()],
        |published, _| published.reference.clone(),
    )?;
    Ok(())
}

/// What is published, as the user named it.
fn shown(arguments: &Arguments) -> String {
    let directory = arguments.directory.as_ref();
    let from = arguments.from.clone().unwrap_or_default();
    directory.map_or(from, |directory| directory.display().to_string())
}

fn request(arguments: Arguments) -> anyhow::Result<PublishRequest> {
    let shown = shown(&arguments);
    let directory = match &arguments.directory {
        None => String::new(),
        // Resolved here because the node may run elsewhere; `.` needs a name too.
        Some(directory) => {
            let directory = directory
                .canonicalize()
                .with_context(|| format!("could not publish `{shown}`"))?;
            let text = directory.to_str().map(str::to_owned);
            text.ok_or_else(|| {
                fail(
                    ErrorCode::Usage,
                    format!("the path `{shown}` is not valid UTF-8"),
                    "rename the folder",
                )
            })?
        }
    };
    Ok(PublishRequest {
        directory,
        from: arguments.from,
        name: arguments.name,
        publisher: arguments.publisher,
        kind: Some(arguments.kind.name().to_owned()),
        message: arguments.message,
        references: arguments.tag,
        license: arguments.license,
        tags: arguments.keyword,
    })
}

fn summary(published: &PublishResult) -> String {
    format!(
        "published {}, {}, as number {} of {}",
        count(published.files, "file"),
        Size(published.bytes_total),
        published.index + 1,
        crate::render::repository(&published.repository, None)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_is_made_absolute_and_must_exist() {
        let directory = tempfile::tempdir().unwrap();
        let arguments = |directory: PathBuf| Arguments {
            directory: Some(directory),
            from: None,
            name: None,
            publisher: None,
            kind: Kind::Adapter,
            message: None,
            tag: vec!["v1".to_owned()],
            license: None,
            keyword: Vec::new(),
            network: Network::default(),
        };
        let request_ = request(arguments(directory.path().join("."))).unwrap();
        assert_eq!(
            request_.directory,
            directory.path().canonicalize().unwrap().to_str().unwrap()
        );
        assert_eq!(request_.kind.as_deref(), Some("adapter"));
        assert_eq!(request_.references, ["v1"]);
        assert!(request(arguments(directory.path().join("missing"))).is_err());
    }
}
