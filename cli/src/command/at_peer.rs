//! `weft run --peer`: asks nodes that host the model instead of this one.

use std::io::{self, Write as _};

use anyhow::Context as _;
use weft_node::api::{AskPeersLine, AskPeersRequest, ErrorBody, ErrorCode};

use crate::{context::Context, failure::fail};

/// Asks, and prints the answer as it comes.
pub(crate) fn ask(request: &AskPeersRequest, context: &Context) -> anyhow::Result<()> {
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
    Ok(())
}
