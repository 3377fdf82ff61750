//! Sizes, spans and moments as people write and read them.

mod duration;
mod moment;
mod size;

pub(crate) use duration::{Span, parse as parse_duration};
pub(crate) use moment::{ago, date};
pub(crate) use size::{Size, parse as parse_size};

/// `1 file`, `2 files`.
pub(crate) fn count(number: u64, thing: &str) -> String {
    let plural = match thing.strip_suffix('y') {
        _ if number == 1 => thing.to_owned(),
        Some(stem) => format!("{stem}ies"),
        None => format!("{thing}s"),
    };
    format!("{number} {plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_are_counted_in_english() {
        assert_eq!(count(1, "repository"), "1 repository");
        assert_eq!(count(0, "repository"), "0 repositories");
        assert_eq!(count(2, "file"), "2 files");
    }
}
