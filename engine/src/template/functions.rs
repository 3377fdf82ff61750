//! What templates may call, and nothing else.

use std::time::{SystemTime, UNIX_EPOCH};

use minijinja::{Environment, Error, ErrorKind, Value, filters, functions, tests, value::Kwargs};
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

use super::RAISED;

/// Adds the functions, filters and tests that templates use.
pub(super) fn add(environment: &mut Environment<'static>) {
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |message: String| {
        Err::<(), _>(Error::new(
            ErrorKind::InvalidOperation,
            format!("{RAISED}{message}"),
        ))
    });
    environment.add_function("strftime_now", strftime_now);
    environment.add_function("namespace", functions::namespace);
    environment.add_function("range", functions::range);
    environment.add_function("dict", functions::dict);
    environment.add_filter("tojson", to_json);
    environment.add_filter("string", |value: Value| value.to_string());
    macro_rules! filters {
        ($($name:literal => $filter:ident),* $(,)?) => { $(environment.add_filter($name, filters::$filter);)* };
    }
    filters! {
        "abs" => abs, "attr" => attr, "batch" => batch, "bool" => bool, "capitalize" => capitalize, "d" => default,
        "default" => default, "dictsort" => dictsort, "e" => escape, "first" => first, "float" => float,
        "groupby" => groupby, "indent" => indent, "int" => int, "items" => items, "join" => join, "last" => last,
        "length" => length, "count" => length, "lines" => lines, "list" => list, "lower" => lower, "map" => map,
        "max" => max, "min" => min, "reject" => reject, "rejectattr" => rejectattr, "replace" => replace,
        "reverse" => reverse, "round" => round, "safe" => safe, "select" => select, "selectattr" => selectattr,
        "slice" => slice, "sort" => sort, "split" => split, "sum" => sum, "title" => title, "trim" => trim,
        "unique" => unique, "upper" => upper,
    }
    macro_rules! tests {
        ($($name:literal => $test:ident),* $(,)?) => { $(environment.add_test($name, tests::$test);)* };
    }
    tests! {
        "boolean" => is_boolean, "defined" => is_defined, "undefined" => is_undefined, "none" => is_none,
        "divisibleby" => is_divisibleby, "endingwith" => is_endingwith, "startingwith" => is_startingwith,
        "eq" => is_eq, "equalto" => is_eq, "==" => is_eq, "ne" => is_ne, "!=" => is_ne, "even" => is_even,
        "odd" => is_odd, "false" => is_false, "true" => is_true, "float" => is_float, "integer" => is_integer,
        "number" => is_number, "ge" => is_ge, ">=" => is_ge, "gt" => is_gt, ">" => is_gt, "le" => is_le,
        "<=" => is_le, "lt" => is_lt, "<" => is_lt, "in" => is_in, "iterable" => is_iterable,
        "lower" => is_lower, "upper" => is_upper, "mapping" => is_mapping, "sequence" => is_sequence,
        "string" => is_string, "sameas" => is_sameas,
    }
}

/// JSON as Python writes it: a space after each colon and comma, nothing escaped that need not be.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the type that filters get their options as"
)]
fn to_json(value: &Value, indent: Option<usize>, options: Kwargs) -> Result<String, Error> {
    let indent = indent.or(options.get::<Option<usize>>("indent")?);
    // Accepted and without effect: text is never escaped beyond need, and keys keep their order.
    let _ = options.get::<Option<bool>>("ensure_ascii")?;
    let _ = options.get::<Option<bool>>("sort_keys")?;
    let _ = options.get::<Option<Value>>("separators")?;
    options.assert_all_used()?;
    let mut bytes = Vec::new();
    let written = match indent {
        Some(width) => {
            let spaces = b" ".repeat(width.min(16));
            let formatter = PrettyFormatter::with_indent(&spaces);
            value.serialize(&mut Serializer::with_formatter(&mut bytes, formatter))
        }
        None => value.serialize(&mut Serializer::with_formatter(&mut bytes, Spaced)),
    };
    written.map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    String::from_utf8(bytes).map_err(|_| ErrorKind::BadSerialization.into())
}

struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
    ) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
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
