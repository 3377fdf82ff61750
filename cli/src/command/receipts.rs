//! `weft receipts`: what peers signed about their answers.

use anyhow::Context as _;
use clap::Args;
use weft_node::api::{ReceiptsResponse, route};

use crate::{
    context::Context,
    failure::fail,
    render::{Column, Style, Table, short_revision},
    units::date,
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weft receipts                                   the newest first
  weft receipts 3f9a > answer.receipt             one, with prompt and answer, to be checked on another machine

The newest 512 are kept. They hold your prompts: only you can read the folder they lie in.")]
pub(crate) struct Arguments {
    /// Write this one out: its id, or the start of it
    #[arg(value_name = "RECEIPT")]
    pub(crate) receipt: Option<String>,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<()> {
    let client = context.local()?;
    let query: Vec<(&str, &str)> = arguments
        .receipt
        .iter()
        .map(|start| ("receipt", start.as_str()))
        .collect();
    let receipts: ReceiptsResponse = client
        .get(route::RECEIPTS, &query)
        .context("could not list the receipts")?;
    if arguments.receipt.is_some() && !context.screen.is_json() {
        let content = receipts.receipts.into_iter().find_map(|one| one.content);
        let missing = || {
            let hint = "`weft receipts` lists them";
            fail(weft_node::api::ErrorCode::NotFound, "no such receipt", hint)
        };
        context.screen.line(&content.ok_or_else(missing)?)?;
        return Ok(());
    }
    context.screen.facts(
        &receipts,
        |receipts| receipts.receipts.iter().map(|one| one.id.clone()).collect(),
        human,
    )?;
    Ok(())
}

fn human(receipts: &ReceiptsResponse, style: Style) -> String {
    let mut table = Table::new([
        Column::Left("RECEIPT"),
        Column::Left("NODE"),
        Column::Left("REVISION"),
        Column::Left("WEIGHTS"),
        Column::Right("TOKENS"),
        Column::Left("SIGNED"),
        Column::Left("CHECKED"),
    ]);
    for one in &receipts.receipts {
        let checked = match one.agrees {
            Some(true) => "holds",
            Some(false) => "does not hold",
            None => "-",
        };
        table.row([
            one.id.chars().take(16).collect(),
            one.node.chars().take(16).collect(),
            short_revision(&one.revision).to_owned(),
            one.weights.clone(),
            one.answer_tokens.to_string(),
            date(one.issued),
            checked.to_owned(),
        ]);
    }
    table.render(style, "no receipts; answers of peers leave them")
}
