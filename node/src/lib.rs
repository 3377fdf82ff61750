//! weft-node

pub mod api;
pub mod network;
