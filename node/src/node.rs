//! A running node: everything put together, and taken apart in order.

use std::{sync::Arc, thread};

use tokio::{sync::mpsc, task::JoinHandle, time};
use tokio_util::sync::CancellationToken;
use weft_protocol::{
    service::{Command, Params, Service},
    sign::{NetworkId, SecretKey},
    wire::Hello,
};
use weft_registry::{Registry, RocksRegistry};

use crate::{
    api::{ErrorBody, ErrorCode},
    config::{self, Config},
    defaults, error, files,
    gateway::Gateway,
    home::{Home, Lock},
    identity::KeyStore,
    infer, network,
    operations::Operations,
    service::{Actor, Clock, Subsystems},
    storage, transfer,
    upstream::Upstream,
};

/// A node that runs in this process. Stop it with [`Node::shutdown`]: dropping it loses nothing that was
/// acknowledged, but leaves the order of the end to chance.
#[derive(Debug)]
pub struct Node {
    operations: Arc<Operations>,
    token: String,
    cancel: CancellationToken,
    /// Lives as long as the node: the data plane only knows where it is.
    _host: Arc<dyn transfer::Host>,
    service: JoinHandle<()>,
    gateway: JoinHandle<()>,
    network: JoinHandle<()>,
    pool: JoinHandle<()>,
    storage: thread::JoinHandle<()>,
    _lock: Lock,
}

impl Node {
    /// Opens the data directory, takes the ports and takes up what the last run left.
    ///
    /// # Errors
    /// `Refused` if another node uses the directory or a port, or if the directory is from a newer version; `Usage`
    /// for settings that make no sense; `Storage` if the disk fails.
    pub async fn start(config: Config) -> Result<Self, ErrorBody> {
        let home = Home::new(&config.home);
        let lock = home.open()?;
        let seed = home.node_seed()?;
        let token = home.token()?;
        let registry: Arc<dyn Registry> = open_registry(&home).await?;
        let gateway = Gateway::bind(config.gateway).await?;
        let network_id = NetworkId::MAIN;
        let cancel = CancellationToken::new();
        let (inputs_sender, inputs) = mpsc::channel(defaults::INPUTS_MAX);

        let transfer_config = transfer::Config {
            secret_key_seed: seed,
            bind: config.listen,
            tcp: config.data_listen.resolve(config.listen),
            directory: home.blobs(),
            registry: registry.clone(),
            collect_interval: defaults::COLLECT_INTERVAL,
        };
        let transfer =
            transfer::spawn(transfer_config, inputs_sender.clone(), cancel.child_token())
                .await
                .map_err(|e| port_or_disk(&e))?;
        let (network, network_task) = start_network(
            &config,
            seed,
            network_id,
            registry.clone(),
            inputs_sender.clone(),
            &cancel,
        )
        .await?;
        let (storage_sender, storage) = storage::spawn(registry.clone(), inputs_sender)
            .map_err(|e| error::io("cannot start the storage thread", &e))?;

        let params = Params {
            node: network.node_id(),
            network: network_id,
            seed: random_u64()?,
            hello: Hello {
                data_addresses: transfer.data_addresses(),
                agent: concat!("weft/", env!("CARGO_PKG_VERSION")).to_owned(),
            },
            cache_bytes_max: config.cache_bytes_max,
        };
        let snapshot = {
            let registry = registry.clone();
            tokio::task::spawn_blocking(move || registry.snapshot())
                .await
                .map_err(|e| ErrorBody::new(ErrorCode::Failure, e.to_string()))?
                .map_err(|e| registry_error(&e))?
        };
        let clock = Clock::start();
        let keys = KeyStore::new(home.clone(), network_id);
        let machine = Service::new(params, snapshot, clock.now());
        let subsystems = Subsystems::new(network.clone(), transfer.clone(), storage_sender);
        let (actor, service) = Actor::new(machine, clock, subsystems, keys.clone(), inputs);
        let service_task = tokio::spawn(actor.run(cancel.child_token()));
        // An unread answer would take it back.
        let limits = Command::SetLimits(config.limits.clone());
        let _ = service.command(limits).await.answer().await;

        let upstream = match &config.hub {
            Some(base) => {
                let opened = Upstream::open(
                    base.clone(),
                    home.upstream(),
                    &transfer,
                    &service,
                    cancel.clone(),
                );
                let failed = |e| error::io("cannot use the folder of the upstream hub", &e);
                Some(opened.map_err(failed)?)
            }
            None => None,
        };
        let (pool, pool_task) = infer::start(
            config.infer.clone(),
            registry.clone(),
            transfer.clone(),
            home.engines(),
            cancel.child_token(),
        )
        .map_err(|e| error::io("cannot find the program that runs models", &e))?;
        let key = SecretKey::from_seed(&seed);
        let local: Arc<dyn infer::Answerer> = Arc::new(pool.clone());
        let hosting = Arc::new(infer::Hosting::new(
            (network.node_id(), network_id, key.clone()),
            service.clone(),
            local.clone(),
        ));
        let host: Arc<dyn transfer::Host> = hosting;
        transfer.answer_hosted(Arc::downgrade(&host));
        let asker = infer::Asker::new(infer::Parts {
            node: network.node_id(),
            network: network_id,
            key,
            service: service.clone(),
            transfer: transfer.clone(),
            local,
            receipts: infer::Receipts::new(home.receipts(), network_id),
            audits_per_mille: config.audits_per_mille,
            cancel: cancel.child_token(),
        });
        let operations = Arc::new(Operations {
            node: network.node_id(),
            home: home.clone(),
            config,
            network_id,
            keys,
            registry,
            service,
            network,
            transfer,
            upstream,
            pool,
            asker,
            gateway: gateway.url(),
            started: std::time::Instant::now(),
            publishing: tokio::sync::Mutex::default(),
            shutdown: cancel.clone(),
        });
        let url = gateway.url();
        let gateway_task =
            tokio::spawn(gateway.serve(operations.clone(), token.clone(), cancel.child_token()));
        if operations.config.discoverable {
            files::write_private(&home.control_address(), url.as_bytes())
                .map_err(|e| error::io("cannot write the address of the local port", &e))?;
        }
        tracing::info!(node = %operations.node, gateway = url, "node runs");
        Ok(Self {
            operations,
            token,
            cancel,
            _host: host,
            service: service_task,
            gateway: gateway_task,
            network: network_task,
            pool: pool_task,
            storage,
            _lock: lock,
        })
    }

    /// The URL of the local port.
    pub fn gateway(&self) -> String {
        self.operations.gateway.clone()
    }

    /// What a program must show at the local port to use the control API.
    pub fn token(&self) -> String {
        self.token.clone()
    }

    /// This node's id, 64 hex.
    pub fn node_id(&self) -> String {
        self.operations.node.to_string()
    }

    /// Addresses that another node can take as `--bootstrap`.
    pub fn listen(&self) -> Vec<String> {
        self.operations.listen()
    }

    /// Fires when somebody asked the node to end, through the control API or [`Node::shutdown`].
    pub fn ended(&self) -> CancellationToken {
        self.cancel.clone()
    }

    /// Ends the node: no new work, what runs is ended, what was received is written down, databases closed.
    pub async fn shutdown(self) {
        self.cancel.cancel();
        let home = self.operations.home.clone();
        let _ = std::fs::remove_file(home.control_address());
        let ended = async {
            // The machine goes first: with it go the queues that keep the storage thread alive.
            report(self.service.await, "service");
            report(self.gateway.await, "gateway");
            report(self.network.await, "network");
            report(self.pool.await, "models");
            self.operations.transfer.shutdown().await;
            let (storage, registry) = (self.storage, self.operations.registry.clone());
            let closed = tokio::task::spawn_blocking(move || {
                if storage.join().is_err() {
                    tracing::error!("the storage thread died");
                }
                if let Err(error) = registry.sync() {
                    tracing::warn!(%error, "the registry could not be synced");
                }
            });
            report(closed.await, "storage");
        };
        if time::timeout(defaults::SHUTDOWN_TIMEOUT, ended)
            .await
            .is_err()
        {
            tracing::warn!("the node did not end in time");
        }
    }
}

fn report(ended: Result<(), tokio::task::JoinError>, task: &str) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, task, "a task died");
    }
}

async fn open_registry(home: &Home) -> Result<Arc<dyn Registry>, ErrorBody> {
    let path = home.registry();
    let opened = tokio::task::spawn_blocking(move || RocksRegistry::open(&path)).await;
    match opened {
        Ok(Ok(registry)) => Ok(Arc::new(registry)),
        Ok(Err(error)) => Err(registry_error(&error)),
        Err(error) => Err(ErrorBody::new(ErrorCode::Failure, error.to_string())),
    }
}

fn registry_error(error: &weft_registry::Error) -> ErrorBody {
    match error {
        weft_registry::Error::Newer { .. } => ErrorBody::new(
            ErrorCode::Refused,
            format!("this data directory was written by a newer weft: {error}"),
        )
        .with_hint("update weft, or choose another WEFT_HOME; nothing was changed"),
        weft_registry::Error::Locked { .. } => {
            ErrorBody::new(ErrorCode::Refused, error.to_string())
                .with_hint("another program uses this data directory")
        }
        _ => ErrorBody::new(ErrorCode::Storage, error.to_string())
            .with_hint("`weft doctor` checks the data directory and its disk"),
    }
}

fn port_or_disk(error: &transfer::StartError) -> ErrorBody {
    match error {
        transfer::StartError::Bind { .. } => ErrorBody::new(ErrorCode::Refused, error.to_string())
            .with_hint("another program has this port; choose one with `--listen ADDRESS:PORT`"),
        transfer::StartError::Tls(_) => ErrorBody::new(ErrorCode::Failure, error.to_string()),
        transfer::StartError::Store { .. } => ErrorBody::new(ErrorCode::Storage, error.to_string())
            .with_hint("`weft doctor` checks the data directory and its disk"),
    }
}

async fn start_network(
    config: &Config,
    seed: [u8; 32],
    network: NetworkId,
    registry: Arc<dyn Registry>,
    inputs: mpsc::Sender<weft_protocol::service::Input>,
    cancel: &CancellationToken,
) -> Result<(network::Handle, JoinHandle<()>), ErrorBody> {
    let bootstrap = config
        .bootstrap
        .iter()
        .map(|address| config::parse_bootstrap(address).map(|(_, address)| address))
        .collect::<Result<_, _>>()?;
    let config = network::Config {
        secret_key_seed: seed,
        listen: vec![config::multiaddr(config.listen)],
        bootstrap,
        external: Vec::new(),
        mdns: config.mdns,
        memory_bytes_max: Some(defaults::MEMORY_BYTES_MAX),
        network,
    };
    network::spawn(config, registry, inputs, cancel.child_token())
        .await
        .map_err(|e| {
            ErrorBody::new(ErrorCode::Refused, e.to_string())
                .with_hint("another program has this port; choose one with `--listen ADDRESS:PORT`")
        })
}

fn random_u64() -> Result<u64, ErrorBody> {
    let seed = files::random_seed().map_err(|e| error::io("cannot draw a random number", &e))?;
    Ok(seed.iter().take(8).fold(0, |n, b| n << 8 | u64::from(*b)))
}
