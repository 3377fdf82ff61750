//! `weft peers`: who is connected.

use anyhow::Context as _;
use clap::Args;
use weft_node::api::{PeersResponse, route};

use crate::{
    context::Context,
    render::{Column, Style, Table},
    units::Size,
};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  weft peers\n  weft peers -q | wc -l            how many there are"
)]
pub(crate) struct Arguments {}

pub(crate) fn run(context: &Context) -> anyhow::Result<()> {
    let client = context.running("have peers")?;
    let peers: PeersResponse = client
        .get(route::PEERS, &[])
        .context("could not ask the node for its peers")?;
    context.screen.facts(
        &peers,
        |peers| {
            peers
                .peers
                .iter()
                .map(|peer| peer.node_id.clone())
                .collect()
        },
        human,
    )?;
    Ok(())
}

fn human(peers: &PeersResponse, style: Style) -> String {
    let mut table = Table::new([
        Column::Left("NODE"),
        Column::Right("RECEIVED"),
        Column::Right("SENT"),
        Column::Left("AGENT"),
        Column::Left("ADDRESS"),
    ]);
    for peer in &peers.peers {
        table.row([
            peer.node_id.chars().take(16).collect(),
            Size(peer.downloaded_bytes).to_string(),
            Size(peer.uploaded_bytes).to_string(),
            peer.agent.clone(),
            peer.address.clone(),
        ]);
    }
    table.render(
        style,
        "no peers; name a node with `weft serve --bootstrap ADDR`",
    )
}
