//! What the endpoints for asking models have in common: finding the model, asking it, and why that may fail.
//!
//! Each endpoint parses its own requests and writes its own answers; faults are one type that each renders in its own
//! shape.

mod fault;
mod finding;
mod tools;

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use axum::{
    body::Body,
    http::{HeaderMap, header},
};
use bytes::Bytes;
use futures::StreamExt;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::mpsc;
use weft_protocol::infer::{Description, Event, Finish, Job, Sampled, Usage};

pub(super) use self::{
    fault::{Fault, Kind as FaultKind},
    finding::{Coming, Finding, News, find},
    tools::{ToolCall, Tools},
};
use crate::{
    infer::{Caller, Events, Keep, Model, Question},
    operations::{Operations, Reporter},
};

/// The largest request: as much text as fits into one job.
const BODY_LEN_MAX: usize = 7 * 1024 * 1024;
/// How long a request's body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// Names that clients send when they were given none.
const NAMELESS: [&str; 4] = ["", "dummy", "default", "tgi"];

/// Reads a request's body as JSON, whatever it says it is.
pub(super) async fn read<T: DeserializeOwned>(body: Body) -> Result<T, Fault> {
    let bytes = read_bytes(body).await?;
    serde_json::from_slice(&bytes).map_err(|error| Fault::invalid(format!("the request: {error}")))
}

/// Reads a request's body.
pub(super) async fn read_bytes(body: Body) -> Result<Bytes, Fault> {
    let read = axum::body::to_bytes(body, BODY_LEN_MAX);
    match tokio::time::timeout(BODY_TIMEOUT, read).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => Err(Fault::too_large(BODY_LEN_MAX)),
        Err(_) => Err(Fault::invalid("the request's body did not arrive in time")),
    }
}

/// Whose share a request counts for: programs are told apart by the key and the name that they show.
pub(super) fn caller(headers: &HeaderMap) -> Caller {
    let mut hasher = DefaultHasher::new();
    for name in [header::AUTHORIZATION, header::USER_AGENT] {
        headers
            .get(name)
            .map(header::HeaderValue::as_bytes)
            .hash(&mut hasher);
    }
    Caller::Local(hasher.finish())
}

/// What a name means. What is missing is fetched, without a word about how far it is.
pub(super) async fn model(operations: &Operations, name: &str) -> Result<Model, Fault> {
    let (sender, _) = mpsc::channel(1);
    model_told(operations, name, &Reporter::new(sender)).await
}

/// The same, with a word about how far it is.
async fn model_told(
    operations: &Operations,
    name: &str,
    reporter: &Reporter,
) -> Result<Model, Fault> {
    let name = name.trim();
    if NAMELESS.contains(&name)
        && let Some(model) = usual(operations).await?
    {
        return Ok(model);
    }
    let found = operations.model_for_program(name, reporter).await;
    found.map_err(|error| Fault::of_model(name, &error))
}

/// The model that is meant where none is named: the only one that runs, or else the only one that is here.
async fn usual(operations: &Operations) -> Result<Option<Model>, Fault> {
    if let [loaded] = operations.pool.overview().loaded.as_slice() {
        return Ok(Some(Model {
            id: loaded.id.clone(),
            name: loaded.name.clone(),
        }));
    }
    let held = operations.held_models().await?;
    let mut usual = held.iter().flat_map(|model| {
        let usual = model.weights.iter().filter(|weights| weights.is_usual);
        usual.map(|weights| Model {
            id: weights.id.clone(),
            name: model.base.clone(),
        })
    });
    Ok(match (usual.next(), usual.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    })
}

/// What a model is; loads it.
pub(super) async fn describe(
    operations: &Operations,
    model: &Model,
    caller: Caller,
) -> Result<Description, Fault> {
    let description = operations.answerer().describe(model.clone(), caller).await;
    Ok(description?)
}

/// Asks, and waits until the answer begins, so that a refusal still has a status of its own.
pub(super) async fn ask(operations: &Operations, question: Question) -> Result<Begun, Fault> {
    let mut events = operations.answerer().ask(question);
    match events.next().await {
        Some(Event::Failed(refusal)) => Err(refusal.into()),
        Some(first) => Ok(Begun {
            first: Some(first),
            events,
        }),
        None => Err(Fault::failed("the engine said nothing")),
    }
}

/// An answer of which the first event is here.
pub(super) struct Begun {
    first: Option<Event>,
    events: Events,
}

impl Begun {
    /// The next event. After the last one it is a fault to ask.
    pub(super) async fn next(&mut self) -> Result<Event, Fault> {
        let event = match self.first.take() {
            Some(first) => Some(first),
            None => self.events.next().await,
        };
        match event {
            Some(Event::Failed(refusal)) => Err(refusal.into()),
            Some(event) => Ok(event),
            None => Err(Fault::failed("the answer ended too early")),
        }
    }

    /// The whole answer of a generation.
    pub(super) async fn whole(mut self) -> Result<Whole, Fault> {
        let mut whole = Whole::default();
        loop {
            match self.next().await? {
                Event::Started { .. } => {}
                Event::Tokens { text, tokens } => {
                    whole.text.push_str(&text);
                    whole.tokens.extend(tokens);
                }
                Event::Done { finish, usage, .. } => {
                    whole.finish = Some(finish);
                    whole.usage = usage;
                    return Ok(whole);
                }
                Event::Embedded { .. } | Event::Scored { .. } | Event::Failed(_) => {
                    return Err(Fault::failed("the engine answered something else"));
                }
            }
        }
    }

    /// The vectors of an embedding, and how many tokens it read.
    pub(super) async fn vectors(mut self) -> Result<(Vec<Vec<f32>>, u32), Fault> {
        match self.next().await? {
            Event::Embedded {
                vectors,
                prompt_tokens,
            } => {
                let vectors = vectors.into_iter();
                let plain =
                    vectors.map(|vector| vector.into_iter().map(|real| real.get()).collect());
                Ok((plain.collect(), prompt_tokens))
            }
            _ => Err(Fault::failed("the engine answered something else")),
        }
    }
}

/// A generation from beginning to end.
#[derive(Debug, Default)]
pub(super) struct Whole {
    pub(super) text: String,
    pub(super) tokens: Vec<Sampled>,
    pub(super) finish: Option<Finish>,
    pub(super) usage: Usage,
}

/// A question of a program on this machine.
pub(super) fn question(model: &Model, job: Job, caller: Caller, keep: Option<Keep>) -> Question {
    Question {
        model: model.clone(),
        job,
        caller,
        deadline: None,
        keep,
    }
}

/// What all requests share.
pub(super) type Shared = Arc<Operations>;

/// Brings messages into the form that jobs have: `content` is text or null.
pub(super) fn messages(messages: Vec<Value>) -> Result<Vec<Value>, Fault> {
    messages
        .into_iter()
        .enumerate()
        .map(|(index, message)| {
            let param = |rest: &str| format!("messages[{index}]{rest}");
            let Value::Object(mut message) = message else {
                return Err(Fault::invalid("a message is not an object").at(param("")));
            };
            match message.get("role").and_then(Value::as_str) {
                None => return Err(Fault::invalid("a message has no role").at(param(".role"))),
                Some("developer") => {
                    message.insert("role".to_owned(), "system".into());
                }
                Some(_) => {}
            }
            let content = message.remove("content").unwrap_or(Value::Null);
            let content = content_text(content).map_err(|fault| fault.at(param(".content")))?;
            message.insert("content".to_owned(), content);
            Ok(Value::Object(message))
        })
        .collect()
}

fn content_text(content: Value) -> Result<Value, Fault> {
    let parts = match content {
        Value::Null | Value::String(_) => return Ok(content),
        Value::Array(parts) => parts,
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            return Err(Fault::invalid(
                "content is neither text nor a list of parts",
            ));
        }
    };
    let mut text = String::new();
    for part in parts {
        match (part["type"].as_str(), part["text"].as_str()) {
            (Some("text" | "input_text" | "output_text"), Some(part)) => text.push_str(part),
            (Some("refusal"), _) => {}
            (Some(kind), _) => {
                let message = format!("parts of type `{kind}` are not supported; text is");
                return Err(Fault::unsupported(message));
            }
            (None, _) => return Err(Fault::invalid("a part of the content has no type")),
        }
    }
    Ok(Value::String(text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parts_of_text_become_text_and_others_are_refused() {
        let plain = messages(vec![json!({"role": "developer", "content": [
            {"type": "text", "text": "a"}, {"type": "text", "text": "b"}]})]);
        let expected = vec![json!({"role": "system", "content": "ab"})];
        assert_eq!(plain, Ok(expected));
        for bad in [
            json!({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}),
            json!({"role": "user", "content": 7}),
            json!({"content": "x"}),
            json!("x"),
        ] {
            assert!(messages(vec![bad.clone()]).is_err(), "{bad}");
        }
    }
}
