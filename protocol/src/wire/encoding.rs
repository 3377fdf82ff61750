//! How messages are written down: `[tag, payload…]`, optional payloads at the end left out.

use minicbor::{
    Decode, Decoder, Encode, Encoder,
    data::Type,
    decode::Error,
    encode::{self, Write},
};

use super::{Announcement, Hello, PeerAddresses, Request, Response, RevisionProof};
use crate::{
    codec::{array_of, bounded, bounded_text},
    id::RepositoryName,
    limits,
};

type Written<W> = Result<(), encode::Error<<W as Write>::Error>>;

/// Writes `[tag, payload…]`.
macro_rules! tagged {
    ($e:ident, $ctx:ident, $tag:literal $(, $payload:expr)*) => {{
        let count = [$(stringify!($payload)),*].len() as u64;
        $e.array(count.saturating_add(1))?.u8($tag)?;
        $($payload.encode($e, $ctx)?;)*
        $e.ok()
    }};
}

/// Reads the tag and how many payload items follow.
fn tag(d: &mut Decoder<'_>) -> Result<(u8, u64), Error> {
    let count = d.array()?.and_then(|count| count.checked_sub(1));
    let count = count.ok_or_else(|| Error::message("a message without a tag"))?;
    Ok((d.u8()?, count))
}

fn unknown(tag: u8, count: u64) -> Error {
    Error::message(format!("unknown message: tag {tag} with {count} items"))
}

impl<C> Encode<C> for Request {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, ctx: &mut C) -> Written<W> {
        match self {
            Self::Hello(hello) => tagged!(e, ctx, 0, hello),
            Self::Repository {
                repository,
                have: None,
            } => tagged!(e, ctx, 1, repository),
            Self::Repository {
                repository,
                have: Some(have),
            } => {
                tagged!(e, ctx, 1, repository, have)
            }
            Self::Log { repository, first } => tagged!(e, ctx, 2, repository, first),
            Self::Publisher {
                publisher,
                after: None,
            } => tagged!(e, ctx, 3, publisher),
            Self::Publisher {
                publisher,
                after: Some(after),
            } => {
                tagged!(e, ctx, 3, publisher, after)
            }
            Self::Object { id } => tagged!(e, ctx, 4, id),
            Self::Revision {
                repository,
                revision,
            } => tagged!(e, ctx, 5, repository, revision),
            Self::Peers { revision } => tagged!(e, ctx, 6, revision),
        }
    }
}

impl<'b, C> Decode<'b, C> for Request {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, Error> {
        Ok(match tag(d)? {
            (0, 1) => Self::Hello(Hello::decode(d, ctx)?),
            (1, 1) => Self::Repository {
                repository: Decode::decode(d, ctx)?,
                have: None,
            },
            (1, 2) => Self::Repository {
                repository: Decode::decode(d, ctx)?,
                have: Some(d.u64()?),
            },
            (2, 2) => Self::Log {
                repository: Decode::decode(d, ctx)?,
                first: d.u64()?,
            },
            (3, 1) => Self::Publisher {
                publisher: Decode::decode(d, ctx)?,
                after: None,
            },
            (3, 2) => Self::Publisher {
                publisher: Decode::decode(d, ctx)?,
                after: Some(RepositoryName::decode(d, ctx)?),
            },
            (4, 1) => Self::Object {
                id: Decode::decode(d, ctx)?,
            },
            (5, 2) => Self::Revision {
                repository: Decode::decode(d, ctx)?,
                revision: Decode::decode(d, ctx)?,
            },
            (6, 1) => Self::Peers {
                revision: Decode::decode(d, ctx)?,
            },
            (tag, count) => return Err(unknown(tag, count)),
        })
    }
}

impl<C> Encode<C> for Response {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, ctx: &mut C) -> Written<W> {
        match self {
            Self::Hello(hello) => tagged!(e, ctx, 0, hello),
            Self::Repository(record) => tagged!(e, ctx, 1, record),
            Self::Log { ids } => tagged!(e, ctx, 2, ids),
            Self::Publisher { names } => tagged!(e, ctx, 3, names),
            Self::Object { preimage } => {
                e.array(2)?.u8(4)?.bytes(preimage)?;
                e.ok()
            }
            Self::Revision(proof) => tagged!(e, ctx, 5, proof),
            Self::Peers { peers } => tagged!(e, ctx, 6, peers),
            Self::NotFound => e.array(1)?.u8(7)?.ok(),
            Self::Refused => e.array(1)?.u8(8)?.ok(),
        }
    }
}

impl<'b, C> Decode<'b, C> for Response {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, Error> {
        Ok(match tag(d)? {
            (0, 1) => Self::Hello(Hello::decode(d, ctx)?),
            (1, 1) => Self::Repository(Decode::decode(d, ctx)?),
            (2, 1) => Self::Log {
                ids: bounded::<{ limits::LOG_IDS_PER_RESPONSE_MAX }, _, _>(d, ctx)?,
            },
            (3, 1) => Self::Publisher {
                names: bounded::<{ limits::NAMES_PER_RESPONSE_MAX }, _, _>(d, ctx)?,
            },
            (4, 1) => Self::Object {
                preimage: d.bytes()?.to_vec(),
            },
            (5, 1) => Self::Revision(Box::new(RevisionProof::decode(d, ctx)?)),
            (6, 1) => Self::Peers {
                peers: bounded::<{ limits::PEERS_PER_RESPONSE_MAX }, _, _>(d, ctx)?,
            },
            (7, 0) => Self::NotFound,
            (8, 0) => Self::Refused,
            (tag, count) => return Err(unknown(tag, count)),
        })
    }
}

impl<C> Encode<C> for Announcement {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, ctx: &mut C) -> Written<W> {
        match self {
            Self::Head(record) => tagged!(e, ctx, 0, record),
            Self::Equivocation(proof) => tagged!(e, ctx, 1, proof),
        }
    }
}

impl<'b, C> Decode<'b, C> for Announcement {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, Error> {
        Ok(match tag(d)? {
            (0, 1) => Self::Head(Decode::decode(d, ctx)?),
            (1, 1) => Self::Equivocation(Decode::decode(d, ctx)?),
            (tag, count) => return Err(unknown(tag, count)),
        })
    }
}

impl<C> Encode<C> for Hello {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, ctx: &mut C) -> Written<W> {
        e.array(2)?;
        self.data_addresses.encode(e, ctx)?;
        e.str(&self.agent)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Hello {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, Error> {
        array_of(d, 2)?;
        let data_addresses = addresses(d, ctx)?;
        let agent = bounded_text::<{ limits::AGENT_LEN_MAX }, _>(d, ctx)?;
        Ok(Self {
            data_addresses,
            agent,
        })
    }
}

impl<C> Encode<C> for PeerAddresses {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, ctx: &mut C) -> Written<W> {
        e.array(2)?;
        self.peer.encode(e, ctx)?;
        self.addresses.encode(e, ctx)
    }
}

impl<'b, C> Decode<'b, C> for PeerAddresses {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, Error> {
        array_of(d, 2)?;
        Ok(Self {
            peer: Decode::decode(d, ctx)?,
            addresses: addresses(d, ctx)?,
        })
    }
}

/// One address while it is read, so that its length is checked before it is copied.
struct Address(String);

impl<'b, C> Decode<'b, C> for Address {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, Error> {
        if d.datatype()? != Type::String {
            return Err(Error::message("an address is a text"));
        }
        bounded_text::<{ limits::ADDRESS_LEN_MAX }, _>(d, ctx).map(Self)
    }
}

fn addresses<C>(d: &mut Decoder<'_>, ctx: &mut C) -> Result<Vec<String>, Error> {
    let list = bounded::<{ limits::ADDRESSES_PER_PEER_MAX }, _, Address>(d, ctx)?;
    Ok(list.into_iter().map(|address| address.0).collect())
}
