//! Products of rows with matrices of weights.

mod source;
mod tile;

use std::cell::Cell;

use crate::{Packed, Pool, Rows, TILE, lanes::Class, pack::Tile, pool::Shares, rows::GROUP};

/// Bytes of weights of one unit of work.
const UNIT_LEN: usize = 128 << 10;
/// The same where tiles are in their file: while one is read the next one is asked for, by the thread that reads it.
const UNIT_LEN_FILED: usize = 1 << 20;
/// Bytes of rows that stay near while weights pass by.
const NEAR_LEN: usize = 384 << 10;
/// As many rows stay near in any case: a tile is turned once for all of them.
const NEAR_MIN: usize = 8 * GROUP;

/// One product: a row of `to` for each row.
#[derive(Debug)]
pub struct Product<'a> {
    /// The matrix.
    pub weights: &'a Packed,
    /// Added to each row.
    pub bias: Option<&'a [f32]>,
    /// Where products go, row by row.
    pub to: &'a mut [f32],
    /// Whether they are added to what is there.
    pub add: bool,
}

/// Computes several products of the same rows.
///
/// # Panics
/// If a matrix has other columns than the rows, or needs a form of rows that is not there, or if `to` or a bias has
/// another length than rows and matrix say.
pub fn product(pool: &Pool, rows: &Rows, products: &mut [Product<'_>]) {
    product_with(Class::here(), pool, rows, products);
}

/// A product that can be shared out.
struct Job<'a> {
    weights: &'a Packed,
    bias: Option<&'a [f32]>,
    to: Shares<f32>,
    add: bool,
    /// Tiles of a unit.
    some: usize,
    /// Units of a stretch of rows.
    units: usize,
}

pub(crate) fn product_with(class: Class, pool: &Pool, rows: &Rows, products: &mut [Product<'_>]) {
    let jobs: Vec<Job<'_>> = products
        .iter_mut()
        .map(|product| {
            let weights = product.weights;
            assert_eq!(weights.columns(), rows.columns, "columns");
            assert_eq!(product.to.len(), weights.rows() * rows.count, "products");
            assert!(rows.has(weights.kind()), "the form of rows");
            let bias = product.bias;
            assert!(bias.is_none_or(|bias| bias.len() == weights.rows()), "bias");
            let len = match weights.tile(0) {
                Tile::Packed(_) => UNIT_LEN,
                Tile::Filed(..) => UNIT_LEN_FILED,
            };
            let some = (len / weights.tile_len()).clamp(1, weights.tiles());
            // A small matrix is shared out all the same.
            let some = some
                .min(weights.tiles().div_ceil(4 * pool.threads()))
                .max(1);
            Job {
                weights,
                bias,
                to: Shares::new(product.to),
                add: product.add,
                some,
                units: weights.tiles().div_ceil(some),
            }
        })
        .collect();
    let units: usize = jobs.iter().map(|job| job.units).sum();
    let floats = products
        .iter()
        .any(|product| product.weights.kind().is_float());
    let bytes = rows.padded * if floats { 4 } else { 1 };
    let near = (NEAR_LEN / bytes.max(1)).max(NEAR_MIN) / GROUP * GROUP;
    let stretches = rows.count.div_ceil(near);
    pool.run(units * stretches, &|unit| {
        let start = unit / units * near;
        let end = (start + near).min(rows.count);
        let mut within = unit % units;
        let Some(job) = jobs.iter().find(|job| {
            let found = within < job.units;
            if !found {
                within -= job.units;
            }
            found
        }) else {
            return;
        };
        let last = ((within + 1) * job.some).min(job.weights.tiles());
        // Rows that are computed in one pass turn weights as they go; for more, they are turned once.
        let count = end - start;
        let turned = !count.is_power_of_two() || count > class.rows_max();
        let mut room = ROOM.take();
        for at in within * job.some..last {
            let tile = match job.weights.tile(at) {
                Tile::Filed(rows, step) if turned => {
                    let to = room.bytes(job.weights.tile_len());
                    source::pack(class, job.weights.kind(), step, rows, to);
                    Tile::Packed(to)
                }
                tile => tile,
            };
            for start in (start..end).step_by(GROUP) {
                let many = (rows.count - start).min(GROUP);
                one(class, rows, job, (at, tile), start, many);
            }
        }
        ROOM.set(room);
    });
}

thread_local! {
    /// Fresh memory is slow.
    static ROOM: Cell<Room> = const { Cell::new(Room(Vec::new())) };
}

/// Memory for a tile, at a cache line.
#[derive(Default)]
struct Room(Vec<u8>);

impl Room {
    fn bytes(&mut self, len: usize) -> &mut [u8] {
        self.0.resize(len + 63, 0);
        let start = self.0.as_ptr().align_offset(64).min(63);
        &mut self.0[start..start + len]
    }
}

/// One tile with one group of rows.
fn one(
    class: Class,
    rows: &Rows,
    job: &Job<'_>,
    (at, weights): (usize, Tile<'_>),
    start: usize,
    many: usize,
) {
    let mut sums = [[0.0_f32; TILE]; GROUP];
    let kind = job.weights.kind();
    let (bytes, notes) = rows.bytes(kind, start, many);
    let operand = tile::Operand {
        kind,
        weights,
        columns: rows.padded,
        many,
        floats: rows.floats(kind, start, many),
        bytes,
        notes,
    };
    tile::tile(class, &operand, &mut sums);
    let all = job.weights.rows();
    let first = at * TILE;
    let len = (all - first).min(TILE);
    for (row, sums) in sums.iter().enumerate().take(many) {
        // SAFETY: a tile of a group is one unit's, and the slice is borrowed by the caller of `product`.
        let to = unsafe { job.to.part((start + row) * all + first, len) };
        let bias = job.bias.map(|bias| &bias[first..first + len]);
        for (lane, to) in to.iter_mut().enumerate() {
            let sum = sums[lane] + bias.map_or(0.0, |bias| bias[lane]);
            *to = if job.add { *to + sum } else { sum };
        }
    }
}
