//! The control plane: libp2p over TCP, Noise and Yamux.
//!
//! One actor owns the swarm. It decides nothing: a [`Command`] is a [`weft_protocol::service::Output`]
//! on its way to libp2p, and what libp2p reports becomes an [`Input`] for the machine. Model bytes never
//! pass here; they travel on the data plane.
//!
//! It contacts only addresses that the user named ([`Config::bootstrap`]), that the machine asked for,
//! that other peers gave for a DHT key being looked for, and, if [`Config::mdns`] is on, nodes of the LAN.
//!
//! # Back-pressure
//! Commands and inputs travel through bounded channels in opposite directions between the same two
//! actors, which is how deadlocks are made. The rule that prevents them: this actor never waits for the
//! service alone. Inputs go into its own outbox and leave it as the service takes them, while commands
//! are always received. When the outbox is full, the swarm is not polled, so the pressure reaches the
//! peers through their connections. Nothing is dropped.
//!
//! Reading order: [`behaviour`] (which protocols), [`actor`] (the loop), then one concern each:
//! [`identity`], [`gate`], [`addresses`], [`bootstrap`], [`kademlia`], [`records`], [`announcer`], [`queries`],
//! [`routing`], [`gossip`], [`codec`].

mod actor;
mod addresses;
mod announcer;
mod behaviour;
mod bootstrap;
mod codec;
mod gate;
mod gossip;
pub mod identity;
mod kademlia;
mod queries;
mod records;
mod routing;
#[cfg(test)]
mod tests;

use std::{io, sync::Arc};

pub use libp2p::Multiaddr;
use libp2p::TransportError;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use weft_protocol::{
    accept::RepositoryRecord,
    id::NodeId,
    service::{DhtKey, GossipId, InboundId, Input, RequestId, Verdict},
    sign::NetworkId,
    wire,
};
use weft_registry::Registry;

/// Commands on their way: one drain of the machine's outputs fits, so the service rarely waits.
const COMMANDS_MAX: usize = 1_024;

/// What the control plane is told at start.
#[derive(Debug, Clone)]
pub struct Config {
    /// The node's ed25519 secret.
    pub secret_key_seed: [u8; 32],
    /// Where to listen; port 0 lets the system choose.
    pub listen: Vec<Multiaddr>,
    /// Addresses that the user knows to lead here from outside (a forwarded port).
    pub external: Vec<Multiaddr>,
    /// Where to begin. Own addresses among them are ignored.
    pub bootstrap: Vec<Multiaddr>,
    /// Whether to look for nodes on the LAN. If not, no multicast socket is opened.
    pub mdns: bool,
    /// Which network's signatures count.
    pub network: NetworkId,
    /// Memory in bytes beyond which nobody new may connect; `None` is no limit.
    pub memory_bytes_max: Option<u64>,
}

/// One thing to do. Mirrors the outputs of the machine that concern the control plane; what each is
/// answered with is written there.
#[derive(Debug)]
pub enum Command {
    /// [`weft_protocol::service::Output::Connect`].
    Connect {
        /// Who.
        peer: NodeId,
        /// Addresses as multiaddr text; may be empty, the DHT is then asked.
        addresses: Vec<String>,
    },
    /// [`weft_protocol::service::Output::Ban`].
    Ban {
        /// Who.
        peer: NodeId,
    },
    /// [`weft_protocol::service::Output::SendRequest`].
    SendRequest {
        /// Names the question.
        request: RequestId,
        /// Whom.
        peer: NodeId,
        /// The question.
        message: wire::Request,
    },
    /// [`weft_protocol::service::Output::Respond`].
    Respond {
        /// Which question.
        request: InboundId,
        /// The answer.
        message: wire::Response,
    },
    /// [`weft_protocol::service::Output::JudgeGossip`].
    JudgeGossip {
        /// Which message.
        message: GossipId,
        /// The verdict.
        verdict: Verdict,
    },
    /// [`weft_protocol::service::Output::Announce`].
    Announce(wire::Announcement),
    /// [`weft_protocol::service::Output::FindRecord`].
    FindRecord {
        /// Names the query.
        request: RequestId,
        /// Under which key.
        key: DhtKey,
    },
    /// [`weft_protocol::service::Output::PutRecord`].
    PutRecord {
        /// Names the query.
        request: RequestId,
        /// Under which key.
        key: DhtKey,
        /// The record.
        record: Box<RepositoryRecord>,
    },
    /// [`weft_protocol::service::Output::FindProviders`].
    FindProviders {
        /// Names the query.
        request: RequestId,
        /// Of what.
        key: DhtKey,
    },
    /// [`weft_protocol::service::Output::Provide`].
    Provide {
        /// Of what.
        key: DhtKey,
    },
    /// [`weft_protocol::service::Output::StopProviding`].
    StopProviding {
        /// Of what.
        key: DhtKey,
    },
}

/// Why the control plane did not start.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// An address cannot be listened on.
    #[error("cannot listen on `{address}`")]
    Listen {
        /// The address.
        address: Multiaddr,
        /// Why.
        #[source]
        source: TransportError<io::Error>,
    },
    /// A listener ended before it had an address.
    #[error("a listener ended before it had an address")]
    ListenerClosed(#[source] io::Error),
    /// The system did not give an address in time.
    #[error("no listen address was ready in time")]
    ListenTimeout,
    /// What the DHT store kept cannot be read back.
    #[error("the records kept for the DHT cannot be read")]
    Registry(#[from] weft_registry::Error),
    /// A protocol refuses its parameters.
    #[error("a protocol refuses its parameters: {0}")]
    Parameters(String),
}

/// The control plane has ended; nothing can be sent to it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the control plane has ended")]
pub struct Stopped;

/// The way in. Clones lead to the same actor; it ends when the last one is dropped.
#[derive(Debug, Clone)]
pub struct Handle {
    node: NodeId,
    commands: mpsc::Sender<Command>,
    listen: watch::Receiver<Vec<Multiaddr>>,
}

impl Handle {
    /// This node.
    pub fn node_id(&self) -> NodeId {
        self.node
    }

    /// Where this node listens now, each address with its `/p2p/` part.
    pub fn listen_addresses(&self) -> Vec<Multiaddr> {
        self.listen.borrow().clone()
    }

    /// Hands a command over. Waits only while [`COMMANDS_MAX`] others are on their way, and the actor
    /// always takes commands. Cancelling before completion means that the command was not sent.
    ///
    /// # Errors
    /// The actor has ended.
    pub async fn send(&self, command: Command) -> Result<(), Stopped> {
        self.commands.send(command).await.map_err(|_| Stopped)
    }
}

/// Starts the control plane. Returns once it listens; the task ends after `cancel` (or when the last
/// handle or the receiver of `inputs` is dropped) with all connections closed.
///
/// # Errors
/// An address cannot be listened on, or the registry cannot be read.
pub async fn spawn(
    config: Config,
    registry: Arc<dyn Registry>,
    inputs: mpsc::Sender<Input>,
    cancel: CancellationToken,
) -> Result<(Handle, JoinHandle<()>), SpawnError> {
    let (commands, received) = mpsc::channel(COMMANDS_MAX);
    let (listen_sender, listen) = watch::channel(Vec::new());
    let channels = actor::Channels {
        commands: received,
        inputs,
        listen: listen_sender,
        cancel,
    };
    let actor = actor::Actor::start(config, registry, channels).await?;
    let handle = Handle {
        node: actor.node_id(),
        commands,
        listen,
    };
    Ok((handle, tokio::spawn(actor.run())))
}
