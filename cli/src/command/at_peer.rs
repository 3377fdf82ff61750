//! `weft run --peer`: asks nodes that host the model instead of this one.

use std::{
    io::{self, Write as _},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use weft_node::api::{AskPeersDone, AskPeersLine, AskPeersRequest, ErrorBody, ErrorCode};

use crate::{context::Context, failure::fail};

/// An answer, and when it came.
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) done: AskPeersDone,
    /// From the question to the first word.
    pub(crate) first: Duration,
    /// From the question to the end.
    pub(crate) whole: Duration,
}

/// Asks, and prints the answer as it comes.
pub(crate) fn ask(request: &AskPeersRequest, context: &Context) -> anyhow::Result<Answer> {
    let asked = Instant::now();
    let mut first = None;
    let client = context.running("ask a peer")?;
    let screen = &context.screen;
    let mut text = String::new();
    let mut host = String::new();
    let (mut receipt, mut no_receipt) = (None, None);
    let mut done = None;
    let mut failed: Option<ErrorBody> = None;
    client
        .ask_peers(request, |line| {
            match line {
                AskPeersLine::Notice(notice) => screen.complain(&notice),
                AskPeersLine::Host(id) => {
                    let short: String = id.chars().take(16).collect();
                    screen.talk(&format!(
                        "{} {short}",
                        if host.is_empty() {
                            "asking"
                        } else {
                            "that peer is gone; going on with"
                        }
                    ));
                    host = id;
                }
                AskPeersLine::Text(more) => {
                    first.get_or_insert_with(|| asked.elapsed());
                    text.push_str(&more);
                    if !screen.is_json() {
                        let mut out = io::stdout().lock();
                        out.write_all(more.as_bytes())?;
                        out.flush()?;
                    }
                }
                AskPeersLine::Receipt(id) => receipt = Some(id),
                AskPeersLine::NoReceipt(why) => no_receipt = Some(why),
                AskPeersLine::Done(end) => done = Some(end),
                AskPeersLine::Error(error) => failed = Some(error),
            }
            Ok(())
        })
        .with_context(|| format!("could not ask `{}`", request.reference))?;
    if let Some(error) = failed {
        let error = anyhow::Error::from(error);
        return Err(error.context(format!("could not ask `{}` at a peer", request.reference)));
    }
    let Some(done) = done else {
        let hint = "run the same command again";
        return Err(fail(
            ErrorCode::Failure,
            "the node ended before the answer did",
            hint,
        ));
    };
    let whole = asked.elapsed();
    if screen.is_json() {
        screen.json(&serde_json::json!({
            "text": text,
            "host": host,
            "receipt": receipt,
            "no_receipt": no_receipt,
            "finish": done.finish,
            "prompt_tokens": done.prompt_tokens,
            "answer_tokens": done.answer_tokens,
        }))?;
    } else {
        screen.line("")?;
    }
    if let Some(receipt) = receipt {
        let short: String = receipt.chars().take(16).collect();
        screen.talk(&format!(
            "receipt {short}; `weft audit {short} --peer` has another peer check it"
        ));
    } else {
        let why = no_receipt.as_deref().unwrap_or("the peer signed nothing");
        screen.complain(&format!(
            "warning: no valid receipt, so this answer cannot be checked: {why}"
        ));
    }
    Ok(Answer {
        text,
        done,
        first: first.unwrap_or(whole),
        whole,
    })
}
