//! Tests: what stands behind `is`.

use super::{
    given::Given,
    meter::{Fault, Meter, fail},
    operators::contains,
    value::{Number, Value},
};

/// Whether a value passes a test.
pub(super) fn holds(meter: &Meter, name: &str, value: &Value, given: Given) -> Result<bool, Fault> {
    meter.step(1)?;
    let with_other = matches!(
        name,
        "divisibleby"
            | "endingwith"
            | "startingwith"
            | "eq"
            | "equalto"
            | "=="
            | "ne"
            | "!="
            | "ge"
            | ">="
            | "gt"
            | ">"
            | "greaterthan"
            | "le"
            | "<="
            | "lt"
            | "<"
            | "lessthan"
            | "in"
            | "sameas"
    );
    if with_other {
        let [other] = given.bind(name, ["other"])?;
        let Some(other) = other else {
            return fail(format!("`{name}` needs something to compare with"));
        };
        return compares(meter, name, value, &other);
    }
    given.nothing(name)?;
    let whole = || match value.number() {
        Some(Number::Int(number)) => Ok(number),
        _ => fail(format!("{} is no whole number", value.kind())),
    };
    let all = |passes: fn(char) -> bool| {
        let text = value.text().unwrap_or_default();
        text.chars().any(char::is_alphabetic)
            && !text.chars().any(|c| c.is_alphabetic() && !passes(c))
    };
    meter.look(value.text().map_or(0, str::len))?;
    Ok(match name {
        "boolean" => matches!(value, Value::Bool(_)),
        "defined" => !matches!(value, Value::Undefined),
        "undefined" => matches!(value, Value::Undefined),
        "none" => matches!(value, Value::None),
        "even" => whole()? % 2 == 0,
        "odd" => whole()? % 2 != 0,
        "false" => matches!(value, Value::Bool(false)),
        "true" => matches!(value, Value::Bool(true)),
        "float" => matches!(value, Value::Float(_)),
        "integer" => matches!(value, Value::Int(_)),
        "number" => value.number().is_some(),
        "iterable" => matches!(
            value,
            Value::Undefined | Value::Text(_) | Value::List(_) | Value::Map(_) | Value::Loop(_)
        ),
        "callable" => matches!(value, Value::Macro(_) | Value::Function(_) | Value::Loop(_)),
        "lower" => all(char::is_lowercase),
        "upper" => all(char::is_uppercase),
        "mapping" => matches!(value, Value::Map(_)),
        "sequence" => matches!(
            value,
            Value::Undefined | Value::Text(_) | Value::List(_) | Value::Map(_)
        ),
        "string" => matches!(value, Value::Text(_)),
        _ => return fail(format!("there is no test `{name}`")),
    })
}

fn compares(meter: &Meter, name: &str, value: &Value, other: &Value) -> Result<bool, Fault> {
    let ends = |test: fn(&str, &str) -> bool| match (value, other) {
        (Value::Text(text), Value::Text(end)) => Ok(test(text, end)),
        _ => fail(format!("`{name}` is for texts")),
    };
    let order = || value.compare(other, meter);
    match name {
        "divisibleby" => match (value.number(), other.number()) {
            (Some(Number::Int(_)), Some(Number::Int(0))) => fail("a division by zero"),
            (Some(Number::Int(a)), Some(Number::Int(b))) => Ok(a.checked_rem(b) == Some(0)),
            _ => fail("`divisibleby` is for whole numbers"),
        },
        "endingwith" => ends(|text, end| text.ends_with(end)),
        "startingwith" => ends(|text, begin| text.starts_with(begin)),
        "eq" | "equalto" | "==" => value.equals(other, meter),
        "ne" | "!=" => Ok(!value.equals(other, meter)?),
        "ge" | ">=" => Ok(order()?.is_ge()),
        "gt" | ">" | "greaterthan" => Ok(order()?.is_gt()),
        "le" | "<=" => Ok(order()?.is_le()),
        "lt" | "<" | "lessthan" => Ok(order()?.is_lt()),
        "in" => contains(meter, other, value),
        _ => Ok(
            std::mem::discriminant(value) == std::mem::discriminant(other)
                && value.equals(other, meter)?,
        ),
    }
}
