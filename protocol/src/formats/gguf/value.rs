//! Values of GGUF metadata, read where they lie.

use super::{
    super::{FormatError, Stop},
    cursor::Cursor,
};

/// Arrays inside arrays; nobody writes even two levels.
const DEPTH_MAX: u32 = 4;

/// The value of a key, or an item of an array.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// An unsigned integer of any width.
    Unsigned(u64),
    /// A signed integer of any width.
    Signed(i64),
    /// A floating-point number of either width.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// A text. Tokens of some vocabularies are no UTF-8.
    Text(&'a [u8]),
    /// Items of one type.
    Array(Array<'a>),
}

/// An array whose items are read when they are asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Array<'a> {
    kind: Kind,
    len: u64,
    /// Exactly its items, which were read through once and found whole.
    bytes: &'a [u8],
}

/// The types of values by their numbers in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    Text,
    Array,
    U64,
    I64,
    F64,
}

impl Kind {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, Stop> {
        Ok(match cursor.u32()? {
            0 => Self::U8,
            1 => Self::I8,
            2 => Self::U16,
            3 => Self::I16,
            4 => Self::U32,
            5 => Self::I32,
            6 => Self::F32,
            7 => Self::Bool,
            8 => Self::Text,
            9 => Self::Array,
            10 => Self::U64,
            11 => Self::I64,
            12 => Self::F64,
            other => {
                let what = "a metadata type";
                let value = u64::from(other);
                return Err(FormatError::BadValue { what, value }.into());
            }
        })
    }

    /// Bytes of a value at least, and whether that is all there is to know about one.
    fn width(self) -> (u128, bool) {
        match self {
            Self::U8 | Self::I8 => (1, true),
            Self::U16 | Self::I16 => (2, true),
            Self::U32 | Self::I32 | Self::F32 => (4, true),
            Self::U64 | Self::I64 | Self::F64 => (8, true),
            Self::Bool => (1, false),
            Self::Text => (8, false),
            Self::Array => (12, false),
        }
    }
}

impl<'a> Value<'a> {
    /// Reads a type and a value of it.
    pub(super) fn read(cursor: &mut Cursor<'a>) -> Result<Self, Stop> {
        let kind = Kind::read(cursor)?;
        Self::read_as(kind, cursor, DEPTH_MAX)
    }

    fn read_as(kind: Kind, cursor: &mut Cursor<'a>, depth: u32) -> Result<Self, Stop> {
        Ok(match kind {
            Kind::U8 => Self::Unsigned(u8::from_le_bytes(cursor.array()?).into()),
            Kind::I8 => Self::Signed(i8::from_le_bytes(cursor.array()?).into()),
            Kind::U16 => Self::Unsigned(u16::from_le_bytes(cursor.array()?).into()),
            Kind::I16 => Self::Signed(i16::from_le_bytes(cursor.array()?).into()),
            Kind::U32 => Self::Unsigned(cursor.u32()?.into()),
            Kind::I32 => Self::Signed(i32::from_le_bytes(cursor.array()?).into()),
            Kind::F32 => Self::Float(f32::from_le_bytes(cursor.array()?).into()),
            Kind::U64 => Self::Unsigned(cursor.u64()?),
            Kind::I64 => Self::Signed(i64::from_le_bytes(cursor.array()?)),
            Kind::F64 => Self::Float(f64::from_le_bytes(cursor.array()?)),
            Kind::Text => Self::Text(cursor.bytes()?),
            Kind::Array => Self::Array(Array::read(cursor, depth)?),
            Kind::Bool => match cursor.array()? {
                [0] => Self::Bool(false),
                [1] => Self::Bool(true),
                [other] => {
                    let what = "a truth value";
                    let value = u64::from(other);
                    return Err(FormatError::BadValue { what, value }.into());
                }
            },
        })
    }

    /// The number, if it is a whole one and not negative.
    pub fn as_u64(self) -> Option<u64> {
        match self {
            Self::Unsigned(value) => Some(value),
            Self::Signed(value) => u64::try_from(value).ok(),
            Self::Float(_) | Self::Bool(_) | Self::Text(_) | Self::Array(_) => None,
        }
    }

    /// The number, if it is a whole one.
    pub fn as_i64(self) -> Option<i64> {
        match self {
            Self::Unsigned(value) => i64::try_from(value).ok(),
            Self::Signed(value) => Some(value),
            Self::Float(_) | Self::Bool(_) | Self::Text(_) | Self::Array(_) => None,
        }
    }

    /// The number, if it is one with a fraction.
    pub fn as_f64(self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(value),
            Self::Unsigned(_)
            | Self::Signed(_)
            | Self::Bool(_)
            | Self::Text(_)
            | Self::Array(_) => None,
        }
    }

    /// The truth value, if it is one.
    pub fn as_bool(self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(value),
            Self::Unsigned(_)
            | Self::Signed(_)
            | Self::Float(_)
            | Self::Text(_)
            | Self::Array(_) => None,
        }
    }

    /// The bytes of the text, if it is one.
    pub fn as_bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::Text(bytes) => Some(bytes),
            Self::Unsigned(_)
            | Self::Signed(_)
            | Self::Float(_)
            | Self::Bool(_)
            | Self::Array(_) => None,
        }
    }

    /// The text, if it is one in UTF-8.
    pub fn as_str(self) -> Option<&'a str> {
        std::str::from_utf8(self.as_bytes()?).ok()
    }

    /// The array, if it is one.
    pub fn as_array(self) -> Option<Array<'a>> {
        match self {
            Self::Array(array) => Some(array),
            Self::Unsigned(_)
            | Self::Signed(_)
            | Self::Float(_)
            | Self::Bool(_)
            | Self::Text(_) => None,
        }
    }
}

impl<'a> Array<'a> {
    fn read(cursor: &mut Cursor<'a>, depth: u32) -> Result<Self, Stop> {
        let Some(depth) = depth.checked_sub(1) else {
            let at = cursor.place();
            return Err(FormatError::TooDeep { at }.into());
        };
        let kind = Kind::read(cursor)?;
        let len = cursor.u64()?;
        let mut items = cursor.clone();
        let (width, plain) = kind.width();
        let len_min = u128::from(len) * width;
        cursor.require(len_min)?;
        if plain {
            cursor.take(len_min)?;
        } else {
            for _ in 0..len {
                Value::read_as(kind, cursor, depth)?;
            }
        }
        let bytes = items.take(u128::from(cursor.place() - items.place()))?;
        Ok(Self { kind, len, bytes })
    }

    /// Number of items.
    pub fn len(self) -> u64 {
        self.len
    }

    /// Whether it has no items.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }
}

impl<'a> IntoIterator for Array<'a> {
    type Item = Value<'a>;
    type IntoIter = Items<'a>;

    fn into_iter(self) -> Items<'a> {
        Items {
            kind: self.kind,
            left: self.len,
            cursor: Cursor::new(self.bytes),
        }
    }
}

/// The items of an [`Array`], in order.
#[derive(Debug, Clone)]
pub struct Items<'a> {
    kind: Kind,
    left: u64,
    cursor: Cursor<'a>,
}

impl<'a> Iterator for Items<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        self.left = self.left.checked_sub(1)?;
        // Read through before, within the same depth: it cannot fail any more.
        Value::read_as(self.kind, &mut self.cursor, DEPTH_MAX).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        (left, Some(left))
    }
}
