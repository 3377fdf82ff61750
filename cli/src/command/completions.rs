//! `weft completions`: completion scripts.

use clap::Args;
use clap_complete::Shell;

use crate::{args, context::Context};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weft completions bash > ~/.local/share/bash-completion/completions/weft
  weft completions zsh > ~/.zfunc/_weft
  weft completions fish > ~/.config/fish/completions/weft.fish")]
pub(crate) struct Arguments {
    /// Your shell
    pub(crate) shell: Shell,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<()> {
    context.screen.line(&script(arguments.shell))?;
    Ok(())
}

fn script(shell: Shell) -> String {
    let mut bytes = Vec::new();
    clap_complete::generate(shell, &mut args::parser(), "weft", &mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_know_the_commands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = script(shell);
            assert!(
                script.contains("publish") && script.contains("ready-file"),
                "{shell}"
            );
        }
    }
}
