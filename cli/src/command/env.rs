//! `weft env`: where this node is, for shell scripts.

use clap::Args;
use serde::Serialize;

use crate::{
    context::{Context, Daemon},
    home::Files,
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eval \"$(weft env)\"
  curl -H \"Authorization: Bearer $(cat \"$WEFT_TOKEN_FILE\")\" \"$WEFT_URL/weft/v1/status\"")]
pub(crate) struct Arguments {}

/// What is printed. The URL is missing while no node runs.
#[derive(Debug, Serialize)]
struct Variables {
    #[serde(rename = "WEFT_HOME")]
    home: String,
    #[serde(rename = "WEFT_TOKEN_FILE")]
    token_file: String,
    #[serde(rename = "WEFT_URL", skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

pub(crate) fn run(context: &Context) -> anyhow::Result<()> {
    let home = context.home()?;
    let url = match context.daemon()? {
        Daemon::Running(client) | Daemon::Silent(client) => Some(client.url().to_owned()),
        Daemon::None | Daemon::Stale(_) => None,
    };
    let variables = Variables {
        token_file: Files::new(&home).token.display().to_string(),
        home: home.display().to_string(),
        url,
    };
    context.screen.facts(
        &variables,
        |variables| vec![variables.home.clone()],
        |variables, _| human(variables),
    )?;
    Ok(())
}

fn human(variables: &Variables) -> String {
    let mut lines = vec![
        format!("export WEFT_HOME={}", quote(&variables.home)),
        format!("export WEFT_TOKEN_FILE={}", quote(&variables.token_file)),
    ];
    lines.push(variables.url.as_ref().map_or_else(
        || "# no node runs here: `weft serve` starts one".to_owned(),
        |url| format!("export WEFT_URL={}", quote(url)),
    ));
    lines.join("\n")
}

/// Quotes for POSIX shells.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_paths_survive_the_shell() {
        assert_eq!(quote("/a b"), "'/a b'");
        assert_eq!(quote("it's"), r"'it'\''s'");
    }
}
