//! What can be typed. Each command's own options stand with the command; here are the ones that all share,
//! the list of commands, and what every option gets without asking: an environment twin.

mod environment;
mod overview;

use std::path::PathBuf;

use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::command::{
    alias, audit, completions, config, df, doctor, embed, engine, env, fetch, host, id, info, log,
    ls, mirror, peers, prune, ps, publish, receipts, rm, run, seed, serve, status, stop, unhost,
    unload, unseed, verify,
};

/// A hub for models, datasets and apps that nobody owns.
#[derive(Debug, Parser)]
#[command(
    name = "weft",
    version,
    arg_required_else_help = true,
    subcommand_required = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    /// Data directory [default: $XDG_DATA_HOME/weft or ~/.local/share/weft]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,
    /// Print facts as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print ids only, no talk and no progress
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Tell more of what happens (-vv: much more)
    #[arg(long, short, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Colours
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t = Color::Auto, hide_possible_values = true)]
    pub(crate) color: Color,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// All commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the node: share, mirror and answer other commands
    #[command(visible_aliases = ["node", "daemon", "up"])]
    Serve(serve::Arguments),
    /// Stop the running node
    #[command(alias = "shutdown", alias = "down")]
    Stop(stop::Arguments),
    /// Show what the node does right now
    Status(status::Arguments),
    /// List connected peers
    Peers(peers::Arguments),
    /// Find out what is wrong with this installation
    Doctor(doctor::Arguments),
    /// Sign a folder as a new revision, announce it, start seeding it
    #[command(visible_aliases = ["upload", "push"])]
    Publish(publish::Arguments),
    /// Get a model by its signed id, verified, from many peers at once
    #[command(visible_aliases = ["download", "pull", "get"])]
    Fetch(fetch::Arguments),
    /// Ask a model on this machine; it is fetched first if need be
    #[command(visible_aliases = ["ask", "chat"])]
    Run(run::Arguments),
    /// Make vectors of texts with a model on this machine
    Embed(embed::Arguments),
    /// List models in memory
    Ps(ps::Arguments),
    /// Let a model's memory go
    Unload(unload::Arguments),
    /// Keep a revision and offer it to others
    Seed(seed::Arguments),
    /// Stop keeping and offering a repository
    Unseed(unseed::Arguments),
    /// Answer others' questions about a model
    Host(host::Arguments),
    /// Answer no more questions of others
    Unhost(unhost::Arguments),
    /// List what peers signed about their answers
    Receipts(receipts::Arguments),
    /// Check what a peer signed about an answer
    Audit(audit::Arguments),
    /// Follow a publisher or a repository and seed all it will publish
    Mirror(mirror::Arguments),
    /// List repositories on this node
    #[command(visible_alias = "list")]
    Ls(ls::Arguments),
    /// Show everything known about a repository
    #[command(visible_alias = "show")]
    Info(info::Arguments),
    /// Show a repository's history of signed heads
    Log(log::Arguments),
    /// Check every byte against the publisher's signature
    Verify(verify::Arguments),
    /// Forget revisions and free their space
    #[command(visible_alias = "remove")]
    Rm(rm::Arguments),
    /// Free the space of everything that nothing keeps
    Prune(prune::Arguments),
    /// Show how much disk is used, and for what
    Df(df::Arguments),
    /// Create, show, rotate or recover a publisher identity
    Id(id::Arguments),
    /// Give publishers names that you can remember
    Alias(alias::Arguments),
    /// Show or change settings
    Config(config::Arguments),
    /// Print where this node is, for shell scripts
    Env(env::Arguments),
    /// Print a completion script for your shell
    Completions(completions::Arguments),
    /// Run one model for a node, which starts this by itself
    #[command(hide = true)]
    Engine(engine::Arguments),
}

/// The parser with everything that is added to the derived one.
pub(crate) fn parser() -> clap::Command {
    overview::group(environment::twin(Cli::command()))
}

/// Parses the program's own arguments. Ends the program with 2 if they make no sense.
pub(crate) fn parse() -> Cli {
    let matches = parser().get_matches();
    match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.format(&mut parser()).exit(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_line(line: &str) -> Result<Cli, clap::Error> {
        let matches = parser().try_get_matches_from(line.split_whitespace())?;
        Cli::from_arg_matches(&matches)
    }

    #[test]
    fn parser_is_consistent() {
        parser().debug_assert();
    }

    #[test]
    fn neighbours_spellings_are_understood() {
        for (line, expected) in [
            ("weft up", "Serve"),
            ("weft daemon", "Serve"),
            ("weft node", "Serve"),
            ("weft push .", "Publish"),
            ("weft upload .", "Publish"),
            ("weft pull a/b", "Fetch"),
            ("weft download a/b", "Fetch"),
            ("weft get a/b", "Fetch"),
            ("weft list", "Ls"),
        ] {
            let cli = parse_line(line).unwrap();
            assert!(format!("{:?}", cli.command).starts_with(expected), "{line}");
        }
    }

    #[test]
    fn shared_options_stand_before_or_after_the_command() {
        let before = parse_line("weft --json --home /x ls").unwrap();
        let after = parse_line("weft ls --json --home /x").unwrap();
        assert!(before.global.json && after.global.json);
        assert_eq!(before.global.home, after.global.home);
        assert_eq!(parse_line("weft -vv ls").unwrap().global.verbose, 2);
    }

    #[test]
    fn bad_usage_has_exit_code_two() {
        for line in ["weft fetch", "weft frobnicate", "weft mirror x --max lots"] {
            assert_eq!(parse_line(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn several_nodes_on_one_machine_are_plain() {
        let line = "weft serve --listen 127.0.0.1:0 --gateway 127.0.0.1:0 --no-mdns \
                    --bootstrap /ip4/127.0.0.1/tcp/1 --bootstrap /ip4/127.0.0.1/tcp/2 --ready-file /tmp/r";
        let Command::Serve(serve) = parse_line(line).unwrap().command else {
            panic!("expected serve");
        };
        assert_eq!(serve.network.bootstrap.len(), 2);
        assert!(serve.network.no_mdns);
    }

    #[test]
    fn everything_has_a_description() {
        fn check(command: &clap::Command, path: &str) {
            assert!(command.get_about().is_some(), "`{path}` has no description");
            for arg in command.get_arguments() {
                assert!(
                    arg.get_help().is_some(),
                    "`{path}` has no help for `{}`",
                    arg.get_id()
                );
            }
            for child in command.get_subcommands() {
                check(child, &format!("{path} {}", child.get_name()));
            }
        }
        check(&parser(), "weft");
    }

    #[test]
    fn help_of_each_command_shows_an_example() {
        for command in parser().get_subcommands() {
            let text = command.get_after_help().map(ToString::to_string);
            assert!(
                text.is_some_and(|text| text.contains("weft ")),
                "`{}` has no example",
                command.get_name()
            );
        }
    }
}
