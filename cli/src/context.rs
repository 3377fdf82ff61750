//! How a command reaches a node: the running one of its data directory, or one inside the command.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Context as _;
use tokio::runtime::Handle;
use weft_node::{
    Node,
    api::{ConnectRequest, Done, ErrorCode, route},
};

use crate::{
    args::Global,
    client::{Client, Probe},
    command::network::Network,
    failure::fail,
    home::{self, Control, Files},
    node::{self, Reach},
    render::Screen,
};

/// What every command is given. Clones share one node.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// Where output goes.
    pub(crate) screen: Screen,
    global: Global,
    runtime: Handle,
    node: Arc<Mutex<Option<Node>>>,
}

/// A node that a data directory names.
#[derive(Debug)]
pub(crate) enum Daemon {
    /// It runs.
    Running(Client),
    /// The data directory names none.
    None,
    /// The data directory names one that is gone.
    Stale(Client),
    /// It runs but does not answer.
    Silent(Client),
}

impl Context {
    pub(crate) fn new(global: &Global, runtime: Handle) -> Self {
        Self {
            screen: Screen::new(global),
            global: global.clone(),
            runtime,
            node: Arc::default(),
        }
    }

    /// Options that all commands share.
    pub(crate) fn global(&self) -> &Global {
        &self.global
    }

    /// The data directory.
    pub(crate) fn home(&self) -> anyhow::Result<PathBuf> {
        home::find(self.global.home.as_deref())
    }

    /// Looks for the running node.
    pub(crate) fn daemon(&self) -> anyhow::Result<Daemon> {
        let home = self.home()?;
        let Some(control) = Files::new(&home).read() else {
            return Ok(Daemon::None);
        };
        let client = Client::new(control);
        if !home::is_in_use(&home) {
            return Ok(Daemon::Stale(client));
        }
        Ok(match client.probe() {
            Probe::Alive(_) => Daemon::Running(client),
            Probe::Stale => Daemon::Stale(client),
            Probe::Silent => Daemon::Silent(client),
        })
    }

    /// Reaches the running node; `purpose` completes "only a running node can …".
    pub(crate) fn running(&self, purpose: &str) -> anyhow::Result<Client> {
        match self.running_if_any()? {
            Some(client) => Ok(client),
            None => Err(fail(
                ErrorCode::Offline,
                format!(
                    "no node runs on `{}`, and only a running node can {purpose}",
                    self.home()?.display()
                ),
                "start one with `weft serve` in another terminal",
            )),
        }
    }

    /// Reaches the running node, or starts one inside this command that contacts nobody.
    pub(crate) fn local(&self) -> anyhow::Result<Client> {
        match self.running_if_any()? {
            Some(client) => Ok(client),
            None => self.start(Reach::Local),
        }
    }

    /// Reaches the running node, or starts one inside this command that joins the network.
    pub(crate) fn network(&self, network: &Network) -> anyhow::Result<Client> {
        let Some(client) = self.running_if_any()? else {
            return self.start(Reach::Network(network));
        };
        if !network.bootstrap.is_empty() {
            let request = ConnectRequest {
                addresses: network.bootstrap.clone(),
            };
            client
                .post::<Done>(route::PEERS, &request)
                .context("could not reach the addresses given with `--bootstrap`")?;
        }
        Ok(client)
    }

    /// Whether the node of this command ends with it.
    pub(crate) fn is_in_process(&self) -> bool {
        self.slot().is_some()
    }

    /// Ends the node inside this command, if there is one.
    pub(crate) async fn stop_node(&self) {
        let node = self.slot().take();
        if let Some(node) = node {
            node.shutdown().await;
        }
    }

    /// Reaches the running node, if there is one.
    pub(crate) fn running_if_any(&self) -> anyhow::Result<Option<Client>> {
        match self.daemon()? {
            Daemon::Running(client) => Ok(Some(client)),
            Daemon::None | Daemon::Stale(_) => Ok(None),
            Daemon::Silent(client) => Err(fail(
                ErrorCode::Failure,
                format!("the node at {} does not answer", client.url()),
                "look at its output, or stop its process and start it again",
            )),
        }
    }

    fn start(&self, reach: Reach<'_>) -> anyhow::Result<Client> {
        let home = weft_node::home::Home::new(self.home()?);
        let node = self
            .runtime
            .block_on(node::start(&home, reach, &self.global))
            .context("could not start a node for this command")?;
        let control = Control {
            url: node.gateway().trim_end_matches('/').to_owned(),
            token: node.token(),
        };
        *self.slot() = Some(node);
        Ok(Client::new(control))
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Node>> {
        self.node.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
