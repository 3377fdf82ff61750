//! The data plane against itself, over real sockets on the loopback.

mod crash;
mod fetching;
mod files;
mod keeping;
mod links;
mod node;
mod serving;
