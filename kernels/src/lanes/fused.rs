//! `a · b + c`, rounded once, also where the processor has no instruction for it.

/// `a · b + c` of sixteen 32-bit floats, rounded once.
#[inline(always)]
pub(crate) fn fma(a: [f32; 16], b: [f32; 16], c: [f32; 16]) -> [f32; 16] {
    // Where it is one instruction. Elsewhere the system's library would be called for each number.
    if cfg!(any(target_feature = "fma", target_arch = "aarch64")) {
        std::array::from_fn(|lane| a[lane].mul_add(b[lane], c[lane]))
    } else {
        plain(a, b, c)
    }
}

/// The same by sums and products of 64 bits alone.
///
/// The product of two 32-bit floats is exact in 64 bits, so only the sum has to be rounded: to 64 bits and then to 32,
/// which is once too often only where the first falls on the middle between two floats.
#[inline(always)]
pub(crate) fn plain(a: [f32; 16], b: [f32; 16], c: [f32; 16]) -> [f32; 16] {
    let sums: [f64; 16] =
        std::array::from_fn(|lane| f64::from(a[lane]) * f64::from(b[lane]) + f64::from(c[lane]));
    let doubtful = sums.iter().fold(false, |any, sum| {
        // The bits that 32-bit floats have not; the smallest floats have fewer still.
        let middle = sum.to_bits() as u32 & 0x1fff_ffff == 0x1000_0000;
        any | middle | ((sum.abs() < f64::from(f32::MIN_POSITIVE)) & (*sum != 0.0))
    });
    if doubtful {
        return doubted(a, b, c);
    }
    std::array::from_fn(|lane| sums[lane] as f32)
}

#[cold]
#[inline(never)]
fn doubted(a: [f32; 16], b: [f32; 16], c: [f32; 16]) -> [f32; 16] {
    std::array::from_fn(|lane| by_odd(a[lane], b[lane], c[lane]))
}

/// Boldo and Melquiond, "Emulation of FMA and correctly rounded sums: proved algorithms using rounding to odd" (2008): if
/// a sum that is not exact becomes the one of its two neighbours whose last bit is set, the second rounding comes out as
/// if there had been no first.
#[inline(always)]
pub(crate) fn by_odd(a: f32, b: f32, c: f32) -> f32 {
    let (product, c) = (f64::from(a) * f64::from(b), f64::from(c));
    let sum = product + c;
    // What the sum lacks, exactly: Knuth's sum of two numbers. Nothing overflows, because exponents are those of 32 bits.
    let rest = sum - product;
    let lacks = (product - (sum - rest)) + (c - rest);
    let bits = sum.to_bits();
    // False of what is not a number as well, so that infinities stay as they are.
    let odd = match lacks.abs() > 0.0 && bits.is_multiple_of(2) {
        false => bits,
        // Away from zero where the sum lacks something of its own sign.
        true if lacks.is_sign_negative() == sum.is_sign_negative() => bits + 1,
        true => bits - 1,
    };
    f64::from_bits(odd) as f32
}
