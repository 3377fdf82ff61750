//! Blocks as files have them, read one number after the other, as their formats are described.

use super::Chance;
use crate::{Kind, lanes::portable::half};

/// A file of that many blocks.
pub(super) fn file(kind: Kind, blocks: usize, chance: &mut Chance) -> Vec<u8> {
    let (_, len) = kind.block();
    let mut file: Vec<u8> = (0..blocks * len).map(|_| chance.bits() as u8).collect();
    // Scales that are numbers, and small ones.
    let scale = |at: &mut [u8], chance: &mut Chance| {
        let bits = 0x1c00 + (chance.bits() % 0x0800) as u16 + (chance.bits() as u16 & 0x8000);
        at[..2].copy_from_slice(&bits.to_le_bytes());
    };
    for block in file.chunks_exact_mut(len) {
        match kind {
            Kind::F32 => {
                let value = chance.float();
                block.copy_from_slice(&value.to_le_bytes());
            }
            Kind::F16 => scale(block, chance),
            Kind::BF16 => {
                let bits = (chance.float().to_bits() >> 16) as u16;
                block.copy_from_slice(&bits.to_le_bytes());
            }
            Kind::Q4_0 | Kind::Q5_0 | Kind::Q8_0 => scale(block, chance),
            Kind::Q4K | Kind::Q5K => {
                scale(block, chance);
                scale(&mut block[2..], chance);
            }
            Kind::Q6K => scale(&mut block[208..], chance),
        }
    }
    file
}

/// The numbers of a file.
pub(super) fn floats(kind: Kind, file: &[u8]) -> Vec<f32> {
    let (_, len) = kind.block();
    file.chunks_exact(len)
        .flat_map(|block| numbers(kind, block))
        .collect()
}

fn numbers(kind: Kind, block: &[u8]) -> Vec<f32> {
    let two = |at: usize| u16::from_le_bytes([block[at], block[at + 1]]);
    let scale = |at: usize| half(two(at));
    let (columns, _) = kind.block();
    let number = |column: usize| match kind {
        Kind::F32 => f32::from_le_bytes([block[0], block[1], block[2], block[3]]),
        Kind::F16 => scale(0),
        Kind::BF16 => f32::from_bits(u32::from(two(0)) << 16),
        Kind::Q8_0 => scale(0) * f32::from(block[2 + column] as i8),
        Kind::Q4_0 => {
            let value = block[2 + column % 16] >> (column / 16 * 4) & 15;
            scale(0) * (f32::from(value) - 8.0)
        }
        Kind::Q5_0 => {
            let low = block[6 + column % 16] >> (column / 16 * 4) & 15;
            let high = block[2 + column / 8] >> (column % 8) & 1;
            scale(0) * (f32::from(low | high << 4) - 16.0)
        }
        Kind::Q4K | Kind::Q5K => {
            let part = column / 32;
            let six = &block[4..];
            let (factor, offset) = if part < 4 {
                (six[part] & 63, six[part + 4] & 63)
            } else {
                (
                    six[part + 4] & 15 | six[part - 4] >> 6 << 4,
                    six[part + 4] >> 4 | six[part] >> 6 << 4,
                )
            };
            let start = if kind == Kind::Q5K { 48 } else { 16 };
            let byte = block[start + column / 64 * 32 + column % 32];
            let mut value = byte >> (part % 2 * 4) & 15;
            if kind == Kind::Q5K {
                value |= (block[16 + column % 32] >> part & 1) << 4;
            }
            scale(0) * f32::from(factor) * f32::from(value) - scale(2) * f32::from(offset)
        }
        Kind::Q6K => {
            let (part, within) = (column / 128, column % 128);
            let low = block[part * 64 + within % 64] >> (within / 64 * 4) & 15;
            let high = block[128 + part * 32 + within % 32] >> (within / 32 * 2) & 3;
            let value = f32::from(low | high << 4) - 32.0;
            scale(208) * f32::from(block[192 + column / 16] as i8) * value
        }
    };
    (0..columns).map(number).collect()
}
