//! `weft`: words for people.
//!
//! This program parses arguments, finds or starts a node, talks to it over the local control API and
//! renders what it says. It decides nothing about models, peers or signatures, and opens no file of the
//! node's database.
//!
//! Reading order: [`args`] (what can be typed), [`command`] (one file each), [`context`] (how a command
//! reaches a node), [`client`] (the control API), [`render`] (how answers look), [`failure`] (how errors
//! look and which exit code they have).
#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "doc comments of arguments are help texts, where brackets mean that something may be left out"
)]

mod args;
mod client;
mod command;
mod context;
mod failure;
mod home;
mod logging;
mod node;
mod phrase;
mod render;
mod units;

use std::process::ExitCode;

use context::Context;
use failure::Interrupted;

fn main() -> ExitCode {
    let cli = args::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(e) => {
            let error = anyhow::Error::new(e).context("could not start the program's own threads");
            return failure::report(&error, &render::Screen::new(&cli.global));
        }
    };
    let context = Context::new(&cli.global, runtime.handle().clone());
    let result = runtime.block_on(run(cli.command, context.clone()));
    let code = match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::report(&error, &context.screen),
    };
    // A command that was interrupted may still wait for an answer; it must not hold the exit back.
    runtime.shutdown_background();
    code
}

/// Runs the command on a thread of its own, so that Ctrl-C is heard at any time, and ends the in-process node
/// before the program ends.
async fn run(command: args::Command, context: Context) -> anyhow::Result<()> {
    if let args::Command::Serve(serve) = command {
        return command::serve::run(serve, &context).await;
    }
    let worker = {
        let context = context.clone();
        tokio::task::spawn_blocking(move || command::run(command, &context))
    };
    let interrupted = node::interrupted();
    let result = tokio::select! {
        result = worker => result.unwrap_or_else(|e| Err(e.into())),
        () = interrupted => Err(Interrupted.into()),
    };
    tokio::select! {
        () = context.stop_node() => {}
        () = node::interrupted() => {}
    }
    result
}
