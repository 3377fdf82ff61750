//! Lying on purpose, so that tests can show that a liar is found out.
//!
//! Exists only in this crate's own tests and under the feature `faults`, which nothing but `weft-tests` enables.
//! There the environment variable `WEFT_TEST_FAULT` chooses the lie for a whole process: `flip` or `size`.

use std::sync::atomic::{AtomicU8, Ordering};

/// What to lie about when serving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing.
    None,
    /// One bit of every leaf after the first [`HONEST_LEAVES`] of a request.
    Flip,
    /// The size of the blob.
    Size,
}

/// Leaves of a request that are served as they are, so that something good arrives before the lie.
pub(super) const HONEST_LEAVES: u64 = 4;

/// Which fault is on.
#[derive(Debug, Default)]
pub(super) struct Switch(AtomicU8);

impl Switch {
    /// Reads `WEFT_TEST_FAULT`.
    pub(super) fn from_environment() -> Self {
        let switch = Self::default();
        match std::env::var("WEFT_TEST_FAULT").as_deref() {
            Ok("flip") => switch.set(Fault::Flip),
            Ok("size") => switch.set(Fault::Size),
            _ => {}
        }
        switch
    }

    pub(super) fn set(&self, fault: Fault) {
        let value = match fault {
            Fault::None => 0,
            Fault::Flip => 1,
            Fault::Size => 2,
        };
        self.0.store(value, Ordering::Relaxed);
    }

    fn get(&self) -> Fault {
        match self.0.load(Ordering::Relaxed) {
            1 => Fault::Flip,
            2 => Fault::Size,
            _ => Fault::None,
        }
    }

    /// Whether to lie at all.
    pub(super) fn is_on(&self) -> bool {
        self.get() != Fault::None
    }

    /// Falsifies leaf number `index` of a request, which `part` ends with.
    pub(super) fn leaf(&self, index: u64, part: &mut [u8]) {
        if self.get() == Fault::Flip
            && index >= HONEST_LEAVES
            && let Some(byte) = part.last_mut()
        {
            *byte ^= 1;
        }
    }

    /// Falsifies the size of the blob, with which an answer begins.
    pub(super) fn size(&self, part: &mut [u8]) {
        if self.get() == Fault::Size
            && let Some(byte) = part.first_mut()
        {
            *byte ^= 1;
        }
    }
}
