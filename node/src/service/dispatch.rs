//! The one match over everything the machine wants done.

use futures::FutureExt;
use tokio::sync::mpsc;
use weft_protocol::{
    freshness::Freshness,
    id::PublisherId,
    service::{Event, Input, Output, RequestId},
    sign::{Envelope, NetworkId},
};

use super::{Actor, outbox::Outbox};
use crate::{network, storage, transfer};

/// The ways out, one per actor.
#[derive(Debug)]
pub(crate) struct Subsystems {
    network: Outbox<network::Command>,
    transfer: Outbox<transfer::Command>,
    storage: Outbox<storage::Command>,
}

impl Subsystems {
    pub(crate) fn new(
        network: network::Handle,
        transfer: transfer::Handle,
        storage: mpsc::Sender<storage::Command>,
    ) -> Self {
        Self {
            network: Outbox::new(move |command| {
                let network = network.clone();
                async move {
                    if network.send(command).await.is_err() {
                        tracing::debug!("command after the end of the control plane");
                    }
                }
                .boxed()
            }),
            transfer: Outbox::new(move |command| {
                let transfer = transfer.clone();
                async move { transfer.send(command).await }.boxed()
            }),
            storage: Outbox::new(move |command| {
                let storage = storage.clone();
                async move {
                    if storage.send(command).await.is_err() {
                        tracing::debug!("command after the end of the storage thread");
                    }
                }
                .boxed()
            }),
        }
    }

    /// Hands over one queued command; waits for ever if none is queued. Cancel safe.
    pub(super) async fn send(&mut self) {
        tokio::select! {
            () = self.network.send() => {}
            () = self.transfer.send() => {}
            () = self.storage.send() => {}
        }
    }
}

impl Actor {
    /// Carries one output out, or hands it to the actor that can.
    pub(super) fn dispatch(&mut self, output: Output) {
        let Subsystems {
            network,
            transfer,
            storage,
        } = &mut self.subsystems;
        match output {
            Output::Reply { command, result } => {
                if let Some(reply) = self.replies.remove(&command) {
                    // The asker may have gone away; the machine is told by a cancel command.
                    let _ = reply.send(result);
                }
            }
            Output::Event(event) => {
                log(&event);
                let _ = self.events.send(event);
            }

            Output::Commit { request, ops } => {
                storage.push(storage::Command::Commit { request, ops });
            }
            Output::ReadObject { request, id } => {
                storage.push(storage::Command::ReadObject { request, id });
            }
            Output::ReadHead {
                request,
                repository,
                index,
            } => storage.push(storage::Command::ReadHead {
                request,
                repository,
                index,
            }),

            Output::Connect { peer, addresses } => {
                network.push(network::Command::Connect { peer, addresses });
            }
            Output::Ban { peer } => {
                network.push(network::Command::Ban { peer });
                transfer.push(transfer::Command::Ban { peer });
            }
            Output::SendRequest {
                request,
                peer,
                message,
            } => network.push(network::Command::SendRequest {
                request,
                peer,
                message,
            }),
            Output::Respond { request, message } => {
                network.push(network::Command::Respond { request, message });
            }
            Output::JudgeGossip { message, verdict } => {
                network.push(network::Command::JudgeGossip { message, verdict });
            }
            Output::Announce(announcement) => {
                network.push(network::Command::Announce(announcement));
            }
            Output::FindRecord { request, key } => {
                network.push(network::Command::FindRecord { request, key });
            }
            Output::PutRecord {
                request,
                key,
                record,
            } => network.push(network::Command::PutRecord {
                request,
                key,
                record,
            }),
            Output::FindProviders { request, key } => {
                network.push(network::Command::FindProviders { request, key });
            }
            Output::Provide { key } => network.push(network::Command::Provide { key }),
            Output::StopProviding { key } => {
                network.push(network::Command::StopProviding { key });
            }

            Output::LearnDataAddresses { peer, addresses } => {
                transfer.push(transfer::Command::LearnAddresses { peer, addresses });
            }
            Output::InspectBlobs { request, blobs } => {
                transfer.push(transfer::Command::Inspect { request, blobs });
            }
            Output::Protect { blobs } => transfer.push(transfer::Command::Protect { blobs }),
            Output::Offer { blobs } => transfer.push(transfer::Command::Offer { blobs }),
            Output::Observe { peer, blob, size } => {
                transfer.push(transfer::Command::Observe { peer, blob, size });
            }
            Output::Unobserve { peer, blob } => {
                transfer.push(transfer::Command::Unobserve { peer, blob });
            }
            Output::FetchPieces {
                request,
                peer,
                blob,
                size,
                pieces,
            } => transfer.push(transfer::Command::Fetch {
                request,
                peer,
                blob,
                size,
                pieces,
            }),
            Output::PlanCopies {
                request,
                revision,
                relatives,
            } => transfer.push(transfer::Command::PlanCopies {
                request,
                revision,
                relatives,
            }),
            Output::FetchBeside {
                request,
                peer,
                blob,
                size,
                pieces,
            } => transfer.push(transfer::Command::FetchBeside {
                request,
                peer,
                blob,
                size,
                pieces,
            }),
            Output::CopyBlob {
                request,
                blob,
                size,
            } => transfer.push(transfer::Command::CopyBlob {
                request,
                blob,
                size,
            }),
            Output::CancelPieces { request } => {
                transfer.push(transfer::Command::Cancel { request });
            }

            Output::StartUpload { upload } => {
                transfer.push(transfer::Command::StartUpload { upload });
            }
            Output::RefuseUpload { upload } => {
                transfer.push(transfer::Command::RefuseUpload { upload });
            }
            Output::SetRates(rates) => transfer.push(transfer::Command::SetRates(rates)),
            Output::Pardon { peer } => {
                // The control plane bans for the run only.
                transfer.push(transfer::Command::Pardon { peer });
            }

            Output::SignFreshness {
                request,
                publisher,
                freshness,
            } => self.sign_freshness(request, &publisher, &freshness),
        }
    }

    fn sign_freshness(
        &mut self,
        request: RequestId,
        publisher: &PublisherId,
        freshness: &Freshness,
    ) {
        let log = self.service.identity(publisher);
        let keys = log.map_or(Ok(None), |log| self.keys.keys(log));
        let keys = keys.unwrap_or_else(|error| {
            tracing::warn!(%error, %publisher, "cannot read the freshness key");
            None
        });
        let freshness: Option<Envelope> =
            keys.map(|keys| Envelope::sign(freshness, NetworkId::MAIN, &[(0, &keys.freshness)]));
        self.service.handle(
            self.clock.now(),
            Input::FreshnessSigned { request, freshness },
        );
    }
}

/// Tells the log what a user would notice.
fn log(event: &Event) {
    match event {
        Event::HeadAccepted {
            repository,
            index,
            revision,
        } => tracing::info!(%repository, index, revision = %revision.fmt_short(), "head accepted"),
        Event::HeadRejected {
            repository,
            peer,
            reason,
        } => {
            let peer = peer.map(|peer| peer.fmt_short());
            tracing::warn!(%repository, ?peer, reason, "head refused");
        }
        Event::EquivocationFound { repository, index } => {
            tracing::warn!(%repository, index, "two heads at one index: repository frozen");
        }
        Event::IdentityForked { publisher } => {
            tracing::warn!(%publisher, "two events at one position: identity forked");
        }
        Event::DownloadStarted {
            revision,
            bytes_total,
            bytes_have,
        } => {
            tracing::info!(revision = %revision.fmt_short(), bytes_total, bytes_have, "download started");
        }
        Event::RevisionComplete {
            repository,
            revision,
        } => tracing::info!(%repository, revision = %revision.fmt_short(), "revision complete"),
        Event::RevisionForgotten {
            repository,
            revision,
        } => tracing::info!(%repository, revision = %revision.fmt_short(), "revision forgotten"),
        Event::QuotaExceeded {
            repository,
            revision,
            bytes,
            bytes_max,
        } => {
            tracing::warn!(%repository, revision = %revision.fmt_short(), bytes, bytes_max, "not mirrored: over the quota");
        }
        Event::PeerCorrupt { peer, blob } => {
            tracing::warn!(peer = %peer.fmt_short(), blob = %blob.fmt_short(), "peer sent bytes that do not verify");
        }
        Event::PeerStalled { peer } => {
            tracing::debug!(peer = %peer.fmt_short(), "peer stalled");
        }
    }
}
