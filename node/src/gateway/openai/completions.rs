//! `POST /v1/completions`: text that goes on, without a conversation.

use axum::{body::Body, http::HeaderMap};
use futures::future;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use weft_protocol::infer::{Finish, Generate, Prompt, Sampled, Usage};

use super::{
    chat::{begin, fingerprint},
    fields::{ANSWERS_MAX, Fields, constraint},
    reply::{Answer, finish_reason, id, now, ok, usage},
    stream::{self, Parts},
};
use crate::{
    gateway::ask::{self, Begun, Fault, Finding, Shared},
    infer::{Caller, Model},
    operations::Operations,
};

/// Likeliest tokens that can be told of each place.
const LOGPROBS_MAX: u32 = 20;
/// The longest answer if nobody says otherwise, as the API documents it.
const TOKENS: u32 = 16;

#[derive(Debug, Deserialize)]
struct Request {
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    prompt: Value,
    max_tokens: Option<u32>,
    logprobs: Option<u32>,
    echo: Option<bool>,
    best_of: Option<u32>,
    suffix: Option<String>,
    response_format: Option<Value>,
    #[serde(flatten)]
    fields: Fields,
}

pub(super) async fn answer(operations: Shared, headers: &HeaderMap, body: Body) -> Answer {
    let request: Request = ask::read(body).await?;
    let caller = ask::caller(headers);
    let name = request.model.clone().unwrap_or_default();
    let generates = generates(&request)?;
    if !request.fields.is_stream() {
        let model = ask::model(&operations, &name).await?;
        return answer_of(&operations, model, name, request, generates, caller).await;
    }
    match ask::find(operations.clone(), name.clone()).await? {
        Finding::Found(model) => {
            answer_of(&operations, model, name, request, generates, caller).await
        }
        Finding::Coming(coming) => Ok(stream::after(coming, move |model| async move {
            answer_of(&operations, model, name, request, generates, caller).await
        })),
    }
}

/// What is asked, for each prompt.
fn generates(request: &Request) -> Result<Vec<Generate>, Fault> {
    let each = request.fields.answers()?;
    request.fields.keep()?;
    let prompts = prompts(&request.prompt)?;
    check(request, each)?;
    if prompts.len() as u64 * u64::from(each) > u64::from(ANSWERS_MAX) * 4 {
        return Err(Fault::invalid("there are too many prompts for one request").at("prompt"));
    }
    let tokens_max = request.max_tokens.unwrap_or(TOKENS);
    if tokens_max == 0 {
        return Err(Fault::invalid("an answer has at least one token").at("max_tokens"));
    }
    let (sampling, stop) = (request.fields.sampling()?, request.fields.stops()?);
    let constraint = constraint(request.response_format.as_ref())?;
    let generate = |prompt| Generate {
        sampling: sampling.clone(),
        tokens_max: Some(tokens_max),
        stop: stop.clone(),
        logprobs: request.logprobs,
        constraint: constraint.clone(),
        ..Generate::greedy(prompt)
    };
    Ok(prompts.into_iter().map(generate).collect())
}

/// What a model that is here says.
async fn answer_of(
    operations: &Operations,
    model: Model,
    name: String,
    request: Request,
    generates: Vec<Generate>,
    caller: Caller,
) -> Answer {
    let each = request.fields.answers()?;
    let count = generates.len();
    let begun = generates
        .iter()
        .map(|generate| begin(operations, &model, generate, each, caller, &request.fields));
    let begun: Vec<Begun> = future::try_join_all(begun)
        .await?
        .into_iter()
        .flatten()
        .collect();
    let shape = Shape {
        id: id("cmpl-"),
        created: now(),
        model: name,
        fingerprint: fingerprint(&model),
    };
    if request.fields.is_stream() {
        let parts = Chunks {
            offsets: vec![0; begun.len()],
            usages: vec![Usage::default(); begun.len()],
            prompts: count,
            logprobs: request.logprobs.is_some(),
            include_usage: request.fields.include_usage(),
            shape,
        };
        return Ok(stream::events(begun, parts));
    }
    let wholes = future::try_join_all(begun.into_iter().map(Begun::whole)).await?;
    let usages: Vec<Usage> = wholes.iter().map(|whole| whole.usage).collect();
    let choices = wholes.iter().enumerate().map(|(index, whole)| {
        let logprobs = request.logprobs.map(|_| logprobs(&whole.tokens, &mut 0));
        json!({
            "text": whole.text, "index": index, "logprobs": logprobs,
            "finish_reason": finish_reason(whole.finish),
        })
    });
    let mut body = shape.body(&choices.collect());
    body["usage"] = usage(&usages, count);
    Ok(ok(body))
}

fn check(request: &Request, each: u32) -> Result<(), Fault> {
    if request.echo == Some(true) {
        return Err(Fault::unsupported("`echo` is not supported").at("echo"));
    }
    if request
        .suffix
        .as_ref()
        .is_some_and(|suffix| !suffix.is_empty())
    {
        return Err(Fault::unsupported("`suffix` is not supported").at("suffix"));
    }
    if request.best_of.is_some_and(|best| best != each) {
        return Err(Fault::unsupported("`best_of` is not supported").at("best_of"));
    }
    if request
        .logprobs
        .is_some_and(|logprobs| logprobs > LOGPROBS_MAX)
    {
        let message = format!("`logprobs` is at most {LOGPROBS_MAX}");
        return Err(Fault::invalid(message).at("logprobs"));
    }
    Ok(())
}

/// One prompt or several, as text or as token ids.
fn prompts(value: &Value) -> Result<Vec<Prompt>, Fault> {
    let wrong = || Fault::invalid("`prompt` is neither text, nor token ids, nor a list of those");
    let wrong = || wrong().at("prompt");
    let text = |text: &str| Prompt::Text {
        text: text.to_owned(),
        raw: false,
    };
    let list = match value {
        Value::String(one) => return Ok(vec![text(one)]),
        Value::Array(list) if !list.is_empty() => list,
        _ => return Err(wrong()),
    };
    if list.iter().all(Value::is_number) {
        let ids = token_ids(list).ok_or_else(wrong)?;
        return Ok(vec![Prompt::Tokens { ids }]);
    }
    let prompts = list.iter().map(|one| match one {
        Value::String(one) => Some(text(one)),
        Value::Array(ids) => Some(Prompt::Tokens {
            ids: token_ids(ids)?,
        }),
        _ => None,
    });
    prompts.collect::<Option<_>>().ok_or_else(wrong)
}

/// Token ids out of a list of numbers.
pub(super) fn token_ids(list: &[Value]) -> Option<Vec<u32>> {
    let ids = list.iter().map(|id| u32::try_from(id.as_u64()?).ok());
    ids.collect()
}

#[derive(Debug)]
struct Shape {
    id: String,
    created: u64,
    model: String,
    fingerprint: String,
}

impl Shape {
    fn body(&self, choices: &Value) -> Value {
        json!({
            "id": self.id,
            "object": "text_completion",
            "created": self.created,
            "model": self.model,
            "choices": choices,
            "system_fingerprint": self.fingerprint,
        })
    }
}

#[derive(Debug)]
struct Chunks {
    offsets: Vec<usize>,
    usages: Vec<Usage>,
    prompts: usize,
    logprobs: bool,
    include_usage: bool,
    shape: Shape,
}

impl Chunks {
    fn chunk(&self, choices: &Value) -> Value {
        let mut chunk = self.shape.body(choices);
        if self.include_usage {
            chunk["usage"] = Value::Null;
        }
        chunk
    }
}

impl Parts for Chunks {
    fn begin(&mut self, _index: usize) -> Vec<Value> {
        Vec::new()
    }

    fn go_on(&mut self, index: usize, text: &str, tokens: &[Sampled]) -> Vec<Value> {
        let mut told = Value::Null;
        if self.logprobs
            && let Some(offset) = self.offsets.get_mut(index)
        {
            told = logprobs(tokens, offset);
        }
        if text.is_empty() && told.is_null() {
            return Vec::new();
        }
        vec![self.chunk(&json!([{
            "text": text, "index": index, "logprobs": told, "finish_reason": null,
        }]))]
    }

    fn end(&mut self, index: usize, finish: Finish, usage: Usage) -> Vec<Value> {
        if let Some(slot) = self.usages.get_mut(index) {
            *slot = usage;
        }
        let finish = finish_reason(Some(finish));
        vec![self.chunk(&json!([{
            "text": "", "index": index, "logprobs": null, "finish_reason": finish,
        }]))]
    }

    fn finish(&mut self) -> Vec<Value> {
        if !self.include_usage {
            return Vec::new();
        }
        let mut chunk = self.chunk(&json!([]));
        chunk["usage"] = usage(&self.usages, self.prompts);
        vec![chunk]
    }
}

/// Four lists of one length; `offset` counts characters of the answer.
fn logprobs(tokens: &[Sampled], offset: &mut usize) -> Value {
    let (mut texts, mut own, mut top, mut offsets) = (vec![], vec![], vec![], vec![]);
    for token in tokens {
        let text = String::from_utf8_lossy(&token.bytes).into_owned();
        offsets.push(*offset);
        *offset += text.chars().count();
        texts.push(text);
        own.push(token.logprob.map(|real| real.get()));
        let others = token.top.iter().map(|candidate| {
            let text = String::from_utf8_lossy(&candidate.bytes).into_owned();
            (text, Value::from(candidate.logprob.get()))
        });
        top.push(Value::Object(Map::from_iter(others)));
    }
    json!({
        "tokens": texts, "token_logprobs": own, "top_logprobs": top, "text_offset": offsets,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_come_in_four_forms() {
        let text = |text: &str| Prompt::Text {
            text: text.to_owned(),
            raw: false,
        };
        let ids = |ids: &[u32]| Prompt::Tokens { ids: ids.to_vec() };
        assert_eq!(prompts(&json!("a")), Ok(vec![text("a")]));
        assert_eq!(prompts(&json!(["a", "b"])), Ok(vec![text("a"), text("b")]));
        assert_eq!(prompts(&json!([1, 2])), Ok(vec![ids(&[1, 2])]));
        assert_eq!(prompts(&json!([[1], [2]])), Ok(vec![ids(&[1]), ids(&[2])]));
        for bad in [
            json!(null),
            json!([]),
            json!([-1]),
            json!(["a", 1]),
            json!({}),
            json!([1.5]),
        ] {
            assert!(prompts(&bad).is_err(), "{bad}");
        }
    }
}
