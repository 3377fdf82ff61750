//! `weft stop`: ends the running node in good order.

use anyhow::Context as _;
use clap::Args;
use weft_node::api::{Done, route};

use crate::context::Context;

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  weft stop            downloads are taken up again at the next `weft serve`"
)]
pub(crate) struct Arguments {}

pub(crate) fn run(context: &Context) -> anyhow::Result<()> {
    let client = context.running("be stopped")?;
    let done: Done = client
        .post(route::SHUTDOWN, &serde_json::json!({}))
        .context("could not stop the node")?;
    context.screen.talk("the node is stopping");
    if context.screen.is_json() {
        context.screen.json(&done)?;
    }
    Ok(())
}
