//! What every task of the data plane shares.

use std::{
    collections::HashSet,
    sync::{Arc, PoisonError, RwLock},
};

use iroh::Endpoint;
use iroh_blobs::Hash;
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use weft_protocol::{
    id::{BlobHash, NodeId},
    service::{Input, TransferError},
};
use weft_registry::Registry;

use super::{
    collect::Collector,
    copies::Plans,
    counters::Ledger,
    infer::Hosts,
    link::{Keys, Pool},
    near::Near,
    origins::Origins,
    parts::Parts,
    peers::{Lease, Peers},
    provide,
    rates::Rates,
    uploads::Uploads,
};
use crate::store::{Blob, BlobStore};

/// The shared half of the data plane. Everything in it is either a handle or guards itself.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) endpoint: Endpoint,
    pub(super) store: BlobStore,
    pub(super) parts: Arc<Parts>,
    pub(super) registry: Arc<dyn Registry>,
    pub(super) plans: Plans,
    pub(super) inputs: mpsc::Sender<Input>,
    pub(super) peers: Peers,
    pub(super) keys: Arc<Keys>,
    pub(super) links: Pool,
    pub(super) origins: Origins,
    pub(super) near: Near,
    pub(super) hosts: Arc<Hosts>,
    pub(super) uploads: Arc<Uploads>,
    pub(super) rates: Arc<Rates>,
    pub(super) counters: Ledger,
    pub(super) collector: Arc<Collector>,
    pub(super) cancel: CancellationToken,
    /// Connections and the requests served on them; ended by closing the endpoint.
    pub(super) tasks: TaskTracker,
    #[cfg(any(test, feature = "faults"))]
    pub(super) faults: super::faults::Switch,
    offered: RwLock<Arc<HashSet<Hash>>>,
}

impl Context {
    pub(super) fn new(
        (endpoint, keys): (Endpoint, Arc<Keys>),
        (store, parts, registry): (BlobStore, Parts, Arc<dyn Registry>),
        inputs: mpsc::Sender<Input>,
        collector: Arc<Collector>,
        cancel: CancellationToken,
    ) -> Self {
        Self {
            endpoint,
            store,
            parts: Arc::new(parts),
            registry,
            plans: Plans::default(),
            uploads: Arc::new(Uploads::new(inputs.clone())),
            inputs,
            peers: Peers::default(),
            origins: Origins::default(),
            near: Near::default(),
            hosts: Arc::default(),
            links: Pool::new(Arc::clone(&keys)),
            keys,
            rates: Arc::default(),
            counters: Ledger::default(),
            collector,
            cancel,
            tasks: TaskTracker::new(),
            #[cfg(any(test, feature = "faults"))]
            faults: super::faults::Switch::from_environment(),
            offered: RwLock::default(),
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

    /// What is here of a blob. Looking at one for the first time may read much, so it has a thread of its own.
    pub(super) async fn blob(&self, blob: BlobHash) -> Option<Arc<Blob>> {
        let store = self.store.clone();
        let looked = tokio::task::spawn_blocking(move || store.blob(&blob)).await;
        looked.ok().flatten()
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

/// The same 32 bytes, as iroh-blobs spells them.
pub(super) fn hash(blob: BlobHash) -> Hash {
    Hash::from_bytes(*blob.as_bytes())
}
