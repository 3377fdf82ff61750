//! What the process tests and the demo share: real `weft` processes on loopback, in directories of
//! their own, driven and watched from outside.
//!
//! Nothing here knows the insides of a node. A [`Node`] is a data directory and, most of the time, a
//! process; it is told things through the command line and watched through its local API, its files
//! and `/proc`. Two exceptions are named for what they are: [`forge`] writes what an honest node never
//! would, and [`sockets`] reads the kernel's tables.
//!
//! Invariants: every process is a child of the test and dies with its handle; every file lies below
//! the [`World`] of its test; waiting is always for a condition, with a limit.

pub mod api;
pub mod demo;
pub mod disk;
pub mod engine;
pub mod forge;
pub mod http;
pub mod hub;
pub mod model;
pub mod node;
pub mod program;
pub mod safetensors;
pub mod skip;
pub mod sockets;
pub mod trace;
pub mod wait;
pub mod web;
pub mod world;

pub use hub::HubServer;
pub use model::Model;
pub use node::{Node, Options};
pub use program::{Job, Run};
pub use skip::skipped;
pub use wait::wait_for;
pub use web::WebServer;
pub use world::World;
