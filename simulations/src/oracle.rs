//! What must be true at any time, and at the end of each run.

use weft_protocol::{
    codec,
    id::BlobHash,
    limits,
    manifest::Manifest,
    op::{Pin, RevisionState},
    service::{Event, Output},
    wire::{Announcement, Response},
};

use crate::{HostId, World};

impl World {
    /// Nothing that the network sees or the user is told may be ahead of the disk.
    #[expect(clippy::wildcard_enum_match_arm, reason = "only these show something")]
    pub(crate) fn check_exposure(&self, id: HostId, output: &Output) {
        if !self.steps().is_multiple_of(self.check_every) {
            return;
        }
        let disk = &self.host(id).disk;
        let durable = |head: &weft_protocol::sign::Envelope| {
            let Ok(head) = head.decode_body::<weft_protocol::head::Head>() else {
                return false;
            };
            disk.tip(&head.repository())
                .is_some_and(|(tip, _)| tip >= head.index)
        };
        match output {
            Output::Announce(Announcement::Head(record)) => assert!(durable(&record.head)),
            Output::PutRecord { record, .. } => assert!(durable(&record.head)),
            Output::Respond {
                message: Response::Repository(record),
                ..
            } => assert!(durable(&record.head)),
            Output::Event(Event::HeadAccepted {
                repository, index, ..
            }) => {
                assert!(disk.tip(repository).is_some_and(|(tip, _)| tip >= *index));
            }
            Output::Event(Event::RevisionComplete { revision, .. }) => {
                assert!(self.host(id).is_complete(revision));
            }
            _ => {}
        }
    }

    /// Replaces what garbage collection spares. What the user keeps must be part of it.
    pub(crate) fn protect(&mut self, id: HostId, blobs: Vec<BlobHash>) {
        let disk = &self.host(id).disk;
        for record in disk.revisions() {
            let kept = record.pin == Pin::User && record.state == RevisionState::Complete;
            let manifest = disk.object(&record.revision).filter(|_| kept);
            let manifest = manifest.and_then(|preimage| {
                codec::decode_preimage::<Manifest>(record.revision, preimage).ok()
            });
            for (blob, _) in manifest.iter().flat_map(|manifest| manifest.blobs()) {
                let spared = blobs.binary_search(&blob).is_ok();
                assert!(spared, "pinned data is never collected");
            }
        }
        let host = self.host_mut(id);
        host.disk.collect(&blobs);
        self.holdings.keep(id, &blobs);
        self.host_mut(id).protected = blobs.into();
    }

    /// No host has more transfers under way than the limits allow.
    pub(crate) fn check_requests(&self, id: HostId) {
        let open = self.host(id).incoming.len();
        assert!(open <= limits::TRANSFERS_MAX, "{open} transfers at once");
    }

    /// Checks what must hold at the end of a run.
    ///
    /// # Panics
    /// If it does not.
    pub fn check(&self) {
        for host in &self.hosts {
            for record in host.disk.revisions() {
                if record.state != RevisionState::Complete {
                    continue;
                }
                let manifest = host.disk.object(&record.revision);
                let manifest = manifest.expect("a complete revision has its manifest");
                let manifest: Manifest = codec::decode_preimage(record.revision, manifest)
                    .expect("a stored manifest is what its id says");
                for (blob, size) in manifest.blobs() {
                    let full = host.disk.have(&blob, size).is_full();
                    assert!(full, "a complete revision has all its pieces");
                }
            }
        }
    }

    /// Every command ends: with success or a typed error.
    ///
    /// # Panics
    /// If one has no answer.
    pub fn check_answered(&self) {
        for (at, host) in self.hosts.iter().enumerate() {
            assert!(
                host.open_commands.is_empty(),
                "host {at} owes answers to {:?}",
                host.open_commands
            );
        }
    }
}
