//! `weft ps`: models in memory.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use weft_node::api::{RunningModel, RunningResponse, route};

use crate::{
    context::Context,
    render::{Column, Style, Table},
    units::{Size, Span},
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weft ps                                         models that the running node has in memory
  weft ps --json                                  with counters of what was asked since its start")]
pub(crate) struct Arguments {}

pub(crate) fn run(context: &Context) -> anyhow::Result<()> {
    // Without a node that stays, nothing stays in memory.
    let answer: RunningResponse = match context.running_if_any()? {
        Some(client) => client
            .get(route::RUNNING, &[])
            .context("could not list the models in memory")?,
        None => RunningResponse::default(),
    };
    context.screen.facts(
        &answer,
        |answer| {
            answer
                .models
                .iter()
                .map(|model| model.name.clone())
                .collect()
        },
        human,
    )?;
    Ok(())
}

fn human(answer: &RunningResponse, style: Style) -> String {
    let mut table = Table::new([
        Column::Left("MODEL"),
        Column::Left("WEIGHTS"),
        Column::Right("MEMORY"),
        Column::Right("CONTEXT"),
        Column::Right("RUNNING"),
        Column::Right("WAITING"),
        Column::Left("STAYS"),
    ]);
    for model in &answer.models {
        table.row([
            model.name.clone(),
            weights(model),
            Size(model.memory_bytes).to_string(),
            model.context_len.to_string(),
            model.running.to_string(),
            model.waiting.to_string(),
            stays(model),
        ]);
    }
    table.render(style, "no model is in memory; `weft run REF` asks one")
}

fn weights(model: &RunningModel) -> String {
    match model.stage.as_str() {
        "ready" => format!("{} {}", model.architecture, model.quantization),
        stage => stage.to_owned(),
    }
}

fn stays(model: &RunningModel) -> String {
    if model.running + model.waiting > 0 {
        return "in use".to_owned();
    }
    match model.stays_seconds {
        Some(seconds) => Span(Duration::from_secs(seconds)).to_string(),
        None => "as long as there is room".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_one_line() {
        let model = RunningModel {
            name: "alice/wren".to_owned(),
            stage: "ready".to_owned(),
            architecture: "llama".to_owned(),
            quantization: "BF16".to_owned(),
            memory_bytes: 7_000_000,
            context_len: 512,
            stays_seconds: Some(240),
            ..RunningModel::default()
        };
        let answer = RunningResponse {
            models: vec![model],
            ..RunningResponse::default()
        };
        let text = human(&answer, Style::plain());
        assert!(
            text.contains("alice/wren  llama BF16  7.0 MB      512"),
            "{text}"
        );
        assert!(text.ends_with("4m 0s"), "{text}");
    }
}
