//! `weft unhost`: answers no more questions of others.

use anyhow::Context as _;
use clap::Args;
use weft_node::api::{Done, UnhostRequest, route};

use crate::context::Context;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weft unhost alice/tiny                          all its revisions

The model stays here, and is not announced any more.")]
pub(crate) struct Arguments {
    /// What to answer no more questions about
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
}

pub(crate) fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    let request = UnhostRequest {
        reference: arguments.reference,
    };
    let done: Done = context
        .running("stop hosting")?
        .post(route::UNHOST, &request)
        .with_context(|| format!("could not stop hosting `{}`", request.reference))?;
    context
        .screen
        .talk(&format!("no longer hosting {}", request.reference));
    if context.screen.is_json() {
        context.screen.json(&done)?;
    }
    Ok(())
}
