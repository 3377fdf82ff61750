//! `weft status`: what the node does right now.

use anyhow::Context as _;
use clap::Args;
use weft_node::api::{RevisionState, StatusResponse, TransferView, route};

use crate::{
    context::Context,
    render::{self, Column, Style, Table, fields},
    units::{Size, Span, count},
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weft status                       for people
  weft status --json                for scripts: node_id, listen, gateway, peers, repositories, transfers, …")]
pub(crate) struct Arguments {}

pub(crate) fn run(context: &Context) -> anyhow::Result<()> {
    let client = context.running("say what it does")?;
    let status: StatusResponse = client
        .get(route::STATUS, &[])
        .context("could not ask the node for its status")?;
    context
        .screen
        .facts(&status, |status| vec![status.node_id.clone()], human)?;
    Ok(())
}

fn human(status: &StatusResponse, style: Style) -> String {
    let complete: Vec<u64> = status
        .repositories
        .iter()
        .flat_map(|repository| &repository.revisions)
        .filter(|revision| revision.state == RevisionState::Complete)
        .map(|revision| revision.bytes_total)
        .collect();
    let text = fields(
        &[
            ("node", status.node_id.clone()),
            (
                "version",
                format!(
                    "{}, up {}, pid {}",
                    status.version,
                    Span::seconds(status.uptime_seconds),
                    status.pid
                ),
            ),
            ("home", status.home.clone()),
            ("gateway", status.gateway.clone()),
            ("listen", status.listen.join("\n")),
            ("peers", status.peers.len().to_string()),
            (
                "repositories",
                format!(
                    "{} known, {} here ({})",
                    status.repositories.len(),
                    count(complete.len() as u64, "complete revision"),
                    Size(complete.iter().sum())
                ),
            ),
            ("mirrors", status.mirrors.len().to_string()),
            (
                "traffic",
                format!(
                    "sent {}, received {}",
                    Size(status.uploaded_bytes),
                    Size(status.downloaded_bytes)
                ),
            ),
        ],
        style,
    );
    if status.transfers.is_empty() {
        text
    } else {
        format!("{text}\n\n{}", transfers(&status.transfers, style))
    }
}

fn transfers(transfers: &[TransferView], style: Style) -> String {
    let mut table = Table::new([
        Column::Left("DOWNLOADING"),
        Column::Right("DONE"),
        Column::Right("OF"),
        Column::Right("PEERS"),
    ]);
    for transfer in transfers {
        table.row([
            render::repository(&transfer.repository, None),
            Size(transfer.bytes_done).to_string(),
            Size(transfer.bytes_total).to_string(),
            format!("{}/{}", transfer.peers_active, transfer.peers_known),
        ]);
    }
    table.render(style, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_fits_a_glance() {
        let status = StatusResponse {
            node_id: "ab".repeat(32),
            listen: vec!["/ip4/127.0.0.1/tcp/4777/p2p/x".to_owned()],
            gateway: "http://127.0.0.1:4780".to_owned(),
            peers: Vec::new(),
            repositories: Vec::new(),
            transfers: vec![TransferView {
                repository: format!("{}/tiny", "a".repeat(52)),
                revision: "00".repeat(32),
                bytes_total: 4_000_000,
                bytes_done: 1_000_000,
                bytes_reused: 0,
                peers_active: 2,
                peers_known: 3,
                sources: Vec::new(),
            }],
            uploaded_bytes: 5,
            downloaded_bytes: 1_500,
            data_listen: Vec::new(),
            mirrors: Vec::new(),
            version: "0.1.0".to_owned(),
            home: "/h".to_owned(),
            pid: 7,
            uptime_seconds: 3_700,
        };
        let text = human(&status, Style::plain());
        for part in [
            "version       0.1.0, up 1h 1m, pid 7",
            "traffic       sent 5 B, received 1.5 kB",
            "aaaaaaaaaa/tiny",
            "2/3",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }
}
