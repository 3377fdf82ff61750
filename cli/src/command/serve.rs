//! `weft serve`: runs the node until it is told to stop.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use weft_node::{
    Config, Node,
    api::{MirrorRequest, MirrorView, StatusResponse, route},
    config::Overrides,
    home::Home,
};

use super::network::{Network, parse_address};
use crate::{
    client::{Client, Probe},
    context::Context,
    failure::Interrupted,
    home::Control,
    logging, node,
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weft serve                                      on the usual ports
  weft serve --bootstrap /ip4/192.0.2.1/tcp/4777/p2p/12D3KooW…
  WEFT_HOME=/tmp/a weft serve --listen 127.0.0.1:0 --gateway 127.0.0.1:0 --no-mdns
                                                  one of many nodes on one machine

Prints one line on standard output when it is ready; logs go to standard error. Stop it with
Ctrl-C or `weft stop`.")]
pub(crate) struct Arguments {
    /// Where local programs reach this node; loopback only [default: 127.0.0.1:4780]
    #[arg(long, value_name = "HOST:PORT", value_parser = parse_address, help_heading = "Network")]
    pub(crate) gateway: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) network: Network,
    /// Publisher or repository to mirror from now on (may be repeated)
    #[arg(
        long,
        value_name = "TARGET",
        value_delimiter = ',',
        help_heading = "Running"
    )]
    pub(crate) mirror: Vec<String>,
    /// File to write, as JSON, at the moment when the node is ready
    #[arg(long, value_name = "PATH", help_heading = "Running")]
    pub(crate) ready_file: Option<PathBuf>,
}

/// What is told when the node is ready, on stdout and in the ready file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Ready {
    node_id: String,
    listen: Vec<String>,
    gateway: String,
    home: String,
    pid: u32,
}

pub(crate) async fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    let global = context.global();
    logging::start(
        logging::Level::daemon(global.verbose, global.quiet),
        context.screen.talk_style(),
    );
    let home = Home::new(context.home()?);
    let overrides = Overrides {
        gateway: arguments.gateway,
        ..arguments.network.overrides()
    };
    let config = Config::load(&home, &overrides).context("could not read the settings")?;
    if let Some(path) = &arguments.ready_file {
        // One of a killed node would say "ready" before this one is; usually there is none.
        let _ = fs::remove_file(path);
    }
    let starting = Box::pin(Node::start(config));
    let node = tokio::select! {
        node = starting => node.context("could not start the node")?,
        () = node::interrupted() => return Err(Interrupted.into()),
    };
    let result = serve(&node, &arguments, context, home.root()).await;
    tokio::select! {
        () = node.shutdown() => {}
        () = node::interrupted() => {}
    }
    result
}

/// Tells that the node is ready, then waits for its end.
async fn serve(
    node: &Node,
    arguments: &Arguments,
    context: &Context,
    home: &Path,
) -> anyhow::Result<()> {
    let client = Client::new(Control {
        url: node.gateway().trim_end_matches('/').to_owned(),
        token: node.token(),
    });
    let (targets, home) = (arguments.mirror.clone(), home.to_owned());
    let ready = tokio::task::spawn_blocking(move || prepare(&client, &targets, &home)).await??;
    if let Some(path) = &arguments.ready_file {
        write_whole(path, &serde_json::to_vec(&ready)?)
            .with_context(|| format!("could not write `{}`", path.display()))?;
    }
    context.screen.facts(
        &ready,
        |ready| vec![ready.node_id.clone()],
        |ready, _| human(ready),
    )?;
    let ended = node.ended();
    tokio::select! {
        () = ended.cancelled() => {}
        () = node::interrupted() => {}
    }
    if let Some(path) = &arguments.ready_file {
        // A leftover would say "ready" about a node that is gone; that it cannot be removed is no failure.
        let _ = fs::remove_file(path);
    }
    Ok(())
}

fn prepare(client: &Client, targets: &[String], home: &Path) -> anyhow::Result<Ready> {
    for target in targets {
        let request = MirrorRequest {
            target: target.clone(),
            bytes_max: None,
            wait: false,
        };
        client
            .stream::<MirrorView>(route::MIRROR, &request, |_| {})
            .with_context(|| format!("could not mirror `{target}`"))?;
    }
    match client.probe() {
        Probe::Alive(status) => Ok(ready(*status, home)),
        Probe::Stale | Probe::Silent => {
            anyhow::bail!("the node's own port at {} does not answer", client.url())
        }
    }
}

fn ready(status: StatusResponse, home: &Path) -> Ready {
    Ready {
        node_id: status.node_id,
        listen: status.listen,
        gateway: status.gateway,
        home: home.display().to_string(),
        pid: std::process::id(),
    }
}

/// One line: whoever started the node reads one line and knows.
fn human(ready: &Ready) -> String {
    format!(
        "ready: gateway {}, listening on {}",
        ready.gateway,
        ready.listen.join(" ")
    )
}

/// Writes a file so that a reader sees all of it or nothing.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    fs::write(&partial, bytes)?;
    fs::rename(&partial, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_told_on_one_line() {
        let ready = Ready {
            node_id: "ab".to_owned(),
            listen: vec![
                "/ip4/1.2.3.4/tcp/1/p2p/x".to_owned(),
                "/ip4/5.6.7.8/tcp/1/p2p/x".to_owned(),
            ],
            gateway: "http://127.0.0.1:4780".to_owned(),
            home: "/h".to_owned(),
            pid: 1,
        };
        assert_eq!(
            human(&ready),
            "ready: gateway http://127.0.0.1:4780, listening on /ip4/1.2.3.4/tcp/1/p2p/x /ip4/5.6.7.8/tcp/1/p2p/x"
        );
    }

    #[test]
    fn ready_file_appears_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ready");
        write_whole(&path, b"{}").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"{}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
