//! One file per command: its options, what it asks the node, how the answer looks.

pub(crate) mod alias;
pub(crate) mod at_peer;
pub(crate) mod audit;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod df;
pub(crate) mod doctor;
pub(crate) mod embed;
pub(crate) mod engine;
pub(crate) mod env;
pub(crate) mod fetch;
pub(crate) mod host;
pub(crate) mod id;
pub(crate) mod info;
pub(crate) mod log;
pub(crate) mod ls;
pub(crate) mod mirror;
pub(crate) mod network;
pub(crate) mod peers;
pub(crate) mod prune;
pub(crate) mod ps;
pub(crate) mod publish;
pub(crate) mod receipts;
mod removal;
pub(crate) mod rm;
pub(crate) mod run;
pub(crate) mod seed;
pub(crate) mod serve;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod unhost;
pub(crate) mod unload;
pub(crate) mod unseed;
pub(crate) mod verify;

use crate::{args::Command, context::Context};

/// Runs any command but `serve`, which has no one to ask.
pub(crate) fn run(command: Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::Serve(_) => unreachable!("`main` runs `serve` itself, because it does not block"),
        Command::Stop(_) => stop::run(context),
        Command::Status(_) => status::run(context),
        Command::Peers(_) => peers::run(context),
        Command::Doctor(_) => doctor::run(context),
        Command::Publish(arguments) => publish::run(arguments, context),
        Command::Fetch(arguments) => fetch::run(arguments, context),
        Command::Seed(arguments) => seed::run(arguments, context),
        Command::Unseed(arguments) => unseed::run(arguments, context),
        Command::Host(arguments) => host::run(arguments, context),
        Command::Unhost(arguments) => unhost::run(arguments, context),
        Command::Receipts(arguments) => receipts::run(&arguments, context),
        Command::Audit(arguments) => audit::run(&arguments, context),
        Command::Mirror(arguments) => mirror::run(&arguments, context),
        Command::Run(arguments) => run::run(&arguments, context),
        Command::Embed(arguments) => embed::run(arguments, context),
        Command::Ps(_) => ps::run(context),
        Command::Unload(arguments) => unload::run(arguments, context),
        Command::Ls(arguments) => ls::run(&arguments, context),
        Command::Info(arguments) => info::run(&arguments, context),
        Command::Log(arguments) => log::run(&arguments, context),
        Command::Verify(arguments) => verify::run(arguments, context),
        Command::Rm(arguments) => rm::run(arguments, context),
        Command::Prune(arguments) => prune::run(&arguments, context),
        Command::Df(_) => df::run(context),
        Command::Id(arguments) => id::run(arguments, context),
        Command::Alias(arguments) => alias::run(arguments, context),
        Command::Config(arguments) => config::run(arguments, context),
        Command::Env(arguments) => env::run(context, &arguments),
        Command::Completions(arguments) => completions::run(&arguments, context),
        Command::Engine(arguments) => engine::run(arguments),
    }
}
