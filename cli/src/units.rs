//! Sizes, spans and moments as people write and read them.

mod duration;
mod moment;
mod size;

pub(crate) use duration::{Span, parse as parse_duration};
pub(crate) use moment::{ago, date};
pub(crate) use size::{Size, parse as parse_size};
