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

mod adversary;
mod census;
mod clock;
mod dht;
mod disk;
mod fault;
mod flow;
mod host;
mod link;
mod mail;
mod net;
mod observe;
mod oracle;
mod outline;
mod publisher;
mod rng;
mod trace;
mod transfer;
mod workload;
mod world;

pub mod report;
pub mod scenario;
pub mod sweep;

#[cfg(test)]
mod tests;

pub use adversary::Behaviour;
pub use census::Census;
pub use disk::Disk;
pub use host::{Host, HostId};
pub use link::{LOOPBACK, Link, Nat, REGION_COUNT};
pub use publisher::Publisher;
pub use world::{NETWORK, World};
