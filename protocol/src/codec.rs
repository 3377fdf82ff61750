//! Deterministic CBOR (RFC 8949 §4.2.1) with strict decoding.
use crate::id::ObjectId;
/// An object with a type name, a size cap, and rules that its decoder enforces.
pub trait Object: Sized + minicbor::Encode<()> + for<'b> minicbor::Decode<'b, ()> {
    /// The `<type>` of the domain prefix `"weft/<type>/v1\0"`.
    const TYPE: &'static str;
    /// The longest body in bytes.
    const LEN_MAX: usize;
    /// Checks what the encoding alone cannot.
    fn validate(&self) -> Result<(), String>;
}
/// Why bytes are not an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError { }
/// Encodes deterministically.
pub fn encode<T: minicbor::Encode<()>>(_value: &T) -> Vec<u8> { todo!() }
/// Decodes, re-encodes and compares; trailing bytes, over-long input and any non-canonical form are refused.
pub fn decode<T: minicbor::Encode<()> + for<'b> minicbor::Decode<'b, ()>>(_bytes: &[u8], _len_max: usize) -> Result<T, DecodeError> { todo!() }
/// Decodes the body of an [`Object`] and validates it.
pub fn decode_object<T: Object>(_body: &[u8]) -> Result<T, DecodeError> { todo!() }
/// Domain prefix and body: the bytes whose BLAKE3 hash is the object id. Manifests and references are stored and sent in this form.
pub fn preimage<T: Object>(_object: &T) -> Vec<u8> { todo!() }
/// Checks that `preimage` hashes to `id` and decodes it.
pub fn decode_preimage<T: Object>(_id: ObjectId, _preimage: &[u8]) -> Result<T, DecodeError> { todo!() }
/// The object id of a body.
pub fn object_id<T: Object>(_body: &[u8]) -> ObjectId { todo!() }
