//! Sixteen numbers at once, on whatever processor there is.

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
pub(crate) mod fused;
pub(crate) mod portable;
mod turn;

use std::sync::OnceLock;

pub(crate) use turn::Turn;

/// Instructions that a processor may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl Class {
    /// The best one of this processor, or the one of it that `WEFT_KERNELS` names, to compare them.
    pub(crate) fn here() -> Self {
        static HERE: OnceLock<Class> = OnceLock::new();
        *HERE.get_or_init(|| {
            let all = Self::all();
            let wanted = std::env::var("WEFT_KERNELS").unwrap_or_default();
            let found = all.iter().find(|class| class.name() == wanted);
            *found.unwrap_or(&all[0])
        })
    }

    fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "x86_64-avx512vnni",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "x86_64-avx2",
            Self::Portable => "portable",
        }
    }

    /// All that this processor has, the best first.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            use std::is_x86_feature_detected as has;
            let old = has!("avx2") && has!("fma") && has!("f16c");
            let new = has!("avx512f") && has!("avx512bw") && has!("avx512vl");
            if old && new && has!("avx512vnni") {
                all.push(Self::Avx512);
            }
            if old {
                all.push(Self::Avx2);
            }
        }
        all.push(Self::Portable);
        all
    }
}

/// Which instructions compute here: a matter of speed alone, see [`ROUNDING`].
pub fn instructions() -> &'static str {
    Class::here().name()
}

/// How numbers are rounded, by name: whoever has kernels of the same name computes the same bits, on whatever
/// processor. The number changes when any bit does.
pub const ROUNDING: &str = "weft-2";

/// Runs a function that is generic over [`Lanes`] with the instructions of a class.
///
/// The function must be `#[inline(always)]`: it is compiled anew for each class inside a function that has its
/// instructions switched on.
macro_rules! with_lanes {
    ($class:expr, $function:ident :: <_ $(, $generic:tt)*> ( $($name:ident : $type:ty = $value:expr),* $(,)? )) => {{
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
        unsafe fn avx512($($name: $type),*) {
            // SAFETY: the caller's, and the instructions are there.
            unsafe { $function::<$crate::lanes::avx512::Avx512 $(, $generic)*>($($name),*) }
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,f16c")]
        unsafe fn avx2($($name: $type),*) {
            // SAFETY: the caller's, and the instructions are there.
            unsafe { $function::<$crate::lanes::avx2::Avx2 $(, $generic)*>($($name),*) }
        }
        match $class {
            #[cfg(target_arch = "x86_64")]
            $crate::lanes::Class::Avx512 => avx512($($value),*),
            #[cfg(target_arch = "x86_64")]
            $crate::lanes::Class::Avx2 => avx2($($value),*),
            $crate::lanes::Class::Portable => {
                $function::<$crate::lanes::portable::Portable $(, $generic)*>($($value),*)
            }
        }
    }};
}
pub(crate) use with_lanes;

/// Sixteen lanes. Everything here may only be called where the processor has the instructions, and with pointers to as
/// many elements as are read or written.
///
/// All implementations compute the same bits, but for those of what is not a number.
pub(crate) trait Lanes {
    /// 64 bytes: four for each lane.
    type Bytes: Copy;
    /// Sixteen 32-bit integers.
    type Ints: Copy;
    /// Sixteen 32-bit floats.
    type Floats: Copy;
    /// Rows that are computed together at most: as many as registers hold.
    const ROWS_MAX: usize;
    /// What [`Self::dot_wide`] leaves over: this times the sum of what it was given.
    const WIDE_OFFSET: i32;

    unsafe fn bytes(from: *const u8) -> Self::Bytes;
    /// The lower half of each byte.
    unsafe fn low(bytes: Self::Bytes) -> Self::Bytes;
    /// The upper half of each byte.
    unsafe fn high(bytes: Self::Bytes) -> Self::Bytes;
    /// Bits 4 and 5 out of bits `2 · PAIR` and the next of `bits`, the others out of `low`.
    unsafe fn six<const PAIR: u32>(low: Self::Bytes, bits: Self::Bytes) -> Self::Bytes;
    /// Bit 4 out of bit `bit` of `bits`, the others out of `low`.
    unsafe fn fifth(low: Self::Bytes, bits: Self::Bytes, bit: usize) -> Self::Bytes;

    unsafe fn int(value: i32) -> Self::Ints;
    /// Adds to each lane the products of its four bytes, none above 63, with the same four signed ones.
    unsafe fn dot(sum: Self::Ints, bytes: Self::Bytes, with: *const i8) -> Self::Ints;
    /// The same for bytes that are 128 too large; see [`Self::WIDE_OFFSET`].
    unsafe fn dot_wide(sum: Self::Ints, bytes: Self::Bytes, with: *const i8) -> Self::Ints;
    /// `sum + a · b`.
    unsafe fn int_fma(a: Self::Ints, b: Self::Ints, sum: Self::Ints) -> Self::Ints;
    /// Sixteen signed bytes.
    unsafe fn signed(from: *const i8) -> Self::Ints;

    unsafe fn of_ints(ints: Self::Ints) -> Self::Floats;
    /// Sixteen unsigned bytes.
    unsafe fn of_bytes(from: *const u8) -> Self::Floats;
    unsafe fn of_halves(from: *const u16) -> Self::Floats;
    /// Sixteen pairs of bfloat16: the first ones, and the second ones.
    unsafe fn of_pairs(from: *const u16) -> (Self::Floats, Self::Floats);
    unsafe fn load(from: *const f32) -> Self::Floats;
    unsafe fn store(floats: Self::Floats, to: *mut f32);
    /// Rounds to the nearest integers, which fit a byte.
    unsafe fn store_signed(floats: Self::Floats, to: *mut i8);
    unsafe fn float(value: f32) -> Self::Floats;
    unsafe fn add(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    unsafe fn sub(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    unsafe fn mul(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    unsafe fn div(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a` where it is larger, `b` everywhere else: also of zeros, and if either is not a number.
    unsafe fn max(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a` where it is smaller, `b` everywhere else.
    unsafe fn min(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `then` where `a` is larger than `b`.
    unsafe fn above(
        a: Self::Floats,
        b: Self::Floats,
        then: Self::Floats,
        otherwise: Self::Floats,
    ) -> Self::Floats;
    /// The largest of all sizes; not a number if any of them is none.
    unsafe fn largest_size(a: Self::Floats, b: Self::Floats) -> f32;
    /// `a · b + c`, rounded once.
    unsafe fn fma(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
    unsafe fn round(floats: Self::Floats) -> Self::Floats;
    /// Two to the power of integers between -126 and 127.
    unsafe fn power(floats: Self::Floats) -> Self::Floats;

    /// The sum of sixteen signed bytes.
    #[inline(always)]
    unsafe fn sum_signed(from: *const i8) -> i32 {
        // SAFETY: the caller's.
        let bytes = unsafe { from.cast::<[i8; 16]>().read_unaligned() };
        bytes.iter().map(|byte| i32::from(*byte)).sum()
    }

    /// Reads ahead.
    #[inline(always)]
    unsafe fn ahead(_from: *const u8) {}
}

/// All lanes in memory.
#[inline(always)]
pub(crate) unsafe fn array<L: Lanes>(floats: L::Floats) -> [f32; 16] {
    let mut array = [0.0; 16];
    // SAFETY: sixteen floats have room in it.
    unsafe { L::store(floats, array.as_mut_ptr()) };
    array
}

/// Euler's number to the power of each lane; right to about one part in 2^23.
#[inline(always)]
pub(crate) unsafe fn exp<L: Lanes>(x: L::Floats) -> L::Floats {
    // SAFETY: arithmetic only.
    unsafe {
        // In this order, what is not a number stays so.
        let x = L::max(L::float(-87.0), L::min(L::float(88.0), x));
        let n = L::round(L::mul(x, L::float(std::f32::consts::LOG2_E)));
        let r = L::fma(n, L::float(-0.693_359_4), x);
        let r = L::fma(n, L::float(2.121_944_4e-4), r);
        let mut p = L::float(1.987_569_1e-4);
        for c in [
            1.398_199_9e-3,
            8.333_452e-3,
            4.166_579_6e-2,
            1.666_666_5e-1,
            5.0e-1,
        ] {
            p = L::fma(p, r, L::float(c));
        }
        let p = L::fma(p, L::mul(r, r), L::add(r, L::float(1.0)));
        L::mul(p, L::power(n))
    }
}

/// The hyperbolic tangent of each lane; right to about three parts in 2^24.
#[inline(always)]
pub(crate) unsafe fn tanh<L: Lanes>(x: L::Floats) -> L::Floats {
    // SAFETY: arithmetic only.
    unsafe {
        let zero = L::float(0.0);
        let size = L::max(x, L::sub(zero, x));
        // Away from zero by the exponential; near it, that would cancel.
        let one = L::float(1.0);
        let far = L::add(exp::<L>(L::add(size, size)), one);
        let far = L::sub(one, L::div(L::float(2.0), far));
        let far = L::above(zero, x, L::sub(zero, far), far);
        let square = L::mul(x, x);
        let mut p = L::float(-5.704_988_7e-3);
        for c in [2.063_909e-2, -5.373_971_6e-2, 1.333_144_2e-1, -3.333_328e-1] {
            p = L::fma(p, square, L::float(c));
        }
        let near = L::fma(L::mul(p, square), x, x);
        L::above(size, L::float(0.625), far, near)
    }
}
