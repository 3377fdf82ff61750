//! What templates may call, and nothing else.

use std::{
    cell::RefCell,
    rc::Rc,
    time::{SystemTime, UNIX_EPOCH},
};

use super::{
    given::{Given, Optional},
    meter::{Fault, Meter, fail},
    value::Value,
};

/// Their names.
pub(super) const NAMES: [&str; 5] = [
    "raise_exception",
    "strftime_now",
    "namespace",
    "range",
    "dict",
];
/// Longest range.
const RANGE_MAX: usize = 100_000;

pub(super) fn call(meter: &Meter, name: &str, given: Given) -> Result<Value, Fault> {
    match name {
        "raise_exception" => {
            let [message] = given.bind(name, ["message"])?;
            let message = message.text_or("", meter)?;
            Err(Fault::Raised(message.chars().take(2_000).collect()))
        }
        "strftime_now" => {
            let [format] = given.bind(name, ["format"])?;
            meter.text(&strftime_now(&format.text_or("", meter)?))
        }
        "range" => range(meter, given),
        "dict" | "namespace" => {
            let entries = entries(meter, name, given)?;
            if name == "dict" {
                return meter.map(entries);
            }
            meter.make(64 + entries.len() * 64)?;
            let mut space = std::collections::HashMap::new();
            for (key, value) in entries {
                let Value::Text(key) = key else {
                    return fail("attributes have names");
                };
                if value.depth().is_none() {
                    return fail("namespaces hold data only");
                }
                space.insert(key, value);
            }
            Ok(Value::Space(Rc::new(RefCell::new(space))))
        }
        _ => fail(format!("there is no function `{name}`")),
    }
}

/// What a map begins with: another map, and what is named.
fn entries(meter: &Meter, name: &str, given: Given) -> Result<Vec<(Value, Value)>, Fault> {
    let mut entries = match given.positional.as_slice() {
        [] => Vec::new(),
        [Value::Map(map)] => {
            meter.make(map.entries.len() * 64)?;
            map.entries.clone()
        }
        _ => return fail(format!("`{name}` takes a map, and values with names")),
    };
    let named = given.named.into_iter();
    entries.extend(named.map(|(name, value)| (Value::Text(name), value)));
    Ok(entries)
}

fn range(meter: &Meter, given: Given) -> Result<Value, Fault> {
    let [first, second, step] = given.bind("range", ["start", "stop", "step"])?;
    let (start, stop) = match second {
        Some(_) => (first.int_or(0)?, second.int_or(0)?),
        None => (0, first.int_or(0)?),
    };
    let step = step.int_or(1)?;
    if step == 0 {
        return fail("a range with a step of zero");
    }
    let mut items = meter.items();
    let mut at = start;
    let mut count = 0;
    while (step > 0 && at < stop) || (step < 0 && at > stop) {
        count += 1;
        if count > RANGE_MAX {
            return fail(format!("a range has more than {RANGE_MAX} numbers"));
        }
        items.push(Value::Int(at.into()))?;
        at = at.saturating_add(step);
    }
    items.finish()
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
];

/// Today's date. The time of day is always midnight: a prompt that changed each second could be neither continued
/// elsewhere nor found in a cache.
fn strftime_now(format: &str) -> String {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    date(seconds / 86_400, format)
}

fn date(days: u64, format: &str) -> String {
    let (year, month, day) = civil(days);
    let month_name = MONTHS[month as usize - 1];
    let day_name = DAYS[(days % 7) as usize];
    let mut text = String::new();
    let mut chars = format.chars().take(256);
    while let Some(c) = chars.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        match chars.next() {
            Some('Y') => text.push_str(&year.to_string()),
            Some('y') => text.push_str(&format!("{:02}", year % 100)),
            Some('m') => text.push_str(&format!("{month:02}")),
            Some('d') => text.push_str(&format!("{day:02}")),
            Some('e') => text.push_str(&format!("{day:2}")),
            Some('-') => match chars.next() {
                Some('d') => text.push_str(&day.to_string()),
                Some('m') => text.push_str(&month.to_string()),
                _ => {}
            },
            Some('B') => text.push_str(month_name),
            Some('b' | 'h') => text.push_str(&month_name[..3]),
            Some('A') => text.push_str(day_name),
            Some('a') => text.push_str(&day_name[..3]),
            Some('F') => text.push_str(&format!("{year}-{month:02}-{day:02}")),
            Some('H' | 'M' | 'S') => text.push_str("00"),
            Some('T') => text.push_str("00:00:00"),
            Some('%') => text.push('%'),
            _ => {}
        }
    }
    text
}

/// Year, month and day of a day since 1970.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (year + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod calendar {
    use super::date;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0, "%A %d %b %Y"), "Thursday 01 Jan 1970");
        assert_eq!(date(19_782, "%Y-%m-%d"), "2024-02-29");
        assert_eq!(
            date(20_454, "%a, %-d %B %y %H:%M %%"),
            "Thu, 1 January 26 00:00 %"
        );
    }
}
