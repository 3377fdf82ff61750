//! Headers of weight files: what is in a safetensors or GGUF file, or why it is not one.
//!
//! A header comes from a stranger and says how long its own parts are. These readers believe none of it: every
//! count, length, offset and product is checked against the file's size, with products in `u128`; names are
//! unique; tensors lie inside the file and do not overlap. They look at a *prefix* of the file and, where it is
//! too short, say how much more they need, so that a caller never reads or allocates what a file merely claims.
//! They never panic, never recurse deeper than a small constant, and never execute anything.
//!
//! Whatever else reads such a file (an engine, say) reads it after these have.

mod extent;
pub mod gguf;
mod json;
pub mod safetensors;
#[cfg(test)]
mod tests;

pub use gguf::Gguf;

use crate::limits;

/// A format whose header can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// A JSON header before raw tensors.
    Safetensors,
    /// Typed key-value pairs and tensor descriptions before aligned tensors, version 2 or 3.
    Gguf,
}

impl Format {
    /// The format that a path's ending promises.
    pub fn of_path(path: &str) -> Option<Self> {
        let (_, ending) = path.rsplit_once('.')?;
        if ending.eq_ignore_ascii_case("safetensors") {
            Some(Self::Safetensors)
        } else if ending.eq_ignore_ascii_case("gguf") {
            Some(Self::Gguf)
        } else {
            None
        }
    }
}

/// One tensor as a header describes it, checked.
///
/// # Invariants
/// `offset + len` does not overflow and lies inside the file; `len` is what `dtype` and `shape` come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Name, unique in the file.
    pub name: String,
    /// Element type as the format spells it.
    pub dtype: &'static str,
    /// Dimensions in the order in which the file has them: safetensors slowest first, GGUF fastest first.
    pub shape: Vec<u64>,
    /// Byte offset in the file.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
}

/// What both formats have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Bytes before the first tensor may begin.
    pub data_start: u64,
    /// Sorted by offset and name.
    pub tensors: Vec<TensorInfo>,
}

/// How far reading got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading<T> {
    /// All of the header was there.
    Done(T),
    /// The prefix ends too early: call again with this many bytes of the file, which are more than were given, not
    /// more than the file has and not more than [`limits::WEIGHTS_HEADER_LEN_MAX`].
    More {
        /// Length of the prefix wanted.
        len: u64,
    },
}

/// Why a file's header is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// It does not begin as its format must.
    #[error("not a {0} file")]
    NotThisFormat(&'static str),
    /// A GGUF version that nobody writes any more, or not yet.
    #[error("version {0} of GGUF is not supported, only 2 and 3")]
    Version(u32),
    /// A GGUF file for machines that store the high byte first.
    #[error("the file is in big-endian byte order")]
    BigEndian,
    /// The header claims to reach beyond the end of the file.
    #[error("the header claims {needed} bytes of a file that has {size}")]
    BeyondFile {
        /// Bytes up to the end of what is claimed.
        needed: u128,
        /// Bytes of the file.
        size: u64,
    },
    /// The header is longer than any honest one.
    #[error("a header of {len} bytes, more than the {max} allowed", max = limits::WEIGHTS_HEADER_LEN_MAX)]
    HeaderTooLong {
        /// Bytes claimed.
        len: u128,
    },
    /// The JSON is not what it must be.
    #[error("byte {at}: expected {expected}")]
    Json {
        /// Where in the file.
        at: u64,
        /// What should stand there.
        expected: &'static str,
    },
    /// Nested deeper than any honest header.
    #[error("byte {at}: nested too deeply")]
    TooDeep {
        /// Where in the file.
        at: u64,
    },
    /// A type, a flag or an alignment that does not exist.
    #[error("{value} as {what} does not exist")]
    BadValue {
        /// Of what.
        what: &'static str,
        /// What it claims to be.
        value: u64,
    },
    /// More of something than allowed.
    #[error("{count} {what}, more than the {max} allowed")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many are claimed or were found.
        count: u64,
        /// How many are allowed.
        max: u64,
    },
    /// A name that is not UTF-8.
    #[error("the {what} are no text")]
    NotText {
        /// Of what.
        what: &'static str,
    },
    /// A name stands twice.
    #[error("`{name}` stands twice")]
    Duplicate {
        /// Which.
        name: String,
    },
    /// A tensor lacks a field.
    #[error("`{tensor}` has no {field}")]
    Missing {
        /// Which tensor.
        tensor: String,
        /// Which field.
        field: &'static str,
    },
    /// An element type that is not known.
    #[error("`{tensor}` has the unknown element type {dtype}")]
    UnknownType {
        /// Which tensor.
        tensor: String,
        /// What it claims to hold.
        dtype: String,
    },
    /// Its shape is impossible: too large to count, or no whole number of blocks or bytes.
    #[error("`{tensor}` has an impossible shape")]
    Shape {
        /// Which tensor.
        tensor: String,
    },
    /// Its place has another length than its shape comes to.
    #[error("`{tensor}` takes {claimed} bytes where its shape comes to {expected}")]
    WrongLen {
        /// Which tensor.
        tensor: String,
        /// Bytes between its offsets.
        claimed: u64,
        /// Bytes of its shape.
        expected: u64,
    },
    /// It begins where its format lets no tensor begin.
    #[error("`{tensor}` is not aligned to {alignment} bytes")]
    Unaligned {
        /// Which tensor.
        tensor: String,
        /// What its offset must be a multiple of.
        alignment: u64,
    },
    /// It reaches beyond the end of the file, or ends before it begins.
    #[error("`{tensor}` does not lie inside the file")]
    Outside {
        /// Which tensor.
        tensor: String,
    },
    /// Two tensors share bytes.
    #[error("`{second}` begins inside `{first}`")]
    Overlap {
        /// The one that begins earlier.
        first: String,
        /// The other.
        second: String,
    },
    /// Bytes that belong to no tensor, in a format that has none such.
    #[error("{len} bytes at {at} belong to no tensor")]
    Hole {
        /// Where in the file.
        at: u64,
        /// How many.
        len: u64,
    },
}

/// Reads the header of a file of `size` bytes from its first bytes.
///
/// # Errors
/// If the file is not what `format` promises, or breaks one of its rules.
pub fn read(format: Format, prefix: &[u8], size: u64) -> Result<Reading<Header>, FormatError> {
    match format {
        Format::Safetensors => safetensors::read(prefix, size),
        Format::Gguf => Ok(match gguf::read(prefix, size)? {
            Reading::Done(gguf) => Reading::Done(Header {
                data_start: gguf.data_start,
                tensors: gguf.tensors,
            }),
            Reading::More { len } => Reading::More { len },
        }),
    }
}

/// Why parsing stopped: for want of bytes, or for good.
#[derive(Debug)]
enum Stop {
    /// The file must be seen up to here.
    Short(u128),
    Bad(FormatError),
}

impl From<FormatError> for Stop {
    fn from(error: FormatError) -> Self {
        Self::Bad(error)
    }
}

/// A look at less than this is not worth a system call.
const LOOK_LEN_MIN: u64 = 64 * 1024;

/// Turns the end of parsing into an answer. Looks at least double, so that all of them together parse no more than
/// twice the header.
fn answer<T>(
    outcome: Result<T, Stop>,
    prefix: &[u8],
    size: u64,
) -> Result<Reading<T>, FormatError> {
    let needed = match outcome {
        Ok(header) => return Ok(Reading::Done(header)),
        Err(Stop::Bad(error)) => return Err(error),
        Err(Stop::Short(needed)) => needed,
    };
    if needed > u128::from(size) {
        return Err(FormatError::BeyondFile { needed, size });
    }
    let most = size.min(limits::WEIGHTS_HEADER_LEN_MAX);
    let needed = u64::try_from(needed)
        .ok()
        .filter(|needed| *needed <= most)
        .ok_or(FormatError::HeaderTooLong { len: needed })?;
    let seen = u64::try_from(prefix.len()).unwrap_or(u64::MAX);
    let len = needed
        .max(seen.saturating_mul(2))
        .max(LOOK_LEN_MIN)
        .min(most);
    Ok(Reading::More { len })
}

/// No more of a prefix than the file is said to have.
fn within(prefix: &[u8], size: u64) -> &[u8] {
    let len = usize::try_from(size).unwrap_or(usize::MAX);
    prefix.get(..len).unwrap_or(prefix)
}
