//! Deterministic CBOR (RFC 8949 §4.2.1) with strict decoding.
//!
//! Integers and lengths take their shortest form, map keys are small integers in ascending order,
//! absent optional fields are left out, and there are no floats, tags, nulls or indefinite lengths.
//! The decoder does not check these rules one by one: it encodes what it understood once more and
//! compares. Any difference is a rejection, so that one object has exactly one spelling and one id.
//!
//! Lists are bounded while they are read, not afterwards: a short message can never make this node
//! allocate much more than its own length.

use minicbor::{Decode, Decoder, Encode};

use crate::id::ObjectId;

/// An object with a type name, a size cap, and rules that its decoder enforces.
pub trait Object: Sized + Encode<()> + for<'b> Decode<'b, ()> {
    /// The `<type>` of the domain prefix `"weft/<type>/v1\0"`.
    const TYPE: &'static str;
    /// The longest body in bytes.
    const LEN_MAX: usize;
    /// Checks what the encoding alone cannot.
    ///
    /// # Errors
    /// A sentence that names the rule that is broken.
    fn validate(&self) -> Result<(), String>;
}

/// Why bytes are not an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Longer than its type allows.
    #[error("{len} bytes are more than the {len_max} allowed")]
    TooLong {
        /// Bytes given.
        len: usize,
        /// Bytes allowed.
        len_max: usize,
    },
    /// Not CBOR, or not the expected structure.
    #[error("malformed: {0}")]
    Malformed(String),
    /// Something follows the item.
    #[error("{0} bytes follow the item")]
    Trailing(usize),
    /// Understood, but not in the one canonical spelling.
    #[error("not in canonical form")]
    NotCanonical,
    /// Well formed, but against the rules of its type.
    #[error("invalid: {0}")]
    Invalid(String),
    /// The bytes do not hash to the id they were asked for by.
    #[error("the bytes hash to `{got}`, not to `{expected}`")]
    WrongId {
        /// The id that was asked for.
        expected: ObjectId,
        /// What the bytes hash to.
        got: ObjectId,
    },
    /// The preimage does not begin with the domain prefix of its type.
    #[error("the bytes do not begin with the domain prefix of a `{0}` object")]
    WrongDomain(&'static str),
}

/// Encodes deterministically.
pub fn encode<T: Encode<()>>(value: &T) -> Vec<u8> {
    minicbor::to_vec(value).expect("writing to a vector cannot fail")
}

/// Decodes, re-encodes and compares; trailing bytes, over-long input and any non-canonical form are refused.
///
/// # Errors
/// Says which of these rules is broken.
pub fn decode<T: Encode<()> + for<'b> Decode<'b, ()>>(
    bytes: &[u8],
    len_max: usize,
) -> Result<T, DecodeError> {
    if bytes.len() > len_max {
        return Err(DecodeError::TooLong {
            len: bytes.len(),
            len_max,
        });
    }
    let mut decoder = Decoder::new(bytes);
    let value =
        T::decode(&mut decoder, &mut ()).map_err(|e| DecodeError::Malformed(e.to_string()))?;
    if decoder.position() != bytes.len() {
        return Err(DecodeError::Trailing(
            bytes.len().saturating_sub(decoder.position()),
        ));
    }
    if encode(&value) != bytes {
        return Err(DecodeError::NotCanonical);
    }
    Ok(value)
}

/// Decodes the body of an [`Object`] and validates it.
///
/// # Errors
/// As [`decode`], and [`DecodeError::Invalid`] if a rule of the type is broken.
pub fn decode_object<T: Object>(body: &[u8]) -> Result<T, DecodeError> {
    let object: T = decode(body, T::LEN_MAX)?;
    object.validate().map_err(DecodeError::Invalid)?;
    Ok(object)
}

/// The bytes that stand before every body of this type when it is hashed or signed.
pub fn domain<T: Object>() -> Vec<u8> {
    format!("weft/{}/v1\0", T::TYPE).into_bytes()
}

/// Domain prefix and body: the bytes whose BLAKE3 hash is the object id. Manifests and references are stored and sent in this form.
pub fn preimage<T: Object>(object: &T) -> Vec<u8> {
    let mut bytes = domain::<T>();
    bytes.extend_from_slice(&encode(object));
    bytes
}

/// Checks that `preimage` hashes to `id` and decodes it.
///
/// # Errors
/// If the hash or the domain differs, and as [`decode_object`].
pub fn decode_preimage<T: Object>(id: ObjectId, preimage: &[u8]) -> Result<T, DecodeError> {
    let domain = domain::<T>();
    let len_max = T::LEN_MAX.saturating_add(domain.len());
    if preimage.len() > len_max {
        return Err(DecodeError::TooLong {
            len: preimage.len(),
            len_max,
        });
    }
    let got = preimage_id(preimage);
    if got != id {
        return Err(DecodeError::WrongId { expected: id, got });
    }
    let body = preimage
        .strip_prefix(domain.as_slice())
        .ok_or(DecodeError::WrongDomain(T::TYPE))?;
    decode_object(body)
}

/// The object id of a body.
pub fn object_id<T: Object>(body: &[u8]) -> ObjectId {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&domain::<T>());
    hasher.update(body);
    ObjectId::new(*hasher.finalize().as_bytes())
}

/// The object id of a preimage, whatever its type.
pub fn preimage_id(preimage: &[u8]) -> ObjectId {
    ObjectId::new(*blake3::hash(preimage).as_bytes())
}

/// Whether a text may be shown to a person as it stands: no control characters (a newline and a tab
/// only where `lines` is set), nothing that reorders or hides what follows.
pub fn is_plain_text(text: &str, lines: bool) -> bool {
    text.chars().all(|c| match c {
        '\n' | '\t' => lines,
        '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{feff}' => false,
        '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => false,
        other => !other.is_control(),
    })
}

/// Reads a list of at most `MAX` items; for `#[cbor(decode_with = …)]` and hand-written decoders.
pub(crate) fn bounded<'b, const MAX: usize, C, T: Decode<'b, C>>(
    d: &mut Decoder<'b>,
    ctx: &mut C,
) -> Result<Vec<T>, minicbor::decode::Error> {
    let count = d
        .array()?
        .and_then(|count| usize::try_from(count).ok())
        .ok_or_else(|| minicbor::decode::Error::message("a list of unknown length"))?;
    if count > MAX {
        return Err(minicbor::decode::Error::message("too many items in a list"));
    }
    // Not with_capacity(count): the claimed count may be larger than what really follows.
    let mut items = Vec::new();
    for _ in 0..count {
        items.push(T::decode(d, ctx)?);
    }
    Ok(items)
}

/// Reads a text of at most `MAX` bytes without control characters.
pub(crate) fn bounded_text<'b, const MAX: usize, C>(
    d: &mut Decoder<'b>,
    _: &mut C,
) -> Result<String, minicbor::decode::Error> {
    let text = d.str()?;
    if text.len() > MAX {
        return Err(minicbor::decode::Error::message("a text is too long"));
    }
    if !is_plain_text(text, false) {
        return Err(minicbor::decode::Error::message(
            "a text holds control characters",
        ));
    }
    Ok(text.to_owned())
}

/// Reads the head of an array that must have exactly `len` items.
pub(crate) fn array_of(d: &mut Decoder<'_>, len: u64) -> Result<(), minicbor::decode::Error> {
    if d.array()? == Some(len) {
        Ok(())
    } else {
        Err(minicbor::decode::Error::message(
            "an array has the wrong number of items",
        ))
    }
}

/// A fixed number of bytes as a CBOR byte string; for `#[cbor(with = "crate::codec::fixed")]`.
pub(crate) mod fixed {
    use minicbor::{Decoder, Encoder};

    pub(crate) fn encode<C, W: minicbor::encode::Write, const N: usize>(
        value: &[u8; N],
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(value)?.ok()
    }

    pub(crate) fn decode<C, const N: usize>(
        d: &mut Decoder<'_>,
        _: &mut C,
    ) -> Result<[u8; N], minicbor::decode::Error> {
        d.bytes()?
            .try_into()
            .map_err(|_| minicbor::decode::Error::message("a byte string has the wrong length"))
    }
}

#[cfg(test)]
mod tests {
    use minicbor::{Decode, Encode};
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone, PartialEq, Encode, Decode)]
    #[cbor(map)]
    struct Sample {
        #[n(0)]
        number: u64,
        #[n(1)]
        text: Option<String>,
        #[cbor(n(2), decode_with = "bounded::<3, _, _>")]
        list: Vec<u32>,
    }

    impl Object for Sample {
        const TYPE: &'static str = "sample";
        const LEN_MAX: usize = 64;
        fn validate(&self) -> Result<(), String> {
            if self.number == 13 {
                Err("thirteen".into())
            } else {
                Ok(())
            }
        }
    }

    fn sample() -> Sample {
        Sample {
            number: 5,
            text: Some("x".into()),
            list: vec![1, 2],
        }
    }

    fn check(bytes: &[u8]) -> Result<Sample, DecodeError> {
        decode_object(bytes)
    }

    #[test]
    fn canonical_bytes_are_accepted() {
        let bytes = encode(&sample());
        assert_eq!(bytes, [0xa3, 0, 5, 1, 0x61, b'x', 2, 0x82, 1, 2]);
        assert_eq!(check(&bytes), Ok(sample()));
    }

    #[test]
    fn other_spellings_of_the_same_value_are_refused() {
        let cases: [(&str, &[u8]); 7] = [
            ("long integer", &[0xa2, 0, 0x18, 5, 2, 0x80]),
            ("keys out of order", &[0xa2, 2, 0x80, 0, 5]),
            ("a key twice", &[0xa3, 0, 5, 0, 5, 2, 0x80]),
            ("unknown key", &[0xa3, 0, 5, 2, 0x80, 9, 0]),
            ("null for an absent field", &[0xa3, 0, 5, 1, 0xf6, 2, 0x80]),
            ("indefinite map", &[0xbf, 0, 5, 2, 0x80, 0xff]),
            ("long length", &[0xa2, 0, 5, 2, 0x98, 0]),
        ];
        for (name, bytes) in cases {
            assert_eq!(check(bytes), Err(DecodeError::NotCanonical), "{name}");
        }
        assert!(matches!(
            check(&[0xa2, 0, 5, 2, 0x9f, 0xff]),
            Err(DecodeError::Malformed(_))
        ));
        assert!(matches!(
            check(&[0xc0, 0xa2, 0, 5, 2, 0x80]),
            Err(DecodeError::Malformed(_))
        ));
    }

    #[test]
    fn trailing_long_and_invalid_bytes_are_refused() {
        let mut bytes = encode(&sample());
        bytes.push(0);
        assert_eq!(check(&bytes), Err(DecodeError::Trailing(1)));
        assert_eq!(
            check(&[0; 65]),
            Err(DecodeError::TooLong {
                len: 65,
                len_max: 64
            })
        );
        let unlucky = encode(&Sample {
            number: 13,
            ..sample()
        });
        assert_eq!(
            check(&unlucky),
            Err(DecodeError::Invalid("thirteen".into()))
        );
        let long = encode(&Sample {
            list: vec![0; 4],
            ..sample()
        });
        assert!(matches!(check(&long), Err(DecodeError::Malformed(_))));
    }

    #[test]
    fn preimage_round_trips_only_under_its_own_id_and_domain() {
        let preimage = preimage(&sample());
        let id = object_id::<Sample>(&encode(&sample()));
        assert_eq!(preimage_id(&preimage), id);
        assert_eq!(decode_preimage::<Sample>(id, &preimage), Ok(sample()));
        assert!(matches!(
            decode_preimage::<Sample>(ObjectId::new([0; 32]), &preimage),
            Err(DecodeError::WrongId { .. })
        ));
        let body = encode(&sample());
        assert_eq!(
            decode_preimage::<Sample>(preimage_id(&body), &body),
            Err(DecodeError::WrongDomain("sample"))
        );
    }

    #[test]
    fn text_that_could_fool_a_reader_is_not_plain() {
        assert!(is_plain_text("grüße, 世界", false));
        assert!(is_plain_text("a\nb", true));
        for text in ["a\nb", "\u{1b}[2J", "a\u{202e}b", "\u{feff}", "\u{7f}"] {
            assert!(!is_plain_text(text, false), "{text:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn every_value_survives_a_round_trip(
            number: u64, text in proptest::option::of("[a-z]{0,9}"), list in proptest::collection::vec(any::<u32>(), 0..3)
        ) {
            let value = Sample { number, text, list };
            prop_assert_eq!(decode::<Sample>(&encode(&value), 64), Ok(value));
        }

        #[test]
        fn arbitrary_bytes_never_panic_and_have_one_spelling(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(value) = decode::<Sample>(&bytes, 64) {
                prop_assert_eq!(encode(&value), bytes);
            }
        }
    }
}
