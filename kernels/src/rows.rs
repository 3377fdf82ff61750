//! What matrices are multiplied with, in an order that suits them.

use crate::{
    Pool,
    lanes::{Class, Lanes, with_lanes},
    pack::{Kind, Packed},
    pool::Shares,
};

/// Rows that are computed together.
pub(crate) const GROUP: usize = 8;
/// Columns that share a scale.
pub(crate) const BLOCK: usize = 32;
/// Numbers of each block of each row besides its bytes.
pub(crate) const NOTES: usize = 6;
/// The largest number of a block that is not taken for zero: 127 divided by it is still a number.
const LEAST: f32 = 1e-36;

/// Which forms of rows matrices read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Form {
    floats: bool,
    bytes: bool,
}

impl Form {
    /// What several matrices read.
    pub fn of<'a>(matrices: impl IntoIterator<Item = &'a Packed>) -> Self {
        let mut form = Self::default();
        for matrix in matrices {
            form.include(matrix.kind());
        }
        form
    }

    fn include(&mut self, kind: Kind) {
        if kind.is_float() {
            self.floats = true;
        } else {
            self.bytes = true;
        }
    }
}

/// Rows of numbers: as they are, and rounded to bytes, of which each 32 share a scale.
///
/// Rows lie in groups of eight; in a group, columns follow each other, and of each few columns the rows.
#[derive(Debug, Default)]
pub struct Rows {
    form: Form,
    pub(crate) count: usize,
    pub(crate) columns: usize,
    /// Columns with the zeros behind them: whole pairs of blocks.
    pub(crate) padded: usize,
    /// For each column the rows of a group.
    floats: Vec<f32>,
    /// For each block the rows of a group, 32 bytes each.
    bytes: Vec<i8>,
    /// For each block [`NOTES`] numbers of each row of a group: scale, scale × sum, the sum × -128 and × -8, and the
    /// sums of both halves × -32. The first two are the bits of floats.
    notes: Vec<i32>,
}

impl Rows {
    /// Becomes the rows that `fill` writes: it is called with the number of each, and a slice to write it to. What was
    /// there is forgotten, but for the memory it took.
    pub fn set(
        &mut self,
        pool: &Pool,
        form: Form,
        (count, columns): (usize, usize),
        fill: impl Fn(usize, &mut [f32]) + Sync,
    ) {
        self.set_with(Class::here(), pool, form, (count, columns), fill);
    }

    pub(crate) fn set_with(
        &mut self,
        class: Class,
        pool: &Pool,
        form: Form,
        (count, columns): (usize, usize),
        fill: impl Fn(usize, &mut [f32]) + Sync,
    ) {
        let padded = columns.next_multiple_of(2 * BLOCK);
        self.form = form;
        self.count = count;
        self.columns = columns;
        self.padded = padded;
        let len = count * padded;
        let floats = room(&mut self.floats, if form.floats { len } else { 0 });
        let bytes = room(&mut self.bytes, if form.bytes { len } else { 0 });
        let notes = len / BLOCK * NOTES;
        let notes = room(&mut self.notes, if form.bytes { notes } else { 0 });
        let shares = (Shares::new(floats), Shares::new(bytes), Shares::new(notes));
        let group = |group: usize| {
            let start = group * GROUP;
            let many = (count - start).min(GROUP);
            let mut row = vec![0.0_f32; padded];
            for at in 0..many {
                fill(start + at, &mut row[..columns]);
                if form.floats {
                    // SAFETY: each group is one unit's.
                    let to = unsafe { shares.0.part(start * padded, many * padded) };
                    for (to, value) in to.chunks_exact_mut(many).zip(&row) {
                        to[at] = *value;
                    }
                }
                if form.bytes {
                    let len = many * padded;
                    // SAFETY: each group is one unit's.
                    let bytes = unsafe { shares.1.part(start * padded, len) };
                    let first = start * padded / BLOCK * NOTES;
                    // SAFETY: each group is one unit's.
                    let notes = unsafe { shares.2.part(first, len / BLOCK * NOTES) };
                    // SAFETY: the class is one of this processor; all slices are as long as `many` padded rows.
                    unsafe {
                        with_lanes!(class, round::<_>(
                            row: &[f32] = &row,
                            many: usize = many,
                            at: usize = at,
                            bytes: &mut [i8] = bytes,
                            notes: &mut [i32] = notes,
                        ));
                    }
                }
            }
        };
        let groups = count.div_ceil(GROUP);
        if count < GROUP {
            // Less work than it takes to share it.
            (0..groups).for_each(group);
        } else {
            pool.run(groups, &group);
        }
    }

    pub(crate) fn has(&self, kind: Kind) -> bool {
        if kind.is_float() {
            self.form.floats
        } else {
            self.form.bytes
        }
    }

    /// The floats of a group, if a matrix reads them.
    pub(crate) fn floats(&self, kind: Kind, start: usize, many: usize) -> &[f32] {
        match kind.is_float() {
            true => &self.floats[start * self.padded..(start + many) * self.padded],
            false => &[],
        }
    }

    /// The bytes of a group and what is noted about them, if a matrix reads them.
    pub(crate) fn bytes(&self, kind: Kind, start: usize, many: usize) -> (&[i8], &[i32]) {
        if kind.is_float() {
            return (&[], &[]);
        }
        let notes = self.padded / BLOCK * NOTES;
        (
            &self.bytes[start * self.padded..(start + many) * self.padded],
            &self.notes[start * notes..(start + many) * notes],
        )
    }
}

/// The first `len` elements, of which nothing is known.
fn room<T: Copy + Default>(all: &mut Vec<T>, len: usize) -> &mut [T] {
    if all.len() < len {
        all.resize(len, T::default());
    }
    &mut all[..len]
}

/// Rounds one row of a group: `row` has whole blocks, `bytes` and `notes` are those of `many` such rows.
#[inline(always)]
unsafe fn round<L: Lanes>(
    row: &[f32],
    many: usize,
    at: usize,
    bytes: &mut [i8],
    notes: &mut [i32],
) {
    let blocks = row
        .chunks_exact(BLOCK)
        .zip(bytes.chunks_exact_mut(many * BLOCK))
        .zip(notes.chunks_exact_mut(many * NOTES));
    for ((row, bytes), notes) in blocks {
        let bytes = &mut bytes[at * BLOCK..][..BLOCK];
        // SAFETY: both have 32 elements.
        let scale = unsafe {
            let (a, b) = (L::load(row.as_ptr()), L::load(row[16..].as_ptr()));
            let largest = L::largest_size(a, b);
            let (scale, inverse) = if largest >= LEAST && largest.is_finite() {
                (largest / 127.0, 127.0 / largest)
            } else {
                // Numbers that are none make a sum that is none.
                (if largest < LEAST { 0.0 } else { f32::NAN }, 0.0)
            };
            let inverse = L::float(inverse);
            L::store_signed(L::mul(a, inverse), bytes.as_mut_ptr());
            L::store_signed(L::mul(b, inverse), bytes[16..].as_mut_ptr());
            scale
        };
        // SAFETY: sixteen bytes each.
        let (first, second) = unsafe {
            (
                L::sum_signed(bytes.as_ptr()),
                L::sum_signed(bytes[16..].as_ptr()),
            )
        };
        let both = first + second;
        let noted = [
            scale.to_bits() as i32,
            (scale * both as f32).to_bits() as i32,
            -128 * both,
            -8 * both,
            -32 * first,
            -32 * second,
        ];
        for (kind, value) in noted.into_iter().enumerate() {
            notes[kind * many + at] = value;
        }
    }
}
