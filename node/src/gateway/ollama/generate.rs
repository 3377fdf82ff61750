//! `POST /api/generate` and `POST /api/chat`.

use std::time::{Duration, Instant};

use axum::{body::Body, http::HeaderMap, response::Response};
use serde::Deserialize;
use serde_json::{Value, json};
use weft_protocol::infer::{Description, Job, Prompt};

use super::{
    answer::{Form, Telling, one_line},
    fields::{Options, keep},
    reply::{Answer, lines, ok},
};
use crate::{
    gateway::ask::{self, Fault, Shared, Tools},
    infer::{Keep, Model},
};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct GenerateRequest {
    model: String,
    prompt: Option<String>,
    suffix: Option<String>,
    images: Option<Vec<Value>>,
    system: Option<String>,
    template: Option<String>,
    raw: Option<bool>,
    format: Option<Value>,
    options: Option<Options>,
    stream: Option<bool>,
    keep_alive: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ChatRequest {
    model: String,
    messages: Option<Vec<Value>>,
    tools: Option<Vec<Value>>,
    format: Option<Value>,
    options: Option<Options>,
    stream: Option<bool>,
    keep_alive: Option<Value>,
}

/// What both kinds of request come down to.
struct Asked {
    name: String,
    form: Form,
    options: Options,
    format: Option<Value>,
    stream: bool,
    keep: Option<Keep>,
}

pub(super) async fn generate(operations: Shared, headers: &HeaderMap, body: Body) -> Answer {
    let request: GenerateRequest = ask::read(body).await?;
    let asked = Asked {
        name: request.model.clone(),
        form: Form::Text,
        options: request.options.clone().unwrap_or_default(),
        format: request.format.clone(),
        stream: request.stream.unwrap_or(true),
        keep: keep(request.keep_alive.as_ref())?,
    };
    let is_set = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    if is_set(&request.suffix) {
        return Err(Fault::unsupported(format!(
            "{} does not support insert",
            request.model
        )));
    }
    if is_set(&request.template) {
        return Err(Fault::unsupported(
            "the model's own template is used; `template` is not",
        ));
    }
    if request
        .images
        .as_ref()
        .is_some_and(|images| !images.is_empty())
    {
        return Err(Fault::unsupported("images are not supported"));
    }
    let started = Instant::now();
    let text = request.prompt.unwrap_or_default();
    let Some((model, description)) = load(&operations, headers, &asked, text.is_empty()).await?
    else {
        return Ok(released(&asked));
    };
    if text.is_empty() {
        return Ok(loaded(&operations, &asked, &model, started.elapsed()));
    }
    let is_raw = request.raw.unwrap_or(false);
    let prompt = if description.chats && !is_raw {
        let system = request.system.filter(|system| !system.is_empty());
        let system = system.map(|text| json!({ "role": "system", "content": text }));
        let user = json!({ "role": "user", "content": text });
        let messages: Vec<Value> = system.into_iter().chain([user]).collect();
        Prompt::Chat {
            messages: Value::Array(messages).to_string(),
            tools: None,
            proceed: false,
        }
    } else {
        Prompt::Text { text, raw: false }
    };
    answer(&operations, headers, asked, &model, prompt, None, started).await
}

pub(super) async fn chat(operations: Shared, headers: &HeaderMap, body: Body) -> Answer {
    let request: ChatRequest = ask::read(body).await?;
    let asked = Asked {
        name: request.model,
        form: Form::Message,
        options: request.options.unwrap_or_default(),
        format: request.format,
        stream: request.stream.unwrap_or(true),
        keep: keep(request.keep_alive.as_ref())?,
    };
    let messages = messages(request.messages.unwrap_or_default())?;
    let tools = Tools::read(request.tools.as_deref().unwrap_or_default())?;
    let started = Instant::now();
    let is_empty = messages.is_empty();
    let Some((model, description)) = load(&operations, headers, &asked, is_empty).await? else {
        return Ok(released(&asked));
    };
    if is_empty {
        return Ok(loaded(&operations, &asked, &model, started.elapsed()));
    }
    let has_tools = description
        .template
        .is_some_and(|template| template.contains("tools"));
    if tools.is_some() && !has_tools {
        return Err(Fault::unsupported(format!(
            "{} does not support tools",
            asked.name
        )));
    }
    // As Ollama has it: an answer that has begun goes on.
    let proceed = messages
        .last()
        .is_some_and(|last| last["role"] == "assistant");
    let (tools, offered) = tools.unzip();
    let prompt = Prompt::Chat {
        messages: Value::Array(messages).to_string(),
        tools: offered,
        proceed,
    };
    answer(&operations, headers, asked, &model, prompt, tools, started).await
}

/// Finds the model and loads it. `None` if it is not to be asked but to go, for which it need not come first.
async fn load(
    operations: &Shared,
    headers: &HeaderMap,
    asked: &Asked,
    is_empty: bool,
) -> Result<Option<(Model, Description)>, Fault> {
    let model = ask::model(operations, &asked.name).await?;
    if is_empty && asked.keep == Some(Keep::For(Duration::ZERO)) {
        operations.pool.keep(&model.id, asked.keep);
        return Ok(None);
    }
    let description = ask::describe(operations, &model, ask::caller(headers)).await?;
    Ok(Some((model, description)))
}

async fn answer(
    operations: &Shared,
    headers: &HeaderMap,
    asked: Asked,
    model: &Model,
    prompt: Prompt,
    tools: Option<Tools>,
    started: Instant,
) -> Answer {
    let load = started.elapsed();
    let generate = asked.options.generate(prompt, asked.format.as_ref())?;
    let question = ask::question(
        model,
        Job::Generate(generate),
        ask::caller(headers),
        asked.keep,
    );
    let begun = ask::ask(operations, question).await?;
    let telling = Telling::new(asked.name, asked.form, tools, started, load);
    if asked.stream {
        return Ok(lines(telling.lines(begun)));
    }
    Ok(ok(telling.whole(begun.whole().await?)))
}

/// Nothing was asked: the model is loaded, and stays as was said.
fn loaded(operations: &Shared, asked: &Asked, model: &Model, took: Duration) -> Response {
    operations.pool.keep(&model.id, asked.keep);
    ok(one_line(&asked.name, asked.form, "load", took))
}

fn released(asked: &Asked) -> Response {
    ok(one_line(&asked.name, asked.form, "unload", Duration::ZERO))
}

/// Brings messages into OpenAI's form: calls of tools have an id, and their arguments are text.
fn messages(messages: Vec<Value>) -> Result<Vec<Value>, Fault> {
    let mut messages = ask::messages(messages)?;
    for message in &mut messages {
        let has_images = message["images"]
            .as_array()
            .is_some_and(|images| !images.is_empty());
        if has_images {
            return Err(Fault::unsupported("images are not supported"));
        }
        let calls = message.get_mut("tool_calls").and_then(Value::as_array_mut);
        for (number, call) in calls.into_iter().flatten().enumerate() {
            if call["function"]["arguments"].is_object() {
                call["function"]["arguments"] = call["function"]["arguments"].to_string().into();
            }
            if call["id"].is_null() && call.is_object() {
                call["id"] = format!("call_{number}").into();
                call["type"] = "function".into();
            }
        }
    }
    Ok(messages)
}
