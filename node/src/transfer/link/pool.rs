//! Connections that we dialled: a few to each peer, opened when all others are in use, kept for a while.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::debug;
use weft_protocol::{id::NodeId, limits};

use super::{channel::Channel, keys::Keys};

/// Connections to one peer: one for each transfer that the machine has there at once, waiting or moving.
pub(crate) const LINKS_PER_PEER_MAX: usize = limits::TRANSFERS_PER_PEER_MAX as usize;
/// Connections in all; beyond that QUIC has to do. Each costs a thread and a MiB while bytes flow.
const LINKS_MAX: usize = 256;
/// How long an unused connection is kept; the other side waits longer, so that it is we who close.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// A dial that takes longer meets a firewall.
const DIAL_TIMEOUT: Duration = Duration::from_secs(3);
/// First pause after a failed dial; doubles with each failure. Meanwhile QUIC is used.
const BACKOFF_MIN: Duration = Duration::from_secs(5);
/// Longest pause.
const BACKOFF_MAX: Duration = Duration::from_secs(600);
/// Peers remembered with their addresses.
const PEERS_MAX: usize = 4_096;

/// All connections that we dialled.
#[derive(Debug)]
pub(crate) struct Pool {
    keys: Arc<Keys>,
    places: Arc<Semaphore>,
    targets: Mutex<BTreeMap<NodeId, Arc<Target>>>,
}

#[derive(Debug)]
struct Target {
    /// Held while dialling.
    dial: tokio::sync::Mutex<()>,
    slots: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The one that answered last comes first.
    addresses: Vec<SocketAddr>,
    idle: Vec<(Link, Instant)>,
    failures: u32,
    retry_at: Option<Instant>,
    used: Instant,
}

/// A connection to ask on.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) channel: Channel,
    /// Number of the last request.
    pub(crate) number: u32,
    _place: OwnedSemaphorePermit,
}

/// The right to use a connection; dropping it without [`Lease::give_back`] closes the connection.
#[derive(Debug)]
pub(crate) struct Lease {
    target: Arc<Target>,
    _slot: OwnedSemaphorePermit,
}

impl Pool {
    pub(crate) fn new(keys: Arc<Keys>) -> Self {
        Self {
            keys,
            places: Arc::new(Semaphore::new(LINKS_MAX)),
            targets: Mutex::default(),
        }
    }

    /// Adds addresses to what is known of a peer.
    pub(crate) fn learn(&self, peer: NodeId, addresses: impl IntoIterator<Item = SocketAddr>) {
        let mut addresses = addresses
            .into_iter()
            .filter(|address| address.port() != 0 && !address.ip().is_unspecified())
            .peekable();
        if addresses.peek().is_none() {
            return;
        }
        let target = self.get(peer);
        let mut state = target.state();
        for address in addresses {
            if !state.addresses.contains(&address) {
                state.addresses.insert(0, address);
                state.addresses.truncate(limits::ADDRESSES_PER_PEER_MAX);
                // A new way to reach it is worth a try at once.
                state.retry_at = None;
            }
        }
    }

    /// A connection to `peer` that nobody else uses; waits while all are in use. `None` if it cannot be reached this
    /// way now.
    ///
    /// Cancel safe: a dial that is dropped leaves nothing behind.
    pub(crate) async fn lease(&self, peer: NodeId) -> Option<(Link, Lease)> {
        let target = self.known(peer)?;
        if !target.is_promising() {
            return None;
        }
        let slot = Arc::clone(&target.slots).acquire_owned().await.ok()?;
        let lease = |target: &Arc<Target>| Lease {
            target: Arc::clone(target),
            _slot: slot,
        };
        if let Some(link) = target.take_idle() {
            return Some((link, lease(&target)));
        }
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let _dialling = target.dial.lock().await;
        if !target.is_promising() {
            return None;
        }
        let channel = self.dial(peer, &target).await?;
        let link = Link {
            channel,
            number: 0,
            _place: place,
        };
        Some((link, lease(&target)))
    }

    /// A connection to `peer` for observations, which is not given back. `None` if it cannot be reached this way now.
    ///
    /// Cancel safe: a dial that is dropped leaves nothing behind.
    pub(crate) async fn open(&self, peer: NodeId) -> Option<Link> {
        let target = self.known(peer)?;
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let _dialling = target.dial.lock().await;
        if !target.is_promising() {
            return None;
        }
        Some(Link {
            channel: self.dial(peer, &target).await?,
            number: 0,
            _place: place,
        })
    }

    async fn dial(&self, peer: NodeId, target: &Target) -> Option<Channel> {
        let addresses = target.state().addresses.clone();
        let dials = async {
            for address in addresses {
                match Channel::dial(&self.keys, peer, address).await {
                    Ok(channel) => return Some((channel, address)),
                    Err(error) => {
                        debug!(peer = %peer.fmt_short(), %address, "TCP dial failed: {error}");
                    }
                }
            }
            None
        };
        let dialled = tokio::time::timeout(DIAL_TIMEOUT, dials).await;
        let mut state = target.state();
        match dialled {
            Ok(Some((channel, address))) => {
                state.failures = 0;
                state.retry_at = None;
                state.addresses.retain(|other| *other != address);
                state.addresses.insert(0, address);
                Some(channel)
            }
            Ok(None) | Err(_) => {
                state.back_off();
                None
            }
        }
    }

    /// Notes that connections with a peer do not last.
    pub(crate) fn failed(&self, peer: NodeId) {
        if let Some(target) = self.known(peer) {
            target.state().back_off();
        }
    }

    /// Forgets a peer with all its connections.
    pub(crate) fn forget(&self, peer: NodeId) {
        self.targets().remove(&peer);
    }

    /// Closes connections that are not used.
    pub(crate) fn close_idle(&self) {
        for target in self.targets().values() {
            let mut state = target.state();
            state.idle.retain(|(_, since)| since.elapsed() < IDLE_MAX);
        }
    }

    fn targets(&self) -> MutexGuard<'_, BTreeMap<NodeId, Arc<Target>>> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, peer: NodeId) -> Option<Arc<Target>> {
        self.targets().get(&peer).cloned()
    }

    fn get(&self, peer: NodeId) -> Arc<Target> {
        let mut targets = self.targets();
        if targets.len() >= PEERS_MAX && !targets.contains_key(&peer) {
            let oldest = targets
                .iter()
                .filter(|(_, target)| Arc::strong_count(target) == 1)
                .min_by_key(|(_, target)| target.state().used)
                .map(|(peer, _)| *peer);
            if let Some(oldest) = oldest {
                targets.remove(&oldest);
            }
        }
        Arc::clone(
            targets
                .entry(peer)
                .or_insert_with(|| Arc::new(Target::new())),
        )
    }
}

impl Target {
    fn new() -> Self {
        Self {
            dial: tokio::sync::Mutex::new(()),
            slots: Arc::new(Semaphore::new(LINKS_PER_PEER_MAX)),
            state: Mutex::new(State {
                addresses: Vec::new(),
                idle: Vec::new(),
                failures: 0,
                retry_at: None,
                used: Instant::now(),
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a dial may succeed, as far as one knows.
    fn is_promising(&self) -> bool {
        let mut state = self.state();
        state.used = Instant::now();
        let too_soon = state.retry_at.is_some_and(|at| Instant::now() < at);
        !state.addresses.is_empty() && !too_soon
    }

    /// The connection used last, which has the widest window.
    fn take_idle(&self) -> Option<Link> {
        let mut state = self.state();
        while let Some((link, _)) = state.idle.pop() {
            if !link.channel.is_stale() {
                return Some(link);
            }
        }
        None
    }
}

impl State {
    fn back_off(&mut self) {
        let pause = BACKOFF_MIN
            .saturating_mul(1 << self.failures.min(16))
            .min(BACKOFF_MAX);
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(Instant::now() + pause);
    }
}

impl Lease {
    /// Keeps the connection for the next one to use.
    pub(crate) fn give_back(self, link: Link) {
        self.target.state().idle.push((link, Instant::now()));
    }
}

impl Link {
    /// The channel, and what is needed to put the link together again.
    pub(crate) fn split(self) -> (Channel, impl FnOnce(Channel) -> Self + Send) {
        let Self {
            channel,
            number,
            _place,
        } = self;
        (channel, move |channel| Self {
            channel,
            number,
            _place,
        })
    }
}
