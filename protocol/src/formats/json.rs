//! As much JSON as a safetensors header needs, read strictly and without trust.
//!
//! It works on text that may end too early: then it stops with [`Stop::Short`], and only text that is wrong whatever
//! may follow is an error. A general parser would keep the last of two equal keys, read `1e3` as a number and recurse
//! as deep as it is told to.

use std::borrow::Cow;

use super::{FormatError, Stop};

/// Depth of values that are skipped; headers in use have two levels.
const DEPTH_MAX: u32 = 8;

/// A place in a text.
#[derive(Debug)]
pub(super) struct Json<'a> {
    text: &'a [u8],
    at: usize,
    /// Where the text begins in its file.
    base: u64,
    /// Bytes the text has when it is whole.
    whole_len: u64,
}

impl<'a> Json<'a> {
    /// The beginning of a text of which all or less is given.
    pub(super) fn new(text: &'a [u8], base: u64, whole_len: u64) -> Self {
        Self {
            text,
            at: 0,
            base,
            whole_len,
        }
    }

    /// Takes `byte`, white space before it included, if it comes next.
    pub(super) fn take(&mut self, byte: u8) -> Result<bool, Stop> {
        let next = self.peek()? == byte;
        if next {
            self.at += 1;
        }
        Ok(next)
    }

    /// Takes `byte` or fails.
    pub(super) fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), Stop> {
        if self.take(byte)? {
            Ok(())
        } else {
            Err(self.wrong(expected))
        }
    }

    /// Reads a text without its escapes.
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, Stop> {
        self.expect(b'"', "a text")?;
        let start = self.at;
        let mut escaped = false;
        loop {
            match self.byte()? {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.at += 1;
                    self.byte()?;
                }
                0..=0x1f => return Err(self.wrong("no control character in a text")),
                _ => {}
            }
            self.at += 1;
        }
        let raw = self.text.get(start..self.at).unwrap_or_default();
        let raw = std::str::from_utf8(raw).map_err(|_| self.wrong("UTF-8 before this"))?;
        self.at += 1;
        if !escaped {
            return Ok(Cow::Borrowed(raw));
        }
        match unescape(raw) {
            Some(text) => Ok(Cow::Owned(text)),
            None => Err(self.wrong("valid escapes before this")),
        }
    }

    /// Reads a whole number without sign, fraction or exponent.
    pub(super) fn unsigned(&mut self) -> Result<u64, Stop> {
        const EXPECTED: &str = "a whole number below 2^64";
        self.peek()?;
        let start = self.at;
        let mut value = 0_u64;
        loop {
            let byte = self.byte()?;
            if !byte.is_ascii_digit() {
                break;
            }
            // No number begins with a zero but zero.
            if self.at > start && value == 0 {
                return Err(self.wrong(EXPECTED));
            }
            value = value
                .checked_mul(10)
                .and_then(|value| value.checked_add(u64::from(byte - b'0')))
                .ok_or_else(|| self.wrong(EXPECTED))?;
            self.at += 1;
        }
        if self.at == start || matches!(self.byte()?, b'.' | b'e' | b'E') {
            return Err(self.wrong(EXPECTED));
        }
        Ok(value)
    }

    /// Reads past a value of any kind.
    pub(super) fn skip(&mut self) -> Result<(), Stop> {
        self.skip_below(DEPTH_MAX)
    }

    fn skip_below(&mut self, depth: u32) -> Result<(), Stop> {
        let (end, keyed) = match self.peek()? {
            b'"' => return self.string().map(drop),
            b'{' => (b'}', true),
            b'[' => (b']', false),
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => return self.skip_word(),
            _ => return Err(self.wrong("a value")),
        };
        let Some(depth) = depth.checked_sub(1) else {
            let at = self.place();
            return Err(FormatError::TooDeep { at }.into());
        };
        self.at += 1;
        if self.take(end)? {
            return Ok(());
        }
        loop {
            if keyed {
                self.string()?;
                self.expect(b':', "`:`")?;
            }
            self.skip_below(depth)?;
            if self.take(end)? {
                return Ok(());
            }
            self.expect(b',', "`,` or the end of the value")?;
        }
    }

    /// Reads past a number or a word. Its spelling decides nothing, so that only its letters are checked.
    fn skip_word(&mut self) -> Result<(), Stop> {
        while matches!(self.byte()?, b'-' | b'+' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'E') {
            self.at += 1;
        }
        Ok(())
    }

    /// Whether nothing but spaces follows.
    pub(super) fn finish(&mut self) -> Result<(), Stop> {
        while let Some(byte) = self.text.get(self.at) {
            if *byte != b' ' {
                return Err(self.wrong("only spaces behind the header"));
            }
            self.at += 1;
        }
        if self.len() < self.whole_len {
            let needed = u128::from(self.base) + u128::from(self.whole_len);
            return Err(Stop::Short(needed));
        }
        Ok(())
    }

    /// An error at this place.
    pub(super) fn wrong(&self, expected: &'static str) -> Stop {
        let at = self.place();
        FormatError::Json { at, expected }.into()
    }

    fn place(&self) -> u64 {
        self.base
            .saturating_add(u64::try_from(self.at).unwrap_or(u64::MAX))
    }

    fn len(&self) -> u64 {
        u64::try_from(self.text.len()).unwrap_or(u64::MAX)
    }

    /// The next byte that is not white space.
    fn peek(&mut self) -> Result<u8, Stop> {
        while matches!(self.byte()?, b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        self.byte()
    }

    fn byte(&self) -> Result<u8, Stop> {
        match self.text.get(self.at) {
            Some(byte) => Ok(*byte),
            None if self.len() < self.whole_len => {
                Err(Stop::Short(u128::from(self.place()).saturating_add(1)))
            }
            None => Err(self.wrong("more before the end of the header")),
        }
    }
}

/// Replaces escapes; none if one of them is wrong.
fn unescape(raw: &str) -> Option<String> {
    let mut text = String::new();
    let mut rest = raw;
    while let Some((plain, after)) = rest.split_once('\\') {
        text.push_str(plain);
        let mut chars = after.chars();
        let letter = chars.next()?;
        rest = chars.as_str();
        text.push(match letter {
            '"' | '\\' | '/' => letter,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let mut unit = code_unit(&mut rest)?;
                if let 0xd800..=0xdbff = unit {
                    rest = rest.strip_prefix("\\u")?;
                    let low = code_unit(&mut rest)?.checked_sub(0xdc00)?;
                    if low > 0x3ff {
                        return None;
                    }
                    unit = 0x1_0000 + ((unit - 0xd800) << 10) + low;
                }
                char::from_u32(unit)?
            }
            _ => return None,
        });
    }
    text.push_str(rest);
    Some(text)
}

fn code_unit(rest: &mut &str) -> Option<u32> {
    let (digits, after) = rest.split_at_checked(4)?;
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    *rest = after;
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json<'_> {
        Json::new(text.as_bytes(), 0, text.len() as u64)
    }

    #[test]
    fn escapes_are_understood() {
        for (raw, text) in [
            (r#""""#, ""),
            (r#" "a.b""#, "a.b"),
            (r#""\u0061\n\"\\\/""#, "a\n\"\\/"),
            (r#""\ud83d\ude00é""#, "😀é"),
        ] {
            assert_eq!(json(raw).string().expect("valid"), text, "{raw}");
        }
        for raw in [
            r#""\x""#,
            r#""\u00g0""#,
            r#""\u+061""#,
            r#""\ud83d""#,
            r#""\ud83d\u0061""#,
            r#""\ude00""#,
            "\"\n\"",
            "\"a",
            "a",
        ] {
            assert!(json(raw).string().is_err(), "{raw}");
        }
    }

    #[test]
    fn numbers_are_whole_and_fit() {
        for (raw, value) in [("0,", 0), ("18446744073709551615]", u64::MAX), (" 7 ", 7)] {
            assert_eq!(json(raw).unsigned().expect("valid"), value, "{raw}");
        }
        for raw in [
            "-1,",
            "01,",
            "1.0,",
            "1e3,",
            "18446744073709551616,",
            "x",
            "\"1\"",
            "1",
        ] {
            assert!(json(raw).unsigned().is_err(), "{raw}");
        }
    }

    #[test]
    fn values_are_skipped_only_so_deep() {
        let nested = |depth: usize| format!("{}1{} ", "[".repeat(depth), "]".repeat(depth));
        assert!(json(&nested(8)).skip().is_ok());
        assert!(matches!(
            json(&nested(9)).skip(),
            Err(Stop::Bad(FormatError::TooDeep { at: 8 }))
        ));
        assert!(
            json(r#"{"a":[1,-2.5e+3,null,true],"b":{}} "#)
                .skip()
                .is_ok()
        );
        for raw in ["[1,] ", "{1:2} ", "{\"a\"} ", "[1 2] ", "] "] {
            assert!(json(raw).skip().is_err(), "{raw}");
        }
    }

    #[test]
    fn text_that_ends_early_is_short_and_not_wrong() {
        let text = br#"{"a":["b\u0063",12]} "#;
        for len in 0..text.len() {
            let mut cut = Json::new(&text[..len], 8, text.len() as u64);
            let outcome = cut.skip().and_then(|()| cut.finish());
            assert!(matches!(outcome, Err(Stop::Short(_))), "{len}: {outcome:?}");
        }
    }
}
