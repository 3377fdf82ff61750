//! Weights in the order in which they are computed: sixteen rows side by side.
//!
//! Kinds whose packed form is the same bytes in another order stay in their files, and kernels turn them while they go;
//! the others are packed when they are loaded. A matrix is cut into tiles of sixteen rows; rows that are missing from the
//! last one are zeros. Within a tile, columns follow each other, and of each few columns the sixteen rows. Numbers are
//! those of the file, to the last bit.

mod blocks;

use std::{fmt, ops::Range, sync::Arc};

use memmap2::MmapMut;

use crate::{Pool, TILE, lanes::Class, pool::Shares};

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

    /// How it is read in the order of its file, if it is.
    pub(crate) const fn step(self) -> Option<Step> {
        let (columns, bytes, units) = match self {
            Self::F32 => (16, 64, 8),
            Self::F16 | Self::BF16 => (32, 64, 16),
            Self::Q8_0 => (64, 68, 1),
            _ => return None,
        };
        Some(Step {
            columns,
            bytes,
            units,
        })
    }

    /// Columns that lie together in a tile, and the bytes of their sixteen rows.
    pub(crate) const fn packed(self) -> (usize, usize) {
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

/// What kernels read at once in each of sixteen rows of a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    columns: usize,
    pub(crate) bytes: usize,
    /// Units of [`Kind::packed`] that it becomes.
    pub(crate) units: usize,
}

impl Step {
    /// Bytes that it becomes at most.
    pub(crate) const PACKED_MAX: usize = 1_088;

    /// Steps of sixteen rows that are `len` bytes together.
    ///
    /// # Panics
    /// If these are no whole steps.
    pub(crate) fn count(self, len: usize) -> usize {
        assert!(len.is_multiple_of(TILE * self.bytes), "whole steps");
        len / (TILE * self.bytes)
    }
}

/// Bytes that stay where they are, such as those of a mapped file.
pub type Owner = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// A matrix of weights: packed, or left in its file.
pub struct Packed {
    kind: Kind,
    rows: usize,
    columns: usize,
    /// Bytes of a packed tile.
    tile: usize,
    filed: Option<Filed>,
    /// The tiles that are not in a file.
    bytes: Option<MmapMut>,
}

/// The first tiles of a matrix, left in a file.
struct Filed {
    owner: Owner,
    place: Range<usize>,
    tiles: usize,
    step: Step,
}

/// Sixteen rows.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tile<'a> {
    Packed(&'a [u8]),
    /// Row by row, in whole steps.
    Filed(&'a [u8], Step),
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
        let row = row_len(kind, rows, columns, file.len())?;
        let tile = tile_len(kind, columns)?;
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
            filed: None,
            bytes: Some(bytes),
        })
    }

    /// The same, but leaves what it can where it is, and reads it there whenever it is multiplied. Rows that fill no
    /// tile are packed, and so are kinds and numbers of columns that can only be packed.
    pub fn in_file(
        pool: &Pool,
        kind: Kind,
        (rows, columns): (usize, usize),
        owner: Owner,
        place: Range<usize>,
    ) -> Option<Self> {
        let file = (*owner).as_ref().get(place.clone())?;
        let row = row_len(kind, rows, columns, file.len())?;
        let tiles = rows / TILE;
        let step = kind.step().filter(|step| {
            tiles > 0 && columns.is_multiple_of(step.columns) && Class::here().turns()
        });
        let Some(step) = step else {
            return Self::new(pool, kind, rows, columns, file);
        };
        let len = tiles * TILE * row;
        let rest = match rows % TILE {
            0 => None,
            rest => Some(Self::new(pool, kind, rest, columns, &file[len..])?),
        };
        Some(Self {
            kind,
            rows,
            columns,
            tile: tile_len(kind, columns)?,
            bytes: rest.and_then(|rest| rest.bytes),
            filed: Some(Filed {
                place: place.start..place.start + len,
                owner,
                tiles,
                step,
            }),
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

    pub(crate) fn tile(&self, at: usize) -> Tile<'_> {
        let mut packed = at;
        if let Some(filed) = &self.filed {
            if at < filed.tiles {
                let len = filed.place.len() / filed.tiles;
                let file = &(*filed.owner).as_ref()[filed.place.clone()];
                return Tile::Filed(&file[at * len..(at + 1) * len], filed.step);
            }
            packed -= filed.tiles;
        }
        let bytes = self.bytes.as_deref().unwrap_or_default();
        Tile::Packed(&bytes[packed * self.tile..(packed + 1) * self.tile])
    }
}

/// Bytes of a row, if `len` bytes are a matrix of that size.
fn row_len(kind: Kind, rows: usize, columns: usize, len: usize) -> Option<usize> {
    let (block, block_len) = kind.block();
    if rows == 0 || columns == 0 || !columns.is_multiple_of(block) {
        return None;
    }
    let row = (columns / block).checked_mul(block_len)?;
    (row.checked_mul(rows)? == len).then_some(row)
}

/// Bytes of a packed tile.
fn tile_len(kind: Kind, columns: usize) -> Option<usize> {
    let (together, len) = kind.packed();
    columns.div_ceil(together).checked_mul(len)
}
