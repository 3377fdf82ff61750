//! How values are written: one deterministic CBOR array per record, read back with an exact length.
//!
//! Single byte strings (leaves, objects, proofs, settings) are stored as they are, without CBOR.

use minicbor::{
    Decoder, Encoder, data::Type, decode::Error as ReadError, encode::Error as WriteError,
};
use weft_protocol::{
    id::{ObjectId, PublisherId, RepositoryId, RepositoryName},
    infer::hosts::Audience,
    op::{MirrorRecord, MirrorScope, PeerRecord, Pin, RevisionRecord, RevisionState},
    sign::Envelope,
    time::Timestamp,
};

use crate::{
    error::Error,
    local::{DhtProvider, DhtRecord},
    schema::Family,
};

type Sink<'a> = Encoder<&'a mut Vec<u8>>;
type Written = Result<(), WriteError<std::convert::Infallible>>;

/// Something stored under a key.
pub trait Record: Sized {
    /// Appends the record.
    ///
    /// # Errors
    /// Never: a vector takes everything.
    fn write(&self, e: &mut Sink<'_>) -> Written;

    /// Reads what [`Record::write`] wrote.
    ///
    /// # Errors
    /// Anything else.
    fn read(d: &mut Decoder<'_>) -> Result<Self, ReadError>;
}

/// The bytes of a record.
///
/// # Panics
/// Never: a vector takes everything.
pub fn encode(record: &impl Record) -> Vec<u8> {
    let mut bytes = Vec::new();
    record
        .write(&mut Encoder::new(&mut bytes))
        .expect("a vector takes everything");
    bytes
}

/// The record in bytes that came from `family`.
///
/// # Errors
/// [`Error::Corrupt`] if they hold anything but one record.
pub fn decode<R: Record>(family: Family, bytes: &[u8]) -> Result<R, Error> {
    let mut d = Decoder::new(bytes);
    match R::read(&mut d) {
        Ok(record) if d.position() == bytes.len() => Ok(record),
        Ok(_) => Err(corrupt(family, "bytes after a record")),
        Err(error) => Err(corrupt(family, &error.to_string())),
    }
}

/// Bytes of a fixed length that came from `family`.
///
/// # Errors
/// [`Error::Corrupt`] if there are more or fewer.
pub fn fixed<const N: usize>(family: Family, bytes: &[u8]) -> Result<[u8; N], Error> {
    bytes
        .try_into()
        .map_err(|_| corrupt(family, &format!("{} bytes instead of {N}", bytes.len())))
}

/// The error for a value of `family` that cannot be.
pub fn corrupt(family: Family, what: &str) -> Error {
    Error::Corrupt {
        what: format!("table `{}`: {what}", family.name()),
    }
}

/// A repository's line in [`Family::Repositories`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryRecord {
    /// Name in the case its publisher wrote it.
    pub name: RepositoryName,
    /// Index and id of the tip; absent while only other facts of the repository are known.
    pub tip: Option<(u64, ObjectId)>,
    /// Number of leaves stored, from index 0 without gap.
    pub leaves: u64,
}

impl Record for RepositoryRecord {
    fn write(&self, e: &mut Sink<'_>) -> Written {
        e.array(3)?.encode(&self.name)?;
        match self.tip {
            Some((index, id)) => e.array(2)?.u64(index)?.encode(id)?,
            None => e.null()?,
        };
        e.u64(self.leaves)?.ok()
    }
    fn read(d: &mut Decoder<'_>) -> Result<Self, ReadError> {
        array(d, 3)?;
        let name = d.decode()?;
        let tip = optional(d, |d| {
            array(d, 2)?;
            Ok((d.u64()?, d.decode()?))
        })?;
        let leaves = d.u64()?;
        Ok(Self { name, tip, leaves })
    }
}

impl Record for Envelope {
    fn write(&self, e: &mut Sink<'_>) -> Written {
        e.encode(self)?.ok()
    }
    fn read(d: &mut Decoder<'_>) -> Result<Self, ReadError> {
        d.decode()
    }
}

/// An identity log.
impl Record for Vec<Envelope> {
    fn write(&self, e: &mut Sink<'_>) -> Written {
        e.array(self.len() as u64)?;
        self.iter().try_for_each(|envelope| envelope.write(e))
    }
    fn read(d: &mut Decoder<'_>) -> Result<Self, ReadError> {
        list(d, Envelope::read)
    }
}

impl Record for RevisionRecord {
    fn write(&self, e: &mut Sink<'_>) -> Written {
        let state = match self.state {
            RevisionState::Wanted => 0,
            RevisionState::Complete => 1,
        };
        let pin = match self.pin {
            Pin::None => 0,
            Pin::Mirror => 1,
            Pin::User => 2,
        };
        e.array(7 + u64::from(self.host.is_some()))?
            .encode(&self.repository)?
            .encode(self.revision)?;
        e.u8(state)?.u8(pin)?.bool(self.seed)?;
        e.u64(self.bytes_total)?.u64(self.used.0)?;
        match &self.host {
            None => {}
            Some(Audience::Everyone) => e.array(1)?.u8(0)?.ok()?,
            Some(Audience::Follows) => e.array(1)?.u8(1)?.ok()?,
            Some(Audience::Nodes(nodes)) => {
                e.array(2)?.u8(2)?.array(nodes.len() as u64)?;
                nodes.iter().try_for_each(|node| e.encode(node)?.ok())?;
            }
        }
        e.ok()
    }
    fn read(d: &mut Decoder<'_>) -> Result<Self, ReadError> {
        // What nobody may ask about ends after the seventh.
        let hosted = match d.array()? {
            Some(7) => false,
            Some(8) => true,
            _ => return Err(ReadError::message("wrong number of items")),
        };
        Ok(Self {
            repository: d.decode()?,
            revision: d.decode()?,
            state: match d.u8()? {
                0 => RevisionState::Wanted,
                1 => RevisionState::Complete,
                _ => return Err(ReadError::message("unknown revision state")),
            },
            pin: match d.u8()? {
                0 => Pin::None,
                1 => Pin::Mirror,
                2 => Pin::User,
                _ => return Err(ReadError::message("unknown pin")),
            },
            seed: d.bool()?,
            bytes_total: d.u64()?,
            used: Timestamp(d.u64()?),
            host: if hosted { Some(audience(d)?) } else { None },
        })
    }
}

fn audience(d: &mut Decoder<'_>) -> Result<Audience, ReadError> {
    match (d.array()?, d.u8()?) {
        (Some(1), 0) => Ok(Audience::Everyone),
        (Some(1), 1) => Ok(Audience::Follows),
        (Some(2), 2) => Ok(Audience::Nodes(
            list(d, |d| d.decode())?.into_iter().collect(),
        )),
        _ => Err(ReadError::message("unknown audience")),
    }
}

impl Record for MirrorRecord {
    fn write(&self, e: &mut Sink<'_>) -> Written {
        e.array(3)?.array(2)?;
        match &self.scope {
            MirrorScope::Publisher(publisher) => e.u8(0)?.encode(publisher)?,
            MirrorScope::Repository(repository) => e.u8(1)?.encode(repository)?,
        };
        match self.bytes_max {
            Some(bytes) => e.u64(bytes)?,
            None => e.null()?,
        };
        e.u64(self.created.0)?.ok()
    }
    fn read(d: &mut Decoder<'_>) -> Result<Self, ReadError> {
        array(d, 3)?;
        array(d, 2)?;
        Ok(Self {
            scope: match d.u8()? {
                0 => MirrorScope::Publisher(d.decode::<PublisherId>()?),
                1 => MirrorScope::Repository(d.decode::<RepositoryId>()?),
                _ => return Err(ReadError::message("unknown mirror scope")),
            },
            bytes_max: optional(d, |d| d.u64())?,
            created: Timestamp(d.u64()?),
        })
    }
}

impl Record for PeerRecord {
    fn write(&self, e: &mut Sink<'_>) -> Written {
        e.array(7)?.encode(self.peer)?;
        e.array(self.addresses.len() as u64)?;
        for address in &self.addresses {
            e.str(address)?;
        }
        e.u64(self.seen.0)?.u64(self.since.0)?;
        e.u32(self.reached)?.u32(self.failures)?;
        e.bool(self.anchor)?.ok()
    }
    fn read(d: &mut Decoder<'_>) -> Result<Self, ReadError> {
        array(d, 7)?;
        Ok(Self {
            peer: d.decode()?,
            addresses: list(d, |d| d.str().map(str::to_owned))?,
            seen: Timestamp(d.u64()?),
            since: Timestamp(d.u64()?),
            reached: d.u32()?,
            failures: d.u32()?,
            anchor: d.bool()?,
        })
    }
}

impl Record for DhtRecord {
    fn write(&self, e: &mut Sink<'_>) -> Written {
        e.array(4)?.bytes(&self.key)?.bytes(&self.value)?;
        match &self.publisher {
            Some(publisher) => e.bytes(publisher)?,
            None => e.null()?,
        };
        e.u64(self.expires.0)?.ok()
    }
    fn read(d: &mut Decoder<'_>) -> Result<Self, ReadError> {
        array(d, 4)?;
        Ok(Self {
            key: d.bytes()?.to_vec(),
            value: d.bytes()?.to_vec(),
            publisher: optional(d, |d| d.bytes().map(<[u8]>::to_vec))?,
            expires: Timestamp(d.u64()?),
        })
    }
}

impl Record for DhtProvider {
    fn write(&self, e: &mut Sink<'_>) -> Written {
        e.array(4)?.bytes(&self.key)?.bytes(&self.provider)?;
        e.array(self.addresses.len() as u64)?;
        for address in &self.addresses {
            e.bytes(address)?;
        }
        e.u64(self.expires.0)?.ok()
    }
    fn read(d: &mut Decoder<'_>) -> Result<Self, ReadError> {
        array(d, 4)?;
        Ok(Self {
            key: d.bytes()?.to_vec(),
            provider: d.bytes()?.to_vec(),
            addresses: list(d, |d| d.bytes().map(<[u8]>::to_vec))?,
            expires: Timestamp(d.u64()?),
        })
    }
}

pub(crate) fn array(d: &mut Decoder<'_>, length: u64) -> Result<(), ReadError> {
    match d.array()? {
        Some(found) if found == length => Ok(()),
        _ => Err(ReadError::message("wrong number of fields")),
    }
}

pub(crate) fn list<T>(
    d: &mut Decoder<'_>,
    mut item: impl FnMut(&mut Decoder<'_>) -> Result<T, ReadError>,
) -> Result<Vec<T>, ReadError> {
    let length = d
        .array()?
        .ok_or_else(|| ReadError::message("a list without length"))?;
    // Not reserved up front: a damaged length must not allocate.
    (0..length).map(|_| item(d)).collect()
}

fn optional<T>(
    d: &mut Decoder<'_>,
    value: impl FnOnce(&mut Decoder<'_>) -> Result<T, ReadError>,
) -> Result<Option<T>, ReadError> {
    if d.datatype()? == Type::Null {
        d.null()?;
        Ok(None)
    } else {
        value(d).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use weft_protocol::{id::NodeId, sign::Signature};

    use super::*;

    #[test]
    fn records_read_back_and_nothing_less_or_more_does() {
        let repository = RepositoryId {
            publisher: PublisherId::new([1; 32]),
            name: "Tiny".parse().unwrap(),
        };
        let id = ObjectId::new([2; 32]);
        let envelope = Envelope {
            body: vec![3; 300],
            signatures: vec![(0, Signature([4; 64])), (9, Signature([5; 64]))],
        };
        check(&RepositoryRecord {
            name: repository.name.clone(),
            tip: Some((u64::MAX, id)),
            leaves: 7,
        });
        check(&RepositoryRecord {
            name: repository.name.clone(),
            tip: None,
            leaves: 0,
        });
        check(&envelope);
        check(&vec![envelope.clone(), envelope]);
        check(&Vec::<Envelope>::new());
        let nodes = [NodeId::new([1; 32]), NodeId::new([2; 32])];
        for host in [
            None,
            Some(Audience::Everyone),
            Some(Audience::Follows),
            Some(Audience::Nodes(nodes.into())),
        ] {
            check(&RevisionRecord {
                repository: repository.clone(),
                revision: id,
                state: RevisionState::Wanted,
                pin: Pin::Mirror,
                seed: false,
                bytes_total: u64::MAX,
                used: Timestamp(6),
                host,
            });
        }
        for (scope, bytes_max) in [
            (MirrorScope::Publisher(repository.publisher), None),
            (MirrorScope::Repository(repository), Some(0)),
        ] {
            check(&MirrorRecord {
                scope,
                bytes_max,
                created: Timestamp(8),
            });
        }
        check(&PeerRecord {
            peer: NodeId::new([9; 32]),
            addresses: vec!["/ip4/127.0.0.1/tcp/1".to_owned(), String::new()],
            seen: Timestamp(0),
            since: Timestamp(u64::MAX),
            reached: u32::MAX,
            failures: 1,
            anchor: true,
        });
        check(&DhtRecord {
            key: vec![0],
            value: vec![],
            publisher: None,
            expires: Timestamp(1),
        });
        check(&DhtProvider {
            key: vec![],
            provider: vec![1],
            addresses: vec![vec![], vec![2]],
            expires: Timestamp(u64::MAX),
        });
    }

    #[test]
    fn damaged_length_does_not_allocate() {
        // A list that says it has 2^64 - 1 events.
        let bytes = [0x9b, 255, 255, 255, 255, 255, 255, 255, 255];
        let error = decode::<Vec<Envelope>>(Family::Identities, &bytes).unwrap_err();
        assert!(error.to_string().contains("`identities`"), "{error}");
    }

    fn check<R: Record + PartialEq + std::fmt::Debug>(record: &R) {
        let mut bytes = encode(record);
        assert_eq!(decode::<R>(Family::Meta, &bytes).as_ref(), Ok(record));
        for length in 0..bytes.len() {
            assert!(decode::<R>(Family::Meta, &bytes[..length]).is_err());
        }
        bytes.push(0);
        assert!(decode::<R>(Family::Meta, &bytes).is_err());
    }
}
