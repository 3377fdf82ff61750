//! `str.format`, as far as prompts need it: places, names, width, precision.

use super::super::{
    given::Given,
    meter::{Fault, Meter, fail},
    value::Value,
};

pub(super) fn format(meter: &Meter, text: &str, given: &Given) -> Result<Value, Fault> {
    let mut writer = meter.writer();
    let mut rest = text;
    let mut next = 0;
    while let Some(at) = rest.find(['{', '}']) {
        meter.step(1)?;
        writer.push(&rest[..at])?;
        let mark = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(mark) {
            writer.push(mark)?;
            rest = after;
            continue;
        }
        let Some((field, after)) = rest.split_once('}').filter(|_| mark == "{") else {
            return fail("a brace alone in what is to be formatted");
        };
        rest = after;
        let (name, how) = field.split_once(':').unwrap_or((field, ""));
        let value = if name.is_empty() {
            next += 1;
            given.positional.get(next - 1)
        } else if let Ok(at) = name.parse::<usize>() {
            given.positional.get(at)
        } else {
            let named = given.named.iter().find(|(known, _)| **known == *name);
            named.map(|(_, value)| value)
        };
        let Some(value) = value else {
            return fail(format!("nothing to put in place of `{name}`"));
        };
        let shown = shown(meter, value, how)?;
        writer.push(&shown)?;
    }
    writer.push(rest)?;
    writer.finish()
}

fn shown(meter: &Meter, value: &Value, how: &str) -> Result<String, Fault> {
    let is_number = value.number().is_some();
    let how = how.trim_end_matches(['s', 'd']);
    let (fixed, how) = match how.strip_suffix('f') {
        Some(how) => (true, how),
        None => (false, how),
    };
    let (how, precision) = match how.split_once('.') {
        Some((how, precision)) => (how, precision.parse::<usize>().ok()),
        None => (how, fixed.then_some(6)),
    };
    let side = how.chars().next().filter(|side| "<>^".contains(*side));
    let how = how.trim_start_matches(['<', '>', '^']);
    let width = match how {
        "" => 0,
        how => match how.parse::<i64>() {
            Ok(width) => width,
            Err(_) => return fail(format!("a format of `{how}` is not known")),
        },
    };
    let text = match (value.number(), precision) {
        (Some(number), Some(precision)) => format!("{:.*}", precision.min(64), number.float()),
        (None, Some(precision)) => value.shown(meter)?.chars().take(precision).collect(),
        _ => value.shown(meter)?.to_string(),
    };
    let missing = width.saturating_sub(i64::try_from(text.chars().count()).unwrap_or(i64::MAX));
    let before = match side {
        Some('>') => missing,
        Some('^') => missing / 2,
        None if is_number => missing,
        _ => 0,
    };
    let zeros = is_number && side.is_none() && how.starts_with('0');
    let mut writer = meter.writer();
    writer.fill(if zeros { "0" } else { " " }, before)?;
    writer.push(&text)?;
    writer.fill(" ", missing.saturating_sub(before.max(0)))?;
    Ok(writer.into_text())
}
