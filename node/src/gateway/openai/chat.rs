//! `POST /v1/chat/completions`.

mod parts;

use axum::{body::Body, http::HeaderMap};
use futures::future;
use serde::Deserialize;
use serde_json::{Value, json};
use weft_protocol::infer::{Generate, Job, Prompt, Usage};

use self::parts::{Choice, Chunks, Shape, logprobs, tool_call};
use super::{
    fields::{Fields, constraint},
    reply::{Answer, finish_reason, id, now, ok, usage},
    stream,
};
use crate::{
    gateway::ask::{self, Begun, Fault, Finding, Shared, Tools},
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

pub(super) async fn answer(operations: Shared, headers: &HeaderMap, body: Body) -> Answer {
    let request: Request = ask::read(body).await?;
    let caller = ask::caller(headers);
    let name = request.model.clone().unwrap_or_default();
    // What is wrong with the request itself is told before a model is looked for.
    request.fields.answers()?;
    request.fields.keep()?;
    offered(&request)?;
    let generate = generate(&request)?;
    if !request.fields.is_stream() {
        let model = ask::model(&operations, &name).await?;
        return answer_of(&operations, model, name, request, generate, caller).await;
    }
    match ask::find(operations.clone(), name.clone()).await? {
        Finding::Found(model) => {
            answer_of(&operations, model, name, request, generate, caller).await
        }
        Finding::Coming(coming) => Ok(stream::after(coming, move |model| async move {
            answer_of(&operations, model, name, request, generate, caller).await
        })),
    }
}

/// What a model that is here says.
async fn answer_of(
    operations: &Operations,
    model: Model,
    name: String,
    request: Request,
    mut generate: Generate,
    caller: Caller,
) -> Answer {
    let answers = request.fields.answers()?;
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

/// The tools that a request offers, if the model may call them.
fn offered(request: &Request) -> Result<Option<(Tools, String)>, Fault> {
    let tools = Tools::read(request.tools.as_deref().unwrap_or_default())?;
    let choice = request
        .tool_choice
        .as_ref()
        .filter(|choice| !choice.is_null());
    match choice.map(Value::as_str) {
        None | Some(Some("auto")) => Ok(tools),
        Some(Some("none")) => Ok(None),
        Some(_) => {
            let message =
                "a model cannot be made to call a tool here; `tool_choice` is auto or none";
            Err(Fault::unsupported(message).at("tool_choice"))
        }
    }
}

/// The tools that the model is told of.
async fn tools(
    operations: &Operations,
    model: &Model,
    request: &Request,
    caller: Caller,
) -> Result<Option<(Tools, String)>, Fault> {
    let Some(tools) = offered(request)? else {
        return Ok(None);
    };
    let description = ask::describe(operations, model, caller).await?;
    if description
        .template
        .is_some_and(|template| template.contains("tools"))
    {
        return Ok(Some(tools));
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
