//! Sixteen lanes in two registers.

use std::arch::x86_64::*;

use super::Lanes;

/// AVX2 with FMA and F16C.
#[derive(Debug)]
pub(crate) struct Avx2;

type Two<T> = (T, T);

// SAFETY of all of it: instructions whose presence and pointers whose bounds are the caller's word, see `Lanes`.
#[expect(
    clippy::undocumented_unsafe_blocks,
    reason = "one reason for all of them"
)]
impl Lanes for Avx2 {
    type Bytes = Two<__m256i>;
    type Ints = Two<__m256i>;
    type Floats = Two<__m256>;
    const ROWS_MAX: usize = 2;
    const WIDE_OFFSET: i32 = 0;

    #[inline(always)]
    unsafe fn bytes(from: *const u8) -> Two<__m256i> {
        unsafe {
            (
                _mm256_loadu_si256(from.cast()),
                _mm256_loadu_si256(from.add(32).cast()),
            )
        }
    }
    #[inline(always)]
    unsafe fn low(b: Two<__m256i>) -> Two<__m256i> {
        unsafe {
            let mask = _mm256_set1_epi8(0x0f);
            (_mm256_and_si256(b.0, mask), _mm256_and_si256(b.1, mask))
        }
    }
    #[inline(always)]
    unsafe fn high(b: Two<__m256i>) -> Two<__m256i> {
        unsafe { Self::low((_mm256_srli_epi16::<4>(b.0), _mm256_srli_epi16::<4>(b.1))) }
    }
    #[inline(always)]
    unsafe fn six<const PAIR: u32>(low: Two<__m256i>, bits: Two<__m256i>) -> Two<__m256i> {
        unsafe {
            let one = |low, bits| {
                let bits = match PAIR {
                    0 => _mm256_slli_epi16::<4>(bits),
                    1 => _mm256_slli_epi16::<2>(bits),
                    2 => bits,
                    _ => _mm256_srli_epi16::<2>(bits),
                };
                _mm256_or_si256(low, _mm256_and_si256(bits, _mm256_set1_epi8(0x30)))
            };
            (one(low.0, bits.0), one(low.1, bits.1))
        }
    }
    #[inline(always)]
    unsafe fn fifth(low: Two<__m256i>, bits: Two<__m256i>, bit: usize) -> Two<__m256i> {
        unsafe {
            let chosen = _mm256_set1_epi8((1_u8 << bit) as i8);
            let one = |low, bits| {
                let set = _mm256_cmpeq_epi8(_mm256_and_si256(bits, chosen), chosen);
                _mm256_or_si256(low, _mm256_and_si256(set, _mm256_set1_epi8(16)))
            };
            (one(low.0, bits.0), one(low.1, bits.1))
        }
    }

    #[inline(always)]
    unsafe fn int(value: i32) -> Two<__m256i> {
        unsafe { (_mm256_set1_epi32(value), _mm256_set1_epi32(value)) }
    }
    #[inline(always)]
    unsafe fn dot(sum: Two<__m256i>, bytes: Two<__m256i>, with: *const i8) -> Two<__m256i> {
        unsafe {
            let with = _mm256_set1_epi32(with.cast::<i32>().read_unaligned());
            let ones = _mm256_set1_epi16(1);
            // 63 · 127 · 2 fits 16 bits.
            let one = |sum, bytes| {
                let pairs = _mm256_maddubs_epi16(bytes, with);
                _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones))
            };
            (one(sum.0, bytes.0), one(sum.1, bytes.1))
        }
    }
    #[inline(always)]
    unsafe fn dot_wide(sum: Two<__m256i>, bytes: Two<__m256i>, with: *const i8) -> Two<__m256i> {
        unsafe {
            let with = _mm256_set1_epi32(with.cast::<i32>().read_unaligned());
            let ones = _mm256_set1_epi16(1);
            // The sign moves to the other factor, because the instruction takes one without and one with a sign;
            // 128 · 127 · 2 fits 16 bits.
            let one = |sum, bytes| {
                let signed = _mm256_xor_si256(bytes, _mm256_set1_epi8(-128));
                let with = _mm256_sign_epi8(with, signed);
                let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(signed), with);
                _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones))
            };
            (one(sum.0, bytes.0), one(sum.1, bytes.1))
        }
    }
    #[inline(always)]
    unsafe fn int_fma(a: Two<__m256i>, b: Two<__m256i>, sum: Two<__m256i>) -> Two<__m256i> {
        unsafe {
            (
                _mm256_add_epi32(_mm256_mullo_epi32(a.0, b.0), sum.0),
                _mm256_add_epi32(_mm256_mullo_epi32(a.1, b.1), sum.1),
            )
        }
    }
    #[inline(always)]
    unsafe fn signed(from: *const i8) -> Two<__m256i> {
        unsafe {
            (
                _mm256_cvtepi8_epi32(_mm_loadl_epi64(from.cast())),
                _mm256_cvtepi8_epi32(_mm_loadl_epi64(from.add(8).cast())),
            )
        }
    }

    #[inline(always)]
    unsafe fn of_ints(ints: Two<__m256i>) -> Two<__m256> {
        unsafe { (_mm256_cvtepi32_ps(ints.0), _mm256_cvtepi32_ps(ints.1)) }
    }
    #[inline(always)]
    unsafe fn of_bytes(from: *const u8) -> Two<__m256> {
        unsafe {
            (
                _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(from.cast()))),
                _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(from.add(8).cast()))),
            )
        }
    }
    #[inline(always)]
    unsafe fn of_halves(from: *const u16) -> Two<__m256> {
        unsafe {
            (
                _mm256_cvtph_ps(_mm_loadu_si128(from.cast())),
                _mm256_cvtph_ps(_mm_loadu_si128(from.add(8).cast())),
            )
        }
    }
    #[inline(always)]
    unsafe fn of_pairs(from: *const u16) -> (Two<__m256>, Two<__m256>) {
        unsafe {
            let (a, b) = Self::bytes(from.cast());
            let mask = _mm256_set1_epi32(0xffff_0000_u32 as i32);
            (
                (
                    _mm256_castsi256_ps(_mm256_slli_epi32::<16>(a)),
                    _mm256_castsi256_ps(_mm256_slli_epi32::<16>(b)),
                ),
                (
                    _mm256_castsi256_ps(_mm256_and_si256(a, mask)),
                    _mm256_castsi256_ps(_mm256_and_si256(b, mask)),
                ),
            )
        }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Two<__m256> {
        unsafe { (_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) }
    }
    #[inline(always)]
    unsafe fn store(floats: Two<__m256>, to: *mut f32) {
        unsafe {
            _mm256_storeu_ps(to, floats.0);
            _mm256_storeu_ps(to.add(8), floats.1);
        }
    }
    #[inline(always)]
    unsafe fn store_signed(floats: Two<__m256>, to: *mut i8) {
        unsafe {
            let mut ints = [0_i32; 16];
            _mm256_storeu_si256(ints.as_mut_ptr().cast(), _mm256_cvtps_epi32(floats.0));
            _mm256_storeu_si256(
                ints.as_mut_ptr().add(8).cast(),
                _mm256_cvtps_epi32(floats.1),
            );
            for (at, int) in ints.into_iter().enumerate() {
                to.add(at).write(int as i8);
            }
        }
    }
    #[inline(always)]
    unsafe fn float(value: f32) -> Two<__m256> {
        unsafe { (_mm256_set1_ps(value), _mm256_set1_ps(value)) }
    }
    #[inline(always)]
    unsafe fn add(a: Two<__m256>, b: Two<__m256>) -> Two<__m256> {
        unsafe { (_mm256_add_ps(a.0, b.0), _mm256_add_ps(a.1, b.1)) }
    }
    #[inline(always)]
    unsafe fn sub(a: Two<__m256>, b: Two<__m256>) -> Two<__m256> {
        unsafe { (_mm256_sub_ps(a.0, b.0), _mm256_sub_ps(a.1, b.1)) }
    }
    #[inline(always)]
    unsafe fn mul(a: Two<__m256>, b: Two<__m256>) -> Two<__m256> {
        unsafe { (_mm256_mul_ps(a.0, b.0), _mm256_mul_ps(a.1, b.1)) }
    }
    #[inline(always)]
    unsafe fn div(a: Two<__m256>, b: Two<__m256>) -> Two<__m256> {
        unsafe { (_mm256_div_ps(a.0, b.0), _mm256_div_ps(a.1, b.1)) }
    }
    #[inline(always)]
    unsafe fn max(a: Two<__m256>, b: Two<__m256>) -> Two<__m256> {
        unsafe { (_mm256_max_ps(a.0, b.0), _mm256_max_ps(a.1, b.1)) }
    }
    #[inline(always)]
    unsafe fn min(a: Two<__m256>, b: Two<__m256>) -> Two<__m256> {
        unsafe { (_mm256_min_ps(a.0, b.0), _mm256_min_ps(a.1, b.1)) }
    }
    #[inline(always)]
    unsafe fn fma(a: Two<__m256>, b: Two<__m256>, c: Two<__m256>) -> Two<__m256> {
        unsafe {
            (
                _mm256_fmadd_ps(a.0, b.0, c.0),
                _mm256_fmadd_ps(a.1, b.1, c.1),
            )
        }
    }
    #[inline(always)]
    unsafe fn above(
        a: Two<__m256>,
        b: Two<__m256>,
        then: Two<__m256>,
        otherwise: Two<__m256>,
    ) -> Two<__m256> {
        unsafe {
            let one = |a, b, then, otherwise| {
                _mm256_blendv_ps(otherwise, then, _mm256_cmp_ps::<_CMP_GT_OQ>(a, b))
            };
            (
                one(a.0, b.0, then.0, otherwise.0),
                one(a.1, b.1, then.1, otherwise.1),
            )
        }
    }
    #[inline(always)]
    unsafe fn largest_size(a: Two<__m256>, b: Two<__m256>) -> f32 {
        unsafe {
            let size = |floats| {
                _mm256_and_si256(_mm256_castps_si256(floats), _mm256_set1_epi32(0x7fff_ffff))
            };
            let a = _mm256_max_epi32(size(a.0), size(a.1));
            let b = _mm256_max_epi32(size(b.0), size(b.1));
            let all = _mm256_max_epi32(a, b);
            let four = _mm_max_epi32(
                _mm256_castsi256_si128(all),
                _mm256_extracti128_si256::<1>(all),
            );
            let two = _mm_max_epi32(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
            let one = _mm_max_epi32(two, _mm_shuffle_epi32::<0b10_11_00_01>(two));
            f32::from_bits(_mm_cvtsi128_si32(one) as u32)
        }
    }
    #[inline(always)]
    unsafe fn round(floats: Two<__m256>) -> Two<__m256> {
        unsafe {
            (
                _mm256_round_ps::<0>(floats.0),
                _mm256_round_ps::<0>(floats.1),
            )
        }
    }
    #[inline(always)]
    unsafe fn power(floats: Two<__m256>) -> Two<__m256> {
        unsafe {
            let one = |floats| {
                let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(floats), _mm256_set1_epi32(127));
                _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent))
            };
            (one(floats.0), one(floats.1))
        }
    }
    #[inline(always)]
    unsafe fn ahead(from: *const u8) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) }
    }
}
