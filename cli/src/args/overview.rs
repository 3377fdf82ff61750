//! The first page of help: commands in groups, by what a person wants to do.

use std::fmt::Write as _;

use clap::Command;

/// Groups in reading order. What undoes a command stands behind it in one line.
const GROUPS: [(&str, &[&str]); 5] = [
    (
        "Models",
        &["fetch", "publish", "seed, unseed", "mirror", "verify"],
    ),
    (
        "Ask",
        &[
            "run",
            "embed",
            "ps",
            "unload",
            "host, unhost",
            "receipts",
            "audit",
        ],
    ),
    (
        "Look around",
        &["ls", "info", "log", "status", "peers", "df"],
    ),
    ("Node", &["serve, stop", "doctor", "config", "rm", "prune"]),
    ("Names and scripts", &["id", "alias", "env", "completions"]),
];

/// What stands above the options.
const TEMPLATE: &str = "{about}\n\n{usage-heading} {usage}\n{before-help}{options}{after-help}";

const EXAMPLES: &str = "\
First steps:
  weft publish ./my-model                   sign a folder and print its id
  weft serve                                run the node, so that others can fetch it
  weft fetch weft:PUBLISHER/NAME            get a model, verified, from many peers
  weft run PUBLISHER/NAME Hello             ask it something

`weft COMMAND -h` tells more. Every option has an environment twin: --ready-file is WEFT_READY_FILE.
Exit codes: 0 ok, 1 failure, 2 usage, 3 not found, 4 unverified, 5 refused, 6 no peers, 130 Ctrl-C.";

/// Replaces clap's flat list of commands by one in groups.
pub(super) fn group(command: Command) -> Command {
    let overview = overview(&command);
    command
        .before_help(overview)
        .help_template(TEMPLATE)
        .after_help(EXAMPLES)
}

fn overview(command: &Command) -> String {
    let mut text = String::new();
    for (heading, names) in GROUPS {
        let _ = writeln!(text, "\n{heading}:");
        for name in names {
            let about = command
                .find_subcommand(name.split(", ").next().unwrap_or_default())
                .and_then(Command::get_about)
                .map(ToString::to_string)
                .unwrap_or_default();
            let _ = writeln!(text, "  {name:<13}{about}");
        }
    }
    text.push_str("\nOptions:");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::parser;

    #[test]
    fn every_command_stands_in_exactly_one_group() {
        let mut grouped: Vec<&str> = GROUPS
            .iter()
            .flat_map(|(_, names)| *names)
            .flat_map(|names| names.split(", "))
            .collect();
        grouped.sort_unstable();
        let parser = parser();
        let shown = parser
            .get_subcommands()
            .filter(|command| !command.is_hide_set());
        let mut all: Vec<&str> = shown.map(Command::get_name).collect();
        all.sort_unstable();
        assert_eq!(grouped, all);
    }

    #[test]
    fn first_page_fits_a_screen_and_names_the_basics() {
        let help = parser().render_help().to_string();
        assert!(help.lines().count() < 60, "{help}");
        for word in ["weft publish", "Models:", "serve", "exit codes", "--home"] {
            assert!(
                help.to_lowercase().contains(&word.to_lowercase()),
                "{word}\n{help}"
            );
        }
    }
}
