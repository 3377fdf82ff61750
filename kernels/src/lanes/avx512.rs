//! Sixteen lanes in one register.

use std::arch::x86_64::*;

use super::Lanes;

/// AVX-512 with VNNI.
#[derive(Debug)]
pub(crate) struct Avx512;

// SAFETY of all of it: instructions whose presence and pointers whose bounds are the caller's word, see `Lanes`.
#[expect(
    clippy::undocumented_unsafe_blocks,
    reason = "one reason for all of them"
)]
impl Lanes for Avx512 {
    type Bytes = __m512i;
    type Ints = __m512i;
    type Floats = __m512;
    const ROWS_MAX: usize = 8;
    const WIDE_OFFSET: i32 = 128;

    #[inline(always)]
    unsafe fn bytes(from: *const u8) -> __m512i {
        unsafe { _mm512_loadu_si512(from.cast()) }
    }
    #[inline(always)]
    unsafe fn low(bytes: __m512i) -> __m512i {
        unsafe { _mm512_and_si512(bytes, _mm512_set1_epi8(0x0f)) }
    }
    #[inline(always)]
    unsafe fn high(bytes: __m512i) -> __m512i {
        unsafe { _mm512_and_si512(_mm512_srli_epi16::<4>(bytes), _mm512_set1_epi8(0x0f)) }
    }
    #[inline(always)]
    unsafe fn six<const PAIR: u32>(low: __m512i, bits: __m512i) -> __m512i {
        unsafe {
            let bits = match PAIR {
                0 => _mm512_slli_epi16::<4>(bits),
                1 => _mm512_slli_epi16::<2>(bits),
                2 => bits,
                _ => _mm512_srli_epi16::<2>(bits),
            };
            // low | (bits & 0x30)
            _mm512_ternarylogic_epi32::<0xf8>(low, bits, _mm512_set1_epi8(0x30))
        }
    }
    #[inline(always)]
    unsafe fn fifth(low: __m512i, bits: __m512i, bit: usize) -> __m512i {
        unsafe {
            let set = _mm512_test_epi8_mask(bits, _mm512_set1_epi8((1_u8 << bit) as i8));
            _mm512_mask_add_epi8(low, set, low, _mm512_set1_epi8(16))
        }
    }

    #[inline(always)]
    unsafe fn int(value: i32) -> __m512i {
        unsafe { _mm512_set1_epi32(value) }
    }
    #[inline(always)]
    unsafe fn dot(sum: __m512i, bytes: __m512i, with: *const i8) -> __m512i {
        unsafe {
            let with = _mm512_set1_epi32(with.cast::<i32>().read_unaligned());
            _mm512_dpbusd_epi32(sum, bytes, with)
        }
    }
    #[inline(always)]
    unsafe fn dot_wide(sum: __m512i, bytes: __m512i, with: *const i8) -> __m512i {
        unsafe { Self::dot(sum, bytes, with) }
    }
    #[inline(always)]
    unsafe fn int_fma(a: __m512i, b: __m512i, sum: __m512i) -> __m512i {
        unsafe { _mm512_add_epi32(_mm512_mullo_epi32(a, b), sum) }
    }
    #[inline(always)]
    unsafe fn signed(from: *const i8) -> __m512i {
        unsafe { _mm512_cvtepi8_epi32(_mm_loadu_si128(from.cast())) }
    }

    #[inline(always)]
    unsafe fn of_ints(ints: __m512i) -> __m512 {
        unsafe { _mm512_cvtepi32_ps(ints) }
    }
    #[inline(always)]
    unsafe fn of_bytes(from: *const u8) -> __m512 {
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(from.cast()))) }
    }
    #[inline(always)]
    unsafe fn of_halves(from: *const u16) -> __m512 {
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) }
    }
    #[inline(always)]
    unsafe fn of_pairs(from: *const u16) -> (__m512, __m512) {
        unsafe {
            let both = _mm512_loadu_si512(from.cast());
            let second = _mm512_and_si512(both, _mm512_set1_epi32(0xffff_0000_u32 as i32));
            (
                _mm512_castsi512_ps(_mm512_slli_epi32::<16>(both)),
                _mm512_castsi512_ps(second),
            )
        }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m512 {
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(floats: __m512, to: *mut f32) {
        unsafe { _mm512_storeu_ps(to, floats) }
    }
    #[inline(always)]
    unsafe fn store_signed(floats: __m512, to: *mut i8) {
        unsafe {
            let bytes = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(floats));
            _mm_storeu_si128(to.cast(), bytes);
        }
    }
    #[inline(always)]
    unsafe fn float(value: f32) -> __m512 {
        unsafe { _mm512_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn add(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn div(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_div_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn max(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn min(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_min_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn round(floats: __m512) -> __m512 {
        unsafe { _mm512_roundscale_ps::<0>(floats) }
    }
    #[inline(always)]
    unsafe fn power(floats: __m512) -> __m512 {
        unsafe {
            let exponent = _mm512_add_epi32(_mm512_cvtps_epi32(floats), _mm512_set1_epi32(127));
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(exponent))
        }
    }
    #[inline(always)]
    unsafe fn above(a: __m512, b: __m512, then: __m512, otherwise: __m512) -> __m512 {
        unsafe {
            let chosen = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b);
            _mm512_mask_blend_ps(chosen, otherwise, then)
        }
    }
    #[inline(always)]
    unsafe fn largest_size(a: __m512, b: __m512) -> f32 {
        unsafe {
            let mask = _mm512_set1_epi32(0x7fff_ffff);
            let a = _mm512_and_si512(_mm512_castps_si512(a), mask);
            let b = _mm512_and_si512(_mm512_castps_si512(b), mask);
            f32::from_bits(_mm512_reduce_max_epi32(_mm512_max_epi32(a, b)) as u32)
        }
    }
    #[inline(always)]
    unsafe fn sum_signed(from: *const i8) -> i32 {
        unsafe { _mm512_reduce_add_epi32(Self::signed(from)) }
    }
    #[inline(always)]
    unsafe fn ahead(from: *const u8) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) }
    }
}
