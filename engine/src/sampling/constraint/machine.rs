//! The machine that reads JSON byte by byte.

use super::schema::{Node, Schema};

/// Values inside values.
const DEPTH_MAX: usize = 64;
/// Blanks in a row between two parts, of which one may end the line. Without a bound a model may write nothing else.
const BLANKS_MAX: u8 = 16;

/// One way in which the bytes so far can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    /// What is open, the innermost last.
    frames: Vec<Frame>,
    blanks: u8,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Frame {
    /// A value of this kind begins.
    Value(usize),
    /// Exactly these bytes, from the place on.
    Text {
        text: std::sync::Arc<[u8]>,
        at: usize,
    },
    Str {
        rest: Rest,
        len: usize,
        least: usize,
        most: usize,
    },
    Number {
        phase: Phase,
        whole: bool,
    },
    /// After `{`, a comma or a value of an object; `seen` are the properties that it has.
    Object {
        node: usize,
        seen: u64,
        place: Place,
    },
    Array {
        node: usize,
        count: usize,
        place: Place,
    },
}

/// Where in an object or array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Just opened.
    Open,
    /// Behind a key.
    Colon { value: usize },
    /// Behind a value.
    Behind,
    /// Behind a comma.
    Comma,
}

/// What a string still owes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    None,
    Escape,
    Hex(u8),
    /// Bytes of a character, and the range of the next.
    Bytes {
        count: u8,
        low: u8,
        high: u8,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Sign,
    Zero,
    Digits,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
}

impl Phase {
    fn may_end(self) -> bool {
        matches!(
            self,
            Self::Zero | Self::Digits | Self::Fraction | Self::ExponentDigits
        )
    }

    fn next(self, byte: u8, whole: bool) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Sign, b'0') => Self::Zero,
            (Self::Sign, b'1'..=b'9') | (Self::Digits, b'0'..=b'9') => Self::Digits,
            (Self::Zero | Self::Digits, b'.') if !whole => Self::Point,
            (Self::Point | Self::Fraction, b'0'..=b'9') => Self::Fraction,
            (Self::Zero | Self::Digits | Self::Fraction, b'e' | b'E') if !whole => Self::Exponent,
            (Self::Exponent, b'+' | b'-') => Self::ExponentSign,
            (Self::Exponent | Self::ExponentSign | Self::ExponentDigits, b'0'..=b'9') => {
                Self::ExponentDigits
            }
            _ => return None,
        })
    }
}

impl State {
    pub(super) fn new(root: usize) -> Self {
        Self {
            frames: vec![Frame::Value(root)],
            blanks: 0,
        }
    }

    /// Whether nothing but blanks can follow.
    pub(super) fn is_over(&self) -> bool {
        self.frames.is_empty()
    }

    pub(super) fn may_end(&self) -> bool {
        match self.frames.as_slice() {
            [] => true,
            [Frame::Number { phase, .. }] => phase.may_end(),
            _ => false,
        }
    }

    /// Reads a byte; tells every state that it can lead to.
    pub(super) fn read(&self, byte: u8, schema: &Schema, tell: &mut dyn FnMut(Self)) {
        let Some((top, below)) = self.frames.split_last() else {
            return;
        };
        let go = |frames: &[Frame], tell: &mut dyn FnMut(Self)| {
            tell(Self {
                frames: [below, frames].concat(),
                blanks: 0,
            });
        };
        let blank = matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
        let between = matches!(
            top,
            Frame::Value(_) | Frame::Object { .. } | Frame::Array { .. }
        );
        // No blanks before the whole value: an answer begins with what was asked for.
        let inside = self.frames.len() > 1 || !matches!(top, Frame::Value(_));
        if blank && between {
            let before_colon = matches!(
                top,
                Frame::Object {
                    place: Place::Colon { .. },
                    ..
                }
            );
            let first = self.blanks == 0 || byte != b'\n';
            if self.blanks < BLANKS_MAX && inside && first && !before_colon {
                tell(Self {
                    frames: self.frames.clone(),
                    blanks: self.blanks + 1,
                });
            }
            return;
        }
        match top {
            Frame::Value(node) => {
                if self.frames.len() <= DEPTH_MAX {
                    begin(*node, byte, schema, &mut |frames| go(frames, tell));
                }
            }
            Frame::Text { text, at } => {
                if text.get(*at) == Some(&byte) {
                    let text = text.clone();
                    match at + 1 == text.len() {
                        true => go(&[], tell),
                        false => go(&[Frame::Text { text, at: at + 1 }], tell),
                    }
                }
            }
            Frame::Str {
                rest,
                len,
                least,
                most,
            } => {
                if let Some(frame) = string(*rest, byte, (*len, *least, *most)) {
                    match frame {
                        Some(frame) => go(&[frame], tell),
                        None => go(&[], tell),
                    }
                }
            }
            Frame::Number { phase, whole } => {
                if let Some(phase) = phase.next(byte, *whole) {
                    go(
                        &[Frame::Number {
                            phase,
                            whole: *whole,
                        }],
                        tell,
                    );
                } else if phase.may_end() {
                    // The byte belongs to what is around the number.
                    let around = Self {
                        frames: below.to_vec(),
                        blanks: 0,
                    };
                    around.read(byte, schema, tell);
                }
            }
            Frame::Object { node, seen, place } => {
                object(*node, *seen, *place, byte, schema, &mut |frames| {
                    go(frames, tell);
                });
            }
            Frame::Array { node, count, place } => {
                array(*node, *count, *place, byte, schema, &mut |frames| {
                    go(frames, tell);
                });
            }
        }
    }
}

fn literal(text: &[u8]) -> Frame {
    Frame::Text {
        text: text.into(),
        at: 1,
    }
}

/// A value begins with a byte.
fn begin(node: usize, byte: u8, schema: &Schema, tell: &mut dyn FnMut(&[Frame])) {
    match schema.node(node) {
        Node::Any => {
            for other in schema.all_kinds() {
                begin(*other, byte, schema, tell);
            }
        }
        Node::OneOf(nodes) => {
            for other in nodes {
                // One that leads back to itself was refused when the schema was read.
                begin(*other, byte, schema, tell);
            }
        }
        Node::Exact(text) => {
            if text.first() == Some(&byte) {
                match text.len() {
                    1 => tell(&[]),
                    _ => tell(&[literal(text)]),
                }
            }
        }
        Node::Str { least, most } => {
            if byte == b'"' {
                tell(&[Frame::Str {
                    rest: Rest::None,
                    len: 0,
                    least: *least,
                    most: *most,
                }]);
            }
        }
        Node::Number { whole } => {
            let phase = match byte {
                b'-' => Some(Phase::Sign),
                _ => Phase::Sign.next(byte, *whole),
            };
            if let Some(phase) = phase {
                tell(&[Frame::Number {
                    phase,
                    whole: *whole,
                }]);
            }
        }
        Node::Object { .. } => {
            if byte == b'{' {
                tell(&[Frame::Object {
                    node,
                    seen: 0,
                    place: Place::Open,
                }]);
            }
        }
        Node::Array { .. } => {
            if byte == b'[' {
                tell(&[Frame::Array {
                    node,
                    count: 0,
                    place: Place::Open,
                }]);
            }
        }
    }
}

/// A byte inside a string. The outer `None`: it does not fit; the inner one: the string is over.
#[expect(clippy::option_option, reason = "one step may fail, end or go on")]
fn string(
    rest: Rest,
    byte: u8,
    (len, least, most): (usize, usize, usize),
) -> Option<Option<Frame>> {
    let go = |rest, len| {
        Some(Some(Frame::Str {
            rest,
            len,
            least,
            most,
        }))
    };
    let bytes = |count, low, high| go(Rest::Bytes { count, low, high }, len);
    let room = len < most;
    match (rest, byte) {
        (Rest::None, b'"') => (len >= least).then_some(None),
        (Rest::None, _) if !room => None,
        (Rest::None, b'\\') => go(Rest::Escape, len),
        (Rest::None, 0x20..=0x7f) => go(Rest::None, len + 1),
        (Rest::None, 0xc2..=0xdf) => bytes(1, 0x80, 0xbf),
        (Rest::None, 0xe0) => bytes(2, 0xa0, 0xbf),
        (Rest::None, 0xed) => bytes(2, 0x80, 0x9f),
        (Rest::None, 0xe1..=0xef) => bytes(2, 0x80, 0xbf),
        (Rest::None, 0xf0) => bytes(3, 0x90, 0xbf),
        (Rest::None, 0xf1..=0xf3) => bytes(3, 0x80, 0xbf),
        (Rest::None, 0xf4) => bytes(3, 0x80, 0x8f),
        (Rest::Escape, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
            go(Rest::None, len + 1)
        }
        (Rest::Escape, b'u') => go(Rest::Hex(4), len),
        (Rest::Hex(1), _) if byte.is_ascii_hexdigit() => go(Rest::None, len + 1),
        (Rest::Hex(left), _) if byte.is_ascii_hexdigit() => go(Rest::Hex(left - 1), len),
        (Rest::Bytes { count, low, high }, _) if (low..=high).contains(&byte) => match count {
            1 => go(Rest::None, len + 1),
            _ => bytes(count - 1, 0x80, 0xbf),
        },
        _ => None,
    }
}

fn object(
    node: usize,
    seen: u64,
    place: Place,
    byte: u8,
    schema: &Schema,
    tell: &mut dyn FnMut(&[Frame]),
) {
    let Node::Object {
        properties,
        required,
        others,
    } = schema.node(node)
    else {
        return;
    };
    let at = |place, seen| Frame::Object { node, seen, place };
    match (place, byte) {
        (Place::Open | Place::Behind, b'}') if seen & required == *required => tell(&[]),
        (Place::Behind, b',') => {
            // Only where another key can follow.
            let all = (0..properties.len()).fold(0, |all, index| all | 1 << index);
            if others.is_some() || seen & all != all {
                tell(&[at(Place::Comma, seen)]);
            }
        }
        (Place::Open | Place::Comma, b'"') => {
            for (index, (key, value)) in properties.iter().enumerate() {
                let bit = 1 << index;
                if seen & bit == 0 {
                    let behind = at(Place::Colon { value: *value }, seen | bit);
                    tell(&[behind, literal(key)]);
                }
            }
            if let Some(value) = others {
                let behind = at(Place::Colon { value: *value }, seen);
                let key = Frame::Str {
                    rest: Rest::None,
                    len: 0,
                    least: 0,
                    most: usize::MAX,
                };
                tell(&[behind, key]);
            }
        }
        (Place::Colon { value }, b':') => tell(&[at(Place::Behind, seen), Frame::Value(value)]),
        _ => {}
    }
}

fn array(
    node: usize,
    count: usize,
    place: Place,
    byte: u8,
    schema: &Schema,
    tell: &mut dyn FnMut(&[Frame]),
) {
    let Node::Array { items, least, most } = schema.node(node) else {
        return;
    };
    let behind = Frame::Array {
        node,
        count: count + 1,
        place: Place::Behind,
    };
    match (place, byte) {
        (Place::Open | Place::Behind, b']') if count >= *least => tell(&[]),
        (Place::Behind, b',') if count < *most => {
            tell(&[Frame::Array {
                node,
                count,
                place: Place::Comma,
            }]);
        }
        (Place::Open | Place::Comma, _) if count < *most => {
            begin(*items, byte, schema, &mut |frames| {
                let mut all = vec![behind.clone()];
                all.extend_from_slice(frames);
                tell(&all);
            });
        }
        _ => {}
    }
}
