//! Weights in the order in which they are computed: sixteen rows side by side.
//!
//! A matrix is cut into tiles of sixteen rows; rows that are missing from the last one are zeros. Within a tile,
//! columns follow each other, and of each few columns the sixteen rows. Numbers are those of the file, to the last bit.

mod blocks;

use std::fmt;

use memmap2::MmapMut;

use crate::{Pool, TILE, pool::Shares};

/// How weights are written in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names that GGUF gives them")]
pub enum Kind {
    F32,
    F16,
    BF16,
    Q4_0,
    Q5_0,
    Q8_0,
    Q4K,
    Q5K,
    Q6K,
}

impl Kind {
    /// Columns of a block and its bytes in a file.
    pub fn block(self) -> (usize, usize) {
        match self {
            Self::F32 => (1, 4),
            Self::F16 | Self::BF16 => (1, 2),
            Self::Q4_0 => (32, 18),
            Self::Q5_0 => (32, 22),
            Self::Q8_0 => (32, 34),
            Self::Q4K => (256, 144),
            Self::Q5K => (256, 176),
            Self::Q6K => (256, 210),
        }
    }

    pub(crate) fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F16 | Self::BF16)
    }

    /// Columns that lie together in a tile, and the bytes of their sixteen rows.
    pub(crate) fn packed(self) -> (usize, usize) {
        match self {
            Self::F32 => (2, 128),
            Self::F16 | Self::BF16 => (2, 64),
            Self::Q4_0 => (64, 64 + 512),
            // Five bits are kept as eight, which is exact.
            Self::Q5_0 | Self::Q8_0 => (64, 64 + 1_024),
            Self::Q4K => (256, 64 + 256 + 2_048),
            Self::Q5K => (256, 64 + 256 + 2_048 + 512),
            Self::Q6K => (256, 64 + 256 + 3_072),
        }
    }
}

/// A matrix of weights, packed.
pub struct Packed {
    kind: Kind,
    rows: usize,
    columns: usize,
    /// Bytes of a tile.
    tile: usize,
    bytes: MmapMut,
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packed")
            .field("kind", &self.kind)
            .field("rows", &self.rows)
            .field("columns", &self.columns)
            .finish_non_exhaustive()
    }
}

impl Packed {
    /// Packs a matrix as a file has it, row by row. `None` if it is not `rows` × `columns` of that kind, or if there
    /// is no memory for it.
    pub fn new(pool: &Pool, kind: Kind, rows: usize, columns: usize, file: &[u8]) -> Option<Self> {
        let (block, block_len) = kind.block();
        let (together, together_len) = kind.packed();
        if rows == 0 || columns == 0 || !columns.is_multiple_of(block) {
            return None;
        }
        let row = (columns / block).checked_mul(block_len)?;
        if row.checked_mul(rows)? != file.len() {
            return None;
        }
        let tile = columns.div_ceil(together).checked_mul(together_len)?;
        let tiles = rows.div_ceil(TILE);
        let mut bytes = MmapMut::map_anon(tile.checked_mul(tiles)?).ok()?;
        // No large pages: where the system has to find them first, filling them takes three times as long.
        let shares = Shares::new(&mut bytes[..]);
        // Units of about two megabytes.
        let some = ((2 << 20) / tile).clamp(1, tiles);
        pool.run(tiles.div_ceil(some), &|unit| {
            for at in unit * some..((unit + 1) * some).min(tiles) {
                // SAFETY: each tile is one unit's.
                let to = unsafe { shares.part(at * tile, tile) };
                let count = (rows - at * TILE).min(TILE);
                let from = &file[at * TILE * row..(at * TILE + count) * row];
                blocks::pack(kind, from, row, to);
            }
        });
        Some(Self {
            kind,
            rows,
            columns,
            tile,
            bytes,
        })
    }

    /// How its file has it.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Rows: how many numbers a product has.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns: how many numbers it is multiplied with.
    pub fn columns(&self) -> usize {
        self.columns
    }

    pub(crate) fn tiles(&self) -> usize {
        self.rows.div_ceil(TILE)
    }

    pub(crate) fn tile_len(&self) -> usize {
        self.tile
    }

    pub(crate) fn tile(&self, at: usize) -> &[u8] {
        &self.bytes[at * self.tile..(at + 1) * self.tile]
    }
}
