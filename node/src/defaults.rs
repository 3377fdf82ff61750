//! Every default of the daemon in one place, each with its reason.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

/// Control plane (TCP) and data over QUIC (UDP) share one number; data over TCP has the next one.
pub const PORT: u16 = 4777;
/// The local HTTP port; near [`PORT`] so that both are remembered together.
pub const GATEWAY_PORT: u16 = 4780;
/// Where peers reach this node.
pub const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), PORT);
/// Where local programs reach this node. Loopback: the port can change what the node does.
pub const GATEWAY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), GATEWAY_PORT);
/// Files of more bytes than this are offered in chunks: the official Hugging Face client refuses them whole.
pub const CHUNKS_ABOVE: u64 = 50_000_000_000;
/// How often unpinned blobs are looked for; a sweep reads metadata only.
pub const COLLECT_INTERVAL: Duration = Duration::from_secs(60);
/// How long a head says others may serve it without asking again.
pub const HEAD_TTL_SECS: u32 = 600;
/// How long a head counts: a publisher who is away for a year is still believed.
pub const HEAD_LIFETIME: Duration = Duration::from_secs(365 * 86_400);
/// How long one freshness statement counts; renewed every four hours.
pub const FRESHNESS_LIFETIME: Duration = Duration::from_secs(48 * 3_600 - 60);
/// Answers that subsystems have ready for the machine; more makes them wait, not fail.
pub const INPUTS_MAX: usize = 1_024;
/// Commands waiting for the machine; more makes the caller wait.
pub const MESSAGES_MAX: usize = 256;
/// Events kept for a slow watcher before it misses some.
pub const EVENTS_MAX: usize = 1_024;
/// How long a publisher's new machine asks peers for the ids of the heads before the tip.
pub const HISTORY_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a running command reports progress; a terminal shows no more.
pub const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);
/// How long an ordered shutdown may take before the rest is dropped.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);
/// Resident memory beyond which no new peer may connect: a node that serves hundreds stays far below it, so whoever
/// gets it there is not welcome.
pub const MEMORY_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;
/// Largest request body of the control API; its requests are small.
pub const CONTROL_BODY_LEN_MAX: usize = 1024 * 1024;

/// Files of one publication that are taken in at once: enough that no core waits for the next file to be opened.
pub const IMPORTS_AT_ONCE: usize = 32;
