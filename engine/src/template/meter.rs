//! What one run of a template may cost: steps, and bytes of everything it makes.
//!
//! Every value that a template makes is charged before its memory is taken, and nothing is ever given back. So all
//! that a run holds at any moment is less than what it was charged, whatever it does in whichever order.

use std::{cell::Cell, rc::Rc, sync::Arc};

use super::value::{List, Map, Value};

/// Steps: those in use take some hundred for each message.
const STEPS_MAX: usize = 5_000_000;
/// Bytes of all values that one run makes. A template in use copies each message a few times.
pub(super) const MADE_MAX: usize = 128 * 1024 * 1024;
/// Deepest nesting of values. Conversations have what a reader of JSON allows, 128.
const VALUE_DEPTH_MAX: u32 = 160;
/// What one item of a list costs, and one text or list beside its content.
const ITEM: usize = 48;
/// Bytes that are compared or searched in the time of a step.
const BYTES_A_STEP: usize = 64;

/// Why a run ended early.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The template refuses the conversation, in these words.
    Raised(String),
    /// Something cannot be done.
    Failed(String),
    /// Too many steps.
    Steps,
    /// Too many bytes made.
    Made,
    /// Too long a prompt.
    Prompt,
    /// Too deep.
    Depth,
}

/// Something that cannot be done.
pub(super) fn fail<T>(text: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Failed(text.into()))
}

/// Counts down.
#[derive(Debug)]
pub(super) struct Meter {
    steps: Cell<usize>,
    bytes: Cell<usize>,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            steps: Cell::new(STEPS_MAX),
            bytes: Cell::new(MADE_MAX),
        }
    }
}

impl Meter {
    /// Takes steps.
    pub(super) fn step(&self, count: usize) -> Result<(), Fault> {
        let left = self.steps.get().checked_sub(count).ok_or(Fault::Steps)?;
        self.steps.set(left);
        Ok(())
    }

    /// Looks through some bytes.
    pub(super) fn look(&self, bytes: usize) -> Result<(), Fault> {
        self.step(bytes / BYTES_A_STEP)
    }

    /// Makes some bytes. To be called before they are there.
    pub(super) fn make(&self, bytes: usize) -> Result<(), Fault> {
        let left = self.bytes.get().checked_sub(bytes).ok_or(Fault::Made)?;
        self.bytes.set(left);
        Ok(())
    }

    /// A text.
    pub(super) fn text(&self, text: &str) -> Result<Value, Fault> {
        self.make(text.len() + ITEM)?;
        Ok(Value::Text(Arc::from(text)))
    }

    /// A text to write.
    pub(super) fn writer(&self) -> Writer<'_> {
        Writer {
            meter: self,
            text: String::new(),
        }
    }

    /// A list to fill.
    pub(super) fn items(&self) -> Items<'_> {
        Items {
            meter: self,
            items: Vec::new(),
        }
    }

    /// A list of some values.
    pub(super) fn list(&self, values: impl IntoIterator<Item = Value>) -> Result<Value, Fault> {
        let mut items = self.items();
        for value in values {
            items.push(value)?;
        }
        items.finish()
    }

    /// A map. The latest value of a key counts.
    pub(super) fn map(
        &self,
        entries: impl IntoIterator<Item = (Value, Value)>,
    ) -> Result<Value, Fault> {
        let mut all: Vec<(Value, Value)> = Vec::new();
        self.make(ITEM)?;
        for (key, value) in entries {
            self.make(2 * ITEM)?;
            self.step(1 + all.len() / 16)?;
            let len = key.text().map_or(0, str::len);
            self.look(len.saturating_mul(all.len()))?;
            match all.iter_mut().find(|(known, _)| known.same_key(&key)) {
                Some((_, known)) => *known = value,
                None => all.push((key, value)),
            }
        }
        let depth = deepest(all.iter().flat_map(|(key, value)| [key, value]))?;
        Ok(Value::Map(Rc::new(Map {
            entries: all,
            depth,
        })))
    }
}

/// The depth of what holds some values.
fn deepest<'v>(values: impl Iterator<Item = &'v Value>) -> Result<u32, Fault> {
    let mut depth = 0;
    for value in values {
        depth =
            depth.max(value.depth().ok_or_else(|| {
                Fault::Failed("only data can be put into lists and maps".to_owned())
            })?);
    }
    if depth >= VALUE_DEPTH_MAX {
        return Err(Fault::Depth);
    }
    Ok(depth + 1)
}

/// A text that is charged as it grows.
#[derive(Debug)]
pub(super) struct Writer<'m> {
    meter: &'m Meter,
    text: String,
}

impl Writer<'_> {
    pub(super) fn push(&mut self, text: &str) -> Result<(), Fault> {
        self.meter.make(text.len())?;
        self.text.push_str(text);
        Ok(())
    }

    /// The same text again and again.
    pub(super) fn fill(&mut self, text: &str, count: i64) -> Result<(), Fault> {
        let count = usize::try_from(count.max(0)).unwrap_or(usize::MAX);
        self.meter.make(text.len().saturating_mul(count))?;
        if !text.is_empty() {
            self.text.push_str(&text.repeat(count));
        }
        Ok(())
    }

    pub(super) fn push_char(&mut self, c: char) -> Result<(), Fault> {
        self.push(c.encode_utf8(&mut [0; 4]))
    }

    pub(super) fn meter(&self) -> &Meter {
        self.meter
    }

    pub(super) fn finish(self) -> Result<Value, Fault> {
        self.meter.text(&self.text)
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

/// A list that is charged as it grows.
#[derive(Debug)]
pub(super) struct Items<'m> {
    meter: &'m Meter,
    items: Vec<Value>,
}

impl Items<'_> {
    pub(super) fn push(&mut self, value: Value) -> Result<(), Fault> {
        self.meter.make(ITEM)?;
        self.meter.step(1)?;
        self.items.push(value);
        Ok(())
    }

    pub(super) fn push_text(&mut self, text: &str) -> Result<(), Fault> {
        let text = self.meter.text(text)?;
        self.push(text)
    }

    /// What was put in.
    pub(super) fn into_items(self) -> Vec<Value> {
        self.items
    }

    pub(super) fn finish(self) -> Result<Value, Fault> {
        self.meter.make(ITEM)?;
        let depth = deepest(self.items.iter())?;
        Ok(Value::List(Rc::new(List {
            items: self.items,
            depth,
        })))
    }
}
