//! `weft embed`: vectors of texts.

use std::io::{self, BufRead};

use anyhow::Context as _;
use clap::Args;
use weft_node::api::{EmbedRequest, EmbedResult, ErrorCode, route};

use super::network::Network;
use crate::{context::Context, failure::fail};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weft embed alice/minilm \"a cat\" \"a dog\"         one line of numbers for each text
  weft embed alice/minilm < lines.txt             one for each line
  weft embed alice/minilm \"a cat\" --json

The model is fetched first if it is not here, and runs on this machine.")]
pub(crate) struct Arguments {
    /// Which model: PUBLISHER/NAME[@REVISION][:TAG] or a petname
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// Texts; the lines of standard input if left out
    #[arg(value_name = "TEXT")]
    pub(crate) texts: Vec<String>,
    #[command(flatten)]
    pub(crate) network: Network,
}

pub(crate) fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    let texts = match arguments.texts.is_empty() {
        false => arguments.texts,
        true => io::stdin()
            .lock()
            .lines()
            .collect::<io::Result<_>>()
            .context("could not read the texts from standard input")?,
    };
    if texts.is_empty() {
        let hint = "write them behind the model's name, or pipe them in, one on each line";
        return Err(fail(ErrorCode::Usage, "there are no texts", hint));
    }
    let request = EmbedRequest {
        reference: arguments.reference,
        texts,
    };
    let client = context.network(&arguments.network)?;
    let mut meter = context.screen.meter();
    let embedded: anyhow::Result<EmbedResult> =
        client.stream(route::EMBED, &request, |progress| meter.update(progress));
    drop(meter);
    let embedded = embedded.with_context(|| format!("could not ask `{}`", request.reference))?;
    let lines = |embedded: &EmbedResult| -> Vec<String> {
        let numbers = |vector: &Vec<f32>| {
            let numbers: Vec<String> = vector.iter().map(ToString::to_string).collect();
            numbers.join(" ")
        };
        embedded.vectors.iter().map(numbers).collect()
    };
    context
        .screen
        .facts(&embedded, lines, |embedded, _| lines(embedded).join("\n"))?;
    Ok(())
}
