//! The header of a GGUF file, versions 2 and 3: typed key-value pairs, tensor descriptions, then aligned tensors.
//!
//! Values are found and checked, but not copied: a vocabulary of a quarter million texts stays where it is and is
//! read when somebody asks ([`Value`], [`Array`]).

mod cursor;
mod types;
mod value;

use std::collections::BTreeSet;

use cursor::Cursor;
pub use value::{Array, Items, Value};

use super::{FormatError, Reading, Stop, TensorInfo, answer, extent, within};
use crate::limits;

/// Where tensors lie unless [`ALIGNMENT_KEY`] says otherwise.
const ALIGNMENT: u64 = 32;
const ARCHITECTURE_KEY: &str = "general.architecture";
const ALIGNMENT_KEY: &str = "general.alignment";
/// No page or cache line asks for more than 64 KiB.
const ALIGNMENT_MAX: u64 = 64 * 1024;
/// Dimensions that the format's own library can hold.
const DIMENSIONS_MAX: u32 = 4;
/// The shortest description of a tensor: an empty name, no dimensions.
const TENSOR_LEN_MIN: u128 = 24;
/// The shortest entry: an empty key with a value of one byte.
const ENTRY_LEN_MIN: u128 = 13;

/// A header; its values lie in the prefix that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Gguf<'a> {
    /// 2 or 3.
    pub version: u32,
    /// What every tensor's place is a multiple of, counted from [`Self::data_start`].
    pub alignment: u64,
    /// Where in the file the tensors begin.
    pub data_start: u64,
    /// Sorted by offset and name.
    pub tensors: Vec<TensorInfo>,
    /// In the order of the file; no key twice.
    entries: Vec<(&'a str, Value<'a>)>,
}

impl<'a> Gguf<'a> {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<Value<'a>> {
        let (_, value) = self.entries.iter().find(|(other, _)| *other == key)?;
        Some(*value)
    }

    /// All keys with their values, in the order of the file.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (&'a str, Value<'a>)> {
        self.entries.iter().copied()
    }

    /// Which family of models this is, e.g. `llama`.
    pub fn architecture(&self) -> Option<&'a str> {
        self.get(ARCHITECTURE_KEY)?.as_str()
    }

    /// The value of `<architecture>.<key>`, e.g. of `context_length`.
    pub fn of_architecture(&self, key: &str) -> Option<Value<'a>> {
        let architecture = self.architecture()?;
        self.get(&format!("{architecture}.{key}"))
    }
}

/// Reads the header of a file of `size` bytes from its first bytes.
///
/// # Errors
/// If it breaks a rule of the format, or has a version, byte order or element type that is not known.
pub fn read(prefix: &[u8], size: u64) -> Result<Reading<Gguf<'_>>, FormatError> {
    let prefix = within(prefix, size);
    answer(parse(prefix, size), prefix, size)
}

/// The family that a file names within its first bytes, which is where its writers put it. Nothing else of the header
/// is checked: this is for lists, and not for who loads the file.
pub fn first_architecture(prefix: &[u8]) -> Option<&str> {
    let mut cursor = Cursor::new(prefix);
    let (magic, version) = (cursor.array::<4>().ok()?, cursor.u32().ok()?);
    if magic != *b"GGUF" || !(2..=3).contains(&version) {
        return None;
    }
    let _tensors = cursor.u64().ok()?;
    let entries = cursor.count("metadata entries", limits::METADATA_KEYS_MAX);
    for _ in 0..entries.ok()? {
        let key = cursor.name("bytes of a metadata key", limits::METADATA_KEY_LEN_MAX);
        let (key, value) = (key.ok()?, Value::read(&mut cursor).ok()?);
        if key == ARCHITECTURE_KEY {
            return value.as_str();
        }
    }
    None
}

fn parse(prefix: &[u8], size: u64) -> Result<Gguf<'_>, Stop> {
    let mut cursor = Cursor::new(prefix);
    if cursor.array::<4>()? != *b"GGUF" {
        return Err(FormatError::NotThisFormat("GGUF").into());
    }
    let version = cursor.u32()?;
    match version {
        2 | 3 => {}
        0x0200_0000 | 0x0300_0000 => return Err(FormatError::BigEndian.into()),
        other => return Err(FormatError::Version(other).into()),
    }
    let tensor_count = cursor.count("tensors", limits::TENSORS_MAX)?;
    let entry_count = cursor.count("metadata entries", limits::METADATA_KEYS_MAX)?;
    cursor.require(
        u128::from(tensor_count) * TENSOR_LEN_MIN + u128::from(entry_count) * ENTRY_LEN_MIN,
    )?;
    // Grown as entries are found: the counts are claims.
    let mut entries = Vec::new();
    let mut keys = BTreeSet::new();
    for _ in 0..entry_count {
        let key = cursor.name("bytes of a metadata key", limits::METADATA_KEY_LEN_MAX)?;
        let value = Value::read(&mut cursor)?;
        if !keys.insert(key) {
            return Err(duplicate(key));
        }
        entries.push((key, value));
    }
    let alignment = alignment(&entries)?;
    let mut tensors = Vec::new();
    for _ in 0..tensor_count {
        tensors.push(tensor(&mut cursor, alignment)?);
    }
    // A file that has no tensors need not be padded.
    let header_len = cursor.place();
    let data_start = match tensors.is_empty() {
        true => header_len,
        false => header_len.next_multiple_of(alignment),
    };
    for tensor in &mut tensors {
        let end = u128::from(data_start) + u128::from(tensor.offset) + u128::from(tensor.len);
        if end > u128::from(size) {
            let tensor = std::mem::take(&mut tensor.name);
            return Err(FormatError::Outside { tensor }.into());
        }
        tensor.offset = tensor.offset.saturating_add(data_start);
    }
    extent::unique(&tensors)?;
    extent::sort(&mut tensors);
    extent::apart(&tensors)?;
    Ok(Gguf {
        version,
        alignment,
        data_start,
        tensors,
        entries,
    })
}

/// The alignment of tensors: a power of two within reason.
fn alignment(entries: &[(&str, Value<'_>)]) -> Result<u64, FormatError> {
    let Some((_, value)) = entries.iter().find(|(key, _)| *key == ALIGNMENT_KEY) else {
        return Ok(ALIGNMENT);
    };
    let value = value.as_u64().unwrap_or(0);
    if value.is_power_of_two() && value <= ALIGNMENT_MAX {
        Ok(value)
    } else {
        let what = "an alignment";
        Err(FormatError::BadValue { what, value })
    }
}

/// Reads one description. Its offset is left relative to the tensors' beginning.
fn tensor(cursor: &mut Cursor<'_>, alignment: u64) -> Result<TensorInfo, Stop> {
    let name = cursor.name("bytes of a tensor's name", limits::TENSOR_NAME_LEN_MAX)?;
    let dimensions = cursor.u32()?;
    if dimensions > DIMENSIONS_MAX {
        return Err(FormatError::TooMany {
            what: "dimensions",
            count: u64::from(dimensions),
            max: u64::from(DIMENSIONS_MAX),
        }
        .into());
    }
    let mut shape = Vec::new();
    for _ in 0..dimensions {
        shape.push(cursor.u64()?);
    }
    let dtype = cursor.u32()?;
    let offset = cursor.u64()?;
    let name = name.to_owned();
    let Some((dtype, block, block_len)) = types::find(dtype) else {
        let dtype = dtype.to_string();
        return Err(FormatError::UnknownType {
            tensor: name,
            dtype,
        }
        .into());
    };
    let row = shape.first().copied().unwrap_or(1);
    let len = extent::elements(&shape)
        .filter(|_| row.is_multiple_of(block))
        .and_then(|elements| (elements / u128::from(block)).checked_mul(u128::from(block_len)))
        .and_then(|len| u64::try_from(len).ok());
    let Some(len) = len else {
        return Err(FormatError::Shape { tensor: name }.into());
    };
    if !offset.is_multiple_of(alignment) {
        return Err(FormatError::Unaligned {
            tensor: name,
            alignment,
        }
        .into());
    }
    Ok(TensorInfo {
        name,
        dtype,
        shape,
        offset,
        len,
    })
}

fn duplicate(name: &str) -> Stop {
    let name = name.chars().take(limits::TENSOR_NAME_LEN_MAX).collect();
    FormatError::Duplicate { name }.into()
}
