//! Sizes: read as `500GB`, `1.5 TiB` or plain bytes; written in decimal units, as disks and downloads are.

use std::fmt;

const UNITS: [(&str, u64); 5] = [
    ("PB", 1_000_000_000_000_000),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
];

/// Bytes, written for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

impl Size {
    /// `1.0 of 4.0 GB`: a part of these bytes, in the same unit.
    pub(crate) fn with_part(self, part: u64) -> String {
        let (unit, factor) = self.unit();
        format!(
            "{} of {} {unit}",
            number(part, factor),
            number(self.0, factor)
        )
    }

    fn unit(self) -> (&'static str, u64) {
        let unit = UNITS.iter().find(|(_, factor)| self.0 >= *factor);
        unit.copied().unwrap_or(("B", 1))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = self.unit();
        f.pad(&format!("{} {unit}", number(self.0, factor)))
    }
}

/// Tenths are enough; in integers, so that 999,999 B never becomes `1000.0 kB`.
fn number(bytes: u64, factor: u64) -> String {
    if factor == 1 {
        return bytes.to_string();
    }
    let tenths = u128::from(bytes) * 10 / u128::from(factor);
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// Reads a size.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = factor(unit.trim()).ok_or_else(|| complaint(text))?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |part: &str| part.replace('_', "");
    let (whole, fraction) = (digits(whole), digits(fraction));
    if whole.is_empty() || fraction.len() > 9 {
        return Err(complaint(text));
    }
    let whole: u128 = whole.parse().map_err(|_| complaint(text))?;
    let scale = 10_u128.pow(u32::try_from(fraction.len()).unwrap_or(0));
    let fraction: u128 = if fraction.is_empty() {
        0
    } else {
        fraction.parse().map_err(|_| complaint(text))?
    };
    let bytes = whole
        .checked_mul(factor)
        .and_then(|bytes| bytes.checked_add(fraction * factor / scale))
        .ok_or_else(|| format!("`{text}` is more than any disk holds"))?;
    u64::try_from(bytes).map_err(|_| format!("`{text}` is more than any disk holds"))
}

fn factor(unit: &str) -> Option<u128> {
    let unit = unit.to_ascii_lowercase();
    let power = |prefix: &str| {
        ["k", "m", "g", "t", "p"]
            .iter()
            .position(|p| *p == prefix)
            .and_then(|i| u32::try_from(i + 1).ok())
    };
    match unit.as_str() {
        "" | "b" => Some(1),
        _ => {
            if let Some(prefix) = unit.strip_suffix("ib") {
                power(prefix).map(|p| 1024_u128.pow(p))
            } else {
                let prefix = unit.strip_suffix('b').unwrap_or(&unit);
                power(prefix).map(|p| 1000_u128.pow(p))
            }
        }
    }
}

fn complaint(text: &str) -> String {
    format!("`{text}` is not a size; write 500GB, 1.5TiB or a number of bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_both_systems() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("1_000", 1000),
            ("10B", 10),
            ("500GB", 500_000_000_000),
            ("500GiB", 500 * 1024 * 1024 * 1024),
            ("500g", 500_000_000_000),
            ("1.5 TB", 1_500_000_000_000),
            ("0.5KiB", 512),
            ("2mb", 2_000_000),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "GB",
            "lots",
            "-5GB",
            "1.2.3MB",
            "5XB",
            "5 GB!",
            ".",
            "99999999999PB",
            "1.0000000001GB",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_written_short() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (999_999, "999.9 kB"),
            (14_250_000, "14.2 MB"),
            (500_000_000_000, "500.0 GB"),
            (u64::MAX, "18446.7 PB"),
        ] {
            assert_eq!(Size(bytes).to_string(), text);
        }
        assert_eq!(Size(4_000_000_000).with_part(260_000_000), "0.2 of 4.0 GB");
        assert_eq!(Size(12).with_part(3), "3 of 12 B");
    }
}
