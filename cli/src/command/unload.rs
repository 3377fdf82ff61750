//! `weft unload`: lets a model's memory go.

use anyhow::Context as _;
use clap::Args;
use weft_node::api::{Done, UnloadRequest, route};

use crate::context::Context;

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  weft unload alice/wren       its memory is free as soon as nobody waits for an answer

`weft stop` ends the whole node, `weft rm` frees disk space.")]
pub(crate) struct Arguments {
    /// Which model, as `weft ps` shows it
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
}

pub(crate) fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    let client = context.running("have models in memory")?;
    let request = UnloadRequest {
        reference: arguments.reference,
    };
    let done: Done = client
        .post(route::UNLOAD, &request)
        .with_context(|| format!("could not unload `{}`", request.reference))?;
    if let Some(message) = &done.message {
        context.screen.talk(message);
    }
    if context.screen.is_json() {
        context.screen.json(&done)?;
    }
    Ok(())
}
