//! Everything there is, and the loop that lets it happen.

mod dispatch;

use std::collections::{BTreeMap, VecDeque};

use fastrand::Rng;
use weft_protocol::{
    id::{BlobHash, NodeId},
    op::Op,
    service::{
        Command, CommandError, CommandId, GossipId, InboundId, Input, Outcome, RequestId, Service,
        StorageError,
    },
    sign::NetworkId,
    time::{Instant, Now, Timestamp},
};

use crate::{
    Behaviour, Host, HostId, Link, Publisher,
    census::Census,
    clock::{MILLI, Queue},
    dht::Dht,
    flow::Flows,
    host,
    mail::Post,
    net::Rumour,
    outline::{Holdings, Outline},
    rng,
    trace::Trace,
    transfer::{TransferId, Transfers},
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
        batch: Box<(RequestId, Vec<Op>)>,
    },
    /// A request for pieces reaches the provider.
    Asked(TransferId),
    /// The first bytes of a transfer reach the asker.
    Began(TransferId),
    /// A transfer brought its next piece, or its last.
    Arrived { transfer: TransferId, last: bool },
    /// A host tells its machine how far its transfers are.
    Progress { host: HostId, epoch: u64 },
    /// A host tells its machine how far its uploads are.
    TellUploads { host: HostId, epoch: u64 },
    /// A host tells everybody who watches one of its blobs.
    Report {
        host: HostId,
        epoch: u64,
        blob: Box<BlobHash>,
    },
    /// The question of one who watches a blob of a host reaches it.
    Watched {
        host: HostId,
        epoch: u64,
        watcher: HostId,
        blob: Box<(BlobHash, u64)>,
    },
    /// Everybody reads what others told of their blobs.
    Mail,
    /// A killed process comes back.
    Start(HostId),
}

/// Everything.
#[derive(Debug)]
pub struct World {
    /// Microseconds since the start.
    pub(crate) now: u64,
    queue: Queue<Happening>,
    /// The nodes.
    pub hosts: Vec<Host>,
    pub(crate) faults_rng: Rng,
    pub(crate) trace: Trace,
    steps: u64,
    pub(crate) dht: Dht,
    /// Questions on their way: who asked, in which process, under which id.
    pub(crate) inbound: BTreeMap<InboundId, (HostId, u64, RequestId)>,
    /// Questions in the order in which they were asked, with when they count as lost.
    pub(crate) questions: VecDeque<(u64, InboundId)>,
    pub(crate) ids: u64,
    pub(crate) gossip: BTreeMap<GossipId, Rumour>,
    pub(crate) flows: Flows,
    pub(crate) transfers: Transfers,
    pub(crate) post: Post,
    /// The nodes as others see them.
    pub(crate) outlines: Vec<Outline>,
    pub(crate) holdings: Holdings,
    /// Who has what, for reports.
    pub census: Census,
    commands: u64,
    pub(crate) seed: u64,
    /// Whether hosts of different islands can reach each other.
    pub(crate) divided: bool,
    /// One output in so many is checked for telling too much.
    pub(crate) check_every: u64,
}

impl World {
    /// An empty world.
    pub fn new(seed: u64) -> Self {
        Self {
            now: 1_000 * MILLI,
            queue: Queue::new(),
            hosts: Vec::new(),
            faults_rng: rng::stream(seed, "faults"),
            trace: Trace::default(),
            steps: 0,
            dht: Dht::new(seed),
            inbound: BTreeMap::new(),
            questions: VecDeque::new(),
            ids: 0,
            gossip: BTreeMap::new(),
            flows: Flows::default(),
            transfers: Transfers::default(),
            post: Post::default(),
            outlines: Vec::new(),
            holdings: Holdings::default(),
            census: Census::default(),
            commands: 0,
            seed,
            divided: false,
            check_every: 1,
        }
    }

    /// Both clocks.
    pub fn now(&self) -> Now {
        Now {
            instant: Instant(self.millis()),
            unix: Timestamp(EPOCH + self.millis() / 1_000),
        }
    }

    /// Both clocks as one host reads them.
    pub(crate) fn now_at(&self, host: HostId) -> Now {
        let mut now = self.now();
        now.unix.0 = now
            .unix
            .0
            .saturating_add_signed(self.host(host).clock_offset_s);
        now
    }

    /// Milliseconds since the start.
    pub fn millis(&self) -> u64 {
        self.now / MILLI
    }

    /// Adds a running host.
    pub fn add(&mut self, link: Link) -> HostId {
        let id = HostId(self.hosts.len());
        let seed = self.seed.wrapping_mul(1_000).wrapping_add(id.0 as u64);
        self.flows.add_host(link.sends(), link.takes());
        let host = Host::new(id, seed, link);
        self.outlines.push(Outline::new(host.node, &link));
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
        let id = host::number(node)?;
        let outline = self.outlines.get(id.0)?;
        (outline.node == *node).then_some(id)
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

    /// Runs until a condition holds; false if it did not within the time. The condition is looked at after each
    /// event, so it should be a cheap one.
    pub fn run_until(&mut self, limit_ms: u64, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + limit_ms * MILLI;
        loop {
            if done(self) {
                return true;
            }
            if !self.step(end) {
                self.now = end;
                return done(self);
            }
        }
    }

    /// Lets time pass.
    pub fn run_for(&mut self, millis: u64) {
        self.run_until(millis, |_| false);
    }

    /// A fingerprint of everything that was done so far.
    pub fn trace(&self) -> String {
        self.trace.finish()
    }

    /// Lets everything that is done be written as text from now on.
    pub fn write_trace(&mut self, to: Box<dyn std::io::Write>) {
        self.trace.tell(to);
    }

    /// Things that happened so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    pub(crate) fn later(&mut self, after_ms: u64, happening: Happening) {
        self.at(self.now + after_ms * MILLI, happening);
    }

    pub(crate) fn at(&mut self, at: u64, happening: Happening) {
        self.queue.push(at, happening);
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

    /// Lets the next thing happen, unless it lies behind `end`.
    fn step(&mut self, end: u64) -> bool {
        let planned = self.queue.next();
        let flowing = self.flows.next();
        let first = planned.into_iter().chain(flowing).min();
        let overdue = self.next_overdue(first.unwrap_or(end));
        let Some(at) = overdue.or(first).filter(|at| *at <= end) else {
            return false;
        };
        self.now = at.max(self.now);
        self.steps += 1;
        if overdue.is_some() {
            self.give_up_question();
            return true;
        }
        if flowing == Some(at) {
            if let Some(reached) = self.flows.pop(self.now) {
                self.flowed(reached);
            }
        } else if let Some(happening) = self.queue.pop() {
            self.happen(happening);
        }
        true
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Input { host, epoch, input } => {
                if self.host(host).epoch == epoch {
                    self.input(host, *input);
                }
            }
            Happening::Wake { host, epoch } => self.wake(host, epoch),
            Happening::Connected(a, b) => self.connected(a, b),
            Happening::Write { host, epoch, batch } => self.write(host, epoch, batch.0, batch.1),
            Happening::Asked(transfer) => self.asked(transfer),
            Happening::Began(transfer) => self.began(transfer),
            Happening::Arrived { transfer, last } => self.arrived(transfer, last),
            Happening::Progress { host, epoch } => self.progress(host, epoch),
            Happening::TellUploads { host, epoch } => self.tell_uploads(host, epoch),
            Happening::Report { host, epoch, blob } => self.report(host, epoch, *blob),
            Happening::Watched {
                host,
                epoch,
                watcher,
                blob,
            } => self.watched(host, epoch, watcher, *blob),
            Happening::Mail => self.read_mail(),
            Happening::Start(host) => {
                if !self.host(host).is_up() {
                    self.start(host);
                }
            }
        }
    }

    fn wake(&mut self, host: HostId, epoch: u64) {
        let (now, at) = (self.now_at(host), self.now);
        let target = self.host_mut(host);
        if target.epoch == epoch && target.wake_at == Some(at) {
            target.wake_at = None;
            if let Some(service) = &mut target.service {
                service.handle_timeout(now);
            }
            self.drain(host);
        }
    }

    fn write(&mut self, host: HostId, epoch: u64, request: RequestId, ops: Vec<Op>) {
        if self.host(host).epoch != epoch || self.crashes_now(host) {
            return;
        }
        let target = self.host_mut(host);
        let result = if target.disk_full {
            Err(StorageError::Full)
        } else {
            target.disk.apply(ops);
            Ok(())
        };
        self.input(host, Input::Committed { request, result });
    }

    /// Hands an input to a machine and carries out what it wants.
    pub(crate) fn input(&mut self, host: HostId, input: Input) {
        self.hand(host, input);
        self.drain(host);
    }

    /// Hands an input to a machine. What it wants is carried out when [`Self::drain`] is called.
    pub(crate) fn hand(&mut self, host: HostId, input: Input) {
        let now = self.now_at(host);
        self.trace.input(self.now, host, &input);
        if let Some(service) = &mut self.host_mut(host).service {
            service.handle(now, input);
        }
    }

    pub(crate) fn drain(&mut self, id: HostId) {
        while let Some(output) = self
            .host_mut(id)
            .service
            .as_mut()
            .and_then(Service::poll_output)
        {
            self.trace.output(self.now, id, &output);
            self.dispatch(id, output);
        }
        let now = self.now;
        let target = self.host_mut(id);
        let Some(at) = target.service.as_ref().and_then(Service::poll_timeout) else {
            return;
        };
        let at = (at.0 * MILLI).max(now + MILLI);
        let sooner = |planned: u64| planned > at || planned <= now;
        if target.wake_at.is_none_or(sooner) {
            target.wake_at = Some(at);
            let epoch = target.epoch;
            self.queue.push(at, Happening::Wake { host: id, epoch });
        }
    }
}
