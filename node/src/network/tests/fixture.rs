//! A node whose service is the test, and a publisher who signs on demand.

use std::{sync::Arc, time::Duration};

use libp2p::Multiaddr;
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use weft_protocol::{
    accept::RepositoryRecord,
    freshness::Freshness,
    head::Head,
    id::{NodeId, ObjectId, PublisherId, RepositoryId},
    identity::{IdentityEvent, IdentityLog, next_digest},
    log,
    service::{Input, RequestId},
    sign::{Envelope, NetworkId, SecretKey},
    time::Timestamp,
};
use weft_registry::{MemoryRegistry, Registry};

use crate::network::{Command, Config, Handle, records::unix_now, spawn};

/// Far more than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);
/// The network of all tests: not the public one.
pub(crate) const NETWORK: NetworkId = NetworkId(7);

/// One node; the test plays its service.
pub(crate) struct Node {
    pub(crate) handle: Handle,
    inputs: mpsc::Receiver<Input>,
    seen: Vec<Input>,
    cancel: CancellationToken,
    task: JoinHandle<()>,
    request: u64,
}

impl Node {
    /// Starts a node on a free port of loopback.
    pub(crate) async fn start(seed: u8, bootstrap: &[Multiaddr]) -> Self {
        Self::start_with(seed, bootstrap, Arc::new(MemoryRegistry::in_memory())).await
    }

    /// Starts a node with facts of its own.
    pub(crate) async fn start_with(
        seed: u8,
        bootstrap: &[Multiaddr],
        registry: Arc<dyn Registry>,
    ) -> Self {
        let free = "/ip4/127.0.0.1/tcp/0".parse().unwrap();
        Self::start_full(seed, &free, bootstrap, registry).await
    }

    /// Starts a node where another one listened before.
    pub(crate) async fn start_at(seed: u8, address: &Multiaddr) -> Self {
        let mut address = address.clone();
        address.pop();
        Self::start_full(seed, &address, &[], Arc::new(MemoryRegistry::in_memory())).await
    }

    async fn start_full(
        seed: u8,
        listen: &Multiaddr,
        bootstrap: &[Multiaddr],
        registry: Arc<dyn Registry>,
    ) -> Self {
        let config = Config {
            secret_key_seed: [seed; 32],
            listen: vec![listen.clone()],
            external: Vec::new(),
            bootstrap: bootstrap.to_vec(),
            mdns: false,
            network: NETWORK,
            memory_bytes_max: None,
        };
        // Small, so that the outbox is used.
        let (sender, inputs) = mpsc::channel(4);
        let cancel = CancellationToken::new();
        let (handle, task) = spawn(config, registry, sender, cancel.clone())
            .await
            .unwrap();
        Self {
            handle,
            inputs,
            seen: Vec::new(),
            cancel,
            task,
            request: 0,
        }
    }

    pub(crate) fn id(&self) -> NodeId {
        self.handle.node_id()
    }

    pub(crate) fn addresses(&self) -> Vec<Multiaddr> {
        self.handle.listen_addresses()
    }

    pub(crate) fn request(&mut self) -> RequestId {
        self.request += 1;
        RequestId(self.request)
    }

    pub(crate) async fn send(&self, command: Command) {
        self.handle.send(command).await.unwrap();
    }

    /// Waits for an input that `pick` understands; others are kept for later waits.
    pub(crate) async fn wait<T>(&mut self, what: &str, pick: impl Fn(&Input) -> Option<T>) -> T {
        let mut found = self.seen.iter().enumerate();
        let found = found.find_map(|(position, input)| pick(input).map(|value| (position, value)));
        if let Some((position, value)) = found {
            self.seen.remove(position);
            return value;
        }
        loop {
            let input = tokio::time::timeout(PATIENCE, self.inputs.recv()).await;
            let input = input.unwrap_or_else(|_| panic!("waited in vain for {what}"));
            let input = input.expect("the node runs");
            match pick(&input) {
                Some(value) => return value,
                None => self.seen.push(input),
            }
        }
    }

    pub(crate) async fn wait_connected(&mut self, peer: NodeId) {
        self.wait("a connection", |input| match input {
            Input::PeerConnected { peer: who, .. } => (*who == peer).then_some(()),
            _ => None,
        })
        .await;
    }

    pub(crate) async fn wait_finished(&mut self, request: RequestId) {
        self.wait("the end of a query", |input| match input {
            Input::QueryFinished { request: which } => (*which == request).then_some(()),
            _ => None,
        })
        .await;
    }

    /// Inputs that came and that nobody waited for yet.
    pub(crate) fn seen(&mut self) -> &[Input] {
        while let Ok(input) = self.inputs.try_recv() {
            self.seen.push(input);
        }
        &self.seen
    }

    /// Ends the node in order.
    pub(crate) async fn stop(mut self) {
        self.cancel.cancel();
        // An input on its way must not hold up the end.
        self.inputs.close();
        tokio::time::timeout(PATIENCE, self.task)
            .await
            .expect("the node ends")
            .unwrap();
    }
}

/// Connects `one` to `other` and waits until both know.
pub(crate) async fn connect(one: &mut Node, other: &mut Node) {
    let addresses = other.addresses().iter().map(Multiaddr::to_string).collect();
    let peer = other.id();
    one.send(Command::Connect { peer, addresses }).await;
    one.wait_connected(peer).await;
    other.wait_connected(one.id()).await;
}

/// A publisher with one key per role.
pub(crate) struct Publisher {
    release: SecretKey,
    freshness: SecretKey,
    identity: Vec<Envelope>,
    log: IdentityLog,
    now: Timestamp,
}

impl Publisher {
    pub(crate) fn new(seed: u8) -> Self {
        let key = |role: u8| SecretKey::from_seed(&[seed.wrapping_mul(8).wrapping_add(role); 32]);
        let (root, release, freshness) = (key(0), key(1), key(2));
        let now = unix_now();
        let event = IdentityEvent {
            index: 0,
            previous: None,
            root_keys: vec![root.public()],
            root_threshold: 1,
            next_digests: vec![next_digest(&key(3).public())],
            next_threshold: 1,
            release_keys: vec![release.public()],
            release_threshold: 1,
            freshness_key: Some(freshness.public()),
            label_key: None,
            serving_keys: Vec::new(),
            aliases: Vec::new(),
            revocations: Vec::new(),
            created: now,
        };
        let identity = vec![Envelope::sign(&event, NETWORK, &[(0, &root)])];
        let log = IdentityLog::verify(NETWORK, &identity).unwrap();
        Self {
            release,
            freshness,
            identity,
            log,
            now,
        }
    }

    pub(crate) fn id(&self) -> PublisherId {
        self.log.publisher()
    }

    pub(crate) fn repository(&self) -> RepositoryId {
        RepositoryId {
            publisher: self.id(),
            name: "tiny".parse().unwrap(),
        }
    }

    /// A record of the head at `index` that names `revision`, without freshness.
    pub(crate) fn record(&self, index: u64, revision: u8) -> RepositoryRecord {
        let head = Head {
            publisher: self.id(),
            name: "tiny".parse().unwrap(),
            index,
            manifest: ObjectId::new([revision; 32]),
            refs: None,
            previous: (index > 0).then(|| ObjectId::new([9; 32])),
            log_root: log::root(&[]),
            identity: self.log.tip_id(),
            identity_index: 0,
            issued: self.now,
            expires: self.now.plus(Duration::from_secs(86_400)),
            ttl: 3_600,
        };
        RepositoryRecord {
            identity: self.identity.clone(),
            head: Envelope::sign(&head, NETWORK, &[(0, &self.release)]),
            freshness: None,
            extension: None,
        }
    }

    /// The same with a freshness statement made `age` seconds ago.
    pub(crate) fn fresh(&self, mut record: RepositoryRecord, age: u64) -> RepositoryRecord {
        let head: Head = record.head.decode_body().unwrap();
        let issued = Timestamp(self.now.0 - age);
        let freshness = Freshness {
            publisher: head.publisher,
            name: head.name,
            head: record.head.id::<Head>(),
            index: head.index,
            issued,
            expires: issued.plus(Duration::from_secs(3_600)),
        };
        record.freshness = Some(Envelope::sign(&freshness, NETWORK, &[(0, &self.freshness)]));
        record
    }
}
