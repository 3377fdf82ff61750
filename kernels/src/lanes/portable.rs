//! Sixteen lanes in an array, for any processor; the compiler makes of it what it can.

use super::{Lanes, fused::fma};

/// Plain arithmetic.
#[derive(Debug)]
pub(crate) struct Portable;

#[inline(always)]
fn map<T: Copy, U>(a: [T; 16], f: impl Fn(T) -> U) -> [U; 16] {
    std::array::from_fn(|lane| f(a[lane]))
}

#[inline(always)]
fn zip<T: Copy>(a: [T; 16], b: [T; 16], f: impl Fn(T, T) -> T) -> [T; 16] {
    std::array::from_fn(|lane| f(a[lane], b[lane]))
}

/// The nearest integer of a number below 2²², of two equally near the even one: nothing but a sum, where many
/// processors have no instruction for it.
#[inline(always)]
fn nearest(float: f32) -> f32 {
    // From here on, floats have no fractions.
    const WHOLE: f32 = 12_582_912.0;
    ((float.abs() + WHOLE) - WHOLE).copysign(float)
}

/// The value of a 16-bit float.
#[inline(always)]
pub(crate) fn half(bits: u16) -> f32 {
    let sign = u32::from(bits >> 15) << 31;
    let exponent = u32::from(bits >> 10) & 0x1f;
    let fraction = u32::from(bits) & 0x3ff;
    match exponent {
        0 => f32::from_bits(sign | (fraction as f32 / (1 << 24) as f32).to_bits()),
        31 => f32::from_bits(sign | 0x7f80_0000 | (fraction << 13)),
        _ => f32::from_bits(sign | ((exponent + 112) << 23) | (fraction << 13)),
    }
}

// SAFETY of all of it: pointers whose bounds are the caller's word, see `Lanes`.
#[expect(
    clippy::undocumented_unsafe_blocks,
    reason = "one reason for all of them"
)]
impl Lanes for Portable {
    type Bytes = [u8; 64];
    type Ints = [i32; 16];
    type Floats = [f32; 16];
    const ROWS_MAX: usize = 1;
    const WIDE_OFFSET: i32 = 128;

    #[inline(always)]
    unsafe fn bytes(from: *const u8) -> [u8; 64] {
        unsafe { from.cast::<[u8; 64]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn low(bytes: [u8; 64]) -> [u8; 64] {
        std::array::from_fn(|at| bytes[at] & 0x0f)
    }
    #[inline(always)]
    unsafe fn high(bytes: [u8; 64]) -> [u8; 64] {
        std::array::from_fn(|at| bytes[at] >> 4)
    }
    #[inline(always)]
    unsafe fn six<const PAIR: u32>(low: [u8; 64], bits: [u8; 64]) -> [u8; 64] {
        std::array::from_fn(|at| low[at] | (bits[at] >> (2 * PAIR) & 3) << 4)
    }
    #[inline(always)]
    unsafe fn fifth(low: [u8; 64], bits: [u8; 64], bit: usize) -> [u8; 64] {
        std::array::from_fn(|at| low[at] | (bits[at] >> bit & 1) << 4)
    }

    #[inline(always)]
    unsafe fn int(value: i32) -> [i32; 16] {
        [value; 16]
    }
    #[inline(always)]
    unsafe fn dot(sum: [i32; 16], bytes: [u8; 64], with: *const i8) -> [i32; 16] {
        let with = unsafe { with.cast::<[i8; 4]>().read_unaligned() };
        std::array::from_fn(|lane| {
            let product = |at: usize| i32::from(bytes[4 * lane + at]) * i32::from(with[at]);
            sum[lane] + product(0) + product(1) + product(2) + product(3)
        })
    }
    #[inline(always)]
    unsafe fn dot_wide(sum: [i32; 16], bytes: [u8; 64], with: *const i8) -> [i32; 16] {
        unsafe { Self::dot(sum, bytes, with) }
    }
    #[inline(always)]
    unsafe fn int_fma(a: [i32; 16], b: [i32; 16], sum: [i32; 16]) -> [i32; 16] {
        zip(zip(a, b, |a, b| a * b), sum, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn signed(from: *const i8) -> [i32; 16] {
        map(
            unsafe { from.cast::<[i8; 16]>().read_unaligned() },
            i32::from,
        )
    }

    #[inline(always)]
    unsafe fn of_ints(ints: [i32; 16]) -> [f32; 16] {
        map(ints, |int| int as f32)
    }
    #[inline(always)]
    unsafe fn of_bytes(from: *const u8) -> [f32; 16] {
        map(
            unsafe { from.cast::<[u8; 16]>().read_unaligned() },
            f32::from,
        )
    }
    #[inline(always)]
    unsafe fn of_halves(from: *const u16) -> [f32; 16] {
        map(unsafe { from.cast::<[u16; 16]>().read_unaligned() }, half)
    }
    #[inline(always)]
    unsafe fn of_pairs(from: *const u16) -> ([f32; 16], [f32; 16]) {
        let both = unsafe { from.cast::<[[u16; 2]; 16]>().read_unaligned() };
        let float = |bits: u16| f32::from_bits(u32::from(bits) << 16);
        (
            map(both, |both| float(both[0])),
            map(both, |both| float(both[1])),
        )
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> [f32; 16] {
        unsafe { from.cast::<[f32; 16]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(floats: [f32; 16], to: *mut f32) {
        unsafe { to.cast::<[f32; 16]>().write_unaligned(floats) }
    }
    #[inline(always)]
    unsafe fn store_signed(floats: [f32; 16], to: *mut i8) {
        let bytes = map(floats, |float| nearest(float) as i8);
        unsafe { to.cast::<[i8; 16]>().write_unaligned(bytes) }
    }
    #[inline(always)]
    unsafe fn float(value: f32) -> [f32; 16] {
        [value; 16]
    }
    #[inline(always)]
    unsafe fn add(a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        zip(a, b, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn sub(a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        zip(a, b, |a, b| a - b)
    }
    #[inline(always)]
    unsafe fn mul(a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        zip(a, b, |a, b| a * b)
    }
    #[inline(always)]
    unsafe fn div(a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        zip(a, b, |a, b| a / b)
    }
    #[inline(always)]
    unsafe fn max(a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        zip(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    unsafe fn min(a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        zip(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    unsafe fn fma(a: [f32; 16], b: [f32; 16], c: [f32; 16]) -> [f32; 16] {
        fma(a, b, c)
    }
    #[inline(always)]
    unsafe fn above(
        a: [f32; 16],
        b: [f32; 16],
        then: [f32; 16],
        otherwise: [f32; 16],
    ) -> [f32; 16] {
        std::array::from_fn(|lane| match a[lane] > b[lane] {
            true => then[lane],
            false => otherwise[lane],
        })
    }
    #[inline(always)]
    unsafe fn largest_size(a: [f32; 16], b: [f32; 16]) -> f32 {
        // Of numbers without a sign, bits are in the same order, and those that are none come last.
        let size = |float: f32| (float.to_bits() & 0x7fff_ffff) as i32;
        let sizes: [i32; 16] = std::array::from_fn(|lane| size(a[lane]).max(size(b[lane])));
        f32::from_bits(sizes.into_iter().fold(0, i32::max) as u32)
    }
    #[inline(always)]
    unsafe fn round(floats: [f32; 16]) -> [f32; 16] {
        map(floats, nearest)
    }
    #[inline(always)]
    unsafe fn power(floats: [f32; 16]) -> [f32; 16] {
        map(floats, |float| {
            f32::from_bits(((float as i32 + 127) << 23) as u32)
        })
    }
}
