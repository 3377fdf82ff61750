//! One simulated node: its machine, its disk, its line, its faults.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use weft_protocol::{
    id::{BlobHash, NodeId, PublisherId, RevisionId},
    service::{CommandError, CommandId, Event, Outcome, Params, RequestId, Service},
    time::Now,
    wire::Hello,
};

use crate::{Behaviour, Disk, Link, NETWORK, Publisher, observe::Watched, transfer::TransferId};

/// Names a host in its world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub usize);

impl HostId {
    /// As the fluid model counts.
    pub(crate) fn line(self) -> u32 {
        u32::try_from(self.0).unwrap_or(u32::MAX)
    }
}

/// Connections of a host at most: what the node lets in.
const CONNECTIONS_MAX: usize = 512;

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
    /// The process dies at the write after so many more.
    pub crash_after_writes: Option<u32>,
    /// How far its wall clock is off, in seconds.
    pub clock_offset_s: i64,
    /// How it serves.
    pub behaviour: Behaviour,
    /// On which side of a partition it is.
    pub island: u8,
    /// Whose keys it holds.
    pub(crate) keys: BTreeMap<PublisherId, Publisher>,
    /// Hosts it is connected to.
    pub(crate) connected: BTreeSet<HostId>,
    /// Hosts that it is dialling.
    pub(crate) dialling: BTreeSet<HostId>,
    /// With so many connections, those under way included, it dials nobody more.
    pub(crate) dials_max: usize,
    /// With so many it lets nobody in.
    pub(crate) connections_max: usize,
    /// When it found its first peer in this run.
    pub(crate) first_peer_at: Option<u64>,
    /// Peers it closed the door to in this run.
    pub(crate) banned: BTreeSet<NodeId>,
    /// Blobs it serves.
    pub(crate) offered: BTreeSet<BlobHash>,
    /// Blobs that must not be collected.
    pub(crate) protected: Rc<[BlobHash]>,
    /// Gossip it has seen.
    pub(crate) gossip_seen: BTreeSet<[u8; 32]>,
    /// Transfers towards it.
    pub(crate) incoming: BTreeMap<RequestId, TransferId>,
    /// Those of them that bytes of arrive.
    pub(crate) flowing: Vec<TransferId>,
    /// Transfers that it serves or lets wait.
    pub(crate) serving: Vec<TransferId>,
    /// Who watches what it has.
    pub(crate) watched: BTreeMap<BlobHash, Watched>,
    /// Whether its next report of progress is planned.
    pub(crate) progress_planned: bool,
    /// Whether its next report of what it sends is planned.
    pub(crate) telling_planned: bool,
    /// Bytes per second that it sends to, and takes from, one peer at most.
    pub(crate) peer_rates: (f64, f64),
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
    /// Bytes it received, repeats and what was thrown away included.
    pub downloaded: u64,
    /// Of those, bytes that made a piece complete which was not here.
    pub kept: u64,
    /// Announcements it held against their senders.
    pub rejected_gossip: u64,
    seed: u64,
}

impl Host {
    pub(crate) fn new(id: HostId, seed: u64, link: Link) -> Self {
        let hash = blake3::hash(format!("{seed} node {}", id.0).as_bytes());
        Self {
            node: name(*hash.as_bytes(), id),
            service: None,
            epoch: 0,
            disk: Disk::default(),
            link,
            disk_full: false,
            crash_after_writes: None,
            clock_offset_s: 0,
            behaviour: Behaviour::default(),
            island: 0,
            keys: BTreeMap::new(),
            connected: BTreeSet::new(),
            dialling: BTreeSet::new(),
            dials_max: CONNECTIONS_MAX,
            connections_max: CONNECTIONS_MAX,
            first_peer_at: None,
            banned: BTreeSet::new(),
            offered: BTreeSet::new(),
            protected: Rc::default(),
            gossip_seen: BTreeSet::new(),
            incoming: BTreeMap::new(),
            flowing: Vec::new(),
            serving: Vec::new(),
            watched: BTreeMap::new(),
            progress_planned: false,
            telling_planned: false,
            peer_rates: (f64::INFINITY, f64::INFINITY),
            wake_at: None,
            cache_bytes_max: None,
            open_commands: BTreeSet::new(),
            replies: BTreeMap::new(),
            events: Vec::new(),
            uploaded: 0,
            downloaded: 0,
            kept: 0,
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
        self.dialling.clear();
        self.first_peer_at = None;
        self.banned.clear();
        self.offered.clear();
        self.protected = Rc::default();
        self.gossip_seen.clear();
        self.watched.clear();
        self.progress_planned = false;
        self.telling_planned = false;
        self.peer_rates = (f64::INFINITY, f64::INFINITY);
        self.open_commands.clear();
        self.wake_at = None;
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

    /// Whether it has room for one more connection.
    pub(crate) fn has_room(&self) -> bool {
        self.connected.len() < self.connections_max
    }

    /// Whether it looks for more connections.
    pub(crate) fn is_lonely(&self) -> bool {
        self.connected.len() + self.dialling.len() < self.dials_max
    }
}

/// A node's id: random, but for the last bytes, which say which host it is.
fn name(mut bytes: [u8; 32], id: HostId) -> NodeId {
    for (to, from) in bytes.iter_mut().skip(28).zip(id.line().to_be_bytes()) {
        *to = from;
    }
    NodeId::new(bytes)
}

/// Which host has this id, if any.
pub(crate) fn number(node: &NodeId) -> Option<HostId> {
    let last = node.as_bytes().last_chunk::<4>()?;
    usize::try_from(u32::from_be_bytes(*last)).ok().map(HostId)
}
