//! What a byte means at each place.

use super::{
    super::schema::{Node, Schema},
    Frame, Phase, Place, Rest,
};

fn literal(text: &[u8]) -> Frame {
    Frame::Text {
        text: text.into(),
        at: 1,
    }
}

/// A value begins with a byte.
pub(super) fn begin(node: usize, byte: u8, schema: &Schema, tell: &mut dyn FnMut(&[Frame])) {
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
pub(super) fn string(
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

pub(super) fn object(
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

pub(super) fn array(
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
