//! Environment twins: `--ready-file` is also `WEFT_READY_FILE`, for every option of every command.
//!
//! A switch is on if its variable is set to anything but nothing, `0`, `false`, `no` or `off`. An option that
//! may be repeated is split at commas.

use clap::{Arg, ArgAction, Command, builder::FalseyValueParser};

/// Gives each option of `command` and of its children an environment twin.
pub(super) fn twin(command: Command) -> Command {
    command.mut_args(twin_arg).mut_subcommands(twin)
}

fn twin_arg(arg: Arg) -> Arg {
    let Some(name) = arg.get_long().map(variable) else {
        return arg;
    };
    // Lives as long as the program, like the parser itself; there is one per option.
    let name: &'static str = name.leak();
    let switch = matches!(arg.get_action(), ArgAction::SetTrue);
    let arg = arg.env(name).hide_env(true);
    if switch {
        arg.value_parser(FalseyValueParser::new())
    } else {
        arg
    }
}

/// The variable that belongs to a long option.
pub(super) fn variable(long: &str) -> String {
    format!("WEFT_{}", long.to_uppercase().replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::parser;

    #[test]
    fn every_option_has_a_twin() {
        fn check(command: &Command, count: &mut usize) {
            for arg in command.get_arguments().filter(|arg| !arg.is_positional()) {
                let long = arg.get_long().expect("every option has a long form");
                let env = arg
                    .get_env()
                    .map(|name| name.to_string_lossy().into_owned());
                assert_eq!(env, Some(variable(long)), "{} --{long}", command.get_name());
                *count += 1;
            }
            for child in command.get_subcommands() {
                check(child, count);
            }
        }
        let mut count = 0;
        check(&parser(), &mut count);
        assert!(count > 25, "only {count} options were seen");
    }

    #[test]
    fn names_follow_one_rule() {
        assert_eq!(variable("home"), "WEFT_HOME");
        assert_eq!(variable("ready-file"), "WEFT_READY_FILE");
    }
}
