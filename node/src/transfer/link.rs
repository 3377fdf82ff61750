//! Data over kernel TCP: the iroh-blobs protocol under TLS 1.3, for peers that can be reached directly.
//!
//! QUIC reaches anybody, but costs several times the CPU that kernel TCP does, so bytes go over TCP where a
//! connection can be had. Requests and answers are the iroh-blobs protocol's own; what a QUIC connection gives it
//! (streams, their ends and their reset codes) is made up for by a thin framing.
//!
//! One connection carries one get at a time, and several are opened to a peer as they are needed; observations
//! share a connection of their own.
//!
//! Reading order: `keys` (who is there), `tls` and `frame` (bytes to frames, no sockets), `session` (both together),
//! `channel` (async, while waiting) and `pump` (a thread, while bytes flow), `pool` (dialling and
//! keeping). Being dialled is in `provide/links.rs`.

mod channel;
mod frame;
mod keys;
mod pool;
mod pump;
mod session;
mod tls;

use std::net::SocketAddr;

pub(super) use self::{
    channel::Channel,
    frame::{HEADER_LEN, Header, Kind},
    keys::Keys,
    pool::{LINKS_PER_PEER_MAX, Lease, Link, Pool},
    pump::{GetError, Pump, SEND_LEN},
};

/// What marks the address of a TCP listener among a node's data addresses; the others are for QUIC. A node that does
/// not know the mark does not take the text for an address, and leaves it out.
const ADDRESS_MARK: &str = "tcp/";

/// How a TCP listener's address is told to peers.
pub(super) fn format_address(address: SocketAddr) -> String {
    format!("{ADDRESS_MARK}{address}")
}

/// Reads what [`format_address`] wrote; `None` for anything else.
pub(super) fn parse_address(text: &str) -> Option<SocketAddr> {
    text.strip_prefix(ADDRESS_MARK)?.parse().ok()
}
