//! Calls of tools, as models write them into their text.
//!
//! There is no common notation. Three are understood: `<tool_call>{…}</tool_call>`, one JSON object or a list of them
//! instead of an answer (after a marker or without), and `[TOOL_CALLS]` before that. Whatever does not parse as a call
//! of a tool that was offered is text.

use serde_json::{Map, Value};

use super::Fault;

/// The notation that may follow other text.
const OPEN: &str = "<tool_call>";
const CLOSE: &str = "</tool_call>";
/// Words that some models put before a call.
const MARKERS: [&str; 2] = ["<|python_tag|>", "[TOOL_CALLS]"];

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::gateway) struct ToolCall {
    pub(in crate::gateway) name: String,
    pub(in crate::gateway) arguments: Map<String, Value>,
}

/// Tools that are offered to a model, and the part of its answer that may become a call.
#[derive(Debug, Clone, Default)]
pub(in crate::gateway) struct Tools {
    names: Vec<String>,
    /// Text that is held back.
    held: String,
    /// Whether anything was let through.
    has_begun: bool,
}

impl Tools {
    /// Reads the tools of a request: names for here, JSON for the model. `None` if there are none.
    pub(in crate::gateway) fn read(tools: &[Value]) -> Result<Option<(Self, String)>, Fault> {
        if tools.is_empty() {
            return Ok(None);
        }
        let mut names = Vec::new();
        for tool in tools {
            match (tool["type"].as_str(), tool["function"]["name"].as_str()) {
                (Some("function") | None, Some(name)) => names.push(name.to_owned()),
                (Some("function") | None, None) => {
                    return Err(Fault::invalid("a tool has no name").at("tools"));
                }
                (Some(kind), _) => {
                    let message =
                        format!("tools of type `{kind}` are not supported; functions are");
                    return Err(Fault::unsupported(message).at("tools"));
                }
            }
        }
        let json = Value::Array(tools.to_vec()).to_string();
        let tools = Self {
            names,
            ..Self::default()
        };
        Ok(Some((tools, json)))
    }

    /// Takes more of the answer; gives back what is certainly no call.
    pub(in crate::gateway) fn push(&mut self, text: &str) -> String {
        self.held.push_str(text);
        let whole = self.held.trim_start();
        let is_call = if self.has_begun {
            false
        } else {
            whole.is_empty()
                || whole.starts_with(['{', '['])
                || MARKERS
                    .iter()
                    .any(|m| m.starts_with(whole) || whole.starts_with(m))
        };
        if is_call {
            return String::new();
        }
        let safe = match self.held.find(OPEN) {
            Some(at) => at,
            None => self.held.len() - tail(&self.held),
        };
        let rest = self.held.split_off(safe);
        let safe = std::mem::replace(&mut self.held, rest);
        self.has_begun |= !safe.trim().is_empty();
        safe
    }

    /// What the rest of the answer is: text, and calls.
    pub(in crate::gateway) fn finish(&mut self) -> (String, Vec<ToolCall>) {
        let held = std::mem::take(&mut self.held);
        let calls = if held.contains(OPEN) {
            self.tagged(&held)
        } else {
            self.bare(&held)
        };
        match calls {
            Some(calls) if !calls.is_empty() => (String::new(), calls),
            _ => (held, Vec::new()),
        }
    }

    fn tagged(&self, text: &str) -> Option<Vec<ToolCall>> {
        let parts = text.split(OPEN).skip(1);
        parts
            .map(|part| {
                let body = part.split(CLOSE).next().unwrap_or(part);
                self.call(&serde_json::from_str(body.trim()).ok()?)
            })
            .collect()
    }

    fn bare(&self, text: &str) -> Option<Vec<ToolCall>> {
        let mut text = text.trim();
        for marker in MARKERS {
            text = text.strip_prefix(marker).unwrap_or(text).trim();
        }
        match serde_json::from_str(text).ok()? {
            Value::Array(calls) => calls.iter().map(|call| self.call(call)).collect(),
            call => Some(vec![self.call(&call)?]),
        }
    }

    fn call(&self, value: &Value) -> Option<ToolCall> {
        // Some write the whole message that the API would have.
        let value = value
            .get("function")
            .filter(|f| f.is_object())
            .unwrap_or(value);
        let name = value["name"].as_str()?;
        let arguments = value.get("arguments").or_else(|| value.get("parameters"));
        let arguments = match arguments {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(arguments)) => arguments.clone(),
            Some(Value::String(text)) => serde_json::from_str(text).ok()?,
            Some(_) => return None,
        };
        let known = self.names.iter().any(|known| known == name);
        known.then(|| ToolCall {
            name: name.to_owned(),
            arguments,
        })
    }
}

/// Bytes at the end that may be the beginning of the tag.
fn tail(text: &str) -> usize {
    (1..OPEN.len())
        .rev()
        .find(|len| OPEN.get(..*len).is_some_and(|start| text.ends_with(start)))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tools() -> Tools {
        let offered = json!([{"type": "function", "function": {"name": "weather"}}]);
        let read = Tools::read(offered.as_array().unwrap()).unwrap();
        read.unwrap().0
    }

    fn run(text: &str) -> (String, Vec<ToolCall>) {
        // Character by character, as a stream may come.
        let mut tools = tools();
        let mut shown: String = text.chars().map(|c| tools.push(&c.to_string())).collect();
        let (rest, calls) = tools.finish();
        shown.push_str(&rest);
        (shown, calls)
    }

    fn call(city: &str) -> ToolCall {
        ToolCall {
            name: "weather".to_owned(),
            arguments: Map::from_iter([("city".to_owned(), city.into())]),
        }
    }

    #[test]
    fn calls_are_understood_in_each_notation() {
        for text in [
            r#"<tool_call>{"name": "weather", "arguments": {"city": "Rome"}}</tool_call>"#,
            "\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Rome\"}}\n",
            r#"{"name": "weather", "parameters": {"city": "Rome"}}"#,
            r#"[TOOL_CALLS] [{"name": "weather", "arguments": {"city": "Rome"}}]"#,
            r#"<|python_tag|>{"name": "weather", "arguments": "{\"city\":\"Rome\"}"}"#,
        ] {
            let (shown, calls) = run(text);
            assert_eq!((shown.trim(), calls), ("", vec![call("Rome")]), "{text}");
        }
        let (shown, calls) = run(concat!(
            r#"Let me see. <tool_call>{"name": "weather", "arguments": {"city": "Rome"}}</tool_call>"#,
            r#"<tool_call>{"name": "weather", "arguments": {"city": "Oslo"}}</tool_call>"#
        ));
        assert_eq!(shown, "Let me see. ");
        assert_eq!(calls, [call("Rome"), call("Oslo")]);
    }

    #[test]
    fn what_is_no_call_is_text_to_the_last_character() {
        for text in [
            "Plain text.",
            "a < b <tool",
            r#"{"answer": 42}"#,
            r#"{"name": "delete_all", "arguments": {}}"#,
            "<tool_call>not json</tool_call>",
            "  [1, 2",
            "",
        ] {
            assert_eq!(run(text), (text.to_owned(), Vec::new()), "{text}");
        }
    }

    #[test]
    fn text_is_not_held_back_longer_than_needed() {
        let mut tools = tools();
        assert_eq!(tools.push("Hello <to"), "Hello ");
        assert_eq!(tools.push("p>"), "<top>");
        assert_eq!(tools.push(" {"), " {");
    }
}
