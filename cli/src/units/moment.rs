//! Moments: Unix seconds as a date in UTC, and as how long ago.

use std::time::{SystemTime, UNIX_EPOCH};

use super::Span;

/// `2026-11-21 03:15 UTC`.
pub(crate) fn date(unix: u64) -> String {
    let (days, seconds) = (unix / 86_400, unix % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute) = (seconds / 3_600, seconds % 3_600 / 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

/// `3d 2h ago`, `in 2h 1m`, or `now`.
pub(crate) fn ago(unix: u64) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs());
    relative(unix, now)
}

fn relative(unix: u64, now: u64) -> String {
    if unix.abs_diff(now) < 10 {
        "now".to_owned()
    } else if unix < now {
        format!("{} ago", Span::seconds(now - unix))
    } else {
        format!("in {}", Span::seconds(unix - now))
    }
}

/// Year, month and day of the given day since 1970-01-01, in the Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    // Whole cycles of 400 years first, so that the loops below stay short whatever a peer claims.
    let (mut year, mut days) = (1970 + days / 146_097 * 400, days % 146_097);
    loop {
        let length = if leap(year) { 366 } else { 365 };
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let february = if leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right() {
        for (unix, text) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (1_795_231_800, "2026-11-21 03:30 UTC"),
            (4_102_444_799, "2099-12-31 23:59 UTC"),
            (13_574_563_200, "2400-02-29 00:00 UTC"),
        ] {
            assert_eq!(date(unix), text);
        }
        assert!(date(u64::MAX).ends_with("UTC"));
    }

    #[test]
    fn distance_reads_both_ways() {
        assert_eq!(relative(1_000, 1_003), "now");
        assert_eq!(relative(1_000, 8_260), "2h 1m ago");
        assert_eq!(relative(8_260, 1_000), "in 2h 1m");
    }
}
