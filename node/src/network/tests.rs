//! Whole control planes against each other, over real sockets on loopback.
//!
//! Every wait is for an event; the timeout only turns a hang into a failure.

pub(crate) mod fixture;
mod links;
mod lookups;
mod news;
mod strangers;
