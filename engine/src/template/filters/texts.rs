//! Filters of texts. The methods of Python that do the same are made of these.

use super::super::{
    given::{Given, Optional},
    meter::{Fault, Meter},
    value::Value,
};

pub(super) fn apply(
    meter: &Meter,
    name: &str,
    value: &Value,
    given: Given,
) -> Result<Value, Fault> {
    let text = value.shown(meter)?;
    match name {
        "replace" => {
            let [old, new, count] = given.bind(name, ["old", "new", "count"])?;
            let (old, new) = (old.text_or("", meter)?, new.text_or("", meter)?);
            replace(meter, &text, &old, &new, count.int_or(-1)?)
        }
        "trim" => {
            let [chars] = given.bind(name, ["chars"])?;
            stripped(meter, &text, chars.some_text()?, true, true)
        }
        "indent" => indent(meter, &text, given),
        _ => {
            given.nothing(name)?;
            match name {
                "upper" => upper(meter, &text),
                "lower" => lower(meter, &text),
                "capitalize" => capitalize(meter, &text),
                "title" => title(meter, &text, |before| {
                    before.is_whitespace() || "-({[<".contains(before)
                }),
                "reverse" => {
                    let mut writer = meter.writer();
                    for c in text.chars().rev() {
                        writer.push_char(c)?;
                    }
                    writer.finish()
                }
                _ => escape(meter, &text),
            }
        }
    }
}

/// Without white space, or these signs, at its ends.
pub(in super::super) fn stripped(
    meter: &Meter,
    text: &str,
    chars: Option<&str>,
    left: bool,
    right: bool,
) -> Result<Value, Fault> {
    meter.look(text.len().saturating_mul(chars.map_or(1, str::len)))?;
    let goes = |c: char| match chars {
        Some(chars) => chars.contains(c),
        None => c.is_whitespace(),
    };
    let text = if left {
        text.trim_start_matches(goes)
    } else {
        text
    };
    meter.text(if right {
        text.trim_end_matches(goes)
    } else {
        text
    })
}

pub(in super::super) fn replace(
    meter: &Meter,
    text: &str,
    old: &str,
    new: &str,
    count: i64,
) -> Result<Value, Fault> {
    meter.look(text.len())?;
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let mut writer = meter.writer();
    let mut rest = 0;
    for (at, _) in text.match_indices(old).take(count) {
        writer.push(&text[rest..at])?;
        writer.push(new)?;
        rest = at + old.len();
        meter.step(1)?;
    }
    writer.push(&text[rest..])?;
    writer.finish()
}

pub(in super::super) fn upper(meter: &Meter, text: &str) -> Result<Value, Fault> {
    // No sign becomes more than three times as long.
    meter.make(text.len() * 3)?;
    meter.text(&text.to_uppercase())
}

pub(in super::super) fn lower(meter: &Meter, text: &str) -> Result<Value, Fault> {
    meter.make(text.len() * 3)?;
    meter.text(&text.to_lowercase())
}

pub(in super::super) fn capitalize(meter: &Meter, text: &str) -> Result<Value, Fault> {
    title(meter, text, |_| false)
}

/// The first sign of each word large, the others small; words begin behind certain signs.
pub(in super::super) fn title(
    meter: &Meter,
    text: &str,
    begins_behind: impl Fn(char) -> bool,
) -> Result<Value, Fault> {
    let mut writer = meter.writer();
    let mut begins = true;
    for c in text.chars() {
        let mut push = |c| writer.push_char(c);
        if begins {
            c.to_uppercase().try_for_each(&mut push)?;
        } else {
            c.to_lowercase().try_for_each(&mut push)?;
        }
        begins = begins_behind(c);
    }
    writer.finish()
}

fn escape(meter: &Meter, text: &str) -> Result<Value, Fault> {
    let mut writer = meter.writer();
    for c in text.chars() {
        match c {
            '&' => writer.push("&amp;")?,
            '<' => writer.push("&lt;")?,
            '>' => writer.push("&gt;")?,
            '\'' => writer.push("&#39;")?,
            '"' => writer.push("&#34;")?,
            c => writer.push_char(c)?,
        }
    }
    writer.finish()
}

fn indent(meter: &Meter, text: &str, given: Given) -> Result<Value, Fault> {
    let [width, first, blank] = given.bind("indent", ["width", "first", "blank"])?;
    let mut margin = meter.writer();
    match &width {
        Some(Value::Text(text)) => margin.push(text)?,
        width => margin.fill(" ", width.int_or(4)?)?,
    }
    let margin = margin.into_text();
    let (first, blank) = (first.flag_or(false), blank.flag_or(false));
    let mut writer = meter.writer();
    for (index, line) in text.split('\n').enumerate() {
        meter.step(1)?;
        if index > 0 {
            writer.push("\n")?;
        }
        // The first line is moved even if there is nothing in it.
        let moved = match index {
            0 => first,
            _ => blank || !line.is_empty(),
        };
        if moved {
            writer.push(&margin)?;
        }
        writer.push(line)?;
    }
    writer.finish()
}
