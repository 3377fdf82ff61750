//! What is fetched, and on what lines people sit.

use fastrand::Rng;
use weft_protocol::layout::Layout;

use crate::{Link, Nat, REGION_COUNT};

/// A quarter of a mebibyte: the smallest piece.
pub const PIECE: u64 = 256 * 1024;
/// The piece length that workloads prefer: files of 400 MiB and more have it.
const PIECE_PREFERRED: u64 = 1024 * 1024;
/// Pieces of one file at most, so that its layout keeps the preferred length.
const PIECES_PER_FILE_MAX: u64 = 799;

/// Files that are cut into so many pieces altogether, as large ones as the layout allows up to a mebibyte a piece.
pub(crate) fn files(pieces: u64) -> Vec<(String, u64)> {
    let count = pieces.div_ceil(PIECES_PER_FILE_MAX).max(1);
    let file = |at: u64| {
        let share = pieces * (at + 1) / count - pieces * at / count;
        let fits = |len: &u64| u64::from(Layout::new(share * len).pieces()) == share;
        let lens = [PIECE_PREFERRED, PIECE_PREFERRED / 2, PIECE];
        let len = lens.into_iter().find(fits).unwrap_or(PIECE);
        (
            format!("model-{:05}-of-{count:05}.safetensors", at + 1),
            share * len,
        )
    };
    (0..count).map(file).collect()
}

/// On what lines a crowd sits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Lines {
    /// Everybody has the same one; bytes per second up and down.
    Same(u64, u64),
    /// Fibre, cable, DSL and mobile, as at home; one in five behind a symmetric NAT or losing a packet in a thousand.
    Mixed,
}

/// Shares of the lines of a mixed crowd in percent, with bytes per second up and down.
const MIXTURE: [(u32, u64, u64); 4] = [
    (20, 12_500_000, 12_500_000),
    (35, 5_000_000, 30_000_000),
    (30, 2_500_000, 12_500_000),
    (15, 1_250_000, 6_000_000),
];
/// Shares of the continents in percent.
const CONTINENTS: [u32; REGION_COUNT as usize] = [40, 35, 5, 17, 3];

impl Lines {
    /// One household's line.
    pub(crate) fn draw(self, rng: &mut Rng) -> Link {
        let mut link = match self {
            Self::Same(up, down) => Link::new(up, down),
            Self::Mixed => {
                let at = pick(rng, MIXTURE.iter().map(|(share, ..)| *share));
                let (_, up, down) = MIXTURE.get(at).copied().unwrap_or(MIXTURE[0]);
                Link::new(up, down)
            }
        };
        link.region = u8::try_from(pick(rng, CONTINENTS.into_iter())).unwrap_or(0);
        link.latency_ms = rng.u64(3..15);
        if self == Self::Mixed {
            link.nat = match rng.u32(..10) {
                0..3 => Nat::Open,
                3..8 => Nat::Cone,
                _ => Nat::Symmetric,
            };
            link.loss = if rng.u32(..5) == 0 { 0.001 } else { 0.0 };
        }
        link
    }
}

/// Which share a random percentage falls into.
fn pick(rng: &mut Rng, shares: impl Iterator<Item = u32>) -> usize {
    let mut drawn = rng.u32(..100);
    for (at, share) in shares.enumerate() {
        if drawn < share {
            return at;
        }
        drawn -= share;
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_exactly_the_pieces_asked_for() {
        for pieces in [1, 7, 100, 399, 400, 401, 799, 800, 1_000, 1_598, 5_000] {
            let cut = files(pieces);
            let sum: u64 = cut
                .iter()
                .map(|(_, size)| u64::from(Layout::new(*size).pieces()))
                .sum();
            assert_eq!(sum, pieces);
        }
        assert_eq!(
            files(400),
            [("model-00001-of-00001.safetensors".to_owned(), 400 << 20)]
        );
    }
}
