//! Crowds that fetch one thing under good and bad conditions.
//!
//! A [`Setup`] says who takes part and what goes wrong when; [`Setup::run`] lets it happen, checks the oracles and
//! measures. The scenarios of the command line are setups by name ([`named()`]).

mod crowd;
mod faults;
mod named;
mod plan;

pub use named::{NAMES, Named, named};
pub use plan::{Action, Whom};
use weft_protocol::{
    id::RevisionId,
    layout::Layout,
    op::Pin,
    piece_set::PieceSet,
    service::{Command, Selector},
};

pub use crate::workload::{Lines, PIECE};
use crate::{Behaviour, HostId, Publisher, World, flow, workload};

/// Who takes part and what happens.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Its name.
    pub scenario: String,
    /// What everything random comes from.
    pub seed: u64,
    /// Hosts that fetch.
    pub peers: usize,
    /// Pieces of what they fetch.
    pub pieces: u64,
    /// Bytes per second up of each of the first seeds.
    pub seed_ups: Vec<u64>,
    /// On what lines the others sit.
    pub lines: Lines,
    /// If anything is here, all hosts are processes of one machine instead: bytes per second up of each peer by turns,
    /// no distance, and no limit down.
    pub one_machine: Vec<u64>,
    /// Bytes of the one file that they fetch, instead of `pieces`.
    pub bytes: Option<u64>,
    /// Connections with which a host stops dialling others.
    pub neighbours: usize,
    /// Shares of the peers that serve otherwise, by behaviour.
    pub adversaries: Vec<(f64, Behaviour)>,
    /// Whether those have everything from the start.
    pub adversaries_seed: bool,
    /// What happens when, in seconds since the crowd began; ascending.
    pub plan: Vec<(f64, Action)>,
    /// The peers are mirrors: they follow the publisher, who publishes when the crowd begins.
    pub mirrors: bool,
    /// The run is given up after this many times the bound.
    pub patience: f64,
}

impl Setup {
    /// A crowd of equals and one seed with a line like theirs.
    pub fn new(scenario: &str, seed: u64, peers: usize, pieces: u64) -> Self {
        Self {
            scenario: scenario.to_owned(),
            seed,
            peers,
            pieces,
            seed_ups: vec![5_000_000],
            lines: Lines::Same(5_000_000, 12_500_000),
            one_machine: Vec::new(),
            bytes: None,
            neighbours: 30,
            adversaries: Vec::new(),
            adversaries_seed: false,
            plan: Vec::new(),
            mirrors: false,
            patience: 20.0,
        }
    }

    /// So many hosts are a share of the peers.
    fn share(&self, share: f64) -> usize {
        usize::try_from(flow::whole((share * self.peers as f64).round())).unwrap_or(usize::MAX)
    }

    fn sort_plan(&mut self) {
        self.plan.sort_by(|a, b| a.0.total_cmp(&b.0));
    }

    /// The same honest hosts without adversaries and without accidents, to compare with.
    #[must_use]
    pub fn clean(&self) -> Self {
        let count = |(share, _): &(f64, Behaviour)| self.share(*share);
        let others: usize = self.adversaries.iter().map(count).sum();
        Self {
            peers: self.peers.saturating_sub(others),
            scenario: format!("{} (clean)", self.scenario),
            adversaries: Vec::new(),
            adversaries_seed: false,
            plan: Vec::new(),
            ..self.clone()
        }
    }

    /// What is fetched.
    fn files(&self) -> Vec<(String, u64)> {
        match self.bytes {
            Some(bytes) => vec![("model.safetensors".to_owned(), bytes)],
            None => workload::files(self.pieces),
        }
    }

    /// About how many seconds the lines need, to plan by.
    fn rough_bound(&self) -> f64 {
        let bytes: u64 = self.files().iter().map(|(_, size)| size).sum();
        let seeds: u64 = self.seed_ups.iter().sum();
        bytes as f64 / (seeds as f64).min(5e6)
    }
}

impl World {
    /// Lets a host publish a revision; its files are in its blob store already.
    ///
    /// # Panics
    /// If it does not succeed within a minute.
    pub fn publish(
        &mut self,
        host: HostId,
        publisher: &mut Publisher,
        files: &[(&str, u64)],
    ) -> RevisionId {
        let unix = self.now().unix;
        let (revision, publication) = publisher.publish(files, unix);
        self.give_keys(host, publisher);
        self.give_files(host, files);
        let reply = self.run_command(host, Command::Publish(Box::new(publication)), 60_000);
        assert!(matches!(reply, Some(Ok(_))), "publishing failed: {reply:?}");
        revision
    }

    /// Puts files into a host's blob store.
    pub fn give_files(&mut self, host: HostId, files: &[(&str, u64)]) {
        for (path, size) in files {
            let blob = Publisher::file(path, *size).blake3;
            let full = PieceSet::full(Layout::new(*size).pieces());
            self.census.came(&blob, &full);
            self.holdings.insert_all(host, blob, &full);
            self.host_mut(host).disk.blobs.insert(blob, full);
        }
    }

    /// The command that fetches the newest revision and keeps it.
    pub fn fetch_latest(publisher: &Publisher) -> Command {
        Command::Fetch {
            repository: publisher.repository.clone(),
            selector: Selector::Latest,
            pin: Pin::User,
            seed: true,
        }
    }
}
