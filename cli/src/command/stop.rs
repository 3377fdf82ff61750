//! `weft stop`: ends the running node in good order.

use std::fs::File;

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
    // Its lock is the last thing that a node lets go of, in good order or not.
    let lock = context.home()?.join("lock");
    File::open(&lock)
        .and_then(|lock| lock.lock())
        .with_context(|| {
            format!(
                "could not wait for the end of the node at `{}`",
                lock.display()
            )
        })?;
    context.screen.talk("the node has ended");
    if context.screen.is_json() {
        context.screen.json(&done)?;
    }
    Ok(())
}
