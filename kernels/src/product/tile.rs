//! Sixteen rows of a matrix times up to eight rows of numbers.
//!
//! Of each kind there is one function; each sums block after block, so that the order in which a number is summed
//! depends on nothing but the kind and the number of columns.

mod blocks;

use blocks::{eight, four, four_k, six_k};

use super::source::{BF16, F16, F32, Q8_0, Source, Still, Turning};
use crate::{
    TILE,
    lanes::{Class, Lanes, Turn, with_lanes},
    pack::{Kind, Tile},
    rows::{BLOCK, GROUP, NOTES},
};

/// Bytes that are asked for before they are needed.
pub(super) const AHEAD: usize = 1_536;

/// What is multiplied.
#[derive(Debug)]
pub(super) struct Operand<'a> {
    pub(super) kind: Kind,
    pub(super) weights: Tile<'a>,
    /// Columns with zeros behind them, a multiple of 64.
    pub(super) columns: usize,
    /// Rows of the group.
    pub(super) many: usize,
    /// Rows of one group in the forms that [`crate::Rows`] has; only that which the kind reads is there.
    pub(super) floats: &'a [f32],
    pub(super) bytes: &'a [i8],
    pub(super) notes: &'a [i32],
}

/// Where one kernel reads: pointers to the first of the rows it computes.
#[derive(Clone, Copy)]
struct At {
    weights: *const u8,
    /// Bytes of a row, where weights lie as in their file.
    row: usize,
    /// Whole units of [`Kind::packed`].
    units: usize,
    many: usize,
    floats: *const f32,
    bytes: *const i8,
    notes: *const i32,
}

/// Products of each row with the sixteen of the tile.
pub(super) fn tile(class: Class, operand: &Operand<'_>, to: &mut [[f32; TILE]; GROUP]) {
    let kind = operand.kind;
    let (together, len) = kind.packed();
    let units = match operand.weights {
        Tile::Packed(tile) => tile.len() / len,
        Tile::Filed(rows, step) => step.count(rows.len()) * step.units,
    };
    // What kernels rely on: they read `units` units of weights, and as many columns of `many` rows.
    assert!((1..=GROUP).contains(&operand.many), "rows of a group");
    assert!(units * together <= operand.columns, "columns");
    let all = operand.columns * operand.many;
    if operand.kind.is_float() {
        assert!(operand.floats.len() == all, "floats");
    } else {
        assert!(operand.bytes.len() == all, "bytes");
        assert!(operand.notes.len() == all / BLOCK * NOTES, "notes");
    }
    // SAFETY: the class is one of this processor, and the bounds were checked.
    unsafe {
        with_lanes!(class, rows::<_>(
            operand: &Operand<'_> = operand,
            units: usize = units,
            to: &mut [[f32; TILE]; GROUP] = to,
        ));
    }
}

/// As many rows at once as registers hold.
#[inline(always)]
unsafe fn rows<L: Turn>(operand: &Operand<'_>, units: usize, to: &mut [[f32; TILE]; GROUP]) {
    let (weights, row) = match operand.weights {
        Tile::Packed(tile) => (tile.as_ptr(), 0),
        Tile::Filed(rows, _) => (rows.as_ptr(), rows.len() / TILE),
    };
    let mut first = 0;
    while first < operand.many {
        let left = operand.many - first;
        let at = At {
            weights,
            row,
            units,
            many: operand.many,
            floats: operand.floats.as_ptr().wrapping_add(first),
            bytes: operand.bytes.as_ptr().wrapping_add(first * BLOCK),
            notes: operand.notes.as_ptr().wrapping_add(first),
        };
        let to = &mut to[first..];
        // SAFETY: the caller's.
        unsafe {
            if left >= 8 && L::ROWS_MAX >= 8 {
                some::<L, 8>(operand.kind, at, to);
                first += 8;
            } else if left >= 4 && L::ROWS_MAX >= 4 {
                some::<L, 4>(operand.kind, at, to);
                first += 4;
            } else if left >= 2 && L::ROWS_MAX >= 2 {
                some::<L, 2>(operand.kind, at, to);
                first += 2;
            } else {
                some::<L, 1>(operand.kind, at, to);
                first += 1;
            }
        }
    }
}

#[inline(always)]
unsafe fn some<L: Turn, const N: usize>(kind: Kind, at: At, to: &mut [[f32; TILE]]) {
    // SAFETY: the caller's.
    unsafe {
        let still = Still(at.weights);
        let sums = match kind {
            Kind::F32 | Kind::F16 | Kind::BF16 | Kind::Q8_0 if at.row > 0 => {
                filed::<L, N>(kind, at)
            }
            Kind::F32 => thirty_two::<L, N, _>(at, still),
            Kind::F16 => halves::<L, N, _>(at, still),
            Kind::BF16 => pairs::<L, N, _>(at, still),
            Kind::Q8_0 | Kind::Q5_0 => eight::<L, N, _>(at, still),
            Kind::Q4_0 => four::<L, N>(at),
            Kind::Q4K => four_k::<L, N, false>(at),
            Kind::Q5K => four_k::<L, N, true>(at),
            Kind::Q6K => six_k::<L, N>(at),
        };
        for (sum, to) in sums.into_iter().zip(to) {
            L::store(sum, to.as_mut_ptr());
        }
    }
}

/// A number of a block's notes; see [`crate::Rows`].
#[inline(always)]
unsafe fn note(at: At, kind: usize, row: usize) -> i32 {
    // SAFETY: the caller's.
    unsafe { at.notes.add(kind * at.many + row).read() }
}

#[inline(always)]
unsafe fn float_note<L: Lanes>(at: At, kind: usize, row: usize) -> L::Floats {
    // SAFETY: the caller's.
    unsafe { L::float(f32::from_bits(note(at, kind, row) as u32)) }
}

/// Goes on by one block of 32 columns.
#[inline(always)]
fn next(at: &mut At) {
    at.bytes = at.bytes.wrapping_add(at.many * BLOCK);
    at.notes = at.notes.wrapping_add(at.many * NOTES);
}

/// The same, of rows in their file.
#[inline(always)]
unsafe fn filed<L: Turn, const N: usize>(kind: Kind, at: At) -> [L::Floats; N] {
    let (from, row) = (at.weights, at.row);
    // SAFETY: the caller's.
    unsafe {
        match kind {
            Kind::F32 => thirty_two::<L, N, _>(at, Turning::<F32>::new(from, row)),
            Kind::F16 => halves::<L, N, _>(at, Turning::<F16>::new(from, row)),
            Kind::BF16 => pairs::<L, N, _>(at, Turning::<BF16>::new(from, row)),
            _ => eight::<L, N, _>(at, Turning::<Q8_0>::new(from, row)),
        }
    }
}

#[inline(always)]
unsafe fn thirty_two<L: Turn, const N: usize, S: Source>(at: At, source: S) -> [L::Floats; N] {
    // SAFETY: the caller's.
    unsafe {
        floats::<L, N, _>(at, source, 128, |from| {
            (L::load(from.cast()), L::load(from.add(64).cast()))
        })
    }
}

#[inline(always)]
unsafe fn halves<L: Turn, const N: usize, S: Source>(at: At, source: S) -> [L::Floats; N] {
    // SAFETY: the caller's.
    unsafe {
        floats::<L, N, _>(at, source, 64, |from| {
            (L::of_halves(from.cast()), L::of_halves(from.add(32).cast()))
        })
    }
}

#[inline(always)]
unsafe fn pairs<L: Turn, const N: usize, S: Source>(at: At, source: S) -> [L::Floats; N] {
    // SAFETY: the caller's.
    unsafe { floats::<L, N, _>(at, source, 64, |from| L::of_pairs(from.cast())) }
}

/// Even and odd columns are summed apart, because one sum would wait for itself.
#[inline(always)]
unsafe fn floats<L: Turn, const N: usize, S: Source>(
    mut at: At,
    mut source: S,
    len: usize,
    load: impl Fn(*const u8) -> (L::Floats, L::Floats),
) -> [L::Floats; N] {
    // SAFETY: the caller's.
    unsafe {
        let mut even = [L::float(0.0); N];
        let mut odd = even;
        let mut left = at.units;
        while left > 0 {
            let (mut weights, count) = source.some::<L>(left);
            left -= count;
            for _ in 0..count {
                let (a, b) = load(weights);
                S::ahead::<L>(weights);
                for row in 0..N {
                    let with = at.floats.add(row);
                    even[row] = L::fma(a, L::float(with.read()), even[row]);
                    odd[row] = L::fma(b, L::float(with.add(at.many).read()), odd[row]);
                }
                weights = weights.wrapping_add(len);
                at.floats = at.floats.wrapping_add(2 * at.many);
            }
        }
        for row in 0..N {
            even[row] = L::add(even[row], odd[row]);
        }
        even
    }
}
