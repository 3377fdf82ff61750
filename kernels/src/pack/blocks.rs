//! The blocks of each kind, from a file's order into a tile's.
//!
//! Four neighbouring bytes of a row move as one: they are what one lane multiplies at once.

use super::Kind;
use crate::TILE;

/// Packs up to sixteen rows of `row` bytes into a tile of zeros.
pub(super) fn pack(kind: Kind, rows: &[u8], row: usize, tile: &mut [u8]) {
    let rows = rows.chunks_exact(row);
    let (_, together) = kind.packed();
    for (lane, row) in rows.enumerate() {
        let (_, len) = kind.block();
        match kind {
            Kind::F32 => {
                for (at, value) in row.chunks_exact(4).enumerate() {
                    put(tile, at * TILE * 4 + lane * 4, value);
                }
            }
            Kind::F16 => {
                for (at, value) in row.chunks_exact(2).enumerate() {
                    put(tile, at * TILE * 2 + lane * 2, value);
                }
            }
            Kind::BF16 => {
                for (at, pair) in row.chunks(4).enumerate() {
                    put(tile, at * TILE * 4 + lane * 4, pair);
                }
            }
            Kind::Q8_0 => {
                for (at, block) in row.chunks_exact(len).enumerate() {
                    let (scale, to) = wide(tile, at);
                    put(scale, lane * 2, &block[..2]);
                    for (at, four) in block[2..].chunks_exact(4).enumerate() {
                        put_four(to, at, lane, four_of(four) ^ 0x8080_8080);
                    }
                }
            }
            Kind::Q5_0 => {
                for (at, block) in row.chunks_exact(len).enumerate() {
                    let (scale, to) = wide(tile, at);
                    put(scale, lane * 2, &block[..2]);
                    let bits = four_of(&block[2..6]);
                    for at in 0..8 {
                        let byte = |at: usize| {
                            let low = block[6 + at % 16] >> (at / 16 * 4) & 0x0f;
                            let value = low | ((bits >> at & 1) as u8) << 4;
                            // Sixteen less, and 128 more.
                            value + 112
                        };
                        let four = [0, 1, 2, 3].map(|offset| byte(4 * at + offset));
                        put_four(to, at, lane, u32::from_le_bytes(four));
                    }
                }
            }
            Kind::Q4_0 => {
                for (at, block) in row.chunks_exact(len).enumerate() {
                    let pair = &mut tile[at / 2 * together..][..together];
                    put(pair, at % 2 * 32 + lane * 2, &block[..2]);
                    let to = &mut pair[64 + at % 2 * 256..][..256];
                    for (at, four) in block[2..].chunks_exact(4).enumerate() {
                        put_four(to, at, lane, four_of(four));
                    }
                }
            }
            Kind::Q4K | Kind::Q5K => {
                for (block, to) in row.chunks_exact(len).zip(tile.chunks_exact_mut(together)) {
                    pack_k(block, to, lane);
                }
            }
            Kind::Q6K => {
                for (block, to) in row.chunks_exact(len).zip(tile.chunks_exact_mut(together)) {
                    pack_six(block, to, lane);
                }
            }
        }
    }
}

#[inline(always)]
fn put(to: &mut [u8], at: usize, bytes: &[u8]) {
    to[at..at + bytes.len()].copy_from_slice(bytes);
}

#[inline(always)]
fn put_four(to: &mut [u8], group: usize, lane: usize, four: u32) {
    let at = group * 64 + lane * 4;
    to[at..at + 4].copy_from_slice(&four.to_le_bytes());
}

#[inline(always)]
fn four_of(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// The scales and the bytes of a block of 32 columns; two blocks lie together, so that bytes begin at cache lines.
#[inline(always)]
fn wide(tile: &mut [u8], block: usize) -> (&mut [u8], &mut [u8]) {
    let pair = &mut tile[block / 2 * 1_088..][..1_088];
    let (scales, bytes) = pair.split_at_mut(64);
    let half = block % 2;
    (
        &mut scales[half * 32..][..32],
        &mut bytes[half * 512..][..512],
    )
}

/// 256 columns: scales and offsets of sixteen bits, those of six bits, and of each 64 columns the lower and upper
/// halves of bytes, as the file has them. The fifth bits of Q5_K follow.
fn pack_k(block: &[u8], to: &mut [u8], lane: usize) {
    put(to, lane * 2, &block[..2]);
    put(to, 32 + lane * 2, &block[2..4]);
    let six = &block[4..16];
    for at in 0..8 {
        let (scale, offset) = if at < 4 {
            (six[at] & 63, six[at + 4] & 63)
        } else {
            (
                six[at + 4] & 0x0f | six[at - 4] >> 6 << 4,
                six[at + 4] >> 4 | six[at] >> 6 << 4,
            )
        };
        to[64 + at * TILE + lane] = scale;
        to[192 + at * TILE + lane] = offset;
    }
    let fifth = block.len() == 176;
    let start = if fifth { 48 } else { 16 };
    for (at, four) in block[start..].chunks_exact(4).enumerate() {
        put_four(&mut to[320..], at, lane, four_of(four));
    }
    if fifth {
        for (at, four) in block[16..48].chunks_exact(4).enumerate() {
            put_four(&mut to[2_368..], at, lane, four_of(four));
        }
    }
}

/// 256 columns: a scale of sixteen bits, sixteen of eight, and for each sixteen columns two groups of halves of bytes
/// and one with the two bits above them.
fn pack_six(block: &[u8], to: &mut [u8], lane: usize) {
    put(to, lane * 2, &block[208..210]);
    for (at, scale) in block[192..208].iter().enumerate() {
        to[64 + at * TILE + lane] = *scale;
    }
    for part in 0..16 {
        let four = |offset: usize| six(block, part * 16 + offset);
        let (a, b, c, d) = (four(0), four(4), four(8), four(12));
        let to = &mut to[320 + part * 192..][..192];
        put_four(to, 0, lane, a.0 | b.0 << 4);
        put_four(to, 1, lane, c.0 | d.0 << 4);
        put_four(to, 2, lane, a.1 | b.1 << 2 | c.1 << 4 | d.1 << 6);
    }
}

/// Four columns of a block of Q6_K that follow each other: the lower four bits of each, and the upper two.
#[inline(always)]
fn six(block: &[u8], column: usize) -> (u32, u32) {
    let (half, within) = (column / 128, column % 128);
    let (quarter, at) = (within / 32, within % 32);
    let low = four_of(&block[half * 64 + quarter % 2 * 32 + at..]) >> (quarter / 2 * 4);
    let high = four_of(&block[128 + half * 32 + at..]) >> (quarter * 2);
    (low & 0x0f0f_0f0f, high & 0x0303_0303)
}
