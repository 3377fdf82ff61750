//! Tests of the contract between nodes, through the public surface of the crate only.

mod acceptance;
mod equivocation;
mod fixture;
mod parsers_survive;
mod service;
mod vectors;
mod weights;
