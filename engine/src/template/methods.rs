//! Methods that Python's texts, lists and dictionaries have.

mod format;

use std::sync::Arc;

use super::{
    filters::texts::{capitalize, lower, replace, stripped, title, upper},
    given::{Given, Optional},
    meter::{Fault, Meter, fail},
    value::{Map, Value},
};

pub(super) fn call(meter: &Meter, value: &Value, name: &str, given: Given) -> Result<Value, Fault> {
    meter.step(1)?;
    match value {
        Value::Text(text) if name == "format" => format::format(meter, text, &given),
        Value::Text(text) => text_method(meter, text, name, given),
        Value::Map(map) => map_method(meter, map, name, given),
        Value::List(list) if name == "count" || name == "index" => {
            let [wanted] = given.bind(name, ["value"])?;
            let wanted = wanted.unwrap_or(Value::Undefined);
            let mut count = 0;
            for (at, item) in list.items.iter().enumerate() {
                if item.equals(&wanted, meter)? {
                    if name == "index" {
                        return Ok(Value::Int(at as i128));
                    }
                    count += 1;
                }
            }
            if name == "index" {
                return fail("the list does not have it");
            }
            Ok(Value::Int(count))
        }
        other => fail(format!("{} has no method `{name}`", other.kind())),
    }
}

fn map_method(meter: &Meter, map: &Map, name: &str, given: Given) -> Result<Value, Fault> {
    if name == "get" {
        let [key, usual] = given.bind(name, ["key", "default"])?;
        let key = key.unwrap_or(Value::Undefined);
        return Ok(map.get(meter, &key)?.or(usual).unwrap_or(Value::None));
    }
    given.nothing(name)?;
    match name {
        "keys" => meter.list(map.entries.iter().map(|(key, _)| key.clone())),
        "values" => meter.list(map.entries.iter().map(|(_, value)| value.clone())),
        "items" => {
            let mut items = meter.items();
            for (key, value) in &map.entries {
                items.push(meter.list([key.clone(), value.clone()])?)?;
            }
            items.finish()
        }
        _ => fail(format!("a map has no method `{name}`")),
    }
}

fn text_method(meter: &Meter, text: &Arc<str>, name: &str, given: Given) -> Result<Value, Fault> {
    meter.look(text.len())?;
    match name {
        "strip" | "lstrip" | "rstrip" => {
            let [chars] = given.bind(name, ["chars"])?;
            let (left, right) = (name != "rstrip", name != "lstrip");
            stripped(meter, text, chars.some_text()?, left, right)
        }
        "replace" => {
            let [old, new, count] = given.bind(name, ["old", "new", "count"])?;
            let (Some(old), Some(new)) = (old.some_text()?, new.some_text()?) else {
                return fail("`replace` needs two texts");
            };
            replace(meter, text, old, new, count.int_or(-1)?)
        }
        "split" | "rsplit" => {
            let [sign, most] = given.bind(name, ["sep", "maxsplit"])?;
            let most = usize::try_from(most.int_or(-1)?).unwrap_or(usize::MAX);
            split(meter, text, sign.some_text()?, most, name == "rsplit")
        }
        "splitlines" => {
            let [keep] = given.bind(name, ["keepends"])?;
            let mut lines = meter.items();
            for line in text.split_inclusive('\n') {
                let plain = line.strip_suffix('\n').unwrap_or(line);
                let plain = plain.strip_suffix('\r').unwrap_or(plain);
                lines.push_text(if keep.flag_or(false) { line } else { plain })?;
            }
            lines.finish()
        }
        "count" | "find" | "rfind" => {
            let [wanted] = given.bind(name, ["sub"])?;
            let Some(wanted) = wanted.some_text()? else {
                return fail(format!("`{name}` needs a text"));
            };
            if name == "count" {
                return Ok(Value::Int(text.matches(wanted).count() as i128));
            }
            let at = if name == "find" {
                text.find(wanted)
            } else {
                text.rfind(wanted)
            };
            Ok(Value::Int(
                at.map_or(-1, |at| text[..at].chars().count() as i128),
            ))
        }
        "startswith" | "endswith" => {
            let [wanted] = given.bind(name, ["prefix"])?;
            let test = |wanted: &str| match name {
                "startswith" => text.starts_with(wanted),
                _ => text.ends_with(wanted),
            };
            match wanted {
                Some(Value::Text(wanted)) => Ok(Value::Bool(test(&wanted))),
                Some(Value::List(list)) => {
                    for wanted in list.items.iter().filter_map(Value::text) {
                        meter.step(1)?;
                        meter.look(text.len().min(wanted.len()))?;
                        if test(wanted) {
                            return Ok(Value::Bool(true));
                        }
                    }
                    Ok(Value::Bool(false))
                }
                _ => fail(format!("`{name}` needs a text")),
            }
        }
        "removeprefix" | "removesuffix" => {
            let [end] = given.bind(name, ["end"])?;
            let end = end.some_text()?.unwrap_or_default();
            let rest = match name {
                "removeprefix" => text.strip_prefix(end),
                _ => text.strip_suffix(end),
            };
            meter.text(rest.unwrap_or(text))
        }
        "join" => {
            let [all] = given.bind(name, ["iterable"])?;
            let all = all.unwrap_or(Value::Undefined).items(meter)?;
            let mut writer = meter.writer();
            for (index, item) in all.items.iter().enumerate() {
                meter.step(1)?;
                writer.push(if index > 0 { text } else { "" })?;
                item.show(&mut writer)?;
            }
            writer.finish()
        }
        _ => {
            given.nothing(name)?;
            plain(meter, text, name)
        }
    }
}

/// Methods that are given nothing.
fn plain(meter: &Meter, text: &str, name: &str) -> Result<Value, Fault> {
    let all =
        |passes: fn(char) -> bool| Ok(Value::Bool(!text.is_empty() && text.chars().all(passes)));
    let cased = |passes: fn(char) -> bool, not: fn(char) -> bool| {
        Ok(Value::Bool(
            text.chars().any(passes) && !text.chars().any(not),
        ))
    };
    match name {
        "upper" => upper(meter, text),
        "lower" => lower(meter, text),
        "capitalize" => capitalize(meter, text),
        "title" => title(meter, text, |before| !before.is_alphabetic()),
        "isspace" => all(char::is_whitespace),
        "isdigit" | "isnumeric" | "isdecimal" => all(char::is_numeric),
        "isalnum" => all(char::is_alphanumeric),
        "isalpha" => all(char::is_alphabetic),
        "isascii" => Ok(Value::Bool(text.is_ascii())),
        "islower" => cased(char::is_lowercase, char::is_uppercase),
        "isupper" => cased(char::is_uppercase, char::is_lowercase),
        _ => fail(format!("a text has no method `{name}`")),
    }
}

fn split(
    meter: &Meter,
    text: &str,
    sign: Option<&str>,
    most: usize,
    from_right: bool,
) -> Result<Value, Fault> {
    let most = most.saturating_add(1);
    let mut parts = meter.items();
    match sign {
        Some("") => return fail("an empty text parts nothing"),
        Some(sign) if from_right => {
            for part in text.rsplitn(most, sign) {
                parts.push_text(part)?;
            }
        }
        Some(sign) => {
            for part in text.splitn(most, sign) {
                parts.push_text(part)?;
            }
        }
        None => {
            let trim = if from_right {
                str::trim_end
            } else {
                str::trim_start
            };
            let mut rest = trim(text);
            let mut count = 1;
            while !rest.is_empty() {
                let at = if from_right {
                    rest.char_indices().rfind(|(_, c)| c.is_whitespace())
                } else {
                    rest.char_indices().find(|(_, c)| c.is_whitespace())
                };
                let Some((at, c)) = at.filter(|_| count < most) else {
                    let last = if from_right {
                        rest.trim_start()
                    } else {
                        rest.trim_end()
                    };
                    parts.push_text(if most == usize::MAX { last } else { rest })?;
                    break;
                };
                let (before, after) = (&rest[..at], &rest[at + c.len_utf8()..]);
                let (part, more) = if from_right {
                    (after, before)
                } else {
                    (before, after)
                };
                parts.push_text(part)?;
                rest = trim(more);
                count += 1;
            }
        }
    }
    if from_right {
        return meter.list(parts.into_items().into_iter().rev());
    }
    parts.finish()
}
