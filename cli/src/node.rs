//! Nodes in this process: the daemon of `weft serve`, and the short-lived one of a command that found none.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::signal::unix::{SignalKind, signal};
use weft_node::{Config, Node, config::Overrides, home::Home};

use crate::{args::Global, command::network::Network};

/// Ports that nobody else has, on all interfaces: others may connect back while the command runs.
const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
/// A port that nobody else has, on this machine only.
const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// How far a node inside a command reaches.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reach<'a> {
    /// It reads and writes what is on this machine and contacts nobody.
    Local,
    /// It joins the network for as long as the command runs.
    Network(&'a Network),
}

/// Starts a node for one command.
pub(crate) async fn start(home: &Home, reach: Reach<'_>, global: &Global) -> anyhow::Result<Node> {
    crate::logging::start(
        crate::logging::Level::embedded(global.verbose),
        crate::render::Style::plain(),
    );
    let overrides = match reach {
        Reach::Local => Overrides {
            listen: Some(LOOPBACK),
            gateway: Some(LOOPBACK),
            mdns: Some(false),
            ..Overrides::default()
        },
        Reach::Network(network) => Overrides {
            listen: Some(network.listen.unwrap_or(ANY)),
            gateway: Some(LOOPBACK),
            ..network.overrides()
        },
    };
    let mut config = Config::load(home, &overrides)?;
    // It ends with this command: nobody else should come to rely on it.
    config.discoverable = false;
    if matches!(reach, Reach::Local) {
        config.bootstrap.clear();
    }
    Ok(Box::pin(Node::start(config)).await?)
}

/// Waits for Ctrl-C or a request to terminate.
pub(crate) async fn interrupted() {
    let signals = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    );
    let (Ok(mut interrupt), Ok(mut terminate)) = signals else {
        // Without handlers the signals end the program at once, which is right too.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
