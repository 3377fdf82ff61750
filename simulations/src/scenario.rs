//! Ready-made worlds.

use weft_protocol::{
    id::RevisionId,
    layout::Layout,
    op::Pin,
    piece_set::PieceSet,
    service::{Command, Selector},
};

use crate::{HostId, Publisher, World};

/// A quarter of a mebibyte: the smallest piece.
pub const PIECE: u64 = 256 * 1024;

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
        for (path, size) in files {
            let blob = Publisher::file(path, *size).blake3;
            let full = PieceSet::full(Layout::new(*size).pieces());
            self.host_mut(host).disk.blobs.insert(blob, full);
        }
        let reply = self.run_command(host, Command::Publish(Box::new(publication)), 60_000);
        assert!(matches!(reply, Some(Ok(_))), "publishing failed: {reply:?}");
        revision
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

/// How a crowd did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrowdReport {
    /// Hosts that fetched.
    pub peers: usize,
    /// Hosts whose fetch succeeded.
    pub completed: usize,
    /// Milliseconds until half of them had everything.
    pub half_ms: u64,
    /// Milliseconds until all of them had everything.
    pub all_ms: u64,
    /// Bytes of the revision.
    pub bytes_total: u64,
    /// Bytes that the only seed had to send.
    pub seed_bytes: u64,
    /// Bytes that everybody sent together.
    pub bytes_sent: u64,
    /// Inputs and timers handled.
    pub steps: u64,
    /// Fingerprint of the run.
    pub trace: String,
}

/// One seed publishes, everybody fetches at once.
///
/// # Panics
/// If the revision cannot be published or an invariant breaks.
pub fn flash_crowd(seed: u64, peers: usize, pieces: u64) -> CrowdReport {
    let mut world = World::new(seed);
    let origin = world.add_default();
    let mut publisher = Publisher::new(seed, "crowd", world.now().unix);
    let revision = world.publish(origin, &mut publisher, &[("model.bin", pieces * PIECE)]);
    let mut crowd: Vec<HostId> = Vec::new();
    for _ in 0..peers {
        let host = world.add_default();
        let at = world.rng.usize(..=crowd.len());
        let known = crowd.get(at).copied().unwrap_or(origin);
        world.connect(host, known);
        crowd.push(host);
    }
    world.run_for(2_000);
    let start = world.millis();
    for host in &crowd {
        world.command(*host, World::fetch_latest(&publisher));
    }
    let complete = |world: &World| {
        let done = |host: &&HostId| world.host(**host).is_complete(&revision);
        crowd.iter().filter(done).count()
    };
    let limit = 3_600_000;
    world.run_until(limit, |world| complete(world) * 2 >= peers);
    let half_ms = world.millis() - start;
    world.run_until(limit, |world| complete(world) == peers);
    let all_ms = world.millis() - start;
    world.run_for(2_000);
    world.check();
    CrowdReport {
        peers,
        completed: complete(&world),
        half_ms,
        all_ms,
        bytes_total: pieces * PIECE,
        seed_bytes: world.host(origin).uploaded,
        bytes_sent: world.hosts.iter().map(|host| host.uploaded).sum(),
        steps: world.steps(),
        trace: world.trace(),
    }
}
