//! Where kernels find weights: packed when they were loaded, or in the order of their file.

use std::marker::PhantomData;

use super::tile::AHEAD;
use crate::{
    TILE,
    lanes::{Class, Turn, with_lanes},
    pack::{Kind, Step},
};

/// Weights in the order of [`Kind::packed`], some units after the other.
///
/// Everything here may only be called where the processor has the instructions of `L`, and [`Self::some`] only for units
/// that are there.
pub(super) trait Source {
    /// The next units, at most `left`, and how many they are. They stay until the next call.
    unsafe fn some<L: Turn>(&mut self, left: usize) -> (*const u8, usize);

    /// Asks for what comes behind `here`, which is in what [`Self::some`] returned.
    unsafe fn ahead<L: Turn>(here: *const u8);
}

/// A tile that was packed.
pub(super) struct Still(pub(super) *const u8);

impl Source for Still {
    #[inline(always)]
    unsafe fn some<L: Turn>(&mut self, left: usize) -> (*const u8, usize) {
        (self.0, left)
    }

    #[inline(always)]
    unsafe fn ahead<L: Turn>(here: *const u8) {
        // SAFETY: asking for what is not there does no harm.
        unsafe { L::ahead(here.wrapping_add(AHEAD)) }
    }
}

/// A tile in a file, of which one step after the other is turned.
pub(super) struct Turning<K> {
    steps: Steps,
    room: Room,
    kind: PhantomData<K>,
}

/// Where a step is turned to.
#[repr(align(64))]
struct Room([u8; Step::PACKED_MAX]);

/// A kind as a type, so that a kernel is compiled for each.
pub(super) trait InFile {
    const KIND: Kind;
    const STEP: Step;
}

macro_rules! in_file {
    ($($name:ident)*) => {$(
        pub(super) enum $name {}
        impl InFile for $name {
            const KIND: Kind = Kind::$name;
            const STEP: Step = match Kind::$name.step() {
                Some(step) => step,
                None => panic!("a kind that is packed"),
            };
        }
    )*};
}
in_file!(F32 F16 BF16 Q8_0);

impl<K> Turning<K> {
    #[inline(always)]
    pub(super) fn new(from: *const u8, row: usize) -> Self {
        Self {
            steps: Steps::new(from, row),
            room: Room([0; Step::PACKED_MAX]),
            kind: PhantomData,
        }
    }
}

impl<K: InFile> Source for Turning<K> {
    #[inline(always)]
    unsafe fn some<L: Turn>(&mut self, _left: usize) -> (*const u8, usize) {
        let to = self.room.0.as_mut_ptr();
        // SAFETY: the caller's; there is room for a step of any kind.
        unsafe { self.steps.turn::<L>(K::KIND, K::STEP, to) };
        (to, K::STEP.units)
    }

    #[inline(always)]
    unsafe fn ahead<L: Turn>(_here: *const u8) {}
}

/// Sixteen rows in a file.
struct Steps {
    from: *const u8,
    row: usize,
    /// What is asked for next.
    next: *const u8,
}

impl Steps {
    #[inline(always)]
    fn new(from: *const u8, row: usize) -> Self {
        Self {
            from,
            row,
            // Sixteen places at once are more than a processor foresees. But the next tile lies behind this one, so
            // it is asked for line by line while this one is read.
            next: from.wrapping_add(TILE * row + AHEAD),
        }
    }

    /// Turns the next step into what it is packed.
    #[inline(always)]
    unsafe fn turn<L: Turn>(&mut self, kind: Kind, step: Step, to: *mut u8) {
        // SAFETY: the caller's; asking for what is not there does no harm.
        unsafe {
            for line in 0..step.bytes * TILE / 64 {
                L::far(self.next.wrapping_add(line * 64));
            }
            turn::<L>(kind, self.from, self.row, to);
        }
        self.next = self.next.wrapping_add(step.bytes * TILE);
        self.from = self.from.wrapping_add(step.bytes);
    }
}

/// Turns a step of sixteen rows.
#[inline(always)]
unsafe fn turn<L: Turn>(kind: Kind, from: *const u8, row: usize, to: *mut u8) {
    // SAFETY: the caller's.
    unsafe {
        match kind {
            Kind::Q8_0 => {
                for half in 0..2 {
                    let from = from.add(half * 34);
                    L::turn_two(from, row, to.add(half * 32));
                    L::turn::<true>(from.add(2), row, to.add(64 + half * 512));
                }
            }
            _ => {
                for half in 0..2 {
                    L::turn::<false>(from.add(half * 32), row, to.add(half * 512));
                }
                if kind == Kind::F16 {
                    for pair in 0..16 {
                        L::part(to.add(pair * 64));
                    }
                }
            }
        }
    }
}

/// Packs a tile of a file.
pub(super) fn pack(class: Class, kind: Kind, step: Step, rows: &[u8], to: &mut [u8]) {
    let (_, unit) = kind.packed();
    assert!(
        to.len() == step.count(rows.len()) * step.units * unit,
        "a tile"
    );
    // SAFETY: the class is one of this processor, and the bounds were checked.
    unsafe {
        with_lanes!(class, whole::<_>(
            kind: Kind = kind,
            rows: &[u8] = rows,
            to: &mut [u8] = to,
        ));
    }
}

#[inline(always)]
unsafe fn whole<L: Turn>(kind: Kind, rows: &[u8], to: &mut [u8]) {
    // SAFETY: the caller's.
    unsafe {
        match kind {
            Kind::F32 => whole_of::<L, F32>(rows, to),
            Kind::F16 => whole_of::<L, F16>(rows, to),
            Kind::BF16 => whole_of::<L, BF16>(rows, to),
            _ => whole_of::<L, Q8_0>(rows, to),
        }
    }
}

#[inline(always)]
unsafe fn whole_of<L: Turn, K: InFile>(rows: &[u8], to: &mut [u8]) {
    let mut from = Steps::new(rows.as_ptr(), rows.len() / TILE);
    for to in to.chunks_exact_mut(K::STEP.units * K::KIND.packed().1) {
        // SAFETY: the caller's.
        unsafe { from.turn::<L>(K::KIND, K::STEP, to.as_mut_ptr()) };
    }
}
