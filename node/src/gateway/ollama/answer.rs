//! Answers to questions: line by line, or whole.

use std::time::{Duration, Instant};

use futures::{Stream, stream};
use serde_json::{Map, Value, json};
use weft_protocol::infer::{Event, Finish, Usage};

use super::reply::{Failed, date_in, nanos};
use crate::gateway::ask::{Begun, Fault, ToolCall, Tools, Whole};

/// Where the text of an answer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `response`.
    Text,
    /// `message.content`.
    Message,
}

/// What is told of one answer.
#[derive(Debug)]
pub(super) struct Telling {
    model: String,
    form: Form,
    tools: Option<Tools>,
    started: Instant,
    load: Duration,
}

impl Telling {
    pub(super) fn new(
        model: String,
        form: Form,
        tools: Option<Tools>,
        started: Instant,
        load: Duration,
    ) -> Self {
        Self {
            model,
            form,
            tools,
            started,
            load,
        }
    }

    /// The answer in one piece.
    pub(super) fn whole(mut self, whole: Whole) -> Value {
        let (text, calls) = match &mut self.tools {
            None => (whole.text, Vec::new()),
            Some(tools) => {
                let shown = tools.push(&whole.text);
                let (rest, calls) = tools.finish();
                (shown + &rest, calls)
            }
        };
        let mut body = self.last(whole.finish.unwrap_or(Finish::Stop), whole.usage);
        put(&mut body, self.form, &text, &calls);
        body
    }

    /// The answer line by line.
    pub(super) fn lines(self, begun: Begun) -> impl Stream<Item = Value> + Send + 'static {
        stream::unfold(Some((self, begun)), |state| async {
            let (mut telling, mut begun) = state?;
            loop {
                match begun.next().await {
                    Ok(Event::Started { .. }) => {}
                    Ok(Event::Tokens { text, .. }) => {
                        let shown = match &mut telling.tools {
                            Some(tools) => tools.push(&text),
                            None => text,
                        };
                        if !shown.is_empty() {
                            let line = line(&telling.model, telling.form, &shown, &[]);
                            return Some((line, Some((telling, begun))));
                        }
                    }
                    Ok(Event::Done { finish, usage, .. }) => {
                        let rest = telling.tools.as_mut().map(Tools::finish);
                        let (text, calls) = rest.unwrap_or_default();
                        let mut last = telling.last(finish, usage);
                        put(&mut last, telling.form, &text, &calls);
                        return Some((last, None));
                    }
                    Ok(Event::Embedded { .. } | Event::Scored { .. } | Event::Failed(_)) => {
                        let fault = Fault::failed("the engine answered something else");
                        return Some((Failed(fault).body(), None));
                    }
                    Err(fault) => return Some((Failed(fault).body(), None)),
                }
            }
        })
    }

    fn last(&self, finish: Finish, usage: Usage) -> Value {
        let mut last = line(&self.model, self.form, "", &[]);
        last["done"] = true.into();
        last["done_reason"] = match finish {
            Finish::Length => "length",
            Finish::Stop | Finish::Cancelled => "stop",
        }
        .into();
        last["total_duration"] = nanos(self.started.elapsed()).into();
        last["load_duration"] = nanos(self.load).into();
        last["prompt_eval_count"] = usage.prompt_tokens.into();
        last["prompt_eval_duration"] = usage.prompt_nanos.into();
        last["eval_count"] = usage.answer_tokens.into();
        last["eval_duration"] = usage.answer_nanos.into();
        last
    }
}

/// An answer without text: the model came or went.
pub(super) fn one_line(model: &str, form: Form, reason: &str, took: Duration) -> Value {
    let mut line = line(model, form, "", &[]);
    line["done"] = true.into();
    line["done_reason"] = reason.into();
    line["total_duration"] = nanos(took).into();
    line["load_duration"] = nanos(took).into();
    line
}

fn line(model: &str, form: Form, text: &str, calls: &[ToolCall]) -> Value {
    let mut line = json!({
        "model": model, "created_at": date_in(Duration::ZERO), "done": false,
    });
    put(&mut line, form, text, calls);
    line
}

fn put(line: &mut Value, form: Form, text: &str, calls: &[ToolCall]) {
    match form {
        Form::Text => line["response"] = text.into(),
        Form::Message => {
            line["message"] = json!({ "role": "assistant", "content": text });
            if !calls.is_empty() {
                line["message"]["tool_calls"] = calls.iter().map(tool_call).collect();
            }
        }
    }
}

fn tool_call(call: &ToolCall) -> Value {
    let arguments: &Map<String, Value> = &call.arguments;
    json!({ "function": { "name": call.name, "arguments": arguments } })
}
