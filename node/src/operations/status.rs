//! `weft status` and `weft peers`.

use weft_protocol::{op, service};

use super::{Operations, shutting_down};
use crate::{
    api::{
        ConnectRequest, Done, ErrorBody, PeerView, PeersResponse, RepositoriesResponse,
        RepositorySummary, RevisionView, Source, StatusResponse, TransferView,
    },
    network,
};

impl Operations {
    /// Everything at a glance.
    pub(crate) async fn status(&self) -> Result<StatusResponse, ErrorBody> {
        let transfers = self
            .service
            .view(|service| service.transfers())
            .await
            .ok_or_else(shutting_down)?;
        let counters = self.transfer.counters();
        Ok(StatusResponse {
            node_id: self.node.to_string(),
            listen: self.listen(),
            gateway: self.gateway.clone(),
            peers: self.peers().await?.peers,
            repositories: self.repositories().await?.repositories,
            transfers: transfers.iter().map(transfer_view).collect(),
            uploaded_bytes: counters.uploaded,
            downloaded_bytes: counters.downloaded,
            data_listen: self
                .transfer
                .addresses()
                .iter()
                .map(ToString::to_string)
                .collect(),
            mirrors: self.mirrors().await?.mirrors,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            home: self.home.root().display().to_string(),
            pid: std::process::id(),
            uptime_seconds: self.started.elapsed().as_secs(),
        })
    }

    /// Addresses that another node can take as `--bootstrap`.
    pub(crate) fn listen(&self) -> Vec<String> {
        let addresses = self.network.listen_addresses();
        addresses.iter().map(ToString::to_string).collect()
    }

    /// Connected peers.
    pub(crate) async fn peers(&self) -> Result<PeersResponse, ErrorBody> {
        let peers = self
            .service
            .view(|service| service.peers())
            .await
            .ok_or_else(shutting_down)?;
        let counters = self.transfer.counters();
        Ok(PeersResponse {
            peers: peers
                .into_iter()
                .map(|view| PeerView {
                    uploaded_bytes: counters
                        .peers
                        .iter()
                        .find(|bytes| bytes.peer == view.peer)
                        .map_or(0, |bytes| bytes.uploaded),
                    node_id: view.peer.to_string(),
                    address: view.address,
                    agent: view.agent,
                    downloaded_bytes: view.bytes_received,
                    in_flight: view.in_flight,
                })
                .collect(),
        })
    }

    /// Dials addresses beside those the node was started with.
    pub(crate) async fn connect(&self, request: ConnectRequest) -> Result<Done, ErrorBody> {
        for address in &request.addresses {
            let (peer, address) = crate::config::parse_bootstrap(address)?;
            let command = network::Command::Connect {
                peer,
                addresses: vec![address.to_string()],
            };
            self.network
                .send(command)
                .await
                .map_err(|_| shutting_down())?;
        }
        Ok(Done {
            message: Some(format!("dialling {} addresses", request.addresses.len())),
        })
    }

    /// Known repositories and what of them is here.
    pub(crate) async fn repositories(&self) -> Result<RepositoriesResponse, ErrorBody> {
        let views = self
            .service
            .view(|service| service.repositories())
            .await
            .ok_or_else(shutting_down)?;
        let mut repositories = Vec::with_capacity(views.len());
        for view in views {
            repositories.push(self.summary(view).await);
        }
        Ok(RepositoriesResponse { repositories })
    }

    async fn summary(&self, view: service::RepositoryView) -> RepositorySummary {
        let petname = self.petname_of(view.repository.publisher).await;
        RepositorySummary {
            alias: petname.map(|name| format!("{name}/{}", view.repository.name)),
            repository: view.repository.to_string(),
            index: view.index,
            revision: view.revision.to_string(),
            freshness: view.freshness.into(),
            frozen: view.frozen,
            revisions: view
                .revisions
                .iter()
                .map(|record| self.revision_view(record))
                .collect(),
        }
    }

    fn revision_view(&self, record: &op::RevisionRecord) -> RevisionView {
        RevisionView {
            revision: record.revision.to_string(),
            state: record.state.into(),
            pin: record.pin.into(),
            seed: record.seed,
            bytes_total: record.bytes_total,
            used: record.used.0,
            path: self.shown(record),
        }
    }

    /// The folder inside the data directory that shows a revision, if it was made.
    pub(super) fn shown(&self, record: &op::RevisionRecord) -> Option<String> {
        let directory = self.view_directory(&record.repository, &record.revision);
        directory.is_dir().then(|| directory.display().to_string())
    }
}

fn transfer_view(view: &service::TransferView) -> TransferView {
    TransferView {
        repository: view.repository.to_string(),
        revision: view.revision.to_string(),
        bytes_total: view.bytes_total,
        bytes_done: view.bytes_done,
        bytes_reused: view.bytes_reused,
        peers_active: view.peers_active,
        peers_known: view.peers_known,
        sources: view
            .sources
            .iter()
            .map(|(peer, bytes)| Source {
                peer: peer.to_string(),
                bytes: *bytes,
            })
            .collect(),
    }
}
