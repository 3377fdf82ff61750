//! Numbers with a fraction, in the one form that CBOR items of ours have them: as the bits of a 32-bit float.

use std::fmt;

use minicbor::{
    Decode, Decoder, Encode, Encoder,
    decode::Error,
    encode::{self, Write},
};

/// A finite 32-bit float. Compared by its bits, so that a message equals itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Real(u32);

impl Real {
    /// Zero.
    pub const ZERO: Self = Self(0);

    /// A finite number; anything else becomes the nearest finite one, and no number becomes zero.
    pub const fn new(value: f32) -> Self {
        let value = if value.is_nan() { 0.0 } else { value };
        Self(value.clamp(f32::MIN, f32::MAX).to_bits())
    }

    /// Its value.
    pub const fn get(self) -> f32 {
        f32::from_bits(self.0)
    }
}

impl From<f32> for Real {
    fn from(value: f32) -> Self {
        Self::new(value)
    }
}

impl fmt::Debug for Real {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.get())
    }
}

impl<C> Encode<C> for Real {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.u32(self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Real {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, Error> {
        let bits = d.u32()?;
        if f32::from_bits(bits).is_finite() {
            Ok(Self(bits))
        } else {
            Err(Error::message("a number that is not finite"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;

    #[test]
    fn only_finite_numbers_are_read() {
        for value in [0.0, -0.0, 1.5, f32::MAX, f32::MIN_POSITIVE] {
            let real = Real::new(value);
            assert_eq!(codec::decode(&codec::encode(&real), 8), Ok(real));
            assert_eq!(real.get().to_bits(), value.to_bits());
        }
        assert_eq!(Real::new(f32::INFINITY).get(), f32::MAX);
        assert_eq!(Real::new(f32::NAN), Real::ZERO);
        for value in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
            assert!(codec::decode::<Real>(&codec::encode(&value.to_bits()), 8).is_err());
        }
    }
}
