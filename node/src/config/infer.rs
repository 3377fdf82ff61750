//! How models run on this machine, as a person writes it.

use std::{fmt, fs, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use weft_protocol::infer::admission::Params;

use super::Rate;
use crate::infer::{Keep, Peers, pool::Settings};

/// How long a model stays without being asked: what Ollama's users are used to.
const KEEP: Duration = Duration::from_secs(5 * 60);
/// Answers of one model that are computed side by side. More share the memory traffic of one pass over the weights; beyond
/// this each gets slow.
const SLOTS: usize = 8;
/// Tokens of prompt and answer if nobody says otherwise: longer contexts take memory for each answer.
const CONTEXT: u32 = 8_192;
/// What is taken for this machine's memory if it cannot be found out.
const MEMORY: u64 = 8 * 1024 * 1024 * 1024;

macro_rules! as_text {
    ($type:ty) => {
        impl TryFrom<String> for $type {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
    };
}

/// The section of the file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Section {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) memory: Option<Memory>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) keep_alive: Option<KeepAlive>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) slots: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) context: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) threads: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) peers: Option<Peers>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) audit_rate: Option<AuditRate>,
}

/// Which part of all receipts is checked without being asked for, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AuditRate {
    /// Of a thousand so many.
    pub per_mille: u16,
}

impl FromStr for AuditRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let usage =
            || format!("`{text}` is not a part of all receipts; write a number from 0 to 1");
        let rate: f64 = text.trim().parse().map_err(|_| usage())?;
        if !(0.0..=1.0).contains(&rate) {
            return Err(usage());
        }
        Ok(Self {
            per_mille: (rate * 1_000.0).round() as u16,
        })
    }
}

impl fmt::Display for AuditRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", f64::from(self.per_mille) / 1_000.0)
    }
}

as_text!(AuditRate);

impl Section {
    /// What it says, and what is usual where it is silent.
    pub(super) fn settings(&self) -> Settings {
        Settings {
            memory_bytes_max: self.memory.map_or_else(usual_memory, |memory| memory.0),
            keep: self.keep_alive.map_or(Keep::For(KEEP), |keep| keep.0),
            slots: self.slots.unwrap_or(SLOTS).clamp(1, 64),
            context_max: Some(self.context.unwrap_or(CONTEXT)),
            threads: self.threads.filter(|threads| *threads > 0),
            admission: Params::default(),
        }
    }
}

/// Three quarters of what the machine has.
fn usual_memory() -> u64 {
    let kilobytes = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    });
    kilobytes.map_or(MEMORY, |kilobytes| kilobytes.saturating_mul(1_024) / 4 * 3)
}

/// Bytes of memory: `8GB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Memory(pub u64);

impl FromStr for Memory {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The same words as for rates, which are bytes too.
        match text.parse() {
            Ok(Rate(Some(bytes))) if !text.contains('/') => Ok(Self(bytes)),
            _ => Err(format!(
                "`{text}` is not an amount of memory; write 8GB or 512MiB"
            )),
        }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Rate(Some(self.0)).fmt(f)
    }
}

/// How long a model stays: `5m`, `1h30m`, seconds, or a negative number for as long as there is room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeepAlive(pub Keep);

impl FromStr for KeepAlive {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let usage = || format!("`{text}` is not a time; write 5m, 300, 0, or -1 for always");
        let trimmed = text.trim();
        let (is_negative, rest) = match trimmed.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, trimmed),
        };
        let mut seconds = 0.0;
        let mut rest = rest;
        if rest.is_empty() {
            return Err(usage());
        }
        while !rest.is_empty() {
            let digits = rest
                .find(|c: char| !c.is_ascii_digit() && c != '.')
                .unwrap_or(rest.len());
            let (number, after) = rest.split_at(digits);
            let letters = after
                .find(|c: char| !c.is_ascii_alphabetic())
                .unwrap_or(after.len());
            let (unit, after) = after.split_at(letters);
            let factor = match unit {
                "ms" => 0.001,
                "" | "s" => 1.0,
                "m" => 60.0,
                "h" => 3_600.0,
                _ => return Err(usage()),
            };
            let number: f64 = number.parse().map_err(|_| usage())?;
            seconds += number * factor;
            rest = after;
        }
        Ok(Self(match is_negative {
            true => Keep::Forever,
            // Beyond a century it is always.
            false if seconds > 3e9 => Keep::Forever,
            false => Keep::For(Duration::from_secs_f64(seconds)),
        }))
    }
}

impl fmt::Display for KeepAlive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Keep::Forever => f.write_str("-1"),
            Keep::For(time) => write!(f, "{}s", time.as_secs_f64()),
        }
    }
}

as_text!(Memory);
as_text!(KeepAlive);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_ollama_writes_them() {
        let seconds = |seconds| Ok(KeepAlive(Keep::For(Duration::from_secs(seconds))));
        for (text, expected) in [
            ("5m", seconds(300)),
            ("1h30m", seconds(5_400)),
            ("300", seconds(300)),
            ("0", seconds(0)),
            ("24h0m0s", seconds(86_400)),
            ("-1", Ok(KeepAlive(Keep::Forever))),
            ("-1m", Ok(KeepAlive(Keep::Forever))),
        ] {
            assert_eq!(text.parse(), expected, "{text}");
        }
        for text in ["", "-", "m", "5 m", "five", "1e9", "5d"] {
            assert!(text.parse::<KeepAlive>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_shown_is_understood_again() {
        for text in ["8GB", "512MiB", "1000000"] {
            let memory: Memory = text.parse().unwrap();
            assert_eq!(memory.to_string().parse(), Ok(memory), "{text}");
        }
        assert!("8GB/s".parse::<Memory>().is_err());
        for text in ["5m", "-1", "0"] {
            let keep: KeepAlive = text.parse().unwrap();
            assert_eq!(keep.to_string().parse(), Ok(keep), "{text}");
        }
    }
}
