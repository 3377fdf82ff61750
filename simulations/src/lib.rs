//! Many nodes in one deterministic process, driving the very code that real nodes run.
//!
//! Time, links, disks, the DHT and gossip are modelled; [`weft_protocol::service::Service`] is real. The same
//! seed gives the same run to the last output, which [`World::trace`] shows. Never tokio, real sockets or
//! real time.
#![warn(
    missing_docs,
    clippy::wildcard_enum_match_arm,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::indexing_slicing
)]
#![cfg_attr(
    test,
    allow(clippy::indexing_slicing, reason = "a wrong index is a failed test")
)]

mod disk;
mod host;
mod net;
mod oracle;
mod publisher;
mod transfer;
mod world;

pub mod scenario;

#[cfg(test)]
mod tests;

pub use disk::Disk;
pub use host::{Behaviour, Host, HostId, Link};
pub use publisher::Publisher;
pub use world::{NETWORK, World};
