//! A template's text into signs, with the white space that tags take away: as Jinja does with `trim_blocks` and
//! `lstrip_blocks`.

use super::meter::{Fault, fail};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Data(String),
    /// `{{` and `{%`.
    Open(Kind),
    Close,
    Name(String),
    Text(String),
    Int(i128),
    Float(f64),
    Sign(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Output,
    Tag,
}

/// Longer ones first.
const SIGNS: [&str; 26] = [
    "**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<", ">", "=", "(", ")", "[",
    "]", "{", "}", ",", ".", ":", "|", ";",
];

struct Lexer<'s> {
    rest: &'s str,
    line: u32,
    tokens: Vec<(u32, Token)>,
    /// Whether what follows begins a line.
    begins: bool,
}

/// All signs, with their lines.
pub(super) fn read(source: &str) -> Result<Vec<(u32, Token)>, (u32, Fault)> {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut lexer = Lexer {
        rest: source.strip_suffix('\n').unwrap_or(&source),
        line: 1,
        tokens: Vec::new(),
        begins: true,
    };
    loop {
        match lexer.data() {
            Ok(true) => {}
            Ok(false) => return Ok(lexer.tokens),
            Err(fault) => return Err((lexer.line, fault)),
        }
    }
}

impl<'s> Lexer<'s> {
    fn take(&mut self, len: usize) -> &'s str {
        let (taken, rest) = self.rest.split_at(len);
        self.line += taken.bytes().filter(|byte| *byte == b'\n').count() as u32;
        self.rest = rest;
        taken
    }

    /// Text up to the next opening, and what is opened.
    fn data(&mut self) -> Result<bool, Fault> {
        let opening = self
            .rest
            .match_indices('{')
            .find(|(at, _)| matches!(self.rest.as_bytes().get(at + 1), Some(b'{' | b'%' | b'#')));
        let line = self.line;
        let Some((at, _)) = opening else {
            let text = self.take(self.rest.len());
            self.text(line, text);
            return Ok(false);
        };
        let mut text = self.take(at);
        let kind = self.rest.as_bytes()[1];
        self.take(2);
        let sign = self.rest.as_bytes().first().copied();
        if sign == Some(b'-') {
            text = text.trim_end();
        } else if sign != Some(b'+') && kind != b'{' {
            text = without_indent(text, self.begins);
        }
        if matches!(sign, Some(b'-' | b'+')) {
            self.take(1);
        }
        self.text(line, text);
        match kind {
            b'#' => self.comment()?,
            b'{' => {
                self.tokens.push((self.line, Token::Open(Kind::Output)));
                self.inside("}}")?;
            }
            _ if self.raw()? => {}
            _ => {
                self.tokens.push((self.line, Token::Open(Kind::Tag)));
                self.inside("%}")?;
            }
        }
        Ok(true)
    }

    fn text(&mut self, line: u32, text: &str) {
        if !text.is_empty() {
            self.tokens.push((line, Token::Data(text.to_owned())));
        }
    }

    /// What a closing takes away behind it.
    fn close(&mut self, sign: Option<u8>, trims: bool) {
        self.begins = false;
        if sign == Some(b'-') {
            let space = self.rest.len() - self.rest.trim_start().len();
            self.begins = self.take(space).ends_with('\n');
        } else if trims && sign != Some(b'+') && self.rest.starts_with('\n') {
            self.take(1);
            self.begins = true;
        }
    }

    fn comment(&mut self) -> Result<(), Fault> {
        let Some(end) = self.rest.find("#}") else {
            return fail("a comment does not end");
        };
        let inside = self.take(end);
        self.take(2);
        let sign = inside.bytes().last().filter(|sign| b"-+".contains(sign));
        self.close(sign, true);
        Ok(())
    }

    /// `{% raw %}`, if that is what was opened.
    fn raw(&mut self) -> Result<bool, Fault> {
        let tag = self.rest.trim_start();
        let Some(after) = tag.strip_prefix("raw").map(str::trim_start) else {
            return Ok(false);
        };
        let strip = after.starts_with('-');
        let Some(body) = after
            .trim_start_matches(['-', '+'])
            .strip_prefix("%}")
            .map(|body| if strip { body.trim_start() } else { body })
        else {
            return Ok(false);
        };
        let begins = strip && self.take(self.rest.len() - body.len()).ends_with('\n');
        self.take(self.rest.len() - body.len());
        let mut from = 0;
        while let Some(at) = self.rest[from..].find("{%").map(|at| at + from) {
            from = at + 2;
            let tag = &self.rest[from..];
            let inner = tag.trim_start_matches(['-', '+']).trim_start();
            let Some(inner) = inner.strip_prefix("endraw").map(str::trim_start) else {
                continue;
            };
            let sign = inner.bytes().next().filter(|sign| b"-+".contains(sign));
            let Some(after) = inner.trim_start_matches(['-', '+']).strip_prefix("%}") else {
                continue;
            };
            let line = self.line;
            let (len, after) = (at, after.len());
            let mut text = self.take(len);
            if tag.starts_with('-') {
                text = text.trim_end();
            } else if !tag.starts_with('+') {
                text = without_indent(text, begins);
            }
            self.text(line, text);
            self.take(self.rest.len() - after);
            self.close(sign, true);
            return Ok(true);
        }
        fail("what is raw does not end")
    }

    /// What stands between an opening and its closing.
    fn inside(&mut self, end: &str) -> Result<(), Fault> {
        let mut brackets = 0_usize;
        loop {
            let space = self.rest.len() - self.rest.trim_start().len();
            self.take(space);
            let line = self.line;
            if brackets == 0 {
                let sign = self.rest.bytes().next();
                let sign = sign.filter(|sign| *sign == b'-' || (*sign == b'+' && end == "%}"));
                let at = usize::from(sign.is_some());
                for (at, sign) in [(0, None), (at, sign)] {
                    if self
                        .rest
                        .get(at..)
                        .is_some_and(|rest| rest.starts_with(end))
                    {
                        self.take(at + 2);
                        self.close(sign, end == "%}");
                        self.tokens.push((line, Token::Close));
                        return Ok(());
                    }
                }
            }
            let Some(c) = self.rest.chars().next() else {
                return fail("a tag does not end");
            };
            let token = match c {
                '\'' | '"' => self.quoted(c)?,
                '0'..='9' => self.number()?,
                _ if c == '_' || c.is_alphabetic() => {
                    let len = self
                        .rest
                        .find(|c: char| c != '_' && !c.is_alphanumeric())
                        .unwrap_or(self.rest.len());
                    Token::Name(self.take(len).to_owned())
                }
                _ => {
                    let Some(sign) = SIGNS.iter().find(|sign| self.rest.starts_with(**sign)) else {
                        return fail(format!("`{c}` has no meaning here"));
                    };
                    self.take(sign.len());
                    match *sign {
                        "(" | "[" | "{" => brackets += 1,
                        ")" | "]" | "}" => brackets = brackets.saturating_sub(1),
                        _ => {}
                    }
                    Token::Sign(sign)
                }
            };
            self.tokens.push((line, token));
        }
    }

    fn number(&mut self) -> Result<Token, Fault> {
        let bytes = self.rest.as_bytes();
        let digits = |from: usize| {
            let more = bytes[from..].iter();
            from + more
                .take_while(|b| b.is_ascii_digit() || **b == b'_')
                .count()
        };
        let mut len = digits(0);
        let mut whole = true;
        if bytes.get(len) == Some(&b'.') && bytes.get(len + 1).is_some_and(u8::is_ascii_digit) {
            whole = false;
            len = digits(len + 1);
        }
        if matches!(bytes.get(len), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(len + 1), Some(b'+' | b'-')));
            let end = digits(len + 1 + sign);
            if end > len + 1 + sign {
                whole = false;
                len = end;
            }
        }
        let text = self.take(len).replace('_', "");
        let token = if whole {
            text.parse().ok().map(Token::Int)
        } else {
            text.parse().ok().map(Token::Float)
        };
        token.ok_or_else(|| Fault::Failed(format!("`{text}` is no number")))
    }

    fn quoted(&mut self, quote: char) -> Result<Token, Fault> {
        let mut escaped = false;
        let end = self.rest[1..].find(|c| {
            let ends = c == quote && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let Some(end) = end else {
            return fail("a text does not end");
        };
        let text = self.take(end + 2);
        Ok(Token::Text(unescape(&text[1..=end])))
    }
}

/// Without the blanks that a line begins with, if there is nothing else in it.
fn without_indent(text: &str, begins: bool) -> &str {
    let begin = text.rfind('\n').map(|at| at + 1);
    match begin.or_else(|| begins.then_some(0)) {
        Some(begin) if text[begin..].trim().is_empty() => &text[..begin],
        _ => text,
    }
}

/// The meaning of a text in quotes, as Python has it.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let c = rest.chars().next().unwrap_or('\\');
        let (digits, radix, skip) = match c {
            'x' => (2, 16, 1),
            'u' => (4, 16, 1),
            'U' => (8, 16, 1),
            '0'..='7' => (
                rest.bytes()
                    .take(3)
                    .take_while(|b| (b'0'..=b'7').contains(b))
                    .count(),
                8,
                0,
            ),
            _ => (0, 0, 0),
        };
        let code = rest.get(skip..skip + digits).filter(|_| digits > 0);
        let code = code.and_then(|code| u32::from_str_radix(code, radix).ok());
        let (meaning, len) = match (code.and_then(char::from_u32), c) {
            (Some(meaning), _) => (Some(meaning), skip + digits),
            (None, 'n') => (Some('\n'), 1),
            (None, 't') => (Some('\t'), 1),
            (None, 'r') => (Some('\r'), 1),
            (None, 'a') => (Some('\u{7}'), 1),
            (None, 'b') => (Some('\u{8}'), 1),
            (None, 'f') => (Some('\u{c}'), 1),
            (None, 'v') => (Some('\u{b}'), 1),
            (None, '\\' | '\'' | '"') => (Some(c), 1),
            (None, '\n') => (None, 1),
            (None, _) => (Some('\\'), 0),
        };
        plain.extend(meaning);
        rest = rest.get(len..).unwrap_or_default();
    }
    plain.push_str(rest);
    plain
}
