//! The data plane: blobs on disk, and their verified transfer between nodes.
//!
//! An iroh-blobs file store holds the bytes and iroh's QUIC moves them, from node to node and with nobody in
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
//! `availability` and `observe` (who has what), `provide` (serving), `peers` (connections), `collect`, `work` and
//! `durable` (what the store needs around it), `import`, `place` and `read` (files in and out).

mod actor;
mod availability;
mod collect;
mod context;
mod counters;
mod durable;
mod fault;
#[cfg(any(test, feature = "faults"))]
mod faults;
mod fetch;
mod import;
mod local;
mod observe;
mod peers;
mod place;
mod provide;
mod read;
mod room;
mod spans;
#[cfg(test)]
mod tests;
mod work;

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
use iroh_blobs::store::{
    GcConfig,
    fs::{FsStore, options::Options},
};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};
use weft_protocol::{
    id::{BlobHash, NodeId},
    layout::PieceRange,
    service::{Input, RequestId},
};

use self::{actor::Actor, collect::Collector, context::Context};
pub use self::{
    counters::{Counters, PeerBytes},
    import::{ImportError, Imported},
    local::Local,
    place::{PlaceError, Placed},
    read::ReadError,
};

/// Commands that may wait for the actor. It only ever starts tasks, so the queue is short-lived; the bound makes
/// a stuck data plane felt instead of filling memory.
const COMMANDS_MAX: usize = 256;

/// Streams that a peer may hold open on one connection: requests, and one observation for each blob it lacks.
const STREAMS_PER_CONNECTION_MAX: u32 = 512;

/// Unread bytes of one connection, over all its streams. Keeps a flood of half-sent requests within bounds and
/// still fills 1 Gbit/s at 250 ms.
const CONNECTION_WINDOW: u32 = 32 * 1024 * 1024;

/// How long an orderly shutdown waits for the store to finish what it is writing.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// What the data plane is told at start.
#[derive(Clone)]
pub struct Config {
    /// The node's ed25519 secret. The endpoint id derived from it is the [`NodeId`], byte for byte.
    pub secret_key_seed: [u8; 32],
    /// UDP address to listen on; port 0 takes any free one.
    pub bind: SocketAddr,
    /// Where blobs live. Must be on the file system of the views if they are to share its disk space.
    pub directory: PathBuf,
    /// How often unprotected blobs are collected.
    pub collect_interval: Duration,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The secret stays out of logs.
        f.debug_struct("Config")
            .field("bind", &self.bind)
            .field("directory", &self.directory)
            .field("collect_interval", &self.collect_interval)
            .finish_non_exhaustive()
    }
}

/// Why the data plane did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The blob store cannot be opened; another process may hold it.
    #[error("the blob store at `{directory}` cannot be opened: {reason}")]
    Store {
        /// Where it is.
        directory: PathBuf,
        /// What the store said.
        reason: String,
    },
    /// The socket cannot be bound.
    #[error("cannot listen on UDP `{bind}`: {reason}")]
    Bind {
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
    /// Ends a fetch early; its `Input::PiecesFetched` still comes.
    Cancel {
        /// Which.
        request: RequestId,
    },
    /// Closes the connections with a peer and refuses it for the rest of the run.
    Ban {
        /// Who.
        peer: NodeId,
    },
}

/// The way in to a running data plane. Clones share it.
#[derive(Debug, Clone)]
pub struct Handle {
    context: Arc<Context>,
    commands: mpsc::Sender<Command>,
    tasks: Arc<Mutex<[Option<JoinHandle<()>>; 3]>>,
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
    let store = open_store(&config, &collector).await?;
    let endpoint = match bind_endpoint(&config).await {
        Ok(endpoint) => endpoint,
        Err(error) => {
            // The store holds a lock that a second try would trip over.
            store.shutdown().await.ok();
            return Err(error);
        }
    };
    debug!(id = %endpoint.id().fmt_short(), addresses = ?endpoint.bound_sockets(), "data plane listens");
    let (durable, durable_task) = durable::spawn(store.as_ref().clone());
    let context = Arc::new(Context::new(
        endpoint,
        store,
        &config.directory,
        inputs,
        collector,
        durable,
        cancel.child_token(),
    ));
    let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
    let actor = tokio::spawn(Actor::new(Arc::clone(&context), receiver).run());
    let acceptor = tokio::spawn(provide::accept(Arc::clone(&context)));
    Ok(Handle {
        context,
        commands,
        tasks: Arc::new(Mutex::new([
            Some(actor),
            Some(acceptor),
            Some(durable_task),
        ])),
    })
}

async fn open_store(config: &Config, collector: &Arc<Collector>) -> Result<FsStore, StartError> {
    let mut options = Options::new(&config.directory);
    options.gc = Some(GcConfig {
        interval: collect::PAUSE,
        add_protected: Some(collector.callback()),
    });
    FsStore::load_with_opts(config.directory.join("blobs.db"), options)
        .await
        .map_err(|error| StartError::Store {
            directory: config.directory.clone(),
            reason: format!("{error:#}"),
        })
}

async fn bind_endpoint(config: &Config) -> Result<Endpoint, StartError> {
    let fail = |reason: String| StartError::Bind {
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
        .alpns(vec![iroh_blobs::ALPN.to_vec()])
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

    /// Bytes that went in and out since the start.
    pub fn counters(&self) -> Counters {
        self.context.counters.snapshot()
    }

    /// Fires when the blob store has failed for good: it must be opened anew.
    pub fn broken(&self) -> CancellationToken {
        self.context.durable.broken()
    }

    /// Collects what is not protected now, and returns when that is done.
    pub async fn collect(&self) {
        self.context.collector.collect_now().await;
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
        let [actor, acceptor, durable] = {
            let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *tasks)
        };
        join(actor).await;
        join(acceptor).await;
        context.durable.close();
        join(durable).await;
        context.work.clear();
        let idle = tokio::time::timeout(SHUTDOWN_TIMEOUT, context.store.wait_idle()).await;
        if !matches!(idle, Ok(Ok(()))) {
            warn!("the blob store was still busy at shutdown");
        }
        context.store.shutdown().await.ok();
    }
}

async fn join(task: Option<JoinHandle<()>>) {
    if let Some(task) = task
        && let Err(error) = task.await
    {
        error!("a task of the data plane failed: {error}");
    }
}
