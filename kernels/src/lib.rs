//! Arithmetic of models on processors: what takes nearly all of the time when a model computes.
//!
//! A matrix of weights ([`Packed`]) is computed in an order that suits the processor: sixteen rows side by side, so that
//! one instruction advances all of them. It is brought into it once, when it is loaded, or stays in its file and is
//! turned whenever it is multiplied. What it is multiplied with is brought into an
//! order of its own ([`Rows`]) once for all matrices that read it. [`product()`] multiplies, [`attend`] is attention over
//! the memory that [`Keep`] is, and `elements` has what is computed number by number.
//!
//! Every number is computed by the same steps in the same order however many rows there are, whatever else is computed
//! beside it, however many threads share the work, and on whatever processor: all bits are the same ([`ROUNDING`]).
//! Steps are those that IEEE 754 rounds in one way only: sums, products, quotients, roots, and products that are added
//! to something and rounded once. Functions are made of these, here or in `libm`; those of the system are not used.
//!
//! All unsafe code of the engine's arithmetic is in this crate. It is of three kinds: instructions that are used after
//! the processor was asked for them ([`lanes`]), reading weights through pointers within bounds that are
//! checked before (`product`, `attention`), and threads that write disjoint parts of one slice (`pool`).
#![expect(
    unsafe_code,
    reason = "vector instructions; each place says why it is sound"
)]
#![expect(
    clippy::needless_range_loop,
    reason = "loops over registers, which several arrays stand for"
)]

mod attention;
pub mod elements;
mod lanes;
mod pack;
mod pool;
mod product;
mod rows;

#[cfg(test)]
mod tests;

pub use attention::{Attention, Keep, Query, attend};
pub use lanes::{ROUNDING, instructions};
pub use pack::{Kind, Owner, Packed};
pub use pool::Pool;
pub use product::{Product, product};
pub use rows::{Form, Rows};

/// Rows of a matrix that are computed side by side.
const TILE: usize = 16;
