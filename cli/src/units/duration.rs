//! Spans of time: read as `90`, `90s`, `5m`, `2h`, `1d`; written with their two largest units.

use std::{fmt, time::Duration};

const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

/// A span, written for people.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Span(pub(crate) Duration);

impl Span {
    /// From whole seconds.
    pub(crate) const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let text = if seconds < 10 && self.0.subsec_nanos() > 0 {
            format!("{:.1} s", self.0.as_secs_f64())
        } else if seconds < 60 {
            format!("{seconds} s")
        } else {
            let first = UNITS
                .iter()
                .position(|(_, size)| seconds >= *size)
                .unwrap_or(0);
            let mut rest = seconds;
            UNITS
                .iter()
                .skip(first)
                .take(2)
                .map(|(unit, size)| {
                    let count = rest / size;
                    rest %= size;
                    format!("{count}{unit}")
                })
                .collect::<Vec<_>>()
                .join(" ")
        };
        f.pad(&text)
    }
}

/// Reads a span.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let complaint = || format!("`{text}` is not a span of time; write 30s, 5m, 2h or 1d");
    let trimmed = text.trim();
    let split = trimmed
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(split);
    let number: u64 = number.parse().map_err(|_| complaint())?;
    let factor = match unit.trim() {
        "" | "s" | "sec" => 1,
        "m" | "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(complaint()),
    };
    number
        .checked_mul(factor)
        .map(Duration::from_secs)
        .ok_or_else(complaint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read() {
        for (text, seconds) in [
            ("90", 90),
            ("30s", 30),
            ("5m", 300),
            ("2 h", 7200),
            ("1d", 86_400),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "s", "-1s", "1.5h", "5 weeks", "99999999999999999d"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn spans_are_written_with_two_units() {
        for (millis, text) in [
            (340, "0.3 s"),
            (2_000, "2 s"),
            (42_000, "42 s"),
            (61_000, "1m 1s"),
            (7_260_000, "2h 1m"),
            (90_000_000, "1d 1h"),
        ] {
            assert_eq!(Span(Duration::from_millis(millis)).to_string(), text);
        }
    }
}
