//! Little-endian reading that can only run short.

use super::super::{FormatError, Stop};

/// A place in a prefix of a file.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes read so far.
    pub(super) fn place(&self) -> u64 {
        u64::try_from(self.at).unwrap_or(u64::MAX)
    }

    /// Fails unless `len` bytes follow, without reading them: what a count claims at least must be there.
    pub(super) fn require(&self, len: u128) -> Result<(), Stop> {
        self.clone().take(len).map(drop)
    }

    /// The next `len` bytes.
    pub(super) fn take(&mut self, len: u128) -> Result<&'a [u8], Stop> {
        let end = usize::try_from(len)
            .ok()
            .and_then(|len| self.at.checked_add(len));
        match end.and_then(|end| Some((end, self.bytes.get(self.at..end)?))) {
            Some((end, bytes)) => {
                self.at = end;
                Ok(bytes)
            }
            None => Err(Stop::Short(u128::from(self.place()).saturating_add(len))),
        }
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        match rest.first_chunk::<N>() {
            Some(bytes) => {
                self.at += N;
                Ok(*bytes)
            }
            None => Err(Stop::Short(
                u128::from(self.place()).saturating_add(u128::try_from(N).unwrap_or(u128::MAX)),
            )),
        }
    }

    pub(super) fn u32(&mut self) -> Result<u32, Stop> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Stop> {
        self.array().map(u64::from_le_bytes)
    }

    /// Reads how many of something follow.
    pub(super) fn count(&mut self, what: &'static str, max: usize) -> Result<u64, Stop> {
        let count = self.u64()?;
        let max = u64::try_from(max).unwrap_or(u64::MAX);
        if count > max {
            return Err(FormatError::TooMany { what, count, max }.into());
        }
        Ok(count)
    }

    /// Reads a length and that many bytes.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Stop> {
        let len = self.u64()?;
        self.take(u128::from(len))
    }

    /// Reads a name: UTF-8, at most `max` bytes.
    pub(super) fn name(&mut self, what: &'static str, max: usize) -> Result<&'a str, Stop> {
        let len = self.count(what, max)?;
        let bytes = self.take(u128::from(len))?;
        std::str::from_utf8(bytes).map_err(|_| FormatError::NotText { what }.into())
    }
}
