//! A file in memory, without reading it.

use std::{fs::File, path::Path};

use weft_protocol::{
    formats::{self, Format, Header, Reading},
    infer::Refusal,
};

use crate::refusal::{OrRefuse, broken};

/// A file mapped read-only.
#[derive(Debug)]
pub(crate) struct Mapped {
    map: memmap2::Mmap,
}

impl Mapped {
    pub(crate) fn open(path: &Path) -> Result<Self, Refusal> {
        let shown = || format!("`{}`", path.display());
        let file = File::open(path).or_broken(shown)?;
        // SAFETY: what is loaded is verified and does not change any more: a store's own file, or one that its owner
        // published. Should somebody cut it nevertheless, this process ends, and it is a process of its own for that.
        #[expect(unsafe_code, reason = "the only way to map a file")]
        let map = unsafe { memmap2::Mmap::map(&file) }.or_broken(shown)?;
        Ok(Self { map })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// What its header says, checked.
    pub(crate) fn header(&self, format: Format) -> Result<Header, Refusal> {
        let size = self.map.len() as u64;
        match formats::read(format, &self.map, size) {
            Ok(Reading::Done(header)) => Ok(header),
            Ok(Reading::More { .. }) => Err(broken("the header does not end".to_owned())),
            Err(error) => Err(broken(error.to_string())),
        }
    }
}

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}
