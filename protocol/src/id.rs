//! Ids and their text forms.
//!
//! | type | bytes | text |
//! |---|---|---|
//! | [`ObjectId`] | BLAKE3 of `"weft/<type>/v1\0" ‖ body` | 64 lower-case hex |
//! | [`BlobHash`] | BLAKE3 of the file | 64 lower-case hex |
//! | [`NodeId`] | ed25519 public key | 64 lower-case hex |
//! | [`PublisherId`] | object id of the inception event | 52 lower-case base32 (RFC 4648, no padding) |
//! | [`RepositoryId`] | publisher and folded name | `<publisher>/<name>` |
//!
//! All fixed-size ids encode as CBOR byte strings.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
};

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

use crate::limits;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseIdError {
    /// Wrong number of characters.
    #[error("expected {expected} characters, got {got}")]
    Length {
        /// Characters the text form has.
        expected: usize,
        /// Characters that were given.
        got: usize,
    },
    /// A character that the text form does not use, or a non-canonical last character.
    #[error("`{0}` is not in canonical form")]
    Character(String),
    /// Not a repository name.
    #[error(
        "`{0}` is not a repository name: use 1 to 64 of a-z, 0-9, `.`, `_`, `-`, starting with a letter or digit"
    )]
    Name(String),
    /// No `/` between publisher and name.
    #[error("`{0}` has no `/` between publisher and name")]
    Separator(String),
}

/// Bytes as numbers of the same order. Ids are the keys of most maps, and two numbers are compared without a call.
#[inline]
fn numbers(bytes: &[u8; 32]) -> (u128, u128) {
    let number = |half: Option<&[u8; 16]>| half.map_or(0, |half| u128::from_be_bytes(*half));
    (number(bytes.first_chunk()), number(bytes.last_chunk()))
}

macro_rules! bytes32 {
    ($(#[$doc:meta])* $name:ident, $encoding:expr, $length:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name([u8; 32]);

        impl Ord for $name {
            #[inline]
            fn cmp(&self, other: &Self) -> Ordering {
                numbers(&self.0).cmp(&numbers(&other.0))
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl $name {
            /// Wraps raw bytes.
            pub const fn new(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }
            /// The raw bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
            /// The first ten characters of the text form, for logs.
            pub fn fmt_short(&self) -> String {
                let mut text = self.to_string();
                text.truncate(10);
                text
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&$encoding.encode(&self.0).to_ascii_lowercase())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.fmt_short())
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let got = text.chars().count();
                if got != $length {
                    return Err(ParseIdError::Length { expected: $length, got });
                }
                let invalid = || ParseIdError::Character(text.to_owned());
                if text.bytes().any(|b| b.is_ascii_uppercase()) {
                    return Err(invalid());
                }
                let text = if $length == 52 { text.to_ascii_uppercase() } else { text.to_owned() };
                let bytes = $encoding.decode(text.as_bytes()).map_err(|_| invalid())?;
                bytes.try_into().map(Self).map_err(|_| invalid())
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: encode::Write>(
                &self,
                e: &mut Encoder<W>,
                _: &mut C,
            ) -> Result<(), encode::Error<W::Error>> {
                e.bytes(&self.0)?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
                d.bytes()?
                    .try_into()
                    .map(Self)
                    .map_err(|_| decode::Error::message("expected 32 bytes"))
            }
        }
    };
}

bytes32!(
    /// The id of a signed object: BLAKE3 over its domain prefix and body.
    ObjectId, HEXLOWER, 64
);
bytes32!(
    /// The BLAKE3 hash of a file's bytes, as iroh-blobs uses it.
    BlobHash, HEXLOWER, 64
);
bytes32!(
    /// A node: its ed25519 public key, which is both its libp2p PeerId and its iroh EndpointId.
    NodeId, HEXLOWER, 64
);
bytes32!(
    /// A publisher: the object id of the inception event of its identity log.
    PublisherId, BASE32_NOPAD, 52
);

/// A revision is named by the object id of its manifest.
pub type RevisionId = ObjectId;

/// A repository's name. Keeps the case it was written in; compares, sorts and hashes folded.
#[derive(Clone)]
pub struct RepositoryName(String);

impl RepositoryName {
    /// The name as its publisher wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// The folded form, which is what signatures, keys and comparisons use.
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl FromStr for RepositoryName {
    type Err = ParseIdError;
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let starts = text
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric());
        if starts && text.len() <= limits::REPOSITORY_NAME_LEN_MAX && text.bytes().all(valid) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseIdError::Name(text.chars().take(80).collect()))
        }
    }
}

impl PartialEq for RepositoryName {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for RepositoryName {}
impl PartialOrd for RepositoryName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for RepositoryName {
    fn cmp(&self, other: &Self) -> Ordering {
        let fold = |name: &Self| {
            name.0
                .bytes()
                .map(|b| b.to_ascii_lowercase())
                .collect::<Vec<_>>()
        };
        fold(self).cmp(&fold(other))
    }
}
impl Hash for RepositoryName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.folded().hash(state);
    }
}
impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
impl fmt::Debug for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
impl<C> Encode<C> for RepositoryName {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.str(&self.0)?.ok()
    }
}
impl<'b, C> Decode<'b, C> for RepositoryName {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        d.str()?
            .parse()
            .map_err(|_| decode::Error::message("not a repository name"))
    }
}

/// Encodes a name folded; for `#[cbor(with = "folded_name")]` in everything that is signed. A decoder that
/// re-encodes therefore refuses any other case.
pub(crate) mod folded_name {
    use minicbor::{Decode, Decoder, Encoder};

    use super::RepositoryName;

    pub(crate) fn encode<C, W: minicbor::encode::Write>(
        value: &RepositoryName,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.str(&value.folded())?.ok()
    }

    pub(crate) fn decode<C>(
        d: &mut Decoder<'_>,
        ctx: &mut C,
    ) -> Result<RepositoryName, minicbor::decode::Error> {
        RepositoryName::decode(d, ctx)
    }
}

/// A repository: one name under one publisher.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(array)]
pub struct RepositoryId {
    /// Whose it is.
    #[n(0)]
    pub publisher: PublisherId,
    /// What it is called.
    #[n(1)]
    pub name: RepositoryName,
}

impl fmt::Display for RepositoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.publisher, self.name)
    }
}

impl FromStr for RepositoryId {
    type Err = ParseIdError;
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let (publisher, name) = text
            .split_once('/')
            .ok_or_else(|| ParseIdError::Separator(text.chars().take(80).collect()))?;
        Ok(Self {
            publisher: publisher.parse()?,
            name: name.parse()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip_through_text() {
        let bytes: [u8; 32] = std::array::from_fn(|i| u8::try_from(i * 7).unwrap_or(0));
        let object = ObjectId::new(bytes);
        assert_eq!(object.to_string().len(), 64);
        assert_eq!(object.to_string().parse(), Ok(object));
        let publisher = PublisherId::new(bytes);
        assert_eq!(publisher.to_string().len(), 52);
        assert_eq!(publisher.to_string().parse(), Ok(publisher));
    }

    #[test]
    fn ids_are_ordered_as_their_bytes() {
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..1_000 {
            let mut a: [u8; 32] = std::array::from_fn(|_| rng.u8(..));
            let b = a;
            let at = rng.usize(..a.len());
            a[at] = rng.u8(..);
            assert_eq!(NodeId::new(a).cmp(&NodeId::new(b)), a.cmp(&b), "byte {at}");
        }
    }

    #[test]
    fn only_canonical_text_is_an_id() {
        let text = PublisherId::new([0; 32]).to_string();
        let upper = text.to_uppercase();
        assert!(matches!(
            upper.parse::<PublisherId>(),
            Err(ParseIdError::Character(_))
        ));
        // 52 characters carry 260 bits; the last four must be zero.
        let loose = format!("{}b", &text[..51]);
        assert!(matches!(
            loose.parse::<PublisherId>(),
            Err(ParseIdError::Character(_))
        ));
        assert_eq!(
            "abc".parse::<ObjectId>(),
            Err(ParseIdError::Length {
                expected: 64,
                got: 3
            })
        );
        assert!("ä".repeat(64).parse::<ObjectId>().is_err());
        assert!("A".repeat(64).parse::<ObjectId>().is_err());
    }

    #[test]
    fn names_compare_folded_and_keep_their_case() {
        let name = |text: &str| text.parse::<RepositoryName>().expect("a valid name");
        assert_eq!(name("Tiny-3M"), name("tiny-3m"));
        assert_eq!(name("Tiny-3M").to_string(), "Tiny-3M");
        for text in ["", "-a", ".a", "a/b", "a b", "ä", &"x".repeat(65)] {
            assert!(text.parse::<RepositoryName>().is_err(), "{text}");
        }
        assert!("x".repeat(64).parse::<RepositoryName>().is_ok());
    }

    #[test]
    fn repository_ids_round_trip_through_text() {
        let text = format!("{}/Tiny", PublisherId::new([3; 32]));
        let id: RepositoryId = text.parse().expect("a valid repository");
        assert_eq!(id.to_string(), text);
        assert!(matches!(
            "tiny".parse::<RepositoryId>(),
            Err(ParseIdError::Separator(_))
        ));
    }
}
