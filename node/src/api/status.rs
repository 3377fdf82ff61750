//! What a node says about itself and whom it is connected to.

use serde::{Deserialize, Serialize};

use super::{MirrorView, RepositorySummary};

/// A request that changed something and has nothing more to tell.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// What was done, for people, if there is something to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// The answer to `GET status`. Fields up to `downloaded_bytes` are promises to scripts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusResponse {
    /// This node, 64 hex.
    pub node_id: String,
    /// Multiaddrs ending in `/p2p/…` that another node can take as `--bootstrap`.
    pub listen: Vec<String>,
    /// URL of the local port.
    pub gateway: String,
    /// Connected peers.
    pub peers: Vec<PeerView>,
    /// Known repositories.
    pub repositories: Vec<RepositorySummary>,
    /// Running and waiting downloads.
    pub transfers: Vec<TransferView>,
    /// Bytes of models sent to peers in this run.
    pub uploaded_bytes: u64,
    /// Verified bytes of models received from peers in this run.
    pub downloaded_bytes: u64,
    /// Data-plane socket addresses, `ip:port`.
    #[serde(default)]
    pub data_listen: Vec<String>,
    /// Mirror orders.
    #[serde(default)]
    pub mirrors: Vec<MirrorView>,
    /// Version of the running program.
    #[serde(default)]
    pub version: String,
    /// The data directory.
    #[serde(default)]
    pub home: String,
    /// Process id.
    #[serde(default)]
    pub pid: u32,
    /// Seconds since start.
    #[serde(default)]
    pub uptime_seconds: u64,
}

/// The answer to `GET peers`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeersResponse {
    /// Connected peers, in id order.
    pub peers: Vec<PeerView>,
}

/// A connected peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerView {
    /// Who, 64 hex.
    pub node_id: String,
    /// Its address as multiaddr.
    pub address: String,
    /// What it calls itself.
    #[serde(default)]
    pub agent: String,
    /// Verified bytes received from it in this run.
    #[serde(default)]
    pub downloaded_bytes: u64,
    /// Bytes sent to it in this run.
    #[serde(default)]
    pub uploaded_bytes: u64,
    /// Transfers in flight from it.
    #[serde(default)]
    pub in_flight: u32,
}

/// Asks the node to dial addresses, beside those it was started with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectRequest {
    /// Multiaddrs, best with `/p2p/…` at the end.
    pub addresses: Vec<String>,
}

/// A running or waiting download.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferView {
    /// Which repository, `<publisher>/<name>`.
    pub repository: String,
    /// Which revision, 64 hex.
    pub revision: String,
    /// Bytes in all.
    pub bytes_total: u64,
    /// Verified bytes here.
    pub bytes_done: u64,
    /// Of those, here before it began.
    #[serde(default)]
    pub bytes_reused: u64,
    /// Peers with a transfer in flight.
    #[serde(default)]
    pub peers_active: u32,
    /// Peers known to have something of it.
    #[serde(default)]
    pub peers_known: u32,
    /// Who sent how much, most first.
    #[serde(default)]
    pub sources: Vec<Source>,
}

/// How much came from whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Who: a peer's 64 hex, or scheme, host and port of a web server.
    pub peer: String,
    /// Verified bytes.
    pub bytes: u64,
}
