//! Byte rates as a person writes them, and the week's windows in which others hold.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use weft_protocol::swarm::{Limits, Rates, Window};

/// Windows that a file may have. Somebody's whole week by the hour.
const WINDOWS_MAX: usize = 168;

/// A byte rate: `2MB`, `500KiB/s`, or `none` for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate(pub Option<u64>);

/// The section of the file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitSection {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) up: Option<Rate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) down: Option<Rate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) up_per_peer: Option<Rate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) down_per_peer: Option<Rate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) polite: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) schedule: Vec<Slot>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) utc_offset: Option<Offset>,
}

impl LimitSection {
    /// What it says, with rates given at the start laid over it.
    pub(super) fn limits(&self, up: Option<Rate>, down: Option<Rate>) -> Limits {
        let rate = |rate: Option<Rate>| rate.and_then(|rate| rate.0);
        let rates = Rates {
            upload: rate(up.or(self.up)),
            download: rate(down.or(self.down)),
            upload_per_peer: rate(self.up_per_peer),
            download_per_peer: rate(self.down_per_peer),
            polite: self.polite.unwrap_or(false),
        };
        let window = |slot: &Slot| Window {
            days: slot.days,
            from: slot.from,
            to: slot.to,
            upload: slot.up.map_or(rates.upload, |rate| rate.0),
            download: slot.down.map_or(rates.download, |rate| rate.0),
        };
        Limits {
            rates,
            schedule: self.schedule.iter().map(window).collect(),
            utc_offset_minutes: self.utc_offset.map_or(0, |offset| offset.0),
        }
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        let usage = || format!("`{text}` is not a rate; write 2MB, 500KiB/s or none");
        let plain = text.strip_suffix("/s").unwrap_or(text).trim();
        let digits = plain.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit: u64 = match plain[digits.len()..].to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kb" => 1_000,
            "m" | "mb" => 1_000_000,
            "g" | "gb" => 1_000_000_000,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            _ => return Err(usage()),
        };
        let number: f64 = digits.trim().parse().map_err(|_| usage())?;
        let rate = number * unit as f64;
        // Beyond that it is no limit, and below it nothing would ever arrive.
        if !(1_000.0..=1e15).contains(&rate) {
            return Err(format!("`{text}` is not between 1kB/s and 1PB/s"));
        }
        Ok(Self(Some(rate as u64)))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("none"),
            Some(rate) if rate % 1_000_000 == 0 => write!(f, "{}MB", rate / 1_000_000),
            Some(rate) if rate % 1_000 == 0 => write!(f, "{}kB", rate / 1_000),
            Some(rate) => write!(f, "{rate}B"),
        }
    }
}

/// A window of the week: `mon-fri 08:00-18:00 up=1MB down=none`. What it does not name stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Slot {
    days: u8,
    from: u16,
    to: u16,
    up: Option<Rate>,
    down: Option<Rate>,
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl FromStr for Slot {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let usage = || {
            format!(
                "`{text}` is not a window; it looks like `mon-fri 08:00-18:00 up=1MB down=none`"
            )
        };
        let mut words = text.split_whitespace();
        let days = words.next().and_then(days).ok_or_else(usage)?;
        let (from, to) = words
            .next()
            .and_then(|word| word.split_once('-'))
            .and_then(|(from, to)| Some((minute(from)?, minute(to)?)))
            .ok_or_else(usage)?;
        let (mut up, mut down) = (None, None);
        for word in words {
            match word.split_once('=') {
                Some(("up", rate)) => up = Some(rate.parse()?),
                Some(("down", rate)) => down = Some(rate.parse()?),
                _ => return Err(usage()),
            }
        }
        Ok(Self {
            days,
            from,
            to,
            up,
            down,
        })
    }
}

/// `mon`, `mon-fri`, `sat,sun`, `daily`: as bits, Monday first.
fn days(text: &str) -> Option<u8> {
    if text == "daily" {
        return Some(0x7f);
    }
    let day = |name: &str| DAYS.iter().position(|day| *day == name);
    let mut bits = 0;
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut at, last) = (day(first)?, day(last)?);
        bits |= 1 << at;
        // `sat-mon` goes over the end of the week.
        while at != last {
            at = (at + 1) % 7;
            bits |= 1 << at;
        }
    }
    Some(bits)
}

/// `08:30` as minutes of the day; `24:00` is its end.
fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    let minute = hours.checked_mul(60)?.checked_add(minutes)?;
    (minutes < 60 && minute <= 24 * 60).then_some(minute)
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = (0..7).filter(|day| self.days & (1 << day) != 0);
        let days: Vec<&str> = days.map(|day: usize| DAYS[day]).collect();
        let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        write!(
            f,
            "{} {}-{}",
            days.join(","),
            clock(self.from),
            clock(self.to)
        )?;
        for (name, rate) in [("up", self.up), ("down", self.down)] {
            if let Some(rate) = rate {
                write!(f, " {name}={rate}")?;
            }
        }
        Ok(())
    }
}

/// Reads windows separated by semicolons.
pub(super) fn schedule(text: &str) -> Result<Vec<Slot>, String> {
    let slots = text
        .split(';')
        .map(str::trim)
        .filter(|slot| !slot.is_empty());
    let slots: Vec<Slot> = slots.map(str::parse).collect::<Result<_, _>>()?;
    if slots.len() > WINDOWS_MAX {
        return Err(format!("more than {WINDOWS_MAX} windows"));
    }
    Ok(slots)
}

/// How far local time is ahead of UTC, in minutes: `+02:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Offset(i16);

impl FromStr for Offset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let usage = || format!("`{text}` is not a distance from UTC; write +02:00 or -05:30");
        let (sign, clock) = match text.split_at_checked(1).ok_or_else(usage)? {
            ("+", clock) => (1, clock),
            ("-", clock) => (-1, clock),
            _ => return Err(usage()),
        };
        let minutes = minute(clock).filter(|minutes| *minutes <= 14 * 60);
        let minutes = minutes.and_then(|minutes| i16::try_from(minutes).ok());
        minutes
            .map(|minutes| Self(sign * minutes))
            .ok_or_else(usage)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, minutes) = if self.0 < 0 {
            ('-', -self.0)
        } else {
            ('+', self.0)
        };
        write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

/// In the file all of them are text.
macro_rules! as_text {
    ($($kind:ty),*) => {$(
        impl TryFrom<String> for $kind {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl From<$kind> for String {
            fn from(value: $kind) -> Self {
                value.to_string()
            }
        }
    )*};
}

as_text!(Rate, Slot, Offset);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_and_shown() {
        for (text, rate) in [
            ("2MB", Some(2_000_000)),
            ("2m", Some(2_000_000)),
            ("500KiB/s", Some(512_000)),
            ("1.5 MB/s", Some(1_500_000)),
            ("4096", Some(4_096)),
            ("none", None),
        ] {
            assert_eq!(text.parse(), Ok(Rate(rate)), "{text}");
            let shown = Rate(rate).to_string();
            assert_eq!(shown.parse(), Ok(Rate(rate)), "{shown}");
        }
        for text in ["", "MB", "0", "-1MB", "1 parsec", "NaN", "999", "inf"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn windows_are_read_and_shown() {
        let slot: Slot = "mon-fri 08:00-18:00 up=1MB down=none".parse().unwrap();
        assert_eq!(slot.days, 0b001_1111);
        assert_eq!((slot.from, slot.to), (480, 1_080));
        assert_eq!(slot.up, Some(Rate(Some(1_000_000))));
        assert_eq!(slot.down, Some(Rate(None)));
        assert_eq!(slot.to_string().parse(), Ok(slot));
        assert_eq!(days("sat-mon"), Some(0b110_0001));
        assert_eq!(days("daily"), Some(0x7f));
        for text in [
            "",
            "mon",
            "mon 8-9",
            "mon 25:00-26:00",
            "mon 08:00-09:60",
            "day 08:00-09:00",
        ] {
            assert!(text.parse::<Slot>().is_err(), "{text}");
        }
        assert_eq!(
            schedule("daily 22:00-06:00 up=none; sat 00:00-24:00")
                .unwrap()
                .len(),
            2
        );
    }

    #[test]
    fn what_a_window_does_not_name_stays() {
        let section = LimitSection {
            up: Some(Rate(Some(5_000))),
            schedule: schedule("daily 22:00-06:00 down=1MB").unwrap(),
            utc_offset: Some("-05:30".parse().unwrap()),
            ..LimitSection::default()
        };
        let limits = section.limits(None, Some(Rate(Some(9_000))));
        assert_eq!(limits.rates.upload, Some(5_000));
        assert_eq!(limits.rates.download, Some(9_000));
        assert_eq!(limits.schedule[0].upload, Some(5_000));
        assert_eq!(limits.schedule[0].download, Some(1_000_000));
        assert_eq!(limits.utc_offset_minutes, -330);
    }
}
