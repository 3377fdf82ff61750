//! Domain-separated ed25519 signatures and the envelope that carries them.
//!
//! A signature covers `"weft/<type>/v1\0" ‖ network byte ‖ body` and is checked strictly
//! (`ed25519_dalek::VerifyingKey::verify_strict`: no small-order keys, no malleable scalars). An
//! envelope is the CBOR array `[body, [[key index, signature], …]]`, sorted by key index, no key
//! twice, at most [`limits::SIGNATURES_MAX`] signatures. A key index points into the role's key list
//! of the identity event that the object names.

use std::fmt;

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

use crate::{
    codec::{self, DecodeError, Object},
    id::ObjectId,
    limits,
};

/// Which network a signature is for, so that a test network's signatures mean nothing elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkId(pub u8);

impl NetworkId {
    /// The public network.
    pub const MAIN: Self = Self(0);
}

/// An ed25519 public key (32 bytes, not yet checked to be a point).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct PublicKey(#[cbor(n(0), with = "codec::fixed")] pub [u8; 32]);

impl PublicKey {
    /// Checks one signature over raw bytes, strictly.
    pub fn verifies(&self, message: &[u8], signature: &Signature) -> bool {
        VerifyingKey::from_bytes(&self.0).is_ok_and(|key| {
            let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
            key.verify_strict(message, &signature).is_ok()
        })
    }
}

/// Shows 64 lower-case hex digits.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

/// An ed25519 signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Signature(#[cbor(n(0), with = "codec::fixed")] pub [u8; 64]);

/// An ed25519 secret. Wiped on drop; never printed.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// From a 32-byte seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }
    /// The seed, by reference so that no unwiped copy is made.
    pub fn seed(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }
    fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {})", self.public())
    }
}

/// A body and the signatures over it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Deterministic CBOR of the object.
    pub body: Vec<u8>,
    /// Key index and signature, sorted by index.
    pub signatures: Vec<(u16, Signature)>,
}

/// Why an envelope is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// More signatures than any role has keys.
    #[error("{0} signatures are more than the {max} allowed", max = limits::SIGNATURES_MAX)]
    TooManySignatures(usize),
    /// Key indices are not strictly ascending.
    #[error("the signatures are not sorted by key index, or a key signed twice")]
    Unsorted,
    /// A key index that the role does not have.
    #[error("key {index} does not exist: the role has {keys} keys")]
    UnknownKey {
        /// The index in the envelope.
        index: u16,
        /// Keys of the role.
        keys: usize,
    },
    /// A signature that is wrong: other bytes, another type, another network or another key.
    #[error("the signature of key {0} is wrong")]
    WrongSignature(u16),
    /// Fewer valid signatures than the role's threshold.
    #[error("{got} of {threshold} needed signatures")]
    TooFew {
        /// Signatures that count.
        got: usize,
        /// Signatures needed.
        threshold: usize,
    },
}

impl Envelope {
    /// Signs `object` with keys at the given indices of the role's list.
    pub fn sign<T: Object>(object: &T, network: NetworkId, signers: &[(u16, &SecretKey)]) -> Self {
        let mut envelope = Self {
            body: codec::encode(object),
            signatures: Vec::new(),
        };
        for (index, key) in signers {
            envelope.add_signature::<T>(network, *index, key);
        }
        envelope
    }

    /// Adds one more signature (another holder of a threshold role); replaces one by the same key index.
    pub fn add_signature<T: Object>(&mut self, network: NetworkId, index: u16, key: &SecretKey) {
        let signature = key.sign(&message::<T>(network, &self.body));
        match self.signatures.binary_search_by_key(&index, |(i, _)| *i) {
            Ok(at) => {
                if let Some(slot) = self.signatures.get_mut(at) {
                    slot.1 = signature;
                }
            }
            Err(at) => self.signatures.insert(at, (index, signature)),
        }
    }

    /// Checks that at least `threshold` signatures by different keys of `keys` stand on the body, and that no signature is wrong.
    ///
    /// # Errors
    /// Says which signature is wrong or how many are missing.
    pub fn verify<T: Object>(
        &self,
        network: NetworkId,
        keys: &[PublicKey],
        threshold: usize,
    ) -> Result<(), EnvelopeError> {
        self.verify_counting::<T>(network, keys, threshold, |_| true)
    }

    /// As [`Envelope::verify`], but only signatures by keys for which `counts` holds add to the threshold.
    /// The others must still be right.
    ///
    /// # Errors
    /// Says which signature is wrong or how many are missing.
    pub fn verify_counting<T: Object>(
        &self,
        network: NetworkId,
        keys: &[PublicKey],
        threshold: usize,
        counts: impl Fn(&PublicKey) -> bool,
    ) -> Result<(), EnvelopeError> {
        if self.signatures.len() > limits::SIGNATURES_MAX {
            return Err(EnvelopeError::TooManySignatures(self.signatures.len()));
        }
        if !self.signatures.is_sorted_by(|(a, _), (b, _)| a < b) {
            return Err(EnvelopeError::Unsorted);
        }
        let message = message::<T>(network, &self.body);
        let mut got = 0_usize;
        for (index, signature) in &self.signatures {
            let key = keys
                .get(usize::from(*index))
                .ok_or(EnvelopeError::UnknownKey {
                    index: *index,
                    keys: keys.len(),
                })?;
            if !key.verifies(&message, signature) {
                return Err(EnvelopeError::WrongSignature(*index));
            }
            if counts(key) {
                got = got.saturating_add(1);
            }
        }
        // A threshold of zero would accept an unsigned body; no caller may mean that.
        let threshold = threshold.max(1);
        if got < threshold {
            return Err(EnvelopeError::TooFew { got, threshold });
        }
        Ok(())
    }

    /// Strictly decodes and validates the body. Says nothing about signatures.
    ///
    /// # Errors
    /// As [`codec::decode_object`].
    pub fn decode_body<T: Object>(&self) -> Result<T, DecodeError> {
        codec::decode_object(&self.body)
    }

    /// The object id of the body.
    pub fn id<T: Object>(&self) -> ObjectId {
        codec::object_id::<T>(&self.body)
    }
}

/// The bytes that a signature covers.
fn message<T: Object>(network: NetworkId, body: &[u8]) -> Vec<u8> {
    let mut bytes = codec::domain::<T>();
    bytes.push(network.0);
    bytes.extend_from_slice(body);
    bytes
}

impl<C> Encode<C> for Envelope {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.array(2)?.bytes(&self.body)?;
        self.signatures.encode(e, ctx)
    }
}

impl<'b, C> Decode<'b, C> for Envelope {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        codec::array_of(d, 2)?;
        let body = d.bytes()?.to_vec();
        let signatures: Vec<(u16, Signature)> =
            codec::bounded::<{ limits::SIGNATURES_MAX }, _, _>(d, ctx)?;
        if !signatures.is_sorted_by(|(a, _), (b, _)| a < b) {
            return Err(decode::Error::message(
                "signatures are not sorted by key index",
            ));
        }
        Ok(Self { body, signatures })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NET: NetworkId = NetworkId(7);

    macro_rules! object {
        ($name:ident, $domain:literal) => {
            #[derive(Debug, Clone, PartialEq, Encode, Decode)]
            #[cbor(map)]
            struct $name {
                #[n(0)]
                value: u64,
            }
            impl Object for $name {
                const TYPE: &'static str = $domain;
                const LEN_MAX: usize = 16;
                fn validate(&self) -> Result<(), String> {
                    Ok(())
                }
            }
        };
    }
    object!(Apple, "apple");
    object!(Pear, "pear");

    fn secret(n: u8) -> SecretKey {
        SecretKey::from_seed(&[n; 32])
    }
    fn keys() -> Vec<PublicKey> {
        (1..=3).map(|n| secret(n).public()).collect()
    }
    fn signed(signers: &[(u16, &SecretKey)]) -> Envelope {
        Envelope::sign(&Apple { value: 1 }, NET, signers)
    }

    #[test]
    fn enough_signatures_verify_in_any_signing_order() {
        let envelope = signed(&[(2, &secret(3)), (0, &secret(1))]);
        assert_eq!(envelope.verify::<Apple>(NET, &keys(), 2), Ok(()));
        assert_eq!(
            envelope.verify::<Apple>(NET, &keys(), 3),
            Err(EnvelopeError::TooFew {
                got: 2,
                threshold: 3
            })
        );
    }

    #[test]
    fn signature_means_nothing_for_another_type_or_network() {
        let envelope = signed(&[(0, &secret(1))]);
        let wrong = Err(EnvelopeError::WrongSignature(0));
        assert_eq!(envelope.verify::<Pear>(NET, &keys(), 1), wrong);
        assert_eq!(envelope.verify::<Apple>(NetworkId::MAIN, &keys(), 1), wrong);
    }

    #[test]
    fn one_key_cannot_count_twice() {
        let mut envelope = signed(&[(0, &secret(1)), (0, &secret(1))]);
        assert_eq!(envelope.signatures.len(), 1);
        let again = envelope.signatures[0];
        envelope.signatures.push(again);
        assert_eq!(
            envelope.verify::<Apple>(NET, &keys(), 2),
            Err(EnvelopeError::Unsorted)
        );
        assert!(codec::decode::<Envelope>(&codec::encode(&envelope), 4096).is_err());
    }

    #[test]
    fn unknown_wrong_missing_and_uncounted_keys_are_told_apart() {
        let stranger = signed(&[(9, &secret(9))]);
        assert_eq!(
            stranger.verify::<Apple>(NET, &keys(), 1),
            Err(EnvelopeError::UnknownKey { index: 9, keys: 3 })
        );
        let swapped = signed(&[(0, &secret(2))]);
        assert_eq!(
            swapped.verify::<Apple>(NET, &keys(), 1),
            Err(EnvelopeError::WrongSignature(0))
        );
        let none = signed(&[]);
        assert_eq!(
            none.verify::<Apple>(NET, &keys(), 0),
            Err(EnvelopeError::TooFew {
                got: 0,
                threshold: 1
            })
        );
        let revoked = secret(1).public();
        assert_eq!(
            signed(&[(0, &secret(1))])
                .verify_counting::<Apple>(NET, &keys(), 1, |key| *key != revoked),
            Err(EnvelopeError::TooFew {
                got: 0,
                threshold: 1
            })
        );
    }

    #[test]
    fn envelope_round_trips_and_bounds_its_signatures() {
        let envelope = signed(&[(0, &secret(1)), (1, &secret(2))]);
        let bytes = codec::encode(&envelope);
        assert_eq!(
            codec::decode::<Envelope>(&bytes, 4096),
            Ok(envelope.clone())
        );
        let many = Envelope {
            signatures: (0..10).map(|i| (i, Signature([0; 64]))).collect(),
            ..envelope
        };
        assert!(codec::decode::<Envelope>(&codec::encode(&many), 4096).is_err());
        assert_eq!(
            many.verify::<Apple>(NET, &keys(), 1),
            Err(EnvelopeError::TooManySignatures(10))
        );
    }

    #[test]
    fn every_flipped_bit_of_body_or_signature_is_noticed() {
        let envelope = signed(&[(0, &secret(1))]);
        for bit in 0..envelope.body.len() * 8 {
            let mut changed = envelope.clone();
            changed.body[bit / 8] ^= 1 << (bit % 8);
            assert!(changed.verify::<Apple>(NET, &keys(), 1).is_err());
        }
        for bit in 0..512 {
            let mut changed = envelope.clone();
            changed.signatures[0].1.0[bit / 8] ^= 1 << (bit % 8);
            assert!(changed.verify::<Apple>(NET, &keys(), 1).is_err());
        }
    }

    #[test]
    fn secret_is_never_printed() {
        let text = format!("{:?}", secret(0x5a));
        assert!(!text.contains("5a5a5a5a"), "{text}");
    }

    #[test]
    fn small_order_key_signs_nothing() {
        // The neutral element: with it, R = 0 and s = 0 pass a lax verifier for any message.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;
        assert!(!PublicKey(neutral).verifies(b"anything", &Signature(signature)));
    }
}
