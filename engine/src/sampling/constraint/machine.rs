//! The machine that reads JSON byte by byte.

mod number;
mod parts;

use number::Phase;
use parts::{array, begin, object, string};

use super::schema::Schema;

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
