//! `weft unseed`: stops keeping and offering.

use anyhow::Context as _;
use clap::Args;
use weft_node::api::{Done, UnseedRequest, route};

use crate::context::Context;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weft unseed alice/tiny                          all its revisions
  weft unseed alice/tiny@v1.0                     one of them

The files stay until something needs their space; `weft prune` frees it at once.")]
pub(crate) struct Arguments {
    /// What to stop offering
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
}

pub(crate) fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    let client = context.local()?;
    let request = UnseedRequest {
        reference: arguments.reference,
    };
    let done: Done = client
        .post(route::UNSEED, &request)
        .with_context(|| format!("could not unseed `{}`", request.reference))?;
    context
        .screen
        .talk(&format!("no longer seeding {}", request.reference));
    if context.screen.is_json() {
        context.screen.json(&done)?;
    }
    Ok(())
}
