//! `POST /api/embed` and `POST /api/embeddings`.

use std::time::Instant;

use axum::{body::Body, http::HeaderMap};
use serde::Deserialize;
use serde_json::{Value, json};
use weft_protocol::infer::{Embed, Job, Text};

use super::{
    fields::keep,
    reply::{Answer, nanos, ok},
};
use crate::{
    gateway::{
        ask::{self, Fault},
        openai,
    },
    operations::Operations,
};

/// Texts of one request, as elsewhere on this port.
const INPUTS_MAX: usize = 2_048;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Request {
    model: String,
    input: Value,
    prompt: Option<String>,
    truncate: Option<bool>,
    dimensions: Option<usize>,
    keep_alive: Option<Value>,
}

pub(super) async fn many(operations: &Operations, headers: &HeaderMap, body: Body) -> Answer {
    let request: Request = ask::read(body).await?;
    let inputs = inputs(&request.input)?;
    let started = Instant::now();
    let model = ask::model(operations, &request.model).await?;
    ask::describe(operations, &model, ask::caller(headers)).await?;
    let load = started.elapsed();
    let (vectors, tokens) = vectors(operations, headers, &request, inputs).await?;
    let vectors = vectors.into_iter();
    let vectors: Vec<Vec<f32>> = vectors
        .map(|vector| openai::shorten(vector, request.dimensions))
        .collect::<Result<_, _>>()?;
    Ok(ok(json!({
        "model": request.model,
        "embeddings": vectors,
        "total_duration": nanos(started.elapsed()),
        "load_duration": nanos(load),
        "prompt_eval_count": tokens,
    })))
}

pub(super) async fn one(operations: &Operations, headers: &HeaderMap, body: Body) -> Answer {
    let request: Request = ask::read(body).await?;
    let prompt = request.prompt.clone().unwrap_or_default();
    let inputs = match prompt.is_empty() {
        true => Vec::new(),
        false => vec![Text::Plain(prompt)],
    };
    let (vectors, _) = vectors(operations, headers, &request, inputs).await?;
    let vector = vectors.into_iter().next().unwrap_or_default();
    Ok(ok(json!({ "embedding": vector })))
}

async fn vectors(
    operations: &Operations,
    headers: &HeaderMap,
    request: &Request,
    inputs: Vec<Text>,
) -> Result<(Vec<Vec<f32>>, u32), Fault> {
    let model = ask::model(operations, &request.model).await?;
    let keep = keep(request.keep_alive.as_ref())?;
    if inputs.is_empty() {
        ask::describe(operations, &model, ask::caller(headers)).await?;
        operations.pool.keep(&model.id, keep);
        return Ok((Vec::new(), 0));
    }
    let job = Job::Embed(Embed {
        inputs,
        truncate: request.truncate.unwrap_or(true),
    });
    let question = ask::question(&model, job, ask::caller(headers), keep);
    ask::ask(operations, question).await?.vectors().await
}

fn inputs(value: &Value) -> Result<Vec<Text>, Fault> {
    let wrong = || Fault::invalid("`input` is neither text nor a list of texts").at("input");
    let list = match value {
        Value::Null => return Ok(Vec::new()),
        Value::String(text) if text.is_empty() => return Ok(Vec::new()),
        Value::String(text) => return Ok(vec![Text::Plain(text.clone())]),
        Value::Array(list) => list,
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => return Err(wrong()),
    };
    if list.len() > INPUTS_MAX {
        let message = format!("there are {} texts, more than {INPUTS_MAX}", list.len());
        return Err(Fault::invalid(message).at("input"));
    }
    let texts = list
        .iter()
        .map(|text| text.as_str().map(|text| Text::Plain(text.to_owned())));
    texts.collect::<Option<_>>().ok_or_else(wrong)
}
