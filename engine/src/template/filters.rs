//! Filters, as Jinja has them.

mod orders;
mod sequences;
pub(super) mod texts;

use std::sync::Arc;

use super::{
    given::{Given, Optional},
    json::Style,
    meter::{Fault, Meter, fail},
    value::{Number, Value},
};

/// What a filter makes of a value.
pub(super) fn apply(meter: &Meter, name: &str, value: Value, given: Given) -> Result<Value, Fault> {
    meter.step(1)?;
    match name {
        "attr" => {
            let [attribute] = given.bind(name, ["name"])?;
            match attribute {
                Some(attribute) if !matches!(value, Value::Undefined) => {
                    item(meter, &value, &attribute)
                }
                _ => Ok(Value::Undefined),
            }
        }
        "d" | "default" => {
            let [usual, falsy] = given.bind(name, ["default_value", "boolean"])?;
            let missing =
                matches!(value, Value::Undefined) || (falsy.flag_or(false) && !value.is_true());
            Ok(if missing {
                usual.unwrap_or_else(|| Value::literal(""))
            } else {
                value
            })
        }
        "bool" => {
            given.nothing(name)?;
            Ok(Value::Bool(value.is_true()))
        }
        "safe" => {
            given.nothing(name)?;
            Ok(Value::Text(value.shown(meter)?))
        }
        "string" => {
            given.nothing(name)?;
            Ok(Value::Text(value.shown(meter)?))
        }
        "length" | "count" => {
            given.nothing(name)?;
            Ok(Value::Int(value.len(meter)? as i128))
        }
        "tojson" => to_json(meter, &value, given),
        "abs" | "int" | "float" | "round" => {
            meter.look(value.text().map_or(0, str::len))?;
            number(name, &value, given)
        }
        "capitalize" | "e" | "escape" | "indent" | "lower" | "replace" | "title" | "trim"
        | "upper" => texts::apply(meter, name, &value, given),
        "reverse" if value.text().is_some() => texts::apply(meter, name, &value, given),
        _ => sequences::apply(meter, name, &value, given),
    }
}

/// An item of a list or a text, or a value of a map.
pub(super) fn item(meter: &Meter, value: &Value, key: &Value) -> Result<Value, Fault> {
    match (value, key) {
        (Value::Map(map), key) => Ok(map.get(meter, key)?.unwrap_or(Value::Undefined)),
        (Value::List(list), Value::Int(at)) => {
            let found = place(*at, list.items.len()).map(|at| list.items[at].clone());
            Ok(found.unwrap_or(Value::Undefined))
        }
        (Value::Text(text), Value::Int(at)) => {
            let len = value.len(meter)?;
            match place(*at, len).and_then(|at| text.chars().nth(at)) {
                Some(c) => meter.text(c.encode_utf8(&mut [0; 4])),
                None => Ok(Value::Undefined),
            }
        }
        _ => Ok(Value::Undefined),
    }
}

fn place(at: i128, len: usize) -> Option<usize> {
    let at = if at < 0 { at + len as i128 } else { at };
    usize::try_from(at).ok().filter(|at| *at < len)
}

/// What a path of names and numbers with dots leads to.
fn path(meter: &Meter, value: &Value, path: &Value) -> Result<Value, Fault> {
    let Value::Text(names) = path else {
        return item(meter, value, path);
    };
    let mut value = value.clone();
    for name in names.split('.') {
        meter.step(1)?;
        value = match name.parse::<i128>() {
            Ok(at) => item(meter, &value, &Value::Int(at))?,
            Err(_) => item(meter, &value, &Value::literal(name))?,
        };
    }
    Ok(value)
}

fn number(name: &str, value: &Value, given: Given) -> Result<Value, Fault> {
    let read = value.number().or_else(|| {
        let text = value.text()?.trim();
        let whole = text.parse().ok().map(Number::Int);
        whole.or_else(|| text.parse().ok().map(Number::Float))
    });
    match name {
        "abs" => {
            given.nothing(name)?;
            match read.filter(|_| value.text().is_none()) {
                Some(Number::Int(number)) => match number.checked_abs() {
                    Some(number) => Ok(Value::Int(number)),
                    None => fail("a number is too large"),
                },
                Some(Number::Float(number)) => Ok(Value::Float(number.abs())),
                None => fail(format!("{} has no size", value.kind())),
            }
        }
        "int" => {
            let [usual, base] = given.bind(name, ["default", "base"])?;
            let base = base.int_or(10)?;
            if base != 10 {
                let digits = value.text().unwrap_or_default();
                let base = u32::try_from(base)
                    .ok()
                    .filter(|base| (2..=36).contains(base));
                let read = base.and_then(|base| i128::from_str_radix(digits, base).ok());
                let usual = usual.unwrap_or(Value::Int(0));
                return Ok(read.map_or(usual, Value::Int));
            }
            Ok(match read {
                Some(Number::Int(number)) => Value::Int(number),
                Some(Number::Float(number)) if number.is_finite() => truncated(number),
                _ => usual.unwrap_or(Value::Int(0)),
            })
        }
        "float" => {
            let [usual] = given.bind(name, ["default"])?;
            Ok(match read {
                Some(number) => Value::Float(number.float()),
                None => usual.unwrap_or(Value::Float(0.0)),
            })
        }
        _ => {
            let [precision, method] = given.bind(name, ["precision", "method"])?;
            let precision = precision.int_or(0)?.clamp(-30, 30);
            let Some(number) = value.number() else {
                return fail(format!("{} cannot be rounded", value.kind()));
            };
            #[expect(clippy::cast_possible_truncation, reason = "30 at most")]
            let scale = 10_f64.powi(precision as i32);
            let scaled = number.float() * scale;
            let rounded = match method.some_text()? {
                // Zero has no sign here, as in Python, where these make whole numbers.
                Some("ceil") => scaled.ceil() + 0.0,
                Some("floor") => scaled.floor() + 0.0,
                None | Some("common") => scaled.round_ties_even(),
                Some(other) => return fail(format!("nothing is rounded by `{other}`")),
            };
            Ok(Value::Float(rounded / scale))
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "saturates")]
fn truncated(number: f64) -> Value {
    Value::Int(number.trunc() as i128)
}

/// JSON as Python writes it: a space after each colon and comma, nothing escaped that need not be.
fn to_json(meter: &Meter, value: &Value, given: Given) -> Result<Value, Fault> {
    let names = ["indent", "ensure_ascii", "separators", "sort_keys"];
    let [indent, ascii, separators, sorted] = given.bind("tojson", names)?;
    let indent = match indent {
        None | Some(Value::None | Value::Undefined) => None,
        some => Some(usize::try_from(some.int_or(0)?).unwrap_or(0)),
    };
    let (mut between, mut colon): (Arc<str>, Arc<str>) = (", ".into(), ": ".into());
    if indent.is_some() {
        between = ",".into();
    }
    if let Some(Value::List(list)) = &separators
        && let [Value::Text(first), Value::Text(second)] = list.items.as_slice()
    {
        (between, colon) = (Arc::clone(first), Arc::clone(second));
    }
    let style = Style {
        indent,
        between,
        colon,
        ascii: ascii.flag_or(false),
        sorted: sorted.flag_or(false),
    };
    let mut writer = meter.writer();
    style.write(value, 0, &mut writer)?;
    writer.finish()
}
