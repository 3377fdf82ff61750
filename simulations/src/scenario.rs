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
