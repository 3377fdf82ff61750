//! Byte ranges as clients ask for them (RFC 9110 §14), one at a time.

use std::ops::Range;

/// What a `Range` header means for a file of some size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The whole file: there is no header, or one that may be ignored.
    Whole,
    /// These bytes, never none.
    Part(Range<u64>),
    /// Nothing of the file lies in there.
    Outside,
}

/// Reads a `Range` header. Several ranges at once are answered with the whole file, as the standard allows.
pub(super) fn parse(header: Option<&str>, size: u64) -> Wanted {
    let Some((first, last)) = header
        .and_then(|header| header.trim().strip_prefix("bytes="))
        .map(str::trim)
        .and_then(|spec| spec.split_once('-'))
    else {
        return Wanted::Whole;
    };
    let (first, last) = (first.trim(), last.trim());
    if first.is_empty() {
        return match number(last) {
            Some(0) => Wanted::Outside,
            Some(_) if size == 0 => Wanted::Outside,
            Some(len) => Wanted::Part(size.saturating_sub(len)..size),
            None => Wanted::Whole,
        };
    }
    let Some(start) = number(first) else {
        return Wanted::Whole;
    };
    let end = if last.is_empty() {
        size
    } else {
        match number(last) {
            Some(last) if last < start => return Wanted::Whole,
            Some(last) => last.saturating_add(1).min(size),
            None => return Wanted::Whole,
        }
    };
    if start >= size {
        Wanted::Outside
    } else {
        Wanted::Part(start..end)
    }
}

/// Digits only: no sign, no space. What is larger than any file is as large as can be.
fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_mean_what_the_standard_says() {
        let check = |header: &str, size: u64, expected: Wanted| {
            assert_eq!(parse(Some(header), size), expected, "{header} of {size}");
        };
        check("bytes=0-0", 10, Wanted::Part(0..1));
        check("bytes=2-5", 10, Wanted::Part(2..6));
        check("bytes=2-", 10, Wanted::Part(2..10));
        check("bytes=2-99", 10, Wanted::Part(2..10));
        check("bytes=-3", 10, Wanted::Part(7..10));
        check("bytes=-30", 10, Wanted::Part(0..10));
        check("bytes=10-", 10, Wanted::Outside);
        check("bytes=-0", 10, Wanted::Outside);
        check("bytes=0-", 0, Wanted::Outside);
        check("bytes=-1", 0, Wanted::Outside);
        check("bytes=99999999999999999999-", 10, Wanted::Outside);
        check("bytes=0-99999999999999999999", 10, Wanted::Part(0..10));
    }

    #[test]
    fn what_is_no_single_range_is_ignored() {
        for header in [
            "bytes=5-2",
            "bytes=a-b",
            "bytes=0-1,4-5",
            "bytes=-",
            "bytes=+1-2",
            "lines=0-1",
            "",
        ] {
            assert_eq!(parse(Some(header), 10), Wanted::Whole, "{header}");
        }
        assert_eq!(parse(None, 10), Wanted::Whole);
    }
}
