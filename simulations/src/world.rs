//! Time, and the queue of what happens next.

mod dispatch;

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use weft_protocol::{
    accept::RepositoryRecord,
    id::NodeId,
    service::{
        Command, CommandError, CommandId, DhtKey, InboundId, Input, Outcome, RequestId,
        StorageError,
    },
    sign::NetworkId,
    time::{Instant, Now, Timestamp},
};

use crate::{
    Behaviour, Host, HostId, Link, Publisher,
    transfer::{Observers, Transfers},
};

/// The network that simulated signatures are for.
pub const NETWORK: NetworkId = NetworkId(7);
/// The wall clock at the start of each run.
const EPOCH: u64 = 1_800_000_000;

/// Something that will happen.
#[derive(Debug)]
pub(crate) enum Happening {
    /// An input reaches a process, if it is still the same one.
    Input {
        host: HostId,
        epoch: u64,
        input: Box<Input>,
    },
    /// A machine's timer.
    Wake { host: HostId, epoch: u64 },
    /// Two hosts have a connection.
    Connected(HostId, HostId),
    /// A registry writes a batch.
    Write {
        host: HostId,
        epoch: u64,
        request: RequestId,
        ops: Vec<weft_protocol::op::Op>,
    },
    /// A transfer moves on.
    Transfer {
        host: HostId,
        request: RequestId,
        end: bool,
    },
}

/// Everything.
#[derive(Debug)]
pub struct World {
    pub(crate) now: u64,
    sequence: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    /// The nodes.
    pub hosts: Vec<Host>,
    by_node: BTreeMap<NodeId, HostId>,
    pub(crate) rng: Rng,
    trace: blake3::Hasher,
    steps: u64,
    pub(crate) records: BTreeMap<DhtKey, RepositoryRecord>,
    pub(crate) providers: BTreeMap<DhtKey, BTreeSet<HostId>>,
    /// Questions on their way: who asked, in which process, under which id.
    pub(crate) inbound: BTreeMap<InboundId, (HostId, u64, RequestId)>,
    pub(crate) ids: u64,
    pub(crate) gossip:
        BTreeMap<weft_protocol::service::GossipId, (HostId, weft_protocol::wire::Announcement)>,
    pub(crate) transfers: Transfers,
    pub(crate) observers: Observers,
    commands: u64,
    seed: u64,
}

impl World {
    /// An empty world.
    pub fn new(seed: u64) -> Self {
        Self {
            now: 1_000,
            sequence: 0,
            queue: BTreeMap::new(),
            hosts: Vec::new(),
            by_node: BTreeMap::new(),
            rng: Rng::with_seed(seed),
            trace: blake3::Hasher::new(),
            steps: 0,
            records: BTreeMap::new(),
            providers: BTreeMap::new(),
            inbound: BTreeMap::new(),
            ids: 0,
            gossip: BTreeMap::new(),
            transfers: Transfers::default(),
            observers: Observers::default(),
            commands: 0,
            seed,
        }
    }

    /// Both clocks.
    pub fn now(&self) -> Now {
        Now {
            instant: Instant(self.now),
            unix: Timestamp(EPOCH + self.now / 1_000),
        }
    }

    /// Milliseconds since the start.
    pub fn millis(&self) -> u64 {
        self.now
    }

    /// Adds a running host.
    pub fn add(&mut self, link: Link) -> HostId {
        let id = HostId(self.hosts.len());
        let host = Host::new(
            id,
            self.seed.wrapping_mul(1_000).wrapping_add(id.0 as u64),
            link,
        );
        self.by_node.insert(host.node, id);
        self.hosts.push(host);
        self.start(id);
        id
    }

    /// Adds a running host on a household line.
    pub fn add_default(&mut self) -> HostId {
        self.add(Link::default())
    }

    /// A host.
    ///
    /// # Panics
    /// If the id is of another world.
    pub fn host(&self, id: HostId) -> &Host {
        self.hosts.get(id.0).expect("a host of this world")
    }

    /// A host, to be changed.
    ///
    /// # Panics
    /// If the id is of another world.
    pub fn host_mut(&mut self, id: HostId) -> &mut Host {
        self.hosts.get_mut(id.0).expect("a host of this world")
    }

    /// Who a node id belongs to.
    pub fn find(&self, node: &NodeId) -> Option<HostId> {
        self.by_node.get(node).copied()
    }

    /// Gives a host a publisher's keys.
    pub fn give_keys(&mut self, host: HostId, publisher: &Publisher) {
        self.host_mut(host)
            .keys
            .insert(publisher.id(), publisher.clone());
    }

    /// Changes how a host serves.
    pub fn set_behaviour(&mut self, host: HostId, behaviour: Behaviour) {
        self.host_mut(host).behaviour = behaviour;
    }

    /// Starts a stopped host.
    pub fn start(&mut self, id: HostId) {
        let now = self.now();
        self.host_mut(id).start(now);
        self.drain(id);
    }

    /// Kills a host's process.
    pub fn kill(&mut self, id: HostId) {
        let peers: Vec<HostId> = self.host(id).connected.iter().copied().collect();
        self.host_mut(id).stop();
        for peer in peers {
            self.sever(id, peer);
        }
        self.drop_transfers_of(id);
        self.observers.forget(id);
        for hosts in self.providers.values_mut() {
            // Provider records outlive their node, as in the real DHT; every second one lapses.
            if self.rng.bool() {
                hosts.remove(&id);
            }
        }
    }

    /// Takes a command in.
    pub fn command(&mut self, host: HostId, command: Command) -> CommandId {
        self.commands += 1;
        let id = CommandId(self.commands);
        self.host_mut(host).open_commands.insert(id);
        self.input(host, Input::Command(id, command));
        id
    }

    /// Runs until a command is answered, or the time is over.
    pub fn run_command(
        &mut self,
        host: HostId,
        command: Command,
        limit_ms: u64,
    ) -> Option<Result<Outcome, CommandError>> {
        let id = self.command(host, command);
        self.run_until(limit_ms, |world| world.host(host).replies.contains_key(&id));
        self.host(host).replies.get(&id).cloned()
    }

    /// Runs until a condition holds; false if it did not within the time.
    pub fn run_until(&mut self, limit_ms: u64, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + limit_ms;
        loop {
            if done(self) {
                return true;
            }
            match self.queue.first_key_value() {
                Some(((at, _), _)) if *at <= end => self.step(),
                _ => {
                    self.now = end;
                    return done(self);
                }
            }
        }
    }

    /// Lets time pass.
    pub fn run_for(&mut self, millis: u64) {
        self.run_until(millis, |_| false);
    }

    /// A fingerprint of everything that was done so far.
    pub fn trace(&self) -> String {
        self.trace.finalize().to_hex().to_string()
    }

    /// Inputs and wakes handled so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    pub(crate) fn later(&mut self, after_ms: u64, happening: Happening) {
        self.sequence += 1;
        self.queue
            .insert((self.now + after_ms, self.sequence), happening);
    }

    /// Lets an input reach the process that runs now, after a while.
    pub(crate) fn input_later(&mut self, after_ms: u64, host: HostId, input: Input) {
        let epoch = self.host(host).epoch;
        self.input_to(after_ms, host, epoch, input);
    }

    /// Lets an input reach one certain process, after a while.
    pub(crate) fn input_to(&mut self, after_ms: u64, host: HostId, epoch: u64, input: Input) {
        let input = Box::new(input);
        self.later(after_ms, Happening::Input { host, epoch, input });
    }

    fn step(&mut self) {
        let Some(((at, _), happening)) = self.queue.pop_first() else {
            return;
        };
        self.now = at;
        self.steps += 1;
        match happening {
            Happening::Input { host, epoch, input } => {
                if self.host(host).epoch == epoch {
                    self.input(host, *input);
                }
            }
            Happening::Wake { host, epoch } => {
                let now = self.now();
                let target = self.host_mut(host);
                if target.epoch == epoch && target.wake_at == Some(at) {
                    target.wake_at = None;
                    if let Some(service) = &mut target.service {
                        service.handle_timeout(now);
                    }
                    self.drain(host);
                }
            }
            Happening::Connected(a, b) => self.connected(a, b),
            Happening::Write {
                host,
                epoch,
                request,
                ops,
            } => {
                let target = self.host_mut(host);
                if target.epoch == epoch {
                    let result = if target.disk_full {
                        Err(StorageError::Full)
                    } else {
                        target.disk.apply(ops);
                        Ok(())
                    };
                    self.input(host, Input::Committed { request, result });
                }
            }
            Happening::Transfer { host, request, end } => self.transfer_moves(host, request, end),
        }
    }

    /// Hands an input to a machine and carries out what it wants.
    pub(crate) fn input(&mut self, host: HostId, input: Input) {
        let now = self.now();
        self.trace
            .update(format!("{} {} {input:?}\n", self.now, host.0).as_bytes());
        if let Some(service) = &mut self.host_mut(host).service {
            service.handle(now, input);
        }
        self.drain(host);
    }

    fn drain(&mut self, id: HostId) {
        while let Some(output) = self
            .host_mut(id)
            .service
            .as_mut()
            .and_then(weft_protocol::service::Service::poll_output)
        {
            self.trace
                .update(format!("{} {} {output:?}\n", self.now, id.0).as_bytes());
            self.dispatch(id, output);
        }
        let now = self.now;
        let target = self.host_mut(id);
        let Some(at) = target
            .service
            .as_ref()
            .and_then(|service| service.poll_timeout())
        else {
            return;
        };
        let at = at.0.max(now + 1);
        if target
            .wake_at
            .is_none_or(|planned| planned > at || planned <= now)
        {
            target.wake_at = Some(at);
            let epoch = target.epoch;
            self.later(at - now, Happening::Wake { host: id, epoch });
        }
    }
}
