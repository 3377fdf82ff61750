//! `weft run`: asks a model, once or in a conversation.

mod chat;
mod timings;

use std::{
    io::{self, IsTerminal, Read, Write},
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use weft_node::api::{AskLine, AskPeersRequest, AskRequest, AskResult, ChatMessage, ErrorCode};

use self::timings::{tell_timings, tell_timings_at_peer};
use super::{at_peer, network::Network};
use crate::{client::Client, context::Context, failure::fail, units::parse_duration};

/// The longest prompt that is read from standard input.
const INPUT_LEN_MAX: u64 = 7 * 1024 * 1024;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weft run alice/wren \"Tell me a story\"           ask once
  weft run alice/wren:Q8_0                        have a conversation; /bye or Ctrl-D ends it
  weft run alice/wren --peer                      the same with a peer that hosts the model
  weft run alice/wren --seed 1 < question.txt     take the question from a file
  weft run alice/wren \"1 + 1 =\" --temperature 0 --max-tokens 8 --json

A model that is not here is fetched first, verified: only the files that are needed. It runs on
this machine; nothing of the question or the answer leaves it, except with --peer: then a peer that
hosts the model answers (`weft host`), and that peer, each that goes on when it dies, and each that
checks its receipt can read the question and the answer. A node that runs keeps the model
in memory for a while (`weft ps`). With -v, timings are shown on standard error.")]
pub(crate) struct Arguments {
    /// Which model: PUBLISHER/NAME[@REVISION][:TAG] or a petname; TAG is a quantization such as Q4_K_M
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// What to ask; standard input or a conversation if left out
    #[arg(value_name = "PROMPT")]
    pub(crate) prompt: Vec<String>,
    /// What the model is told before everything else
    #[arg(long, value_name = "TEXT", help_heading = "Answer")]
    pub(crate) system: Option<String>,
    /// Where randomness comes from: the same seed gives the same answer
    #[arg(long, value_name = "NUMBER", help_heading = "Answer")]
    pub(crate) seed: Option<u64>,
    /// How adventurous the answer is; 0 takes the likeliest word always [default: 0.8]
    #[arg(long, value_name = "NUMBER", help_heading = "Answer")]
    pub(crate) temperature: Option<f32>,
    /// The longest answer in tokens [default: what the model's context allows]
    #[arg(long, value_name = "TOKENS", help_heading = "Answer")]
    pub(crate) max_tokens: Option<u32>,
    /// Ask a peer that hosts the model: it can read the question and the answer
    #[arg(long, help_heading = "Answer")]
    pub(crate) peer: bool,
    /// Let the model go on with the text as it is instead of answering it (with --peer)
    #[arg(long, requires = "peer", help_heading = "Answer")]
    pub(crate) raw: bool,
    /// How long a running node keeps the model in memory afterwards: 30s, 5m, 2h [default: `infer.keep_alive`]
    #[arg(long, value_name = "TIME", value_parser = parse_duration, conflicts_with = "peer", help_heading = "Answer")]
    pub(crate) keep_alive: Option<Duration>,
    #[command(flatten)]
    pub(crate) network: Network,
}

/// The whole of an answer, for programs.
#[derive(Debug, Serialize)]
struct Facts<'a> {
    text: &'a str,
    #[serde(flatten)]
    result: &'a AskResult,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<()> {
    let is_chat = arguments.prompt.is_empty() && io::stdin().is_terminal();
    if is_chat && !context.screen.is_json() {
        return converse(arguments, context);
    }
    let prompt = match arguments.prompt.is_empty() {
        false => arguments.prompt.join(" "),
        true => read_input()?,
    };
    if arguments.peer {
        let system = system(arguments).into_iter();
        let messages: Vec<ChatMessage> = system.chain([message("user", prompt)]).collect();
        return ask_peer(arguments, context, &messages).map(drop);
    }
    let client = context.network(&arguments.network)?;
    let messages = system(arguments)
        .into_iter()
        .chain([message("user", prompt)]);
    let (text, result) = ask(arguments, context, &client, messages.collect())?;
    if context.screen.is_json() {
        let (text, result) = (text.as_str(), &result);
        context.screen.json(&Facts { text, result })?;
    } else {
        end_line(&text)?;
        tell_timings(context, &result);
    }
    Ok(())
}

/// A conversation, here or at a peer.
fn converse(arguments: &Arguments, context: &Context) -> anyhow::Result<()> {
    let system = system(arguments);
    if !arguments.peer {
        let client = context.network(&arguments.network)?;
        return chat::run(context, system.as_ref(), |messages| {
            let (text, result) = ask(arguments, context, &client, messages.to_vec())?;
            end_line(&text)?;
            tell_timings(context, &result);
            Ok(text)
        });
    }
    if arguments.raw {
        let hint = "write the text behind the model's name, or pipe it in";
        let message = "there is no text to go on with, and a conversation is not `--raw`";
        return Err(fail(ErrorCode::Usage, message, hint));
    }
    // Whoever cannot ask hears so before typing a question.
    context.running("ask a peer")?;
    chat::run(context, system.as_ref(), |messages| {
        ask_peer(arguments, context, messages)
    })
}

/// Asks a peer; the last message is the question.
fn ask_peer(
    arguments: &Arguments,
    context: &Context,
    messages: &[ChatMessage],
) -> anyhow::Result<String> {
    let (prompt, before) = match messages.split_last() {
        Some((last, before)) => (last.content.clone(), before.to_vec()),
        None => Default::default(),
    };
    let request = AskPeersRequest {
        reference: arguments.reference.clone(),
        prompt,
        before,
        system: None,
        raw: arguments.raw,
        tokens_max: arguments.max_tokens,
        temperature: arguments.temperature.unwrap_or(0.8),
        seed: arguments.seed,
        stop: Vec::new(),
    };
    let answer = at_peer::ask(&request, context)?;
    tell_timings_at_peer(context, &answer);
    Ok(answer.text)
}

fn read_input() -> anyhow::Result<String> {
    let mut text = String::new();
    let read = io::stdin()
        .lock()
        .take(INPUT_LEN_MAX + 1)
        .read_to_string(&mut text);
    read.context("could not read the question from standard input")?;
    let hint = "write it behind the model's name, or pipe it in";
    if text.trim().is_empty() {
        return Err(fail(ErrorCode::Usage, "there is no question", hint));
    }
    if text.len() as u64 > INPUT_LEN_MAX {
        return Err(fail(
            ErrorCode::Usage,
            "the question is longer than 7 MiB",
            "shorten it",
        ));
    }
    Ok(text)
}

fn message(role: &str, content: String) -> ChatMessage {
    ChatMessage {
        role: role.to_owned(),
        content,
    }
}

fn system(arguments: &Arguments) -> Option<ChatMessage> {
    let text = arguments.system.clone()?;
    Some(message("system", text))
}

/// Asks, and prints the answer while it comes, unless a program wants it whole.
fn ask(
    arguments: &Arguments,
    context: &Context,
    client: &Client,
    messages: Vec<ChatMessage>,
) -> anyhow::Result<(String, AskResult)> {
    let request = AskRequest {
        reference: arguments.reference.clone(),
        messages,
        seed: arguments.seed,
        temperature: arguments.temperature,
        tokens_max: arguments.max_tokens,
        keep_alive: arguments
            .keep_alive
            .map(|time| format!("{}s", time.as_secs())),
    };
    let is_json = context.screen.is_json();
    let mut meter = Some(context.screen.meter());
    let mut text = String::new();
    let mut printed: io::Result<()> = Ok(());
    let result = client.ask(&request, |line| match line {
        AskLine::Progress(progress) => {
            if let Some(meter) = &mut meter {
                meter.update(&progress);
            }
        }
        AskLine::Text(part) => {
            // The bar goes before the first word comes.
            meter = None;
            if !is_json && printed.is_ok() {
                let mut out = io::stdout().lock();
                printed = out.write_all(part.as_bytes()).and_then(|()| out.flush());
            }
            text.push_str(&part);
        }
        AskLine::Result(_) | AskLine::Error(_) => {}
    });
    drop(meter);
    if result.is_err() && !text.is_empty() && !is_json {
        end_line(&text)?;
    }
    let result = result.with_context(|| format!("could not ask `{}`", arguments.reference))?;
    printed?;
    Ok((text, result))
}

fn end_line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if !text.ends_with('\n') {
        writeln!(out)?;
    }
    out.flush()
}
