//! weft-node

pub mod api;
