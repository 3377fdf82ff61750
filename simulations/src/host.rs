//! One simulated node: its machine, its disk, its links, its faults.

use std::collections::{BTreeMap, BTreeSet};

use weft_protocol::{
    id::{BlobHash, NodeId, PublisherId, RevisionId},
    service::{CommandError, CommandId, Event, Outcome, Params, Service},
    time::Now,
    wire::Hello,
};

use crate::{Disk, NETWORK, Publisher};

/// Names a host in its world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub usize);

/// How fast a host is connected.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    /// Bytes per second towards others.
    pub up: u64,
    /// Bytes per second towards the host.
    pub down: u64,
    /// Milliseconds to the backbone.
    pub latency_ms: u64,
}

impl Default for Link {
    /// A good household line.
    fn default() -> Self {
        Self {
            up: 5_000_000,
            down: 12_000_000,
            latency_ms: 10,
        }
    }
}

/// How a host serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Behaviour {
    /// As it should.
    #[default]
    Honest,
    /// Sends bytes that do not verify.
    Corrupt,
    /// Accepts transfers and never sends a byte.
    Silent,
}

/// One node.
#[derive(Debug)]
pub struct Host {
    /// Its name on the network.
    pub node: NodeId,
    /// The machine, while the process runs.
    pub service: Option<Service>,
    /// Counts starts, so that answers to an earlier process are dropped.
    pub(crate) epoch: u64,
    /// What survives the process.
    pub disk: Disk,
    /// Its line.
    pub link: Link,
    /// Whether writes fail because no space is left.
    pub disk_full: bool,
    /// How it serves.
    pub behaviour: Behaviour,
    /// Whose keys it holds.
    pub(crate) keys: BTreeMap<PublisherId, Publisher>,
    /// Hosts it is connected to.
    pub(crate) connected: BTreeSet<HostId>,
    /// When it found its first peer in this run.
    pub(crate) first_peer_at: Option<u64>,
    /// Peers it closed the door to in this run.
    pub(crate) banned: BTreeSet<NodeId>,
    /// Blobs it serves.
    pub(crate) offered: BTreeSet<BlobHash>,
    /// Blobs that must not be collected.
    pub(crate) protected: Vec<BlobHash>,
    /// Gossip it has seen.
    pub(crate) gossip_seen: BTreeSet<[u8; 32]>,
    /// When its line is free again.
    pub(crate) up_free_at: u64,
    pub(crate) down_free_at: u64,
    /// When it asked to be woken.
    pub(crate) wake_at: Option<u64>,
    /// Disk limit for what the user does not pin.
    pub cache_bytes_max: Option<u64>,
    /// Commands that were given and not answered.
    pub(crate) open_commands: BTreeSet<CommandId>,
    /// Answers.
    pub replies: BTreeMap<CommandId, Result<Outcome, CommandError>>,
    /// Everything it told whoever watches.
    pub events: Vec<Event>,
    /// Bytes it sent to others.
    pub uploaded: u64,
    /// Announcements it held against their senders.
    pub rejected_gossip: u64,
    seed: u64,
}

impl Host {
    pub(crate) fn new(id: HostId, seed: u64, link: Link) -> Self {
        let node = blake3::hash(format!("{seed} node {}", id.0).as_bytes());
        Self {
            node: NodeId::new(*node.as_bytes()),
            service: None,
            epoch: 0,
            disk: Disk::default(),
            link,
            disk_full: false,
            behaviour: Behaviour::default(),
            keys: BTreeMap::new(),
            connected: BTreeSet::new(),
            first_peer_at: None,
            banned: BTreeSet::new(),
            offered: BTreeSet::new(),
            protected: Vec::new(),
            gossip_seen: BTreeSet::new(),
            up_free_at: 0,
            down_free_at: 0,
            wake_at: None,
            cache_bytes_max: None,
            open_commands: BTreeSet::new(),
            replies: BTreeMap::new(),
            events: Vec::new(),
            uploaded: 0,
            rejected_gossip: 0,
            seed,
        }
    }

    /// Starts the process on what the disk holds.
    pub(crate) fn start(&mut self, now: Now) {
        self.epoch += 1;
        let params = Params {
            node: self.node,
            network: NETWORK,
            seed: self.seed ^ self.epoch,
            hello: Hello {
                data_addresses: vec!["127.0.0.1:1".to_owned()],
                agent: "simulation".to_owned(),
            },
            cache_bytes_max: self.cache_bytes_max,
        };
        self.service = Some(Service::new(params, self.disk.snapshot(), now));
    }

    /// Ends the process without a word.
    pub(crate) fn stop(&mut self) {
        self.service = None;
        self.epoch += 1;
        self.connected.clear();
        self.first_peer_at = None;
        self.banned.clear();
        self.offered.clear();
        self.protected.clear();
        self.gossip_seen.clear();
        self.open_commands.clear();
        self.wake_at = None;
        self.up_free_at = 0;
        self.down_free_at = 0;
    }

    /// Whether the process runs.
    pub fn is_up(&self) -> bool {
        self.service.is_some()
    }

    /// Whether the revision is complete, as the disk says.
    pub fn is_complete(&self, revision: &RevisionId) -> bool {
        use weft_protocol::op::RevisionState;
        self.disk
            .revision(revision)
            .is_some_and(|record| record.state == RevisionState::Complete)
    }
}
