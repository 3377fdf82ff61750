//! Operators between values.

use std::ops::Range;

use super::{
    meter::{Fault, Meter, fail},
    syntax::Operator,
    value::{Number, Value},
};

/// What an operator makes of two values; texts are put together elsewhere.
pub(super) fn operate(
    meter: &Meter,
    operator: Operator,
    left: &Value,
    right: &Value,
) -> Result<Value, Fault> {
    if let (Some(a), Some(b)) = (left.number(), right.number()) {
        return calculate(operator, a, b);
    }
    match (operator, left, right) {
        (Operator::Add, Value::List(a), Value::List(b)) => {
            meter.list(a.items.iter().chain(&b.items).cloned())
        }
        (Operator::Multiply, Value::Text(text), Value::Int(count))
        | (Operator::Multiply, Value::Int(count), Value::Text(text)) => {
            let mut writer = meter.writer();
            writer.fill(text, i64::try_from(*count).unwrap_or(i64::MAX))?;
            writer.finish()
        }
        (Operator::Multiply, Value::List(list), Value::Int(count))
        | (Operator::Multiply, Value::Int(count), Value::List(list)) => {
            let mut items = meter.items();
            if !list.items.is_empty() {
                for _ in 0..(*count).max(0) {
                    for item in &list.items {
                        items.push(item.clone())?;
                    }
                }
            }
            items.finish()
        }
        _ => fail(format!(
            "{} and {} cannot be calculated with",
            left.kind(),
            right.kind()
        )),
    }
}

fn calculate(operator: Operator, left: Number, right: Number) -> Result<Value, Fault> {
    let zero = || fail("a division by zero");
    if let (Number::Int(a), Number::Int(b)) = (left, right) {
        let number = match operator {
            Operator::Add => a.checked_add(b),
            Operator::Subtract => a.checked_sub(b),
            Operator::Multiply => a.checked_mul(b),
            Operator::DivideDown | Operator::Remainder if b == 0 => return zero(),
            Operator::DivideDown => a.checked_div_euclid(b).map(|quotient| {
                // Towards minus infinity; Euclid's goes the other way for divisors below zero.
                if b < 0 && a.rem_euclid(b) != 0 {
                    quotient - 1
                } else {
                    quotient
                }
            }),
            Operator::Remainder => a
                .checked_rem_euclid(b)
                .map(|rest| if b < 0 && rest != 0 { rest + b } else { rest }),
            Operator::Power if b >= 0 => u32::try_from(b).ok().and_then(|b| a.checked_pow(b)),
            _ => return float(operator, left.float(), right.float()),
        };
        return match number {
            Some(number) => Ok(Value::Int(number)),
            None => fail("a number is too large"),
        };
    }
    float(operator, left.float(), right.float())
}

fn float(operator: Operator, a: f64, b: f64) -> Result<Value, Fault> {
    let divides = matches!(
        operator,
        Operator::Divide | Operator::DivideDown | Operator::Remainder
    );
    if divides && b == 0.0 {
        return fail("a division by zero");
    }
    Ok(Value::Float(match operator {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide => a / b,
        Operator::DivideDown => (a / b).floor(),
        Operator::Remainder => a - b * (a / b).floor(),
        Operator::Power => a.powf(b),
        Operator::Concatenate => return fail("numbers are no texts"),
    }))
}

/// Whether something is in a list, a map or a text.
pub(super) fn contains(meter: &Meter, all: &Value, one: &Value) -> Result<bool, Fault> {
    match (all, one) {
        (Value::Undefined, _) => Ok(false),
        (Value::Text(all), Value::Text(one)) => {
            meter.look(all.len() + one.len())?;
            Ok(all.contains(&**one))
        }
        (Value::List(list), one) => {
            for item in &list.items {
                if item.equals(one, meter)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        (Value::Map(map), key) => Ok(map.get(meter, key)?.is_some()),
        (Value::Space(space), Value::Text(key)) => {
            meter.look(key.len())?;
            Ok(space.borrow().contains_key(key))
        }
        (Value::Text(_), Value::Undefined | Value::None) => Ok(false),
        (all, one) => fail(format!("{} cannot be in {}", one.kind(), all.kind())),
    }
}

/// Part of a text or a list: begin, end and step.
pub(super) fn slice(
    meter: &Meter,
    value: &Value,
    [begin, end, step]: [Option<i64>; 3],
) -> Result<Value, Fault> {
    let step = step.unwrap_or(1);
    if step == 0 {
        return fail("a step of zero");
    }
    match value {
        Value::Undefined | Value::None => meter.list([]),
        Value::Text(text) => {
            let len = value.len(meter)?;
            let range = places(len, begin, end, step);
            if step == 1 {
                let byte = |at: usize| {
                    let mut places = text.char_indices();
                    places.nth(at).map_or(text.len(), |(byte, _)| byte)
                };
                return meter.text(&text[byte(range.start)..byte(range.end)]);
            }
            meter.make(len * 4)?;
            let chars: Vec<char> = text.chars().collect();
            let mut writer = meter.writer();
            for at in picked(range, step) {
                writer.push_char(chars[at])?;
            }
            writer.finish()
        }
        Value::List(list) => {
            let range = places(list.items.len(), begin, end, step);
            meter.list(picked(range, step).map(|at| list.items[at].clone()))
        }
        other => fail(format!("{} has no parts", other.kind())),
    }
}

/// The places that a slice goes over, whichever way.
fn places(len: usize, begin: Option<i64>, end: Option<i64>, step: i64) -> Range<usize> {
    let len = i64::try_from(len).unwrap_or(i64::MAX);
    let place = |at: i64| if at < 0 { at.saturating_add(len) } else { at };
    let (low, high) = if step > 0 {
        let low = begin.map_or(0, place).clamp(0, len);
        (low, end.map_or(len, place).clamp(0, len))
    } else {
        let high = begin.map_or(len - 1, place).clamp(-1, len - 1);
        (end.map_or(-1, place).clamp(-1, len - 1) + 1, high + 1)
    };
    let low = usize::try_from(low).unwrap_or(0);
    low..usize::try_from(high).unwrap_or(0).max(low)
}

fn picked(range: Range<usize>, step: i64) -> Box<dyn Iterator<Item = usize>> {
    let stride = usize::try_from(step.unsigned_abs()).unwrap_or(usize::MAX);
    if step > 0 {
        Box::new(range.step_by(stride))
    } else {
        Box::new(range.rev().step_by(stride))
    }
}
