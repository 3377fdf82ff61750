//! `weft config`: settings and where each came from.

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::Value;
use weft_node::{
    api::{
        ConfigEntry, ConfigResponse, ConfigSource, ErrorCode, SetConfigRequest, SetConfigResponse,
        route,
    },
    config::{self, Overrides},
    home::Home,
};

use crate::{
    context::Context,
    failure::fail,
    render::{Column, Style, Table},
};

#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Examples:
  weft config show
  weft config show infer                          what each of these settings is for
  weft config set network.mdns false
  weft config set network.mdns                    back to the default
  weft config set origin.hub https://huggingface.co
  weft config set origin.web PUBLISHER/NAME=https://example.org/models/tiny"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) action: Action,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Show settings and where each value came from
    Show {
        /// Only those whose names begin so, each with what it is for
        key: Option<String>,
    },
    /// Change a setting in the data directory's config.toml
    Set {
        /// Dotted name, as `weft config show` lists it
        key: String,
        /// New value [default: forget the setting, so that the default counts]
        value: Option<String>,
    },
}

pub(crate) fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    match arguments.action {
        Action::Show { key } => show(key.as_deref(), context),
        Action::Set { key, value } => set(key, value, context),
    }
}

fn show(key: Option<&str>, context: &Context) -> anyhow::Result<()> {
    let config: anyhow::Result<ConfigResponse> = match context.running_if_any()? {
        Some(client) => client.get(route::CONFIG, &[]),
        // What `weft serve` would use: settings need no node.
        None => {
            config::show(&Home::new(context.home()?), &Overrides::default()).map_err(Into::into)
        }
    };
    let mut config = config.context("could not read the settings")?;
    if let Some(key) = key {
        config.entries.retain(|entry| entry.key.starts_with(key));
        if config.entries.is_empty() {
            return Err(fail(
                ErrorCode::Usage,
                format!("there is no setting `{key}`"),
                "`weft config show` lists them",
            ));
        }
    }
    let human = if key.is_some() { explained } else { human };
    context.screen.facts(
        &config,
        |config| {
            config
                .entries
                .iter()
                .map(|entry| entry.key.clone())
                .collect()
        },
        human,
    )?;
    Ok(())
}

fn set(key: String, value: Option<String>, context: &Context) -> anyhow::Result<()> {
    let attempt = format!("could not set `{key}`");
    let request = SetConfigRequest { key, value };
    let answer: anyhow::Result<SetConfigResponse> = match context.running_if_any()? {
        Some(client) => client.post(route::CONFIG, &request),
        None => write(&Home::new(context.home()?), &request),
    };
    let answer = answer.context(attempt)?;
    if let Some(notice) = &answer.notice {
        context.screen.complain(notice);
    }
    if answer.restart_required {
        context.screen.talk(
            "hint: the running node takes this at its next start: `weft stop`, then `weft serve`",
        );
    }
    context.screen.facts(
        &answer,
        |answer| vec![answer.entry.key.clone()],
        |answer, _| format!("{} = {}", answer.entry.key, value_text(&answer.entry.value)),
    )?;
    Ok(())
}

/// Does what a running node would do.
fn write(home: &Home, request: &SetConfigRequest) -> anyhow::Result<SetConfigResponse> {
    let value = request.value.as_deref().unwrap_or_default();
    config::set(home, &request.key, value)?;
    let entries = config::show(home, &Overrides::default())?.entries;
    let entry = entries.into_iter().find(|entry| entry.key == request.key);
    Ok(SetConfigResponse {
        entry: entry.context("the setting was written but is not listed")?,
        restart_required: false,
        notice: config::notice(&request.key, value),
    })
}

fn human(config: &ConfigResponse, style: Style) -> String {
    let mut table = Table::new([
        Column::Left("KEY"),
        Column::Left("VALUE"),
        Column::Left("FROM"),
    ]);
    for entry in &config.entries {
        table.row([
            entry.key.clone(),
            value_text(&entry.value),
            source(entry).to_owned(),
        ]);
    }
    format!(
        "{}\n{}",
        style.dim(&config.path),
        table.render(style, "no settings")
    )
}

/// A few settings, with what each is for.
fn explained(config: &ConfigResponse, style: Style) -> String {
    let explain = |entry: &ConfigEntry| {
        let (value, source) = (value_text(&entry.value), source(entry));
        let about = style.dim(&entry.description);
        format!("{} = {value} ({source})\n  {about}", entry.key)
    };
    let all: Vec<String> = config.entries.iter().map(explain).collect();
    all.join("\n")
}

fn source(entry: &ConfigEntry) -> &'static str {
    match entry.source {
        ConfigSource::Default => "default",
        ConfigSource::File => "file",
        ConfigSource::Environment => "environment",
        ConfigSource::Flag => "flag",
    }
}

fn value_text(value: &Value) -> String {
    match value {
        Value::Null => "unset".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_as_they_are_typed() {
        assert_eq!(value_text(&Value::Null), "unset");
        assert_eq!(
            value_text(&serde_json::json!("0.0.0.0:4777")),
            "0.0.0.0:4777"
        );
        assert_eq!(value_text(&serde_json::json!(true)), "true");
    }

    #[test]
    fn what_is_explained_says_what_it_is_for() {
        let directory = tempfile::tempdir().unwrap();
        let mut config = config::show(&Home::new(directory.path()), &Overrides::default()).unwrap();
        config.entries.retain(|entry| entry.key == "infer.peers");
        let text = explained(&config, Style::plain());
        assert!(
            text.starts_with("infer.peers = never (default)\n")
                && text.contains("can read the prompt"),
            "{text}"
        );
    }

    #[test]
    fn settings_are_written_without_a_node() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::new(directory.path());
        let set = |value: Option<&str>| {
            let request = SetConfigRequest {
                key: "network.mdns".to_owned(),
                value: value.map(str::to_owned),
            };
            write(&home, &request).unwrap().entry
        };
        let entry = set(Some("false"));
        assert_eq!(
            (value_text(&entry.value).as_str(), entry.source),
            ("false", ConfigSource::File)
        );
        assert_eq!(set(None).source, ConfigSource::Default);
    }
}
