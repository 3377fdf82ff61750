//! From commands to tasks.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};
use weft_protocol::{
    id::{BlobHash, NodeId},
    service::{Input, RequestId},
};

use super::{
    Command, availability,
    context::Context,
    copies,
    fetch::{self, Order, Part},
    link,
    observe::{self, Watch},
};

/// How often unused connections and finished work are looked for.
const TIDY_INTERVAL: Duration = Duration::from_secs(1);

/// The one owner of what is running for the machine.
pub(super) struct Actor {
    context: Arc<Context>,
    commands: mpsc::Receiver<Command>,
    fetches: HashMap<RequestId, CancellationToken>,
    watches: HashMap<(NodeId, BlobHash), (u64, CancellationToken)>,
    watches_begun: u64,
    /// Bounded by what the machine has in flight: it counts its requests, and each observation is one it asked
    /// for.
    jobs: JoinSet<Ended>,
}

/// Which job ended.
enum Ended {
    Fetch(RequestId),
    Watch((NodeId, BlobHash), u64),
    Information,
}

impl Actor {
    pub(super) fn new(context: Arc<Context>, commands: mpsc::Receiver<Command>) -> Self {
        Self {
            context,
            commands,
            fetches: HashMap::new(),
            watches: HashMap::new(),
            watches_begun: 0,
            jobs: JoinSet::new(),
        }
    }

    pub(super) async fn run(mut self) {
        let mut tidy = tokio::time::interval(TIDY_INTERVAL);
        loop {
            tokio::select! {
                () = self.context.cancel.cancelled() => break,
                command = self.commands.recv() => match command {
                    Some(command) => self.handle(command),
                    None => break,
                },
                Some(ended) = self.jobs.join_next() => match ended {
                    Ok(ended) => self.ended(&ended),
                    Err(error) => error!("a transfer task failed: {error}"),
                },
                _ = tidy.tick() => {
                    self.context.peers.close_idle();
                    self.context.links.close_idle();
                }
            }
        }
        // Tokens are children of the data plane's, so everything is ending by itself.
        self.context.cancel.cancel();
        while self.jobs.join_next().await.is_some() {}
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::LearnAddresses { peer, addresses } => {
                let quic = addresses.iter().filter_map(|text| text.parse().ok());
                self.context.peers.learn(peer, quic);
                let tcp = addresses
                    .iter()
                    .filter_map(|text| link::parse_address(text));
                self.context.links.learn(peer, tcp);
            }
            Command::Inspect { request, blobs } => self.inspect(request, blobs),
            Command::Protect { blobs } => {
                self.context.collector.protect(&self.context.store, &blobs);
            }
            Command::Offer { blobs } => self.context.offer(&blobs),
            Command::Observe { peer, blob, size } => self.observe(Watch { peer, blob, size }),
            Command::Unobserve { peer, blob } => {
                if let Some((_, cancel)) = self.watches.remove(&(peer, blob)) {
                    cancel.cancel();
                }
            }
            Command::Fetch {
                request,
                peer,
                blob,
                size,
                pieces,
            } => self.fetch(Order {
                request,
                peer,
                blob,
                size,
                part: Part::Pieces(pieces),
            }),
            Command::PlanCopies {
                request,
                revision,
                relatives,
            } => {
                let plan = copies::plan(Arc::clone(&self.context), request, revision, relatives);
                self.inform(plan);
            }
            Command::FetchBeside {
                request,
                peer,
                blob,
                size,
                pieces,
            } => self.fetch(Order {
                request,
                peer,
                blob,
                size,
                part: Part::Beside(pieces),
            }),
            Command::CopyBlob {
                request,
                blob,
                size,
            } => {
                let cancel = self.token(request);
                let copy = copies::copy(Arc::clone(&self.context), request, (blob, size), cancel);
                self.jobs.spawn(async move {
                    copy.await;
                    Ended::Fetch(request)
                });
            }
            Command::Cancel { request } => {
                if let Some(cancel) = self.fetches.get(&request) {
                    cancel.cancel();
                }
            }
            Command::StartUpload { upload } => self.context.uploads.start(upload),
            Command::RefuseUpload { upload } => self.context.uploads.refuse(upload),
            Command::SetRates(rates) => self.context.rates.set(rates),
            Command::Pardon { peer } => self.context.peers.pardon(peer),
            Command::Ban { peer } => {
                debug!(peer = %peer.fmt_short(), "peer banned");
                self.context.peers.ban(peer);
                self.context.links.forget(peer);
            }
        }
    }

    fn inspect(&mut self, request: RequestId, blobs: Vec<(BlobHash, u64)>) {
        let context = Arc::clone(&self.context);
        self.inform(async move {
            let have = availability::inspect(&context, blobs).await;
            context
                .report(Input::BlobsInspected { request, have })
                .await;
        });
    }

    /// Finds something out for the machine.
    fn inform(&mut self, answer: impl Future<Output = ()> + Send + 'static) {
        let cancel = self.context.cancel.clone();
        self.jobs.spawn(async move {
            cancel.run_until_cancelled(answer).await;
            Ended::Information
        });
    }

    /// By which a request can be cancelled.
    fn token(&mut self, request: RequestId) -> CancellationToken {
        let cancel = self.context.cancel.child_token();
        self.fetches.insert(request, cancel.clone());
        cancel
    }

    fn observe(&mut self, watch: Watch) {
        let key = (watch.peer, watch.blob);
        if self.watches.contains_key(&key) {
            return;
        }
        let cancel = self.context.cancel.child_token();
        self.watches_begun += 1;
        let number = self.watches_begun;
        self.watches.insert(key, (number, cancel.clone()));
        let run = observe::run(Arc::clone(&self.context), watch, cancel);
        self.jobs.spawn(async move {
            run.await;
            Ended::Watch(key, number)
        });
    }

    fn fetch(&mut self, order: Order) {
        let request = order.request;
        let cancel = self.token(request);
        let run = fetch::run(Arc::clone(&self.context), order, cancel);
        self.jobs.spawn(async move {
            run.await;
            Ended::Fetch(request)
        });
    }

    fn ended(&mut self, ended: &Ended) {
        match ended {
            Ended::Fetch(request) => {
                self.fetches.remove(request);
            }
            Ended::Watch(key, number) => {
                // It may have been replaced by a newer one meanwhile.
                if self.watches.get(key).is_some_and(|(n, _)| n == number) {
                    self.watches.remove(key);
                }
            }
            Ended::Information => {}
        }
    }
}
