//! What variables hold, and how Python shows it.

use std::{cell::RefCell, cmp::Ordering, collections::HashMap, rc::Rc, sync::Arc};

use super::{
    machine::{Loop, Procedure},
    meter::{Fault, Meter, fail},
    syntax::Name,
};

#[derive(Debug, Clone)]
pub(super) enum Value {
    Undefined,
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(Name),
    List(Rc<List>),
    Map(Rc<Map>),
    /// What `namespace()` makes. It can hold data only, so nothing can come to hold itself.
    Space(Rc<RefCell<HashMap<Name, Self>>>),
    Macro(Rc<Procedure>),
    Loop(Rc<Loop>),
    Function(Name),
}

#[derive(Debug)]
pub(super) struct List {
    pub(super) items: Vec<Value>,
    pub(super) depth: u32,
}

/// Keys and values in the order they were given in.
#[derive(Debug)]
pub(super) struct Map {
    pub(super) entries: Vec<(Value, Value)>,
    pub(super) depth: u32,
}

impl Map {
    pub(super) fn get(&self, meter: &Meter, key: &Value) -> Result<Option<Value>, Fault> {
        meter.step(self.entries.len() / 16)?;
        let len = key.text().map_or(0, str::len);
        meter.look(len.saturating_mul(self.entries.len()))?;
        let found = self.entries.iter().find(|(known, _)| known.same_key(key));
        Ok(found.map(|(_, value)| value.clone()))
    }
}

/// A number of either kind.
#[derive(Debug, Clone, Copy)]
pub(super) enum Number {
    Int(i128),
    Float(f64),
}

impl Number {
    #[expect(clippy::cast_precision_loss, reason = "what Python does")]
    pub(super) fn float(self) -> f64 {
        match self {
            Self::Int(number) => number as f64,
            Self::Float(number) => number,
        }
    }
}

impl Value {
    pub(super) fn literal(text: &str) -> Self {
        Self::Text(Arc::from(text))
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn number(&self) -> Option<Number> {
        match self {
            Self::Bool(value) => Some(Number::Int((*value).into())),
            Self::Int(number) => Some(Number::Int(*number)),
            Self::Float(number) => Some(Number::Float(*number)),
            _ => None,
        }
    }

    /// How deep data is nested; `None` for what is no data.
    pub(super) fn depth(&self) -> Option<u32> {
        match self {
            Self::List(list) => Some(list.depth),
            Self::Map(map) => Some(map.depth),
            Self::Space(_) | Self::Macro(_) | Self::Loop(_) | Self::Function(_) => None,
            _ => Some(0),
        }
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Undefined => "what is undefined",
            Self::None => "none",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
            Self::Space(_) => "a namespace",
            Self::Macro(_) | Self::Function(_) => "a function",
            Self::Loop(_) => "a loop",
        }
    }

    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Undefined | Self::None => false,
            Self::Bool(value) => *value,
            Self::Int(number) => *number != 0,
            Self::Float(number) => *number != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::List(list) => !list.items.is_empty(),
            Self::Map(map) => !map.entries.is_empty(),
            Self::Space(_) | Self::Macro(_) | Self::Loop(_) | Self::Function(_) => true,
        }
    }

    /// The number of things in it.
    pub(super) fn len(&self, meter: &Meter) -> Result<usize, Fault> {
        match self {
            Self::Undefined => Ok(0),
            Self::Text(text) => {
                meter.look(text.len())?;
                Ok(text.chars().count())
            }
            Self::List(list) => Ok(list.items.len()),
            Self::Map(map) => Ok(map.entries.len()),
            other => fail(format!("{} has no length", other.kind())),
        }
    }

    /// What a loop over it sees: items, keys, or signs.
    pub(super) fn items(&self, meter: &Meter) -> Result<Rc<List>, Fault> {
        let made = match self {
            Self::List(list) => return Ok(Rc::clone(list)),
            Self::Undefined => meter.list([])?,
            Self::Map(map) => meter.list(map.entries.iter().map(|(key, _)| key.clone()))?,
            Self::Text(text) => {
                let mut items = meter.items();
                for c in text.chars() {
                    items.push_text(c.encode_utf8(&mut [0; 4]))?;
                }
                items.finish()?
            }
            other => return fail(format!("{} has no items", other.kind())),
        };
        match made {
            Self::List(list) => Ok(list),
            _ => fail("there are no items"),
        }
    }

    /// Whether both name the same entry of a map.
    pub(super) fn same_key(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::None, Self::None) => true,
            (Self::Int(a), Self::Int(b)) => a == b,
            _ => match (self.number(), other.number()) {
                (Some(a), Some(b)) => a.float() == b.float(),
                _ => false,
            },
        }
    }

    pub(super) fn equals(&self, other: &Self, meter: &Meter) -> Result<bool, Fault> {
        meter.step(1)?;
        match (self, other) {
            (Self::Undefined, Self::Undefined) | (Self::None, Self::None) => Ok(true),
            (Self::Text(a), Self::Text(b)) => {
                meter.look(a.len().min(b.len()))?;
                Ok(a == b)
            }
            (Self::Int(a), Self::Int(b)) => Ok(a == b),
            (Self::List(a), Self::List(b)) => {
                if a.items.len() != b.items.len() {
                    return Ok(false);
                }
                for (a, b) in a.items.iter().zip(&b.items) {
                    if !a.equals(b, meter)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            (Self::Map(a), Self::Map(b)) => {
                if a.entries.len() != b.entries.len() {
                    return Ok(false);
                }
                for (key, value) in &a.entries {
                    match b.get(meter, key)? {
                        Some(other) if value.equals(&other, meter)? => {}
                        _ => return Ok(false),
                    }
                }
                Ok(true)
            }
            (Self::Space(a), Self::Space(b)) => Ok(Rc::ptr_eq(a, b)),
            (Self::Macro(a), Self::Macro(b)) => Ok(Rc::ptr_eq(a, b)),
            _ => Ok(match (self.number(), other.number()) {
                (Some(a), Some(b)) => a.float() == b.float(),
                _ => false,
            }),
        }
    }

    pub(super) fn compare(&self, other: &Self, meter: &Meter) -> Result<Ordering, Fault> {
        meter.step(1)?;
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => {
                meter.look(a.len().min(b.len()))?;
                Ok(a.cmp(b))
            }
            (Self::Int(a), Self::Int(b)) => Ok(a.cmp(b)),
            (Self::List(a), Self::List(b)) => {
                for (a, b) in a.items.iter().zip(&b.items) {
                    if !a.equals(b, meter)? {
                        return a.compare(b, meter);
                    }
                }
                Ok(a.items.len().cmp(&b.items.len()))
            }
            _ => match (self.number(), other.number()) {
                (Some(a), Some(b)) => {
                    Ok(a.float().partial_cmp(&b.float()).unwrap_or(Ordering::Equal))
                }
                _ => fail(format!(
                    "{} and {} have no order",
                    self.kind(),
                    other.kind()
                )),
            },
        }
    }
}
