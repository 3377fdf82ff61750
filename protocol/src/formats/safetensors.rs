//! The header of a safetensors file: eight bytes of length, that much JSON, and then nothing but tensors.
//!
//! As strict as the format's own library: tensors cover the rest of the file without gap or overlap. Stricter in
//! one thing: a key that stands twice is refused, since two readers could take one each.

use std::{borrow::Cow, collections::BTreeSet};

use super::{FormatError, Header, Reading, Stop, TensorInfo, answer, extent, json::Json, within};
use crate::limits;

/// What holds free text instead of a tensor.
const METADATA: &str = "__metadata__";

/// Element types and their widths in bits.
const TYPES: [(&str, u32); 22] = [
    ("BOOL", 8),
    ("F4", 4),
    ("F6_E2M3", 6),
    ("F6_E3M2", 6),
    ("U8", 8),
    ("I8", 8),
    ("F8_E5M2", 8),
    ("F8_E4M3", 8),
    ("F8_E8M0", 8),
    ("F8_E4M3FNUZ", 8),
    ("F8_E5M2FNUZ", 8),
    ("I16", 16),
    ("U16", 16),
    ("F16", 16),
    ("BF16", 16),
    ("I32", 32),
    ("U32", 32),
    ("F32", 32),
    ("C64", 64),
    ("F64", 64),
    ("I64", 64),
    ("U64", 64),
];

/// Reads the header of a file of `size` bytes from its first bytes.
///
/// # Errors
/// If it breaks a rule of the format.
pub fn read(prefix: &[u8], size: u64) -> Result<Reading<Header>, FormatError> {
    let prefix = within(prefix, size);
    answer(parse(prefix, size), prefix, size)
}

fn parse(prefix: &[u8], size: u64) -> Result<Header, Stop> {
    let (len, text) = prefix.split_first_chunk::<8>().ok_or(Stop::Short(8))?;
    let len = u64::from_le_bytes(*len);
    let data_start = u128::from(len) + 8;
    // Said of the claim at once, not when the file turns out to be shorter.
    if data_start > u128::from(size) {
        return Err(FormatError::BeyondFile {
            needed: data_start,
            size,
        }
        .into());
    }
    if data_start > u128::from(limits::WEIGHTS_HEADER_LEN_MAX) {
        return Err(FormatError::HeaderTooLong { len: data_start }.into());
    }
    let data_start = len.saturating_add(8);
    let json = Json::new(within(text, len), 8, len);
    let mut tensors = Parser {
        json,
        data_start,
        size,
    }
    .tensors()?;
    extent::unique(&tensors)?;
    extent::sort(&mut tensors);
    extent::apart(&tensors)?;
    extent::gapless(&tensors, data_start, size)?;
    Ok(Header {
        data_start,
        tensors,
    })
}

struct Parser<'a> {
    json: Json<'a>,
    data_start: u64,
    size: u64,
}

impl Parser<'_> {
    fn tensors(mut self) -> Result<Vec<TensorInfo>, Stop> {
        let mut tensors = Vec::new();
        let mut metadata = false;
        self.json.expect(b'{', "`{`")?;
        let mut more = !self.json.take(b'}')?;
        while more {
            let name = self.json.string()?;
            self.json.expect(b':', "`:`")?;
            if name == METADATA {
                if std::mem::replace(&mut metadata, true) {
                    return Err(duplicate(&name));
                }
                self.metadata()?;
            } else {
                limit("tensors", tensors.len(), limits::TENSORS_MAX)?;
                tensors.push(self.tensor(name)?);
            }
            more = self.json.take(b',')?;
            if !more {
                self.json.expect(b'}', "`,` or `}`")?;
            }
        }
        self.json.finish()?;
        Ok(tensors)
    }

    /// Reads past the map of texts to texts.
    fn metadata(&mut self) -> Result<(), Stop> {
        let mut keys = BTreeSet::new();
        self.json.expect(b'{', "`{`")?;
        if self.json.take(b'}')? {
            return Ok(());
        }
        loop {
            let key = self.json.string()?;
            limit("metadata entries", keys.len(), limits::METADATA_KEYS_MAX)?;
            self.json.expect(b':', "`:`")?;
            self.json.string()?;
            if let Some(key) = keys.replace(key) {
                return Err(duplicate(&key));
            }
            if !self.json.take(b',')? {
                return self.json.expect(b'}', "`,` or `}`");
            }
        }
    }

    fn tensor(&mut self, name: Cow<'_, str>) -> Result<TensorInfo, Stop> {
        limit_len("bytes of a tensor's name", name.len())?;
        let (mut dtype, mut shape, mut offsets) = (None, None, None);
        self.json.expect(b'{', "`{`")?;
        let mut more = !self.json.take(b'}')?;
        while more {
            let key = self.json.string()?;
            self.json.expect(b':', "`:`")?;
            let again = match &*key {
                "dtype" => dtype.replace(self.json.string()?).is_some(),
                "shape" => shape
                    .replace(self.numbers(limits::TENSOR_DIMENSIONS_MAX)?)
                    .is_some(),
                "data_offsets" => offsets.replace(self.numbers(2)?).is_some(),
                _ => {
                    self.json.skip()?;
                    false
                }
            };
            if again {
                return Err(duplicate(&key));
            }
            more = self.json.take(b',')?;
            if !more {
                self.json.expect(b'}', "`,` or `}`")?;
            }
        }
        let name = name.into_owned();
        let missing = |field| FormatError::Missing {
            tensor: name.clone(),
            field,
        };
        let dtype = dtype.ok_or_else(|| missing("dtype"))?;
        let shape = shape.ok_or_else(|| missing("shape"))?;
        let offsets = offsets.ok_or_else(|| missing("data_offsets"))?;
        Ok(self.place(name, &dtype, shape, &offsets)?)
    }

    fn place(
        &self,
        tensor: String,
        dtype: &str,
        shape: Vec<u64>,
        offsets: &[u64],
    ) -> Result<TensorInfo, FormatError> {
        let known = TYPES.iter().find(|(name, _)| *name == dtype);
        let Some((dtype, bits)) = known else {
            let dtype = dtype.chars().take(limits::TENSOR_DTYPE_LEN_MAX).collect();
            return Err(FormatError::UnknownType { tensor, dtype });
        };
        let bits = extent::elements(&shape)
            .and_then(|elements| elements.checked_mul(u128::from(*bits)))
            .filter(|bits| bits.is_multiple_of(8));
        let Some(expected) = bits.and_then(|bits| u64::try_from(bits / 8).ok()) else {
            return Err(FormatError::Shape { tensor });
        };
        let [begin, end] = offsets else {
            return Err(FormatError::Outside { tensor });
        };
        let beyond = self
            .data_start
            .checked_add(*end)
            .is_none_or(|end| end > self.size);
        let Some(claimed) = end.checked_sub(*begin).filter(|_| !beyond) else {
            return Err(FormatError::Outside { tensor });
        };
        if claimed != expected {
            return Err(FormatError::WrongLen {
                tensor,
                claimed,
                expected,
            });
        }
        Ok(TensorInfo {
            name: tensor,
            dtype,
            shape,
            offset: self.data_start.saturating_add(*begin),
            len: claimed,
        })
    }

    fn numbers(&mut self, max: usize) -> Result<Vec<u64>, Stop> {
        let mut numbers = Vec::new();
        self.json.expect(b'[', "`[`")?;
        if self.json.take(b']')? {
            return Ok(numbers);
        }
        loop {
            limit("numbers in a list", numbers.len(), max)?;
            numbers.push(self.json.unsigned()?);
            if !self.json.take(b',')? {
                self.json.expect(b']', "`,` or `]`")?;
                return Ok(numbers);
            }
        }
    }
}

/// Refuses one more than `max`.
fn limit(what: &'static str, count: usize, max: usize) -> Result<(), FormatError> {
    if count < max {
        return Ok(());
    }
    let count = u64::try_from(count).unwrap_or(u64::MAX).saturating_add(1);
    let max = u64::try_from(max).unwrap_or(u64::MAX);
    Err(FormatError::TooMany { what, count, max })
}

fn limit_len(what: &'static str, len: usize) -> Result<(), FormatError> {
    limit(what, len.saturating_sub(1), limits::TENSOR_NAME_LEN_MAX)
}

fn duplicate(name: &str) -> Stop {
    let name = name.chars().take(limits::TENSOR_NAME_LEN_MAX).collect();
    FormatError::Duplicate { name }.into()
}
