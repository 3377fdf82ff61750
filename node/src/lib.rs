//! The daemon: sockets, disks, keys. It carries out what `weft-protocol` decides.
//!
//! One task owns the machine (`service`); around it stand the actors that touch the world: the
//! control plane ([`network`]), the data plane ([`transfer`]), the registry's writer thread
//! (`storage`) and the local HTTP port (`gateway`), which calls `operations`. None of them decides
//! anything: an `if` that decides for the user or for the swarm belongs in `weft-protocol`.

pub mod api;
pub mod config;
pub mod defaults;
mod error;
mod files;
mod gateway;
pub mod home;
pub mod identity;
pub mod infer;
pub mod network;
mod node;
mod operations;
pub mod origin;
mod service;
mod storage;
mod store;
pub mod transfer;
mod upstream;

pub use config::Config;
pub use gateway::hub_token;
pub use node::Node;
