//! What this node has of each blob: which of its 16 KiB groups, and where they lie.
//!
//! The bytes themselves and the larger hash trees are files of the blob store; this is its memory of them. A record
//! tells apart what is certain and what is merely written: groups that were *synced* are on disk whatever happens,
//! groups that were *written* are there as long as the operating system runs that took them.

use minicbor::{Decoder, Encoder, decode::Error as ReadError, encode::Error as WriteError};
use weft_protocol::id::BlobHash;

use crate::record::Record;

/// A run of groups: from the first up to and without the last.
pub type Run = (u32, u32);

/// What is here of one blob.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlobRecord {
    /// Bytes of the whole blob.
    pub size: u64,
    /// The file that holds it, as the bytes of an absolute path, if it is not the store's own.
    pub original: Option<Vec<u8>>,
    /// What the file looked like when it was complete: it has not been touched if it still does.
    pub stamp: Option<[u64; 4]>,
    /// Groups that survive the loss of power, as sorted runs that do not touch.
    pub synced: Vec<Run>,
    /// All groups that are here, likewise.
    pub written: Vec<Run>,
    /// Names the run of the operating system in which `written` was.
    pub boot: [u8; 16],
}

/// One change of what is stored about a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobWrite {
    /// Which blob.
    pub blob: BlobHash,
    /// What is here of it now; `None` forgets it, its tree too.
    pub record: Option<BlobRecord>,
    /// Its hash tree in pre-order, if it is small enough to have no file; `None` leaves the one there is.
    pub outboard: Option<Vec<u8>>,
}

impl Record for BlobRecord {
    fn write(
        &self,
        e: &mut Encoder<&mut Vec<u8>>,
    ) -> Result<(), WriteError<std::convert::Infallible>> {
        e.array(6)?.u64(self.size)?;
        match &self.original {
            Some(path) => e.bytes(path)?,
            None => e.null()?,
        };
        match &self.stamp {
            Some(stamp) => {
                e.array(stamp.len() as u64)?;
                stamp.iter().try_for_each(|part| e.u64(*part)?.ok())?;
            }
            None => {
                e.null()?;
            }
        }
        for runs in [&self.synced, &self.written] {
            e.array(runs.len() as u64 * 2)?;
            // Distances are short where positions are long.
            let mut at = 0;
            for (start, end) in runs {
                e.u32(start.wrapping_sub(at))?
                    .u32(end.wrapping_sub(*start))?;
                at = *end;
            }
        }
        e.bytes(&self.boot)?.ok()
    }

    fn read(d: &mut Decoder<'_>) -> Result<Self, ReadError> {
        length(d, 6)?;
        Ok(Self {
            size: d.u64()?,
            original: optional(d, |d| d.bytes().map(<[u8]>::to_vec))?,
            stamp: optional(d, |d| {
                length(d, 4)?;
                Ok([d.u64()?, d.u64()?, d.u64()?, d.u64()?])
            })?,
            synced: runs(d)?,
            written: runs(d)?,
            boot: d
                .bytes()?
                .try_into()
                .map_err(|_| ReadError::message("a boot id of another length"))?,
        })
    }
}

fn runs(d: &mut Decoder<'_>) -> Result<Vec<Run>, ReadError> {
    let numbers = d
        .array()?
        .filter(|numbers| numbers.is_multiple_of(2))
        .ok_or_else(|| ReadError::message("runs that are not pairs"))?;
    let overflow = || ReadError::message("a run beyond all groups");
    let mut runs: Vec<Run> = Vec::new();
    let mut at = 0_u32;
    for _ in 0..numbers / 2 {
        let start = at.checked_add(d.u32()?).ok_or_else(overflow)?;
        let end = start.checked_add(d.u32()?).ok_or_else(overflow)?;
        if start == end || (start == at && !runs.is_empty()) {
            return Err(ReadError::message("runs that are empty or touch"));
        }
        runs.push((start, end));
        at = end;
    }
    Ok(runs)
}

fn length(d: &mut Decoder<'_>, wanted: u64) -> Result<(), ReadError> {
    match d.array()? {
        Some(found) if found == wanted => Ok(()),
        _ => Err(ReadError::message("wrong number of fields")),
    }
}

fn optional<T>(
    d: &mut Decoder<'_>,
    value: impl FnOnce(&mut Decoder<'_>) -> Result<T, ReadError>,
) -> Result<Option<T>, ReadError> {
    if d.datatype()? == minicbor::data::Type::Null {
        d.null()?;
        Ok(None)
    } else {
        value(d).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{record, schema::Family};

    #[test]
    fn records_read_back_and_nothing_less_or_more_does() {
        let full = BlobRecord {
            size: u64::MAX,
            original: Some(b"/models/weights.bin".to_vec()),
            stamp: Some([1, 2, u64::MAX, 0]),
            synced: vec![(0, 1), (7, 300)],
            written: vec![(0, 1), (7, 300), (70_000, u32::MAX)],
            boot: [9; 16],
        };
        for expected in [BlobRecord::default(), full] {
            let mut bytes = record::encode(&expected);
            assert_eq!(
                record::decode::<BlobRecord>(Family::Blobs, &bytes),
                Ok(expected)
            );
            for length in 0..bytes.len() {
                assert!(record::decode::<BlobRecord>(Family::Blobs, &bytes[..length]).is_err());
            }
            bytes.push(0);
            assert!(record::decode::<BlobRecord>(Family::Blobs, &bytes).is_err());
        }
    }

    #[test]
    fn runs_that_cannot_be_are_damage() {
        for written in [
            vec![(5, 5)],
            vec![(0, 2), (2, 3)],
            vec![(9, 12), (3, 4)],
            vec![(1, 0)],
        ] {
            let bytes = record::encode(&BlobRecord {
                written: written.clone(),
                ..BlobRecord::default()
            });
            assert!(
                record::decode::<BlobRecord>(Family::Blobs, &bytes).is_err(),
                "{written:?}"
            );
        }
    }
}
