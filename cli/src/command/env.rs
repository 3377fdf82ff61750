//! `weft env`: where this node is, for shell scripts.

use anyhow::Context as _;
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
  eval \"$(weft env --hf)\"      # and `hf download`, `hf upload`, transformers … use this node
  curl -H \"Authorization: Bearer $(cat \"$WEFT_TOKEN_FILE\")\" \"$WEFT_URL/weft/v1/status\"")]
pub(crate) struct Arguments {
    /// Also sets HF_ENDPOINT and HF_TOKEN, so that Hugging Face clients use this node. The token allows them to publish
    /// under this node's identities, and nothing else.
    #[arg(long)]
    pub(crate) hf: bool,
}

/// What is printed. The URL is missing while no node runs.
#[derive(Debug, Serialize)]
struct Variables {
    #[serde(rename = "WEFT_HOME")]
    home: String,
    #[serde(rename = "WEFT_TOKEN_FILE")]
    token_file: String,
    #[serde(rename = "WEFT_URL", skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(rename = "HF_ENDPOINT", skip_serializing_if = "Option::is_none")]
    hf_endpoint: Option<String>,
    #[serde(rename = "HF_TOKEN", skip_serializing_if = "Option::is_none")]
    hf_token: Option<String>,
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> anyhow::Result<()> {
    let home = context.home()?;
    let url = match context.daemon()? {
        Daemon::Running(client) | Daemon::Silent(client) => Some(client.url().to_owned()),
        Daemon::None | Daemon::Stale(_) => None,
    };
    let token_file = Files::new(&home).token;
    let hf_token = match arguments.hf {
        false => None,
        true => Some(
            std::fs::read_to_string(&token_file)
                .map(|control| weft_node::hub_token(&control))
                .with_context(|| format!("cannot read `{}`", token_file.display()))?,
        ),
    };
    let variables = Variables {
        hf_endpoint: url.clone().filter(|_| arguments.hf),
        hf_token,
        token_file: token_file.display().to_string(),
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
    let hf = [
        ("HF_ENDPOINT", &variables.hf_endpoint),
        ("HF_TOKEN", &variables.hf_token),
    ];
    for (name, value) in hf {
        lines.extend(
            value
                .iter()
                .map(|value| format!("export {name}={}", quote(value))),
        );
    }
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
