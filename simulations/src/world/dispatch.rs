//! The one match over everything a machine wants done.

use weft_protocol::service::{Event, Input, Output};

use super::{Happening, World};
use crate::HostId;

/// Milliseconds a disk needs for a batch or a look.
const DISK_MS: u64 = 3;

impl World {
    /// Carries out one output. Exhaustive on purpose.
    pub(super) fn dispatch(&mut self, id: HostId, output: Output) {
        self.check_exposure(id, &output);
        match output {
            Output::Reply { command, result } => {
                let host = self.host_mut(id);
                assert!(
                    host.open_commands.remove(&command),
                    "one answer for each command"
                );
                host.replies.insert(command, result);
            }
            Output::Event(event) => {
                if let Event::RevisionComplete { revision, .. } = &event {
                    self.census.completed(self.now, id, *revision);
                }
                self.host_mut(id).events.push(event);
            }
            Output::Commit { request, ops } => {
                let write = Happening::Write {
                    host: id,
                    epoch: self.host(id).epoch,
                    batch: Box::new((request, ops)),
                };
                self.later(DISK_MS, write);
            }
            Output::ReadObject {
                request,
                id: object,
            } => {
                let preimage = self.host(id).disk.object(&object).cloned();
                self.input_later(DISK_MS, id, Input::ObjectRead { request, preimage });
            }
            Output::ReadHead {
                request,
                repository,
                index,
            } => {
                let head = self.host(id).disk.head(&repository, index).cloned();
                self.input_later(DISK_MS, id, Input::HeadRead { request, head });
            }
            Output::InspectBlobs { request, blobs } => {
                let disk = &self.host(id).disk;
                let have = blobs.iter().map(|(blob, size)| disk.have(blob, *size));
                let have = have.collect();
                self.input_later(DISK_MS, id, Input::BlobsInspected { request, have });
            }
            Output::Connect { peer, .. } => self.dial(id, &peer),
            Output::Ban { peer } => self.ban(id, peer),
            Output::SendRequest {
                request,
                peer,
                message,
            } => self.send(id, request, &peer, message),
            Output::Respond { request, message } => self.respond(id, request, message),
            Output::JudgeGossip { message, verdict } => self.judged(id, message, verdict),
            Output::Announce(announcement) => self.announce(id, &announcement),
            Output::FindRecord { request, key } => self.find_record(id, request, key),
            Output::PutRecord {
                request,
                key,
                record,
            } => self.put_record(id, request, key, *record),
            Output::FindProviders { request, key } => self.find_providers(id, request, key),
            Output::Provide { key } => self.dht.provide(key, id),
            Output::StopProviding { key } => self.dht.stop_providing(&key, id),
            Output::LearnDataAddresses { .. } => {}
            Output::Protect { blobs } => self.protect(id, blobs),
            Output::Offer { blobs } => self.host_mut(id).offered = blobs.into_iter().collect(),
            Output::Observe { peer, blob, size } => self.observe(id, &peer, blob, size),
            Output::Unobserve { peer, blob } => self.unobserve(id, &peer, &blob),
            Output::FetchPieces {
                request,
                peer,
                blob,
                size,
                pieces,
            } => self.fetch(id, request, &peer, blob, size, pieces),
            // Simulated blobs share no content.
            Output::PlanCopies { request, .. } => {
                let plans = Vec::new();
                self.input_later(DISK_MS, id, Input::CopiesPlanned { request, plans });
            }
            Output::FetchBeside { .. } | Output::CopyBlob { .. } => {
                unreachable!("nothing was planned to be copied");
            }
            Output::CancelPieces { request } => self.cancel_transfer(id, request),
            Output::StartUpload { upload } => self.start_upload(id, upload),
            Output::RefuseUpload { upload } => self.refuse_upload(id, upload),
            Output::SetRates(rates) => self.set_rates(id, &rates),
            Output::Pardon { peer } => {
                self.host_mut(id).banned.remove(&peer);
            }
            Output::SignFreshness {
                request,
                publisher,
                freshness,
            } => {
                let keys = self.host(id).keys.get(&publisher);
                let freshness = keys.map(|keys| keys.sign_freshness(&freshness));
                self.input_later(1, id, Input::FreshnessSigned { request, freshness });
            }
        }
    }
}
