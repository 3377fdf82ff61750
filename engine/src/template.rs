//! Conversations into prompts, by the template that a model brings along.
//!
//! A template is a stranger's program. It runs with a bounded number of steps, depth and output, sees nothing but the
//! conversation, and can do nothing but return text.

mod functions;
mod source;
mod value;

use std::{
    io::{self, Write},
    panic::{AssertUnwindSafe, catch_unwind},
};

use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value, context, value::ValueKind};
use value::Ordered;
use weft_protocol::infer::Refusal;

use crate::{
    refusal::{broken, invalid},
    tokenizer::Names,
};

/// Longest template. Those in use have up to 20 KB.
const TEMPLATE_LEN_MAX: usize = 256 * 1024;
/// Steps: those in use take some hundred for each message.
const FUEL: u64 = 5_000_000;
/// Templates that call their own macros go three or four levels deep.
const DEPTH_MAX: usize = 64;
/// Longest prompt in bytes.
const PROMPT_LEN_MAX: usize = 8 * 1024 * 1024;
/// What the only template of an environment is called.
const NAME: &str = "chat";

/// A chat template, ready for use.
#[derive(Debug)]
pub struct Template {
    environment: Environment<'static>,
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
        let mut environment = Environment::empty();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment.set_recursion_limit(DEPTH_MAX);
        environment.set_fuel(Some(FUEL));
        functions::add(&mut environment);
        let prepared = source::prepare(source);
        catch_unwind(AssertUnwindSafe(|| {
            environment.add_template_owned(NAME, prepared)
        }))
        .unwrap_or_else(|_| Err(ErrorKind::SyntaxError.into()))
        .map_err(|error| broken(format!("the chat template is none: {}", tell(&error))))?;
        Ok(Self {
            environment,
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
        let messages = parse(messages, "messages")?;
        let tools = tools.map(|tools| parse(tools, "tools")).transpose()?;
        let last = messages.len().and_then(|len| len.checked_sub(1));
        let last = last.and_then(|last| messages.get_item_by_index(last).ok());
        let last = last.and_then(|last| last.get_attr("content").ok());
        let last = last.and_then(|content| content.as_str().map(str::to_owned));
        let prompt = self.run(&sees(&messages, tools, !proceed, names))?;
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
    }

    /// The conversation as it stands, with nothing opened for the model.
    pub(crate) fn close(&self, messages: &str, names: &Names) -> Result<String, Refusal> {
        let messages = parse(messages, "messages")?;
        self.run(&sees(&messages, None, false, names))
    }

    /// The prompt of a conversation, a JSON array, without a vocabulary.
    ///
    /// # Errors
    /// If the template fails, refuses the conversation, or takes too long.
    pub fn try_out(&self, messages: &str) -> Result<String, Refusal> {
        self.render(messages, None, false, &Names::default())
    }

    fn run(&self, context: &Value) -> Result<String, Refusal> {
        let template = self
            .environment
            .get_template(NAME)
            .map_err(|error| broken(tell(&error)))?;
        let mut prompt = Bounded::default();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            template
                .render_captured_to(context, &mut prompt)
                .map(|_| ())
        }));
        match outcome {
            Err(_) => return Err(broken("the chat template cannot be run")),
            Ok(Err(_)) if prompt.full => {
                return Err(broken(format!(
                    "the chat template writes more than {PROMPT_LEN_MAX} bytes"
                )));
            }
            Ok(Err(error)) => return Err(refuse(&error)),
            Ok(Ok(())) => {}
        }
        String::from_utf8(prompt.bytes).map_err(|_| broken("the chat template writes no text"))
    }
}

/// What a template sees.
fn sees(messages: &Value, tools: Option<Value>, open: bool, names: &Names) -> Value {
    let tools = tools.filter(|tools| tools.len().is_some_and(|len| len > 0));
    context! {
        messages,
        tools => tools.unwrap_or_else(|| ().into()),
        documents => (),
        add_generation_prompt => open,
        bos_token => names.bos.as_deref().unwrap_or_default(),
        eos_token => names.eos.as_deref().unwrap_or_default(),
        unk_token => names.unk.as_deref().unwrap_or_default(),
        pad_token => names.pad.as_deref().unwrap_or_default(),
    }
}

/// Output up to a length.
#[derive(Debug, Default)]
struct Bounded {
    bytes: Vec<u8>,
    full: bool,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > PROMPT_LEN_MAX {
            self.full = true;
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn parse(text: &str, what: &str) -> Result<Value, Refusal> {
    let Ordered(value) = serde_json::from_str(text)
        .map_err(|error| invalid(format!("`{what}` is no JSON: {error}")))?;
    if value.kind() != ValueKind::Seq {
        return Err(invalid(format!("`{what}` is no array")));
    }
    Ok(value)
}

/// What a template says when it refuses a conversation.
const RAISED: &str = "\u{1}raised\u{1}";

fn refuse(error: &minijinja::Error) -> Refusal {
    if error.kind() == ErrorKind::OutOfFuel {
        return broken("the chat template does not come to an end");
    }
    let detail = error.detail().unwrap_or_default();
    match detail.strip_prefix(RAISED) {
        Some(message) => invalid(message),
        None => broken(format!("the chat template fails: {}", tell(error))),
    }
}

fn tell(error: &minijinja::Error) -> String {
    let line = error
        .line()
        .map(|line| format!(" in line {line}"))
        .unwrap_or_default();
    let detail = error
        .detail()
        .map(|detail| format!(": {detail}"))
        .unwrap_or_default();
    let text = format!("{}{line}{detail}", error.kind());
    text.chars().take(500).collect()
}

#[cfg(test)]
mod tests;
