//! The one machine that takes every decision of a node.
//!
//! Four verbs: [`Service::handle`], [`Service::handle_timeout`], [`Service::poll_output`],
//! [`Service::poll_timeout`]. After any mutation drain outputs until `None`, then arm a timer for
//! `poll_timeout`. Time and randomness are arguments; nothing is announced or reported before the registry has
//! confirmed the commit it rests on.
mod command;
mod event;
mod input;
mod output;
pub use command::*;
pub use event::*;
pub use input::*;
pub use output::*;
use crate::{id::*, op::Snapshot, sign::NetworkId, time::{Instant, Now}};
/// What a node is told at start.
#[derive(Debug, Clone)]
pub struct Params {
    /// This node.
    pub node: NodeId,
    /// Which network.
    pub network: NetworkId,
    /// Seed of the machine's only randomness.
    pub seed: u64,
    /// This node's own introduction.
    pub hello: crate::wire::Hello,
    /// Disk limit in bytes for everything that is not pinned by the user; `None` is no limit.
    pub cache_bytes_max: Option<u64>,
}
/// The machine.
#[derive(Debug)]
pub struct Service { }
impl Service {
    /// Takes up where the registry says the last run ended.
    pub fn new(_params: Params, _snapshot: Snapshot, _now: Now) -> Self { todo!() }
    /// Something happened.
    pub fn handle(&mut self, _now: Now, _input: Input) { todo!() }
    /// The time that `poll_timeout` named has come.
    pub fn handle_timeout(&mut self, _now: Now) { todo!() }
    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> { todo!() }
    /// When to call `handle_timeout` at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> { todo!() }
    /// Connected peers, in id order.
    pub fn peers(&self) -> Vec<PeerView> { todo!() }
    /// Known repositories, in id order.
    pub fn repositories(&self) -> Vec<RepositoryView> { todo!() }
    /// Running and waiting downloads.
    pub fn transfers(&self) -> Vec<TransferView> { todo!() }
    /// Mirror orders.
    pub fn mirrors(&self) -> Vec<crate::op::MirrorRecord> { todo!() }
    /// The identity log held for a publisher.
    pub fn identity(&self, _publisher: &PublisherId) -> Option<&crate::identity::IdentityLog> { todo!() }
    /// The tip held for a repository, and all leaves up to and including it if they are held.
    pub fn tip(&self, _repository: &RepositoryId) -> Option<(&crate::accept::AcceptedHead, Option<&[ObjectId]>)> { todo!() }
}
/// A connected peer, for `weft peers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerView { /// Who.
    pub peer: NodeId, /// Remote address.
    pub address: String, /// What it calls itself.
    pub agent: String, /// Verified bytes received from it in this run.
    pub bytes_received: u64, /// Transfers in flight from it.
    pub in_flight: u32 }
/// A repository, for `weft ls` and `weft info`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryView { /// Which.
    pub repository: RepositoryId, /// Tip index.
    pub index: u64, /// Tip revision.
    pub revision: RevisionId, /// How sure.
    pub freshness: Freshness, /// Frozen by an equivocation.
    pub frozen: bool, /// Revisions held or wanted.
    pub revisions: Vec<crate::op::RevisionRecord> }
/// A download, for progress bars.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferView { /// Which repository.
    pub repository: RepositoryId, /// Which revision.
    pub revision: RevisionId, /// Commands waiting for it.
    pub commands: Vec<CommandId>, /// Bytes in all.
    pub bytes_total: u64, /// Verified bytes here.
    pub bytes_done: u64, /// Of those, here before it began.
    pub bytes_reused: u64, /// Peers with a transfer in flight.
    pub peers_active: u32, /// Peers known to have something.
    pub peers_known: u32, /// Verified bytes by peer.
    pub sources: Vec<(NodeId, u64)> }
