//! The protocols this node speaks on its control connections, composed.
//!
//! TCP, Noise and Yamux only. No relay, no NAT detection, no UPnP: nothing here contacts anybody whom the
//! user, the LAN or another peer did not name.

use std::time::Duration;

use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Transport as _,
    connection_limits::{self, ConnectionLimits},
    core::{muxing::StreamMuxerBox, transport::Boxed, upgrade},
    dns, gossipsub, identify,
    identity::Keypair,
    kad, mdns, noise, ping, request_response,
    swarm::{NetworkBehaviour, behaviour::toggle::Toggle},
    tcp, yamux,
};
use weft_protocol::{limits, sign::NetworkId};

use super::{SpawnError, codec::Codec, gate, gossip, kademlia, records};

/// A request is answered within this, or not at all: 16 MiB over a slow line.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Questions one peer may have open on one connection.
const REQUEST_STREAMS_MAX: usize = 64;
/// A DHT query that has not ended by then met only dead peers.
const QUERY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long others remember a provider or record: four repetitions.
const DHT_TTL: Duration = Duration::from_secs(48 * 3_600);
/// How often records of others are handed to nodes that came closer to their keys.
const REPLICATION_INTERVAL: Duration = Duration::from_secs(3_600);
/// One Kademlia message: the largest record and twenty peers with sixteen addresses each.
const KAD_PACKET_LEN_MAX: usize = limits::RECORD_LEN_MAX + 20 * 16 * 64;
/// Handshakes under way: a burst of dials in either direction, and no more.
const PENDING_MAX: u32 = 128;
/// Inbound connections: each costs some tens of kilobytes.
const INBOUND_MAX: u32 = 512;
/// All connections, so that outbound ones always find room.
const CONNECTIONS_MAX: u32 = 1_024;
/// Two sides that dial each other at once have two connections for a while; more serve nobody.
const CONNECTIONS_PER_PEER_MAX: u32 = 4;
/// A handshake is three round trips; after this the other side is not going to.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(20);

/// What the swarm runs.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    /// First, so that nobody else sees a peer that is turned away.
    pub(crate) gate: gate::Behaviour,
    /// Numbers of connections.
    pub(crate) limits: connection_limits::Behaviour,
    /// The DHT.
    pub(crate) kad: kademlia::Behaviour,
    /// News.
    pub(crate) gossip: gossipsub::Behaviour,
    /// Who a peer is and where it can be dialled.
    pub(crate) identify: identify::Behaviour,
    /// The LAN.
    pub(crate) mdns: Toggle<mdns::tokio::Behaviour>,
    /// Notices dead connections.
    pub(crate) ping: ping::Behaviour,
    /// Questions and answers.
    pub(crate) requests: request_response::Behaviour<Codec>,
}

/// The protocol names of a network. Test networks have names of their own and never mix with others.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    /// Kademlia.
    pub(crate) kad: StreamProtocol,
    /// Questions and answers.
    pub(crate) registry: StreamProtocol,
    /// The identify protocol version, which tells a weft node from any other libp2p node.
    pub(crate) identify: String,
    /// The gossip topic.
    pub(crate) topic: gossipsub::IdentTopic,
}

impl Names {
    /// The names of `network`.
    pub(crate) fn new(network: NetworkId) -> Self {
        let root = if network == NetworkId::MAIN {
            "weft".to_owned()
        } else {
            format!("weft-{}", network.0)
        };
        let protocol = |name: &str| {
            StreamProtocol::try_from_owned(format!("/{root}/{name}/1"))
                .expect("protocol names begin with a slash")
        };
        Self {
            kad: protocol("kad"),
            registry: protocol("registry"),
            identify: format!("/{root}/1"),
            topic: gossipsub::IdentTopic::new(format!("{root}/announce/1")),
        }
    }
}

/// What [`Behaviour::new`] needs besides the key.
pub(crate) struct Parameters {
    /// Protocol names.
    pub(crate) names: Names,
    /// The DHT's store.
    pub(crate) store: records::Store,
    /// Whether to look for nodes on the LAN; without it no multicast socket is opened.
    pub(crate) mdns: bool,
    /// Memory beyond which nobody new is let in.
    pub(crate) memory_bytes_max: Option<u64>,
}

impl Behaviour {
    /// Composes the protocols.
    ///
    /// # Errors
    /// A protocol that refuses its parameters.
    pub(crate) fn new(keypair: &Keypair, parameters: Parameters) -> Result<Self, SpawnError> {
        let Parameters {
            names,
            store,
            mdns,
            memory_bytes_max,
        } = parameters;
        let peer = keypair.public().to_peer_id();
        let mut kad = kad::Behaviour::with_config(peer, store, kad_config(names.kad));
        // Always: a node that is only reachable on a LAN or on loopback still serves those who are there.
        kad.set_mode(Some(kad::Mode::Server));
        let identify = identify::Config::new(names.identify, keypair.public())
            .with_agent_version(concat!("weft/", env!("CARGO_PKG_VERSION")).to_owned())
            .with_push_listen_addr_updates(true);
        let requests = request_response::Config::default()
            .with_request_timeout(REQUEST_TIMEOUT)
            .with_max_concurrent_streams(REQUEST_STREAMS_MAX);
        let support = request_response::ProtocolSupport::Full;
        Ok(Self {
            gate: gate::Behaviour::new(memory_bytes_max),
            limits: connection_limits::Behaviour::new(
                ConnectionLimits::default()
                    .with_max_pending_incoming(Some(PENDING_MAX))
                    .with_max_pending_outgoing(Some(PENDING_MAX))
                    .with_max_established_incoming(Some(INBOUND_MAX))
                    .with_max_established(Some(CONNECTIONS_MAX))
                    .with_max_established_per_peer(Some(CONNECTIONS_PER_PEER_MAX)),
            ),
            kad: kademlia::Behaviour::new(kad),
            gossip: gossip::behaviour(&names.topic).map_err(SpawnError::Parameters)?,
            identify: identify::Behaviour::new(identify),
            mdns: mdns_behaviour(mdns, peer).into(),
            ping: ping::Behaviour::default(),
            requests: request_response::Behaviour::with_codec(
                Codec,
                [(names.registry, support)],
                requests,
            ),
        })
    }
}

fn kad_config(name: StreamProtocol) -> kad::Config {
    let mut config = kad::Config::new(name);
    config
        .disjoint_query_paths(true)
        // Who may enter the routing table is for `routing` to say.
        .set_kbucket_inserts(kad::BucketInserts::Manual)
        .set_query_timeout(QUERY_TIMEOUT)
        .set_max_packet_size(KAD_PACKET_LEN_MAX)
        .set_record_ttl(Some(DHT_TTL))
        .set_provider_record_ttl(Some(DHT_TTL))
        .set_replication_interval(Some(REPLICATION_INTERVAL))
        // Own statements are repeated by the announcer, which also knows when the table has grown.
        .set_publication_interval(None)
        .set_provider_publication_interval(None)
        // The machine compares all answers; a cache write after the first one would spread the wrong one.
        .set_caching(kad::Caching::Disabled);
    config
}

fn mdns_behaviour(enabled: bool, peer: PeerId) -> Option<mdns::tokio::Behaviour> {
    if !enabled {
        return None;
    }
    match mdns::tokio::Behaviour::new(mdns::Config::default(), peer) {
        Ok(behaviour) => Some(behaviour),
        Err(error) => {
            // Containers and some hosts have no multicast: everything else still works.
            tracing::warn!(%error, "nodes on the LAN will not be found");
            None
        }
    }
}

/// TCP with Noise and Yamux. Host names are looked up only in addresses that the user wrote.
///
/// # Errors
/// Noise refuses the key.
pub(crate) fn transport(keypair: &Keypair) -> Result<Boxed<(PeerId, StreamMuxerBox)>, SpawnError> {
    let noise =
        noise::Config::new(keypair).map_err(|error| SpawnError::Parameters(error.to_string()))?;
    let tcp = || tcp::tokio::Transport::new(tcp::Config::default().nodelay(true));
    let yamux = yamux::Config::default();
    Ok(match dns::tokio::Transport::system(tcp()) {
        Ok(resolving) => resolving
            .upgrade(upgrade::Version::V1Lazy)
            .authenticate(noise)
            .multiplex(yamux)
            .timeout(HANDSHAKE_TIMEOUT)
            .boxed(),
        Err(error) => {
            tracing::debug!(%error, "no resolver: addresses with host names cannot be dialled");
            tcp()
                .upgrade(upgrade::Version::V1Lazy)
                .authenticate(noise)
                .multiplex(yamux)
                .timeout(HANDSHAKE_TIMEOUT)
                .boxed()
        }
    })
}

/// Which listen addresses are worth telling others: all that others can reach, or loopback if there is
/// nothing else (then everybody is on this machine).
pub(crate) fn advertised<'a>(
    listen: impl Iterator<Item = &'a Multiaddr> + Clone,
) -> Vec<Multiaddr> {
    let reachable = listen
        .clone()
        .filter(|address| !super::addresses::is_loopback(address));
    let reachable: Vec<_> = reachable.cloned().collect();
    if reachable.is_empty() {
        listen.cloned().collect()
    } else {
        reachable
    }
}
