//! `weft host`: answers others' questions about a model.

use anyhow::Context as _;
use clap::Args;
use weft_node::api::{HostRequest, HostedResponse, HostedView, route};

use crate::{
    context::Context,
    render::{Column, Style, Table, repository, short_revision},
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weft host alice/tiny                            anybody may ask, within what a stranger gets
  weft host alice/tiny --to follows               only nodes that serve for publishers you mirror
  weft host alice/tiny --to NODE --to NODE        only these nodes, by their ids (`weft status`)
  weft host                                       list what is hosted

The model must be complete here. It is announced until `weft unhost`. Your node can read what it is
asked. Strangers get one answer at a time and 4,096 tokens of prompt and answer; each answer ends
with a signed receipt that others can check.")]
pub(crate) struct Arguments {
    /// What to answer questions about
    #[arg(value_name = "REF")]
    pub(crate) reference: Option<String>,
    /// Whose questions: everyone, follows, or the id of a node; may be given more than once [default: everyone]
    #[arg(long, value_name = "WHO", value_delimiter = ',')]
    pub(crate) to: Vec<String>,
}

pub(crate) fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    let client = context.running("host models")?;
    let Some(reference) = arguments.reference else {
        let hosted: HostedResponse = client
            .get(route::HOSTED, &[])
            .context("could not list what is hosted")?;
        context.screen.facts(
            &hosted,
            |hosted| {
                hosted
                    .hosted
                    .iter()
                    .map(|one| one.revision.clone())
                    .collect()
            },
            human,
        )?;
        return Ok(());
    };
    let request = HostRequest {
        reference,
        to: arguments.to,
    };
    let hosted: HostedView = client
        .post(route::HOST, &request)
        .with_context(|| format!("could not host `{}`", request.reference))?;
    context.screen.facts(
        &hosted,
        |hosted| vec![hosted.revision.clone()],
        |hosted, _| {
            format!(
                "hosting {}@{} for {}",
                repository(&hosted.repository, None),
                short_revision(&hosted.revision),
                hosted.to.join(", ")
            )
        },
    )?;
    Ok(())
}

fn human(hosted: &HostedResponse, style: Style) -> String {
    let mut table = Table::new([
        Column::Left("MODEL"),
        Column::Left("REVISION"),
        Column::Left("FOR"),
    ]);
    for one in &hosted.hosted {
        table.row([
            repository(&one.repository, None),
            short_revision(&one.revision).to_owned(),
            one.to.join(", "),
        ]);
    }
    table.render(style, "nothing is hosted; `weft host REF` begins")
}
