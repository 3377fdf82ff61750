//! What the reader sees: headings, commands as typed, output as printed, and ticks.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the demo talks to a person"
)]

use std::{
    io::{self, IsTerminal as _},
    time::Instant,
};

use anyhow::{Error, Result, ensure};

use crate::{Node, Run};

/// Where the demo is played.
#[derive(Debug)]
pub(super) struct Stage {
    colour: bool,
    begin: Instant,
}

impl Stage {
    /// Colours only for a terminal.
    pub(super) fn new() -> Self {
        let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self {
            colour,
            begin: Instant::now(),
        }
    }

    /// Prose.
    pub(super) fn say(&self, text: &str) {
        println!("{text}");
    }

    /// Begins an act.
    pub(super) fn act(&self, title: &str) {
        println!("\n{}", self.paint("1", &format!("== {title}")));
    }

    /// Something was checked and is as it should be.
    pub(super) fn good(&self, text: &str) {
        println!("{} {text}", self.paint("32", "  ok"));
    }

    /// Runs a command on a node, shown as a person would type it, and shows what it printed.
    pub(super) fn run(&self, node: &Node, arguments: &[&str]) -> Result<Run> {
        self.typed(node, arguments);
        let run = node.weft(arguments)?;
        self.output(&run);
        Ok(run)
    }

    /// Shows a command.
    pub(super) fn typed(&self, node: &Node, arguments: &[&str]) {
        let line = arguments.join(" ");
        println!(
            "{} {}",
            self.paint("2", &format!("{}$", node.name())),
            self.paint("36", &format!("weft {line}"))
        );
    }

    /// Shows what a command printed, the secret words apart.
    pub(super) fn output(&self, run: &Run) {
        for line in run.stderr.lines().chain(run.stdout.lines()) {
            if !line.trim().is_empty() {
                println!("    {line}");
            }
        }
    }

    /// Shows that a command was refused with an error and the expected exit code.
    pub(super) fn refused(&self, run: &Run, codes: &[i32]) -> Result<()> {
        let code = run.code.unwrap_or(-1);
        ensure!(
            codes.contains(&code),
            "expected exit code {codes:?}: {run:#?}"
        );
        ensure!(run.stderr.contains("error:"), "no error was told: {run:#?}");
        self.good(&format!("refused, exit code {code}"));
        Ok(())
    }

    /// The end, for whoever wants more.
    pub(super) fn next_steps(&self) {
        self.act(&format!(
            "All as it should be ({:.0} s). What to type next",
            self.begin.elapsed().as_secs_f64()
        ));
        println!(
            "  PATH=$PWD/target/debug:$PATH               # or: cargo install --path cli
  weft serve &                               # your own node
  weft publish ~/some-model                  # sign a folder; prints the id to hand to others
  weft fetch weft:PUBLISHER/NAME             # on another machine: --bootstrap ADDRESS of the first
  weft status                                # what your node does; `weft --help` for the rest
README.md has a tour of five minutes."
        );
    }

    /// Something was not as it should be.
    pub(super) fn fail(&self, error: &Error) {
        eprintln!("\n{} {error:#}", self.paint("31", "FAILED:"));
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}
