//! The parts in which a streamed answer comes, and what whole answers share with them.

use serde_json::{Value, json};
use weft_protocol::infer::{Finish, Sampled, Usage};

use super::super::{
    reply::{finish_reason, id, usage},
    stream::Parts,
};
use crate::gateway::ask::{ToolCall, Tools};

/// What every part of one answer says.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) id: String,
    pub(super) created: u64,
    pub(super) model: String,
    pub(super) logprobs: bool,
    pub(super) fingerprint: String,
}

#[derive(Debug, Clone)]
pub(super) struct Choice {
    pub(super) tools: Option<Tools>,
}

/// The parts of streamed answers.
#[derive(Debug)]
pub(super) struct Chunks {
    pub(super) choices: Vec<Choice>,
    pub(super) usages: Vec<Usage>,
    pub(super) include_usage: bool,
    pub(super) shape: Shape,
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

pub(super) fn tool_call(call: &ToolCall) -> Value {
    json!({
        "id": id("call_"),
        "type": "function",
        "function": {
            "name": call.name,
            "arguments": Value::Object(call.arguments.clone()).to_string(),
        },
    })
}

pub(super) fn logprobs(tokens: &[Sampled]) -> Value {
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
