//! The owner of the swarm: one loop, one table per kind of thing that is waited for.
//!
//! [`command`] carries out what the machine wants, [`event`] tells it what happened, [`dht`] does both for
//! Kademlia, [`peers`] keeps who is connected and who is wanted.

mod command;
mod dht;
mod event;
mod peers;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use libp2p::{
    Multiaddr, PeerId, Swarm, gossipsub,
    multiaddr::Protocol,
    request_response::{InboundRequestId, OutboundRequestId, ResponseChannel},
    swarm::{self, SwarmEvent},
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use weft_protocol::{
    accept::EquivocationProof,
    id::NodeId,
    service::{InboundId, Input, RequestId},
    wire,
};
use weft_registry::Registry;

use super::{
    Command, Config, SpawnError,
    addresses::Book,
    announcer::Announcer,
    behaviour::{self, Behaviour, BehaviourEvent, Names},
    bootstrap::Bootstrap,
    gossip::Mailbox,
    identity,
    queries::Queries,
    records,
    routing::Routing,
};

/// Inputs that wait for the service before the swarm is left alone. Most are small; a response can be an
/// object of 16 MiB, but only as many of those are under way as the machine asked for.
const OUTBOX_MAX: usize = 1_024;
/// Quiet connections are kept this long: a mirror that waits for news is quiet most of the day.
const IDLE_TIMEOUT: Duration = Duration::from_secs(600);
/// The system answers a bind at once; a wildcard address needs a look at the interfaces.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the other sides get to notice an orderly end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// The actor's ends of its channels.
pub(super) struct Channels {
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) inputs: mpsc::Sender<Input>,
    pub(super) listen: watch::Sender<Vec<Multiaddr>>,
    pub(super) cancel: CancellationToken,
}

/// A peer's question that waits for the machine's answer.
struct Inbound {
    request: InboundRequestId,
    channel: ResponseChannel<wire::Response>,
}

/// What one turn of the loop brought.
enum Step {
    /// The end.
    End,
    /// Nothing that is not done already: an input left, or something has become due.
    Turned,
    /// Something to do.
    Command(Box<Command>),
    /// Something that happened.
    Event(Box<SwarmEvent<BehaviourEvent>>),
    /// Evidence from our own store.
    Conflict(Box<EquivocationProof>),
}

/// The actor.
pub(super) struct Actor {
    swarm: Swarm<Behaviour>,
    local: PeerId,
    node: NodeId,
    names: Names,
    channels: Channels,
    outbox: VecDeque<Input>,
    /// Addresses that the user says lead here.
    external: Vec<Multiaddr>,
    peers: peers::Peers,
    book: Book,
    bootstrap: Bootstrap,
    routing: Routing,
    queries: Queries,
    announcer: Announcer,
    mailbox: Mailbox,
    outbound: HashMap<OutboundRequestId, RequestId>,
    inbound: BTreeMap<InboundId, Inbound>,
    inbound_next: u64,
    /// From the DHT's store: publishers that contradict themselves.
    conflicts: mpsc::Receiver<EquivocationProof>,
}

impl Actor {
    /// Builds the swarm and waits until it listens.
    pub(super) async fn start(
        config: Config,
        registry: Arc<dyn Registry>,
        channels: Channels,
    ) -> Result<Self, SpawnError> {
        let keypair = identity::keypair(&config.secret_key_seed);
        let local = keypair.public().to_peer_id();
        let node = identity::node_id(&local).expect("our own key is ed25519");
        let network = config.network;
        // Reads all that was kept: not a thing for an async thread.
        let (conflicts_sender, conflicts) = mpsc::channel(records::CONFLICTS_MAX);
        let open = move || records::Store::open(local, network, registry, conflicts_sender);
        let store = tokio::task::spawn_blocking(open)
            .await
            .expect("opening the store does not panic and is not cancelled")?;
        let names = Names::new(network);
        let parameters = behaviour::Parameters {
            names: names.clone(),
            store,
            mdns: config.mdns,
            memory_bytes_max: config.memory_bytes_max,
        };
        let swarm = Swarm::new(
            behaviour::transport(&keypair)?,
            Behaviour::new(&keypair, parameters)?,
            local,
            swarm::Config::with_tokio_executor().with_idle_connection_timeout(IDLE_TIMEOUT),
        );
        let mut actor = Self {
            swarm,
            local,
            node,
            names,
            channels,
            outbox: VecDeque::new(),
            external: config.external,
            peers: peers::Peers::default(),
            book: Book::default(),
            bootstrap: Bootstrap::new(&local, &config.bootstrap, Instant::now()),
            routing: Routing::new(local),
            queries: Queries::default(),
            announcer: Announcer::default(),
            mailbox: Mailbox::default(),
            outbound: HashMap::new(),
            inbound: BTreeMap::new(),
            inbound_next: 0,
            conflicts,
        };
        let listening = actor.listen(&config.listen);
        tokio::time::timeout(LISTEN_TIMEOUT, listening)
            .await
            .map_err(|_| SpawnError::ListenTimeout)??;
        Ok(actor)
    }

    /// This node.
    pub(super) fn node_id(&self) -> NodeId {
        self.node
    }

    async fn listen(&mut self, addresses: &[Multiaddr]) -> Result<(), SpawnError> {
        let mut waiting = Vec::new();
        for address in addresses {
            let listener = self.swarm.listen_on(address.clone());
            waiting.push(listener.map_err(|source| SpawnError::Listen {
                address: address.clone(),
                source,
            })?);
        }
        while !waiting.is_empty() {
            match self.swarm.select_next_some().await {
                SwarmEvent::ListenerClosed {
                    listener_id,
                    reason: Err(error),
                    ..
                } if waiting.contains(&listener_id) => {
                    return Err(SpawnError::ListenerClosed(error));
                }
                event => {
                    if let SwarmEvent::NewListenAddr { listener_id, .. } = &event {
                        waiting.retain(|listener| listener != listener_id);
                    }
                    self.on_event(event);
                }
            }
        }
        Ok(())
    }

    /// Runs until cancelled, or until nobody is left to talk to; then closes all connections.
    pub(super) async fn run(mut self) {
        loop {
            self.advance();
            let deadline = self.deadline();
            let has_room = self.outbox.len() < OUTBOX_MAX;
            let step = tokio::select! {
                () = self.channels.cancel.cancelled() => Step::End,
                permit = self.channels.inputs.reserve(), if !self.outbox.is_empty() => {
                    match (permit, self.outbox.pop_front()) {
                        (Ok(permit), Some(input)) => {
                            permit.send(input);
                            Step::Turned
                        }
                        _ => Step::End,
                    }
                }
                command = self.channels.commands.recv() => {
                    command.map_or(Step::End, |command| Step::Command(Box::new(command)))
                }
                Some(proof) = self.conflicts.recv() => Step::Conflict(Box::new(proof)),
                event = self.swarm.select_next_some(), if has_room => Step::Event(Box::new(event)),
                () = sleep_until(deadline) => Step::Turned,
            };
            match step {
                Step::End => break,
                Step::Turned => {}
                Step::Command(command) => self.on_command(*command),
                Step::Event(event) => self.on_event(*event),
                Step::Conflict(proof) => self.on_conflict(proof),
            }
        }
        self.shut_down().await;
    }

    /// Does what has become due.
    fn advance(&mut self) {
        let now = Instant::now();
        self.dial_bootstrap(now);
        self.make_statements(now);
    }

    fn deadline(&self) -> Option<Instant> {
        [self.bootstrap.deadline(), self.announcer.deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    async fn shut_down(&mut self) {
        let peers: Vec<PeerId> = self.swarm.connected_peers().copied().collect();
        for peer in peers {
            // An error means that it is gone already.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        let closed = async {
            while self.swarm.connected_peers().next().is_some() {
                self.swarm.select_next_some().await;
            }
        };
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, closed)
            .await
            .is_err()
        {
            tracing::debug!("some connections did not close in time");
        }
    }

    /// Queues an input; it leaves when the service takes it.
    fn tell(&mut self, input: Input) {
        self.outbox.push_back(input);
    }

    /// The set of listen addresses changed: tells the handles, and the peers through identify and the DHT.
    fn on_listen_addresses(&mut self) {
        let listen: Vec<Multiaddr> = self.swarm.listeners().cloned().collect();
        let mut advertised = behaviour::advertised(listen.iter());
        advertised.extend(self.external.iter().cloned());
        let before: Vec<Multiaddr> = self.swarm.external_addresses().cloned().collect();
        for gone in before
            .iter()
            .filter(|address| !advertised.contains(address))
        {
            self.swarm.remove_external_address(gone);
        }
        for address in advertised
            .into_iter()
            .filter(|address| !before.contains(address))
        {
            self.swarm.add_external_address(address);
        }
        let local = self.local;
        let full = listen
            .into_iter()
            .map(|address| address.with(Protocol::P2p(local)))
            .collect();
        self.channels.listen.send_replace(full);
    }

    fn judge(&mut self, pending: &super::gossip::Pending, verdict: gossipsub::MessageAcceptance) {
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        let known =
            gossip.report_message_validation_result(&pending.message, &pending.source, verdict);
        if !known {
            tracing::debug!(message = %pending.message, "the verdict came too late to forward");
        }
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
