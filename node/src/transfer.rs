//! The data plane: blobs on disk, and their verified transfer between nodes.
//!
//! Our own [`store`] holds the bytes; TLS over TCP or iroh's QUIC moves them, from node to node and with nobody in
//! between: no relay, no directory, no name server. The module decides nothing. It carries out what
//! `weft_protocol::service` asks for as [`Command`]s and reports what happened as
//! [`Input`]s; which peer to ask for which piece, and whom to believe, is not its
//! business.
//!
//! Invariants:
//! - No byte is written or served under a hash it does not have: content is verified in 16 KiB groups as it
//!   arrives and again as it leaves.
//! - Nothing is served that was not offered by [`Command::Offer`], and nothing is collected that was protected
//!   by [`Command::Protect`]; before the first `Protect` of a run nothing is collected at all.
//! - A blob that was reported complete is found complete after a crash; of an incomplete one at most the chunk
//!   groups in flight are lost.
//! - Addresses of peers come from [`Command::LearnAddresses`] and from connections they open to us.
//!
//! Reading order: [`Handle`] (the way in), `actor` (commands to tasks), `fetch` and `fault` (getting pieces),
//! `availability` and `observe` (who has what), `copies` (what need not be fetched), `provide` (serving), `near` (files
//! of other hubs), `infer` (questions about models), `peers` (connections), `collect` (when garbage goes), `import`,
//! `place`, `parts`, `read`, `local` and `spans` (files in and out).

mod actor;
mod availability;
mod chunks;
mod collect;
mod context;
mod copies;
mod counters;
mod decode;
mod fault;
#[cfg(any(test, feature = "faults"))]
mod faults;
mod fetch;
mod import;
mod infer;
mod link;
mod local;
mod near;
mod observation;
mod observe;
mod origins;
mod parts;
mod peers;
mod place;
mod provide;
mod rates;
mod read;
mod spans;
#[cfg(test)]
mod tests;
mod uploads;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use iroh::{
    Endpoint, RelayMode, SecretKey,
    endpoint::{QuicTransportConfig, VarInt, presets},
};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};
use weft_protocol::{
    id::{BlobHash, NodeId, RevisionId},
    layout::PieceRange,
    limits,
    piece_set::PieceSet,
    service::{Input, RequestId, UploadId},
    swarm::Rates,
};
use weft_registry::Registry;

use self::{actor::Actor, collect::Collector, context::Context, link::Keys};
pub use self::{
    counters::{Counters, PeerBytes},
    import::Imported,
    local::{Local, Reading},
    origins::OpenOrigin,
    place::{PlaceError, Placed},
    read::ReadError,
};
pub(crate) use self::{
    infer::{Asked, Host, NoAnswer},
    near::{Answerer, Body as NearBody, Reply, is_near},
    parts::Parts,
};
pub use crate::store::ImportError;
use crate::store::{self, BlobStore};

/// Commands that may wait for the actor. It only ever starts tasks, so the queue is short-lived; the bound makes
/// a stuck data plane felt instead of filling memory.
const COMMANDS_MAX: usize = 256;

/// Streams that a peer may hold open on one connection: requests, and one observation for each blob it lacks.
const STREAMS_PER_CONNECTION_MAX: u32 = 512;

/// Unread bytes of one connection, over all its streams. Keeps a flood of half-sent requests within bounds and
/// still fills 1 Gbit/s at 250 ms.
const CONNECTION_WINDOW: u32 = 32 * 1024 * 1024;

/// What fetched bytes leave free: the registry and its logs, and outboards for some GiB.
const RESERVE: u64 = 16 * 1024 * 1024;

/// How long an orderly shutdown waits for running transfers.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// What the data plane is told at start.
#[derive(Clone)]
pub struct Config {
    /// The node's ed25519 secret. The endpoint id derived from it is the [`NodeId`], byte for byte.
    pub secret_key_seed: [u8; 32],
    /// UDP address to listen on; port 0 takes any free one.
    pub bind: SocketAddr,
    /// Where peers may connect over TCP.
    pub tcp: TcpListen,
    /// Where blobs live. Must be on the file system of the views if they are to share its disk space.
    pub directory: PathBuf,
    /// Remembers what is here of each blob.
    pub registry: Arc<dyn Registry>,
    /// How often unprotected blobs are collected.
    pub collect_interval: Duration,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The secret stays out of logs.
        f.debug_struct("Config")
            .field("bind", &self.bind)
            .field("tcp", &self.tcp)
            .field("directory", &self.directory)
            .field("collect_interval", &self.collect_interval)
            .finish_non_exhaustive()
    }
}

/// Where peers may connect over TCP, which costs less than QUIC where it can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TcpListen {
    /// Exactly here; port 0 takes any free one.
    At(SocketAddr),
    /// Here, or at any free port if this one is taken: peers are told which.
    Near(SocketAddr),
    /// Nowhere: peers use QUIC. This node still connects to others over TCP.
    Off,
}

/// Why the data plane did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The blob store cannot be opened.
    #[error("the blob store at `{directory}` cannot be opened: {reason}")]
    Store {
        /// Where it is.
        directory: PathBuf,
        /// What the store said.
        reason: String,
    },
    /// The cryptography that is compiled in does not do.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// The socket cannot be bound.
    #[error("cannot listen on {protocol} `{bind}`: {reason}")]
    Bind {
        /// UDP or TCP.
        protocol: &'static str,
        /// The address asked for.
        bind: SocketAddr,
        /// What the operating system or the endpoint said.
        reason: String,
    },
}

/// One thing for the data plane to do: the data half of `weft_protocol::service::Output`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Where a peer can be reached, as `ip:port`. Texts that are not addresses are ignored.
    LearnAddresses {
        /// Who.
        peer: NodeId,
        /// Where.
        addresses: Vec<String>,
    },
    /// Looks what is here of these blobs; answered by `Input::BlobsInspected`.
    Inspect {
        /// Names the question.
        request: RequestId,
        /// Blobs with their sizes.
        blobs: Vec<(BlobHash, u64)>,
    },
    /// Replaces the set of blobs that are kept.
    Protect {
        /// All of them.
        blobs: Vec<BlobHash>,
    },
    /// Replaces the set of blobs that are served.
    Offer {
        /// All of them.
        blobs: Vec<BlobHash>,
    },
    /// Watches what a peer has of a blob: `Input::Availability`…, then `Input::AvailabilityLost`.
    Observe {
        /// Whom.
        peer: NodeId,
        /// Which blob.
        blob: BlobHash,
        /// Its size.
        size: u64,
    },
    /// Stops watching; nothing more is reported.
    Unobserve {
        /// Whom.
        peer: NodeId,
        /// Which blob.
        blob: BlobHash,
    },
    /// Fetches a run of pieces: `Input::PiecesProgress`…, then exactly one `Input::PiecesFetched`.
    Fetch {
        /// Names the transfer.
        request: RequestId,
        /// From whom.
        peer: NodeId,
        /// Which blob.
        blob: BlobHash,
        /// Its size.
        size: u64,
        /// Which pieces.
        pieces: PieceRange,
    },
    /// Looks what of a revision can be copied from blobs that are here; answered by `Input::CopiesPlanned`.
    PlanCopies {
        /// Names the question.
        request: RequestId,
        /// Which revision.
        revision: RevisionId,
        /// Revisions to look through, likeliest first.
        relatives: Vec<RevisionId>,
    },
    /// Fetches the groups beside what can be copied, in some pieces; reported like [`Command::Fetch`].
    FetchBeside {
        /// Names the transfer.
        request: RequestId,
        /// From whom.
        peer: NodeId,
        /// Which blob.
        blob: BlobHash,
        /// Its size.
        size: u64,
        /// In which pieces.
        pieces: PieceSet,
    },
    /// Copies what was planned: `Input::CopyProgress`…, then exactly one `Input::CopyEnded`.
    CopyBlob {
        /// Names the copy.
        request: RequestId,
        /// Which blob.
        blob: BlobHash,
        /// Its size.
        size: u64,
    },
    /// Ends a fetch or a copy early; what it ends with still comes.
    Cancel {
        /// Which.
        request: RequestId,
    },
    /// Closes the connections with a peer and refuses it until it is pardoned.
    Ban {
        /// Who.
        peer: NodeId,
    },
    /// Lets a banned peer come back.
    Pardon {
        /// Who.
        peer: NodeId,
    },
    /// Serves a request that `Input::UploadAsked` told of; `Input::UploadProgress`…, then `Input::UploadEnded`.
    StartUpload {
        /// Which.
        upload: UploadId,
    },
    /// Refuses a request that waits, or breaks off one that is served; `Input::UploadEnded` follows.
    RefuseUpload {
        /// Which.
        upload: UploadId,
    },
    /// Replaces the byte rates that are kept to. At the start there are none.
    SetRates(Rates),
}

/// The way in to a running data plane. Clones share it.
#[derive(Debug, Clone)]
pub struct Handle {
    context: Arc<Context>,
    commands: mpsc::Sender<Command>,
    tcp: Option<SocketAddr>,
    tasks: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

/// Opens the store, binds the socket and starts serving.
///
/// `inputs` receives what the machine must hear. When `cancel` fires, new work stops and running work is ended;
/// [`Handle::shutdown`] is still needed to leave the store in order.
///
/// # Errors
/// If the store or the socket cannot be opened.
pub async fn spawn(
    config: Config,
    inputs: mpsc::Sender<Input>,
    cancel: CancellationToken,
) -> Result<Handle, StartError> {
    let collector = Arc::new(Collector::new(config.collect_interval));
    let listener = bind_tcp(config.tcp).await?;
    let keys = Keys::new(&SecretKey::from_bytes(&config.secret_key_seed));
    let keys = Arc::new(keys.map_err(|error| StartError::Tls(error.to_string()))?);
    let (store, parts) = open_store(&config).await?;
    let endpoint = match bind_endpoint(&config).await {
        Ok(endpoint) => endpoint,
        Err(error) => {
            store.close();
            return Err(error);
        }
    };
    let tcp = listener
        .as_ref()
        .and_then(|listener| listener.local_addr().ok());
    debug!(id = %endpoint.id().fmt_short(), quic = ?endpoint.bound_sockets(), ?tcp, "data plane listens");
    let context = Arc::new(Context::new(
        (endpoint, keys),
        (store.clone(), parts, config.registry),
        inputs,
        Arc::clone(&collector),
        cancel.child_token(),
    ));
    let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
    let mut tasks = vec![
        tokio::spawn(Actor::new(Arc::clone(&context), receiver).run()),
        tokio::spawn(provide::accept(Arc::clone(&context))),
        tokio::spawn(collector.run(store, context.cancel.clone())),
    ];
    if let Some(listener) = listener {
        let accept = provide::links::accept(Arc::clone(&context), listener);
        tasks.push(tokio::spawn(accept));
    }
    Ok(Handle {
        context,
        commands,
        tcp,
        tasks: Arc::new(Mutex::new(tasks)),
    })
}

async fn bind_tcp(listen: TcpListen) -> Result<Option<TcpListener>, StartError> {
    let (address, exact) = match listen {
        TcpListen::At(address) => (address, true),
        TcpListen::Near(address) => (address, false),
        TcpListen::Off => return Ok(None),
    };
    let fail = |error: std::io::Error| StartError::Bind {
        protocol: "TCP",
        bind: address,
        reason: error.to_string(),
    };
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if !exact && error.kind() == std::io::ErrorKind::AddrInUse => {
            let listener = TcpListener::bind((address.ip(), 0)).await.map_err(fail)?;
            warn!(%address, "the TCP port for data is taken; another one is used, which no forwarding knows");
            Ok(Some(listener))
        }
        Err(error) => Err(fail(error)),
    }
}

async fn open_store(config: &Config) -> Result<(BlobStore, Parts), StartError> {
    let directory = config.directory.clone();
    let registry = Arc::clone(&config.registry);
    let settings = store::Config {
        directory: directory.clone(),
        reserve: RESERVE,
    };
    let notes = directory.join("placing");
    let opened = tokio::task::spawn_blocking(move || {
        let store = BlobStore::open(settings, registry).map_err(|error| error.to_string())?;
        Ok((store, Parts::open(notes)))
    });
    let opened = opened.await.unwrap_or_else(|error| Err(error.to_string()));
    opened.map_err(|reason| StartError::Store { directory, reason })
}

async fn bind_endpoint(config: &Config) -> Result<Endpoint, StartError> {
    let fail = |reason: String| StartError::Bind {
        protocol: "UDP",
        bind: config.bind,
        reason,
    };
    let transport = QuicTransportConfig::builder()
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_PER_CONNECTION_MAX))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .build();
    Endpoint::builder(presets::Minimal)
        .relay_mode(RelayMode::Disabled)
        .clear_address_lookup()
        .secret_key(SecretKey::from_bytes(&config.secret_key_seed))
        .alpns(vec![
            iroh_blobs::ALPN.to_vec(),
            near::ALPN.to_vec(),
            infer::ALPN.to_vec(),
        ])
        .transport_config(transport)
        .clear_ip_transports()
        .bind_addr(config.bind)
        .map_err(|error| fail(format!("{error:#}")))?
        .bind()
        .await
        .map_err(|error| fail(format!("{error:#}")))
}

impl Handle {
    /// Hands over one command. Commands are taken up in order; returns once there is room in the queue, and
    /// drops the command if the data plane has ended.
    pub async fn send(&self, command: Command) {
        if self.commands.send(command).await.is_err() {
            debug!("command after the end of the data plane");
        }
    }

    /// Files on their way to their names.
    pub(crate) fn parts(&self) -> Arc<Parts> {
        Arc::clone(&self.context.parts)
    }

    /// This node, as the endpoint knows it.
    pub fn id(&self) -> NodeId {
        NodeId::new(*self.context.endpoint.id().as_bytes())
    }

    /// Where peers can reach this endpoint: the bound address, or for an unspecified one the addresses of the
    /// local interfaces.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let bound = self.context.endpoint.bound_sockets();
        if bound.iter().all(|address| !address.ip().is_unspecified()) {
            return bound;
        }
        let local: Vec<_> = self.context.endpoint.addr().ip_addrs().copied().collect();
        if local.is_empty() {
            // No network: still of use between the nodes of one machine.
            let loopback = |address: &SocketAddr| (Ipv4Addr::LOCALHOST, address.port()).into();
            return bound.iter().map(loopback).collect();
        }
        local
    }

    /// Where peers can reach the data plane, as they are told: `ip:port` for QUIC, `tcp/ip:port` for TCP.
    pub fn data_addresses(&self) -> Vec<String> {
        let quic = self.addresses();
        let tcp = self.tcp.map(|tcp| match tcp.ip().is_unspecified() {
            false => vec![tcp],
            true => quic
                .iter()
                .filter(|address| tcp.is_ipv6() || address.is_ipv4())
                .map(|address| (address.ip(), tcp.port()).into())
                .collect(),
        });
        let mut addresses = Vec::new();
        // Side by side, so that a cut leaves some of both.
        let mut tcp = tcp.unwrap_or_default().into_iter();
        for address in &quic {
            addresses.push(address.to_string());
            addresses.extend(tcp.next().map(link::format_address));
        }
        addresses.extend(tcp.map(link::format_address));
        addresses.truncate(limits::ADDRESSES_PER_PEER_MAX);
        addresses
    }

    /// Bytes that went in and out since the start.
    pub fn counters(&self) -> Counters {
        self.context.counters.snapshot()
    }

    /// Collects what is not protected now, and returns when that is done.
    pub async fn collect(&self) {
        collect::collect_now(&self.context.store).await;
    }

    /// Ends the data plane in order: no new work, running fetches ended, connections closed, what was received
    /// written down, store closed. Safe to call twice.
    pub async fn shutdown(&self) {
        let context = &self.context;
        context.cancel.cancel();
        context.endpoint.close().await;
        context.tasks.close();
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, context.tasks.wait())
            .await
            .is_err()
        {
            warn!("transfers did not end in time");
        }
        let tasks = {
            let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *tasks)
        };
        for task in tasks {
            join(task).await;
        }
        let store = context.store.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || store.close()).await {
            error!("the blob store did not close: {error}");
        }
    }
}

async fn join(task: JoinHandle<()>) {
    if let Err(error) = task.await {
        error!("a task of the data plane failed: {error}");
    }
}
