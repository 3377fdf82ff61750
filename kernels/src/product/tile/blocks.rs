//! Kernels of quantized weights: whole numbers within a block, floats from block to block.

use super::{super::source::Source, AHEAD, At, float_note, next, note};
use crate::{
    lanes::{Lanes, Turn},
    rows::BLOCK,
};

/// Adds the products of four columns.
#[inline(always)]
unsafe fn dots<L: Lanes, const N: usize>(
    sums: &mut [L::Ints; N],
    at: At,
    group: usize,
    weights: L::Bytes,
) {
    for row in 0..N {
        // SAFETY: the caller's.
        unsafe {
            let with = at.bytes.add(row * BLOCK + group * 4);
            sums[row] = L::dot(sums[row], weights, with);
        }
    }
}

#[inline(always)]
unsafe fn notes<L: Lanes, const N: usize>(at: At, kind: usize) -> [L::Ints; N] {
    // SAFETY: the caller's.
    unsafe {
        let mut ints = [L::int(0); N];
        for row in 0..N {
            ints[row] = L::int(note(at, kind, row));
        }
        ints
    }
}

/// Adds a block: its whole sums times the scales of weights and rows.
#[inline(always)]
unsafe fn scaled<L: Lanes, const N: usize>(
    sums: &mut [L::Floats; N],
    at: At,
    dots: [L::Ints; N],
    scale: L::Floats,
) {
    for row in 0..N {
        // SAFETY: the caller's.
        unsafe {
            let scaled = L::mul(L::of_ints(dots[row]), float_note::<L>(at, 0, row));
            sums[row] = L::fma(scaled, scale, sums[row]);
        }
    }
}

/// Q8_0: a byte each, a scale for 32.
#[inline(always)]
pub(super) unsafe fn eight<L: Turn, const N: usize, S: Source>(
    mut at: At,
    mut source: S,
) -> [L::Floats; N] {
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [L::float(0.0); N];
        let mut left = at.units;
        while left > 0 {
            let (mut unit, count) = source.some::<L>(left);
            left -= count;
            for _ in 0..count {
                for half in 0..2 {
                    let mut ints = if L::WIDE_OFFSET == 0 {
                        [L::int(0); N]
                    } else {
                        notes::<L, N>(at, 2)
                    };
                    let from = unit.add(64 + half * 512);
                    for group in 0..8 {
                        let weights = L::bytes(from.add(group * 64));
                        S::ahead::<L>(from.add(group * 64));
                        for row in 0..N {
                            let with = at.bytes.add(row * BLOCK + group * 4);
                            ints[row] = L::dot_wide(ints[row], weights, with);
                        }
                    }
                    let scale = L::of_halves(unit.add(half * 32).cast());
                    scaled::<L, N>(&mut sums, at, ints, scale);
                    next(&mut at);
                }
                unit = unit.wrapping_add(1_088);
            }
        }
        sums
    }
}

/// Q4_0: half a byte each, a scale for 32.
#[inline(always)]
pub(super) unsafe fn four<L: Lanes, const N: usize>(mut at: At) -> [L::Floats; N] {
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [L::float(0.0); N];
        for _ in 0..at.units {
            for half in 0..2 {
                let mut ints = notes::<L, N>(at, 3);
                let from = at.weights.add(64 + half * 256);
                for group in 0..4 {
                    let weights = L::bytes(from.add(group * 64));
                    L::ahead(from.wrapping_add(group * 64 + AHEAD));
                    dots::<L, N>(&mut ints, at, group, L::low(weights));
                    dots::<L, N>(&mut ints, at, group + 4, L::high(weights));
                }
                let scale = L::of_halves(at.weights.add(half * 32).cast());
                scaled::<L, N>(&mut sums, at, ints, scale);
                next(&mut at);
            }
            at.weights = at.weights.wrapping_add(576);
        }
        sums
    }
}

/// Q4_K, and Q5_K where `FIFTH`: half a byte each, scales and offsets for 32 and for 256.
#[inline(always)]
pub(super) unsafe fn four_k<L: Lanes, const N: usize, const FIFTH: bool>(
    mut at: At,
) -> [L::Floats; N] {
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [L::float(0.0); N];
        for _ in 0..at.units {
            let scale_all = L::of_halves(at.weights.cast());
            let offset_all = L::sub(L::float(0.0), L::of_halves(at.weights.add(32).cast()));
            for pair in 0..4 {
                let from = at.weights.add(320 + pair * 512);
                for half in 0..2 {
                    let block = 2 * pair + half;
                    let mut ints = [L::int(0); N];
                    for group in 0..8 {
                        let both = L::bytes(from.add(group * 64));
                        let mut weights = if half == 0 {
                            L::ahead(from.wrapping_add(group * 64 + AHEAD));
                            L::low(both)
                        } else {
                            L::high(both)
                        };
                        if FIFTH {
                            let bits = L::bytes(at.weights.add(2_368 + group * 64));
                            weights = L::fifth(weights, bits, block);
                        }
                        dots::<L, N>(&mut ints, at, group, weights);
                    }
                    let scale = L::of_bytes(at.weights.add(64 + block * 16));
                    let scale = L::mul(scale, scale_all);
                    let offset = L::of_bytes(at.weights.add(192 + block * 16));
                    let offset = L::mul(offset, offset_all);
                    scaled::<L, N>(&mut sums, at, ints, scale);
                    for row in 0..N {
                        sums[row] = L::fma(offset, float_note::<L>(at, 1, row), sums[row]);
                    }
                    next(&mut at);
                }
            }
            at.weights = at.weights.wrapping_add(if FIFTH { 2_880 } else { 2_368 });
        }
        sums
    }
}

/// Q6_K: six bits each, a scale for 16 and one for 256.
#[inline(always)]
pub(super) unsafe fn six_k<L: Lanes, const N: usize>(mut at: At) -> [L::Floats; N] {
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [L::float(0.0); N];
        for _ in 0..at.units {
            let scale_all = L::of_halves(at.weights.cast());
            for block in 0..8 {
                let mut whole = [L::int(0); N];
                for half in 0..2 {
                    let part = 2 * block + half;
                    let from = at.weights.add(320 + part * 192);
                    let (a, b) = (L::bytes(from), L::bytes(from.add(64)));
                    let bits = L::bytes(from.add(128));
                    for line in 0..3 {
                        L::ahead(from.wrapping_add(line * 64 + AHEAD));
                    }
                    let mut ints = notes::<L, N>(at, 4 + half);
                    let group = 4 * half;
                    dots::<L, N>(&mut ints, at, group, L::six::<0>(L::low(a), bits));
                    dots::<L, N>(&mut ints, at, group + 1, L::six::<1>(L::high(a), bits));
                    dots::<L, N>(&mut ints, at, group + 2, L::six::<2>(L::low(b), bits));
                    dots::<L, N>(&mut ints, at, group + 3, L::six::<3>(L::high(b), bits));
                    let scale = L::signed(at.weights.add(64 + part * 16).cast());
                    for row in 0..N {
                        whole[row] = L::int_fma(ints[row], scale, whole[row]);
                    }
                }
                scaled::<L, N>(&mut sums, at, whole, scale_all);
                next(&mut at);
            }
            at.weights = at.weights.wrapping_add(3_392);
        }
        sums
    }
}
