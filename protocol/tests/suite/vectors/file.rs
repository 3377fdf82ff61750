//! How a file of vectors is written: fields, then annotated hex.

use std::fmt::{Display, Write};

use data_encoding::HEXLOWER;

/// One file.
pub(super) struct VectorFile {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) vectors: Vec<Vector>,
}

/// One vector: bytes, what they mean, and whether they are to be believed.
pub(super) struct Vector {
    name: String,
    comment: String,
    fields: Vec<(&'static str, String)>,
    bytes: Vec<u8>,
    verdict: Result<(), String>,
}

impl Vector {
    /// Begins a vector of the given kind.
    pub(super) fn new(kind: &'static str, name: &str, comment: &str, bytes: Vec<u8>) -> Self {
        let fields = vec![("kind", kind.to_owned())];
        let (name, comment) = (name.to_owned(), comment.to_owned());
        Self {
            name,
            comment,
            fields,
            bytes,
            verdict: Ok(()),
        }
    }

    /// Adds a field.
    pub(super) fn with(mut self, key: &'static str, value: impl Display) -> Self {
        self.fields.push((key, value.to_string()));
        self
    }

    /// Adds a field in hex.
    pub(super) fn with_hex(self, key: &'static str, value: &[u8]) -> Self {
        self.with(key, HEXLOWER.encode(value))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Ends a vector that must be accepted, with what our code says.
    pub(super) fn valid<E: std::error::Error>(self, verdict: Result<(), E>) -> Self {
        if let Err(error) = verdict {
            panic!("vector `{}` should be valid: {}", self.name, chain(&error));
        }
        self
    }

    /// Ends a vector that must be refused, with what our code says.
    pub(super) fn invalid<T, E: std::error::Error>(mut self, verdict: Result<T, E>) -> Self {
        match verdict {
            Ok(_) => panic!("vector `{}` should be invalid", self.name),
            Err(error) => self.verdict = Err(chain(&error)),
        }
        self
    }
}

/// An error and its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(text, ": {error}").expect("writing to a text cannot fail");
        cause = error.source();
    }
    text.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

impl VectorFile {
    /// The whole text.
    pub(super) fn render(&self) -> String {
        let mut out = format!("# weft golden vectors: {}\n#\n", self.name);
        for line in self.about.lines() {
            writeln!(out, "# {}", line.trim()).expect("writing to a text cannot fail");
        }
        out.push_str(
            "#\n# Written by protocol/tests/suite/vectors; format and meaning in protocol/SPEC.md.\n",
        );
        for vector in &self.vectors {
            let verdict = if vector.verdict.is_ok() {
                "valid"
            } else {
                "invalid"
            };
            writeln!(out, "\n=== {verdict} {}", vector.name)
                .expect("writing to a text cannot fail");
            writeln!(out, "# {}", vector.comment).expect("writing to a text cannot fail");
            for (key, value) in &vector.fields {
                writeln!(out, "{key} = {value}").expect("writing to a text cannot fail");
            }
            if let Err(error) = &vector.verdict {
                writeln!(out, "# refused by weft: {error}").expect("writing to a text cannot fail");
            }
            writeln!(out, "--- {} bytes", vector.bytes.len())
                .expect("writing to a text cannot fail");
            out.push_str(&annotate(&vector.bytes));
        }
        out
    }
}

/// Hex with one CBOR item a line. What is not CBOR is shown as plain hex.
fn annotate(bytes: &[u8]) -> String {
    let mut out = String::new();
    let mut rest = bytes;
    if bytes.starts_with(b"weft/") {
        let end = bytes.iter().position(|b| *b == 0).map_or(0, |at| at + 1);
        let (domain, body) = bytes.split_at(end);
        line(
            &mut out,
            0,
            domain,
            &format!("{:?}", String::from_utf8_lossy(domain)),
        );
        rest = body;
    }
    let mut cbor = out.clone();
    match item(rest, 0, &mut cbor) {
        Some([]) => cbor,
        _ => {
            raw(&mut out, 0, rest);
            out
        }
    }
}

fn line(out: &mut String, depth: usize, bytes: &[u8], comment: &str) {
    let hex = format!("{}{}", "  ".repeat(depth), HEXLOWER.encode(bytes));
    writeln!(out, "{hex:<40}  # {comment}").expect("writing to a text cannot fail");
}

fn raw(out: &mut String, depth: usize, bytes: &[u8]) {
    for chunk in bytes.chunks(32) {
        writeln!(out, "{}{}", "  ".repeat(depth), HEXLOWER.encode(chunk))
            .expect("writing to a text cannot fail");
    }
}

/// Writes one item and returns what follows it; `None` if it is not CBOR as weft uses it.
fn item<'a>(bytes: &'a [u8], depth: usize, out: &mut String) -> Option<&'a [u8]> {
    if depth > 16 {
        return None;
    }
    let first = *bytes.first()?;
    let (major, short) = (first >> 5, first & 31);
    let (len, value) = match short {
        0..=23 => (1, u64::from(short)),
        24..=27 => {
            let len = 1 << (short - 24);
            let number = bytes.get(1..=len)?;
            (
                len + 1,
                number.iter().fold(0, |n, b| n << 8 | u64::from(*b)),
            )
        }
        _ => return None,
    };
    let (head, mut rest) = bytes.split_at_checked(len)?;
    let count = usize::try_from(value).ok()?;
    match major {
        0 => line(out, depth, head, &value.to_string()),
        2 => {
            let (content, after) = rest.split_at_checked(count)?;
            rest = after;
            let mut inner = String::new();
            let nested = !matches!(count, 0 | 20 | 32 | 64)
                && matches!(content.first()? >> 5, 4 | 5)
                && item(content, depth + 1, &mut inner).is_some_and(<[u8]>::is_empty);
            if nested {
                line(out, depth, head, &format!("bytes({value}), itself CBOR"));
                out.push_str(&inner);
            } else {
                line(out, depth, head, &format!("bytes({value})"));
                raw(out, depth + 1, content);
            }
        }
        3 => {
            let (content, after) = rest.split_at_checked(count)?;
            rest = after;
            line(out, depth, head, &format!("text({value})"));
            if count > 0 {
                let text = std::str::from_utf8(content).ok()?;
                line(out, depth + 1, content, &format!("{:?}", text));
            }
        }
        4 => {
            line(out, depth, head, &format!("array({value})"));
            for _ in 0..count {
                rest = item(rest, depth + 1, out)?;
            }
        }
        5 => {
            line(out, depth, head, &format!("map({value})"));
            for _ in 0..count {
                rest = item(rest, depth + 1, out)?;
                rest = item(rest, depth + 2, out)?;
            }
        }
        _ => return None,
    }
    Some(rest)
}
