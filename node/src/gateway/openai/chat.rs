//! `POST /v1/chat/completions`.

use axum::{body::Body, http::HeaderMap};
use futures::future;
use serde::Deserialize;
use serde_json::{Value, json};
use weft_protocol::infer::{Finish, Generate, Job, Prompt, Sampled, Usage};

use super::{
    fields::{Fields, constraint},
    reply::{Answer, finish_reason, id, now, ok, usage},
    stream::{self, Parts},
};
use crate::{
    gateway::ask::{self, Begun, Fault, ToolCall, Tools},
    infer::{Caller, Model},
    operations::Operations,
};

/// Likeliest tokens that can be told of each place.
const TOP_LOGPROBS_MAX: u32 = 20;

#[derive(Debug, Deserialize)]
struct Request {
    #[serde(default)]
    model: Option<String>,
    messages: Vec<Value>,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
    logprobs: Option<bool>,
    top_logprobs: Option<u32>,
    response_format: Option<Value>,
    tools: Option<Vec<Value>>,
    tool_choice: Option<Value>,
    functions: Option<Value>,
    /// Goes on with the last message, as other servers have it.
    continue_final_message: Option<bool>,
    #[serde(flatten)]
    fields: Fields,
}

pub(super) async fn answer(operations: &Operations, headers: &HeaderMap, body: Body) -> Answer {
    let request: Request = ask::read(body).await?;
    let caller = ask::caller(headers);
    let name = request.model.clone().unwrap_or_default();
    let answers = request.fields.answers()?;
    let mut generate = generate(&request)?;
    let model = ask::model(operations, &name).await?;
    let tools = tools(operations, &model, &request, caller).await?;
    if let Prompt::Chat { tools: offered, .. } = &mut generate.prompt {
        *offered = tools.as_ref().map(|(_, json)| json.clone());
    }
    let tools = tools.map(|(tools, _)| tools);
    let begun = begin(
        operations,
        &model,
        &generate,
        answers,
        caller,
        &request.fields,
    )
    .await?;
    let shape = Shape {
        id: id("chatcmpl-"),
        created: now(),
        model: name,
        logprobs: generate.logprobs.is_some(),
        fingerprint: fingerprint(&model),
    };
    if request.fields.is_stream() {
        let parts = Chunks {
            choices: vec![Choice { tools }; begun.len()],
            usages: vec![Usage::default(); begun.len()],
            include_usage: request.fields.include_usage(),
            shape,
        };
        return Ok(stream::events(begun, parts));
    }
    let wholes = future::try_join_all(begun.into_iter().map(Begun::whole)).await?;
    let usages: Vec<Usage> = wholes.iter().map(|whole| whole.usage).collect();
    let choices: Vec<Value> = wholes
        .iter()
        .enumerate()
        .map(|(index, whole)| {
            let (content, calls) = match tools.clone() {
                None => (whole.text.clone(), Vec::new()),
                Some(mut tools) => {
                    let shown = tools.push(&whole.text);
                    let (rest, calls) = tools.finish();
                    (shown + &rest, calls)
                }
            };
            let mut message = json!({ "role": "assistant", "content": content, "refusal": null });
            let mut finish = finish_reason(whole.finish);
            if !calls.is_empty() {
                finish = "tool_calls";
                if content.is_empty() {
                    message["content"] = Value::Null;
                }
                message["tool_calls"] = calls.iter().map(tool_call).collect();
            }
            let logprobs = shape.logprobs.then(|| logprobs(&whole.tokens));
            json!({
                "index": index, "message": message, "logprobs": logprobs, "finish_reason": finish,
            })
        })
        .collect();
    Ok(ok(json!({
        "id": shape.id,
        "object": "chat.completion",
        "created": shape.created,
        "model": shape.model,
        "choices": choices,
        "usage": usage(&usages, 1),
        "system_fingerprint": shape.fingerprint,
    })))
}

fn generate(request: &Request) -> Result<Generate, Fault> {
    if request.messages.is_empty() {
        return Err(Fault::invalid("there are no messages").at("messages"));
    }
    if request
        .functions
        .as_ref()
        .is_some_and(|functions| !functions.is_null())
    {
        let message = "`functions` are not supported; `tools` are";
        return Err(Fault::unsupported(message).at("functions"));
    }
    let top = request.top_logprobs.unwrap_or(0);
    let wants_logprobs = request.logprobs.unwrap_or(false);
    if top > TOP_LOGPROBS_MAX || (top > 0 && !wants_logprobs) {
        let message = format!("`top_logprobs` is at most {TOP_LOGPROBS_MAX} and needs `logprobs`");
        return Err(Fault::invalid(message).at("top_logprobs"));
    }
    let tokens_max = request.max_completion_tokens.or(request.max_tokens);
    if tokens_max == Some(0) {
        return Err(Fault::invalid("an answer has at least one token").at("max_tokens"));
    }
    let messages = ask::messages(request.messages.clone())?;
    let prompt = Prompt::Chat {
        messages: Value::Array(messages).to_string(),
        tools: None,
        proceed: request.continue_final_message.unwrap_or(false),
    };
    Ok(Generate {
        sampling: request.fields.sampling()?,
        tokens_max,
        stop: request.fields.stops()?,
        logprobs: wants_logprobs.then_some(top),
        constraint: constraint(request.response_format.as_ref())?,
        ..Generate::greedy(prompt)
    })
}

/// The tools that the model is told of.
async fn tools(
    operations: &Operations,
    model: &Model,
    request: &Request,
    caller: Caller,
) -> Result<Option<(Tools, String)>, Fault> {
    let tools = Tools::read(request.tools.as_deref().unwrap_or_default())?;
    let choice = request
        .tool_choice
        .as_ref()
        .filter(|choice| !choice.is_null());
    match choice.and_then(Value::as_str) {
        Some("none") => return Ok(None),
        Some("auto") => {}
        None if choice.is_none() => {}
        Some(_) | None => {
            let message =
                "a model cannot be made to call a tool here; `tool_choice` is auto or none";
            return Err(Fault::unsupported(message).at("tool_choice"));
        }
    }
    if tools.is_none() {
        return Ok(None);
    }
    let description = ask::describe(operations, model, caller).await?;
    if description
        .template
        .is_some_and(|template| template.contains("tools"))
    {
        return Ok(tools);
    }
    let message = format!(
        "`{}` does not support tools: its chat template has none",
        model.name
    );
    Err(Fault::unsupported(message).at("tools"))
}

/// Asks for each answer; all of them have begun afterwards.
pub(super) async fn begin(
    operations: &Operations,
    model: &Model,
    generate: &Generate,
    answers: u32,
    caller: Caller,
    fields: &Fields,
) -> Result<Vec<Begun>, Fault> {
    let keep = fields.keep()?;
    let asked = (0..answers).map(|index| {
        let mut generate = generate.clone();
        generate.sampling.seed = generate.sampling.seed.wrapping_add(u64::from(index));
        let job = Job::Generate(generate);
        ask::ask(operations, ask::question(model, job, caller, keep))
    });
    future::try_join_all(asked).await
}

/// Which weights answered.
pub(super) fn fingerprint(model: &Model) -> String {
    format!("weft_{}", model.id.revision.fmt_short())
}

/// What every part of one answer says.
#[derive(Debug)]
struct Shape {
    id: String,
    created: u64,
    model: String,
    logprobs: bool,
    fingerprint: String,
}

#[derive(Debug, Clone)]
struct Choice {
    tools: Option<Tools>,
}

/// The parts of streamed answers.
#[derive(Debug)]
struct Chunks {
    choices: Vec<Choice>,
    usages: Vec<Usage>,
    include_usage: bool,
    shape: Shape,
}

impl Chunks {
    fn chunk(&self, choices: &Value) -> Value {
        let mut chunk = json!({
            "id": self.shape.id,
            "object": "chat.completion.chunk",
            "created": self.shape.created,
            "model": self.shape.model,
            "choices": choices,
            "system_fingerprint": self.shape.fingerprint,
        });
        if self.include_usage {
            chunk["usage"] = Value::Null;
        }
        chunk
    }

    fn delta(&self, index: usize, delta: &Value, logprobs: &Value, finish: Option<&str>) -> Value {
        self.chunk(&json!([{
            "index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish,
        }]))
    }
}

impl Parts for Chunks {
    fn begin(&mut self, index: usize) -> Vec<Value> {
        let delta = json!({ "role": "assistant", "content": "", "refusal": null });
        vec![self.delta(index, &delta, &Value::Null, None)]
    }

    fn go_on(&mut self, index: usize, text: &str, tokens: &[Sampled]) -> Vec<Value> {
        let tools = self
            .choices
            .get_mut(index)
            .and_then(|choice| choice.tools.as_mut());
        let shown = match tools {
            Some(tools) => tools.push(text),
            None => text.to_owned(),
        };
        let told = self.shape.logprobs && !tokens.is_empty();
        if shown.is_empty() && !told {
            return Vec::new();
        }
        let logprobs = if told { logprobs(tokens) } else { Value::Null };
        vec![self.delta(index, &json!({ "content": shown }), &logprobs, None)]
    }

    fn end(&mut self, index: usize, finish: Finish, usage: Usage) -> Vec<Value> {
        if let Some(slot) = self.usages.get_mut(index) {
            *slot = usage;
        }
        let mut parts = Vec::new();
        let mut reason = finish_reason(Some(finish));
        let tools = self
            .choices
            .get_mut(index)
            .and_then(|choice| choice.tools.as_mut());
        if let Some((rest, calls)) = tools.map(Tools::finish) {
            if !rest.is_empty() {
                parts.push(self.delta(index, &json!({ "content": rest }), &Value::Null, None));
            }
            for (number, call) in calls.iter().enumerate() {
                reason = "tool_calls";
                let mut whole = tool_call(call);
                let arguments = whole["function"]["arguments"].take();
                whole["function"]["arguments"] = "".into();
                whole["index"] = number.into();
                let rest = json!({ "index": number, "function": { "arguments": arguments } });
                for part in [whole, rest] {
                    let delta = json!({ "tool_calls": [part] });
                    parts.push(self.delta(index, &delta, &Value::Null, None));
                }
            }
        }
        parts.push(self.delta(index, &json!({}), &Value::Null, Some(reason)));
        parts
    }

    fn finish(&mut self) -> Vec<Value> {
        if !self.include_usage {
            return Vec::new();
        }
        let mut chunk = self.chunk(&json!([]));
        chunk["usage"] = usage(&self.usages, 1);
        vec![chunk]
    }
}

fn tool_call(call: &ToolCall) -> Value {
    json!({
        "id": id("call_"),
        "type": "function",
        "function": {
            "name": call.name,
            "arguments": Value::Object(call.arguments.clone()).to_string(),
        },
    })
}

fn logprobs(tokens: &[Sampled]) -> Value {
    let one = |bytes: &[u8], logprob: Option<f32>| {
        json!({
            "token": String::from_utf8_lossy(bytes), "logprob": logprob, "bytes": bytes,
        })
    };
    let content: Vec<Value> = tokens
        .iter()
        .map(|token| {
            let mut all = one(&token.bytes, token.logprob.map(|real| real.get()));
            let top = token.top.iter();
            let top: Vec<Value> = top.map(|c| one(&c.bytes, Some(c.logprob.get()))).collect();
            all["top_logprobs"] = top.into();
            all
        })
        .collect();
    json!({ "content": content, "refusal": null })
}
