//! What every task of the data plane shares.

use std::{
    collections::HashSet,
    path::Path,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use iroh::Endpoint;
use iroh_blobs::{
    Hash,
    api::{Store, blobs::BlobStatus},
    store::fs::{FsStore, options::PathOptions},
};
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;
use weft_protocol::{
    id::{BlobHash, NodeId},
    service::{Input, TransferError},
};

use super::{
    collect::Collector,
    counters::Ledger,
    durable::Durable,
    link::{Keys, Pool},
    origins::Origins,
    peers::{Lease, Peers},
    provide,
    rates::Rates,
    room::Room,
    uploads::Uploads,
    work::Works,
};

/// The shared half of the data plane. Everything in it is either a handle or guards itself.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) endpoint: Endpoint,
    pub(super) store: Store,
    pub(super) files: PathOptions,
    pub(super) inputs: mpsc::Sender<Input>,
    pub(super) peers: Peers,
    pub(super) keys: Arc<Keys>,
    pub(super) links: Pool,
    pub(super) origins: Origins,
    pub(super) uploads: Arc<Uploads>,
    pub(super) rates: Arc<Rates>,
    pub(super) counters: Ledger,
    pub(super) collector: Arc<Collector>,
    pub(super) durable: Durable,
    pub(super) room: Room,
    pub(super) work: Works,
    pub(super) cancel: CancellationToken,
    /// Connections and the requests served on them; ended by closing the endpoint.
    pub(super) tasks: TaskTracker,
    #[cfg(any(test, feature = "faults"))]
    pub(super) faults: super::faults::Switch,
    offered: RwLock<Arc<HashSet<Hash>>>,
    /// Blobs whose file of the store's own is known to be whole and right, because this run received or read all
    /// of it. A file left from an interrupted download that was then replaced by an import is not.
    intact: Mutex<HashSet<Hash>>,
    /// Keeps the store's own threads alive.
    _owner: FsStore,
}

impl Context {
    pub(super) fn new(
        (endpoint, keys): (Endpoint, Arc<Keys>),
        store: FsStore,
        directory: &Path,
        inputs: mpsc::Sender<Input>,
        collector: Arc<Collector>,
        durable: Durable,
        cancel: CancellationToken,
    ) -> Self {
        let files = PathOptions::new(directory);
        Self {
            endpoint,
            store: store.as_ref().clone(),
            files,
            uploads: Arc::new(Uploads::new(inputs.clone())),
            inputs,
            peers: Peers::default(),
            origins: Origins::default(),
            links: Pool::new(Arc::clone(&keys)),
            keys,
            rates: Arc::default(),
            counters: Ledger::default(),
            collector,
            durable,
            room: Room::new(directory.to_owned()),
            work: Works::default(),
            cancel,
            tasks: TaskTracker::new(),
            #[cfg(any(test, feature = "faults"))]
            faults: super::faults::Switch::from_environment(),
            offered: RwLock::default(),
            intact: Mutex::default(),
            _owner: store,
        }
    }

    /// Reports to the machine. When nobody listens any more the node is ending, and the report with it.
    pub(super) async fn report(&self, input: Input) {
        self.inputs.send(input).await.ok();
    }

    pub(super) fn offer(&self, blobs: &[BlobHash]) {
        let set = Arc::new(blobs.iter().copied().map(hash).collect());
        *self.offered.write().unwrap_or_else(PoisonError::into_inner) = set;
    }

    pub(super) fn offers(&self, blob: &Hash) -> bool {
        self.offered
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(blob)
    }

    pub(super) fn mark_intact(&self, blob: Hash) {
        self.intact
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(blob);
    }

    pub(super) fn is_intact(&self, blob: &Hash) -> bool {
        self.intact
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(blob)
    }

    /// Makes a blob fetchable again whose store entry points to a file that is gone: one imported by reference
    /// and moved away since. Nothing is done as long as nobody else offers the bytes, for the file may come back.
    pub(super) async fn recover(&self, blob: Hash) {
        if self.store.observe(blob).await.is_ok() {
            return;
        }
        let status = self.store.status(blob).await;
        if matches!(status, Ok(BlobStatus::Complete { .. })) {
            warn!(blob = %blob.fmt_short(), "the file of a blob is gone; fetching it anew");
            self.collector.abandon(blob).await;
        }
    }

    /// A connection to `peer`: the one there is, or a new one, on which the peer is served as well.
    pub(super) async fn connect(self: &Arc<Self>, peer: NodeId) -> Result<Lease, TransferError> {
        let (lease, fresh) = self.peers.connect(&self.endpoint, peer).await?;
        if fresh {
            let connection = lease.connection().clone();
            self.tasks
                .spawn(provide::serve(Arc::clone(self), peer, connection));
        }
        Ok(lease)
    }
}

/// The same 32 bytes, as the blob store spells them.
pub(super) fn hash(blob: BlobHash) -> Hash {
    Hash::from_bytes(*blob.as_bytes())
}
