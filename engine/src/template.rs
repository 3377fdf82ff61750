//! Conversations into prompts, by the template that a model brings along.
//!
//! A template is a stranger's program. It is read and run here, by an interpreter of our own for the part of Jinja that
//! templates use: with a bounded number of steps, of bytes made and of levels, and with nothing in sight but the
//! conversation. See `docs/decisions/0031-templates-by-an-interpreter-of-our-own.md`.
//!
//! Reading order: `meter` (what a run may cost), `syntax`, `lexer` and `parser` (what is read), `value`, `machine` (what
//! runs), `operators`, `filters`, `predicates`, `methods`, `functions` (what it can do).

mod filters;
mod functions;
mod given;
mod json;
mod lexer;
mod machine;
mod meter;
mod methods;
mod operators;
mod parser;
mod predicates;
mod show;
mod syntax;
mod value;

use std::{collections::HashMap, thread};

use json::Ordered;
use machine::{Machine, PROMPT_LEN_MAX};
use meter::{Fault, MADE_MAX, Meter};
use syntax::Block;
use value::Value;
use weft_protocol::infer::Refusal;

use crate::{
    refusal::{broken, invalid},
    tokenizer::Names,
};

/// Longest template. Those in use have up to 20 KB.
const TEMPLATE_LEN_MAX: usize = 256 * 1024;
/// The stack that reading and running get: enough for the deepest nesting that is allowed, in a build without
/// optimisation.
const STACK: usize = 32 * 1024 * 1024;

/// A chat template, ready for use.
#[derive(Debug)]
pub struct Template {
    block: Block,
    source: String,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// If it is too long or no template.
    pub fn new(source: &str) -> Result<Self, Refusal> {
        if source.len() > TEMPLATE_LEN_MAX {
            return Err(broken(format!(
                "the chat template has {} bytes, more than the {TEMPLATE_LEN_MAX} allowed",
                source.len()
            )));
        }
        let block = apart(|| {
            parser::parse(source).map_err(|(line, fault)| match fault {
                Fault::Failed(why) => {
                    broken(format!("the chat template is none: line {line}: {why}"))
                }
                fault => refuse(fault, line),
            })
        })?;
        Ok(Self {
            block,
            source: source.to_owned(),
        })
    }

    /// The template as the model has it.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The prompt of a conversation. `messages` and `tools` are JSON arrays; `proceed` leaves the last message open.
    pub(crate) fn render(
        &self,
        messages: &str,
        tools: Option<&str>,
        proceed: bool,
        names: &Names,
    ) -> Result<String, Refusal> {
        apart(|| {
            let messages = parse(messages, "messages")?;
            let tools = tools.map(|tools| parse(tools, "tools")).transpose()?;
            let last = last_content(&messages);
            let prompt = self.run(sees(messages, tools, !proceed, names))?;
            if !proceed {
                return Ok(prompt);
            }
            // What the template puts behind the last message would end it.
            let last = last.unwrap_or_default();
            [last.as_str(), last.trim()]
                .iter()
                .find_map(|last| Some(&prompt[..prompt.rfind(last)? + last.len()]))
                .map(str::to_owned)
                .ok_or_else(|| invalid("the chat template does not show the last message as it is"))
        })
    }

    /// The conversation as it stands, with nothing opened for the model.
    pub(crate) fn close(&self, messages: &str, names: &Names) -> Result<String, Refusal> {
        apart(|| self.run(sees(parse(messages, "messages")?, None, false, names)))
    }

    /// The prompt of a conversation, a JSON array, without a vocabulary.
    ///
    /// # Errors
    /// If the template fails, refuses the conversation, or takes too long.
    pub fn try_out(&self, messages: &str) -> Result<String, Refusal> {
        self.render(messages, None, false, &Names::default())
    }

    fn run(&self, sees: HashMap<syntax::Name, Value>) -> Result<String, Refusal> {
        let meter = Meter::default();
        let mut machine = Machine::new(&meter, sees);
        let outcome = machine.render(&self.block);
        outcome.map_err(|fault| refuse(fault, machine.line))
    }
}

/// Does something on a thread with a stack that is known.
fn apart<T: Send>(work: impl FnOnce() -> Result<T, Refusal> + Send) -> Result<T, Refusal> {
    thread::scope(|scope| {
        thread::Builder::new()
            .name("template".to_owned())
            .stack_size(STACK)
            .spawn_scoped(scope, work)
            .map_err(|error| broken(format!("no thread for the chat template: {error}")))?
            .join()
            .unwrap_or_else(|_| Err(broken("the chat template cannot be run")))
    })
}

fn last_content(messages: &Value) -> Option<String> {
    let Value::List(messages) = messages else {
        return None;
    };
    let Some(Value::Map(last)) = messages.items.last() else {
        return None;
    };
    let content = last
        .entries
        .iter()
        .find(|(key, _)| key.text() == Some("content"));
    content.and_then(|(_, content)| content.text().map(str::to_owned))
}

/// What a template sees.
fn sees(
    messages: Value,
    tools: Option<Value>,
    open: bool,
    names: &Names,
) -> HashMap<syntax::Name, Value> {
    let name = |name: &Option<String>| Value::literal(name.as_deref().unwrap_or_default());
    [
        ("messages", messages),
        ("tools", tools.filter(Value::is_true).unwrap_or(Value::None)),
        ("documents", Value::None),
        ("add_generation_prompt", Value::Bool(open)),
        ("bos_token", name(&names.bos)),
        ("eos_token", name(&names.eos)),
        ("unk_token", name(&names.unk)),
        ("pad_token", name(&names.pad)),
    ]
    .map(|(name, value)| (name.into(), value))
    .into()
}

fn parse(text: &str, what: &str) -> Result<Value, Refusal> {
    let Ordered(value) = serde_json::from_str(text)
        .map_err(|error| invalid(format!("`{what}` is no JSON: {error}")))?;
    if !matches!(value, Value::List(_)) {
        return Err(invalid(format!("`{what}` is no array")));
    }
    Ok(value)
}

fn refuse(fault: Fault, line: u32) -> Refusal {
    match fault {
        Fault::Raised(message) => invalid(message),
        Fault::Failed(why) => {
            let why: String = why.chars().take(500).collect();
            broken(format!("the chat template fails in line {line}: {why}"))
        }
        Fault::Steps => broken("the chat template does not come to an end"),
        Fault::Made => broken(format!(
            "the chat template makes texts and lists of more than {MADE_MAX} bytes"
        )),
        Fault::Prompt => broken(format!(
            "the chat template writes more than {PROMPT_LEN_MAX} bytes"
        )),
        Fault::Depth => broken(format!("the chat template goes too deep in line {line}")),
    }
}

#[cfg(test)]
mod tests;
