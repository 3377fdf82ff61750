//! Rows of a file turned by a quarter: what lies behind each other in sixteen rows comes to lie side by side.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

use super::{Class, Lanes, portable::Portable};
#[cfg(target_arch = "x86_64")]
use super::{avx2::Avx2, avx512::Avx512};
use crate::TILE;

/// Lanes that read rows as a file has them. `row` is how far they lie apart, in bytes.
///
/// Everything here may only be called where the processor has the instructions, with pointers to as many bytes as are
/// read and written; none of them has to be aligned.
pub(crate) trait Turn: Lanes {
    /// 32 bytes of each of sixteen rows become eight times four bytes of each, 512 in all; with 128 more in each byte
    /// where `FLIP`.
    unsafe fn turn<const FLIP: bool>(from: *const u8, row: usize, to: *mut u8);

    /// Two bytes of each row, 32 in all.
    #[inline(always)]
    unsafe fn turn_two(from: *const u8, row: usize, to: *mut u8) {
        for lane in 0..TILE {
            // SAFETY: the caller's.
            unsafe {
                let two = from.add(lane * row).cast::<[u8; 2]>().read();
                to.add(lane * 2).cast::<[u8; 2]>().write(two);
            }
        }
    }

    /// Asks for a cache line that is needed after a tile, which the nearest cache has no room for.
    #[inline(always)]
    unsafe fn far(_from: *const u8) {}

    /// 64 bytes with two numbers of each row become the first of all and then the second of all.
    #[inline(always)]
    unsafe fn part(pairs: *mut u8) {
        // SAFETY: the caller's.
        unsafe {
            let from = pairs.cast::<[[u16; 2]; TILE]>().read_unaligned();
            let to = [from.map(|pair| pair[0]), from.map(|pair| pair[1])];
            pairs.cast::<[[u16; TILE]; 2]>().write_unaligned(to);
        }
    }
}

impl Class {
    /// Rows that are computed together at most.
    pub(crate) fn rows_max(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => Avx512::ROWS_MAX,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => Avx2::ROWS_MAX,
            Self::Portable => Portable::ROWS_MAX,
        }
    }

    /// Whether weights are turned as fast as memory brings them.
    pub(crate) fn turns(self) -> bool {
        self != Self::Portable
    }
}

impl Turn for Portable {
    #[inline(always)]
    unsafe fn turn<const FLIP: bool>(from: *const u8, row: usize, to: *mut u8) {
        for lane in 0..TILE {
            // SAFETY: the caller's.
            unsafe {
                let words = from.add(lane * row).cast::<[u32; 8]>().read_unaligned();
                for (at, word) in words.into_iter().enumerate() {
                    let word = if FLIP { word ^ 0x8080_8080 } else { word };
                    let to = to.add(at * 64 + lane * 4).cast::<u32>();
                    to.write_unaligned(word);
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl Turn for Avx512 {
    #[inline(always)]
    unsafe fn far(from: *const u8) {
        // SAFETY: the caller's.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(from.cast()) }
    }

    #[inline(always)]
    unsafe fn turn<const FLIP: bool>(from: *const u8, row: usize, to: *mut u8) {
        // SAFETY: the caller's.
        unsafe {
            let mut first = [_mm512_setzero_si512(); 4];
            let mut second = first;
            for lane in 0..4 {
                let half = from.add(lane * row);
                // Halves of rows n and n + 4, n + 8 and n + 12.
                let a = _mm512_castsi256_si512(_mm256_loadu_si256(half.cast()));
                let b = _mm256_loadu_si256(half.add(4 * row).cast());
                let c = _mm512_castsi256_si512(_mm256_loadu_si256(half.add(8 * row).cast()));
                let d = _mm256_loadu_si256(half.add(12 * row).cast());
                let (ab, cd) = (_mm512_inserti64x4::<1>(a, b), _mm512_inserti64x4::<1>(c, d));
                first[lane] = _mm512_shuffle_i64x2::<0b10_00_10_00>(ab, cd);
                second[lane] = _mm512_shuffle_i64x2::<0b11_01_11_01>(ab, cd);
            }
            let flip = _mm512_set1_epi32(if FLIP { 0x8080_8080_u32 as i32 } else { 0 });
            for (half, [a, b, c, d]) in [first, second].into_iter().enumerate() {
                let (ab, cd) = (_mm512_unpacklo_epi32(a, b), _mm512_unpacklo_epi32(c, d));
                let (ef, gh) = (_mm512_unpackhi_epi32(a, b), _mm512_unpackhi_epi32(c, d));
                let words = [
                    _mm512_unpacklo_epi64(ab, cd),
                    _mm512_unpackhi_epi64(ab, cd),
                    _mm512_unpacklo_epi64(ef, gh),
                    _mm512_unpackhi_epi64(ef, gh),
                ];
                for (at, words) in words.into_iter().enumerate() {
                    let to = to.add((4 * half + at) * 64);
                    _mm512_storeu_si512(to.cast(), _mm512_xor_si512(words, flip));
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn turn_two(from: *const u8, row: usize, to: *mut u8) {
        // SAFETY: the caller's.
        unsafe { sixteen(from, row, to) }
    }

    #[inline(always)]
    unsafe fn part(pairs: *mut u8) {
        // SAFETY: the caller's.
        unsafe {
            let both = _mm512_loadu_si512(pairs.cast());
            let first = _mm512_cvtepi32_epi16(both);
            let second = _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(both));
            _mm256_storeu_si256(pairs.cast(), first);
            _mm256_storeu_si256(pairs.add(32).cast(), second);
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl Turn for Avx2 {
    #[inline(always)]
    unsafe fn far(from: *const u8) {
        // SAFETY: the caller's.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(from.cast()) }
    }

    #[inline(always)]
    unsafe fn turn<const FLIP: bool>(from: *const u8, row: usize, to: *mut u8) {
        // SAFETY: the caller's.
        unsafe {
            let flip = _mm256_set1_epi32(if FLIP { 0x8080_8080_u32 as i32 } else { 0 });
            for eight in 0..2 {
                let mut first = [_mm256_setzero_si256(); 4];
                let mut second = first;
                for lane in 0..4 {
                    // Halves of rows n and n + 4.
                    let half = from.add((eight * 8 + lane) * row);
                    let a = _mm256_loadu_si256(half.cast());
                    let b = _mm256_loadu_si256(half.add(4 * row).cast());
                    first[lane] = _mm256_permute2x128_si256::<0x20>(a, b);
                    second[lane] = _mm256_permute2x128_si256::<0x31>(a, b);
                }
                for (half, [a, b, c, d]) in [first, second].into_iter().enumerate() {
                    let (ab, cd) = (_mm256_unpacklo_epi32(a, b), _mm256_unpacklo_epi32(c, d));
                    let (ef, gh) = (_mm256_unpackhi_epi32(a, b), _mm256_unpackhi_epi32(c, d));
                    let words = [
                        _mm256_unpacklo_epi64(ab, cd),
                        _mm256_unpackhi_epi64(ab, cd),
                        _mm256_unpacklo_epi64(ef, gh),
                        _mm256_unpackhi_epi64(ef, gh),
                    ];
                    for (at, words) in words.into_iter().enumerate() {
                        let to = to.add((4 * half + at) * 64 + eight * 32);
                        _mm256_storeu_si256(to.cast(), _mm256_xor_si256(words, flip));
                    }
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn turn_two(from: *const u8, row: usize, to: *mut u8) {
        // SAFETY: the caller's.
        unsafe { sixteen(from, row, to) }
    }
}

/// Two bytes of each row, gathered in a register: what is read as one should be written as one.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn sixteen(from: *const u8, row: usize, to: *mut u8) {
    // SAFETY: the caller's.
    unsafe {
        let halves = [eight(from, row), eight(from.add(8 * row), row)];
        _mm256_storeu_si256(to.cast(), _mm256_set_m128i(halves[1], halves[0]));
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn eight(from: *const u8, row: usize) -> __m128i {
    macro_rules! insert {
        ($all:expr $(, $lane:literal)*) => {{
            let mut all = $all;
            $(all = _mm_insert_epi16::<$lane>(all, two(from.add($lane * row)));)*
            all
        }};
    }
    // SAFETY: the caller's.
    unsafe { insert!(_mm_cvtsi32_si128(two(from)), 1, 2, 3, 4, 5, 6, 7) }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn two(from: *const u8) -> i32 {
    // SAFETY: the caller's.
    i32::from(unsafe { from.cast::<i16>().read_unaligned() })
}
