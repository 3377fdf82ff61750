//! Domain-separated ed25519 signatures and the envelope that carries them.
//!
//! A signature covers `"weft/<type>/v1\0" ‖ network byte ‖ body` and is checked strictly
//! (`ed25519_dalek::VerifyingKey::verify_strict`). An envelope is the CBOR array
//! `[body, [[key index, signature], …]]`, sorted by key index, no key twice. A key index points into the
//! role's key list of the identity event that the object names.
use crate::{codec::Object, id::ObjectId};

/// Which network a signature is for, so that a test network's signatures mean nothing elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkId(pub u8);
impl NetworkId {
    /// The public network.
    pub const MAIN: Self = Self(0);
}
/// An ed25519 public key (32 bytes, not yet checked to be a point).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);
/// An ed25519 signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signature(pub [u8; 64]);
/// An ed25519 secret. Wiped on drop; never printed.
#[derive(Clone)]
pub struct SecretKey(ed25519_dalek::SigningKey);
impl SecretKey {
    /// From a 32-byte seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self { Self(ed25519_dalek::SigningKey::from_bytes(seed)) }
    /// The public half.
    pub fn public(&self) -> PublicKey { todo!() }
}
impl std::fmt::Debug for SecretKey { fn fmt(&self, _f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { todo!() } }
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
pub enum EnvelopeError { }
impl Envelope {
    /// Signs `object` with keys at the given indices of the role's list.
    pub fn sign<T: Object>(_object: &T, _network: NetworkId, _signers: &[(u16, &SecretKey)]) -> Self { todo!() }
    /// Adds one more signature (another holder of a threshold role).
    pub fn add_signature<T: Object>(&mut self, _network: NetworkId, _index: u16, _key: &SecretKey) { todo!() }
    /// Checks that at least `threshold` signatures by different keys of `keys` stand on the body, and that no signature is wrong.
    pub fn verify<T: Object>(&self, _network: NetworkId, _keys: &[PublicKey], _threshold: usize) -> Result<(), EnvelopeError> { todo!() }
    /// Strictly decodes and validates the body. Says nothing about signatures.
    pub fn decode_body<T: Object>(&self) -> Result<T, crate::codec::DecodeError> { todo!() }
    /// The object id of the body.
    pub fn id<T: Object>(&self) -> ObjectId { todo!() }
}
