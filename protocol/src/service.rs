//! The one machine that takes every decision of a node.
//!
//! Four verbs: [`Service::handle`], [`Service::handle_timeout`], [`Service::poll_output`],
//! [`Service::poll_timeout`]. After any mutation drain outputs until `None`, then arm a timer for
//! `poll_timeout`. Time and randomness are arguments; nothing is announced or reported before the registry has
//! confirmed the commit it rests on.
//!
//! This file only routes. What is believed lives in `facts`, what is held in `revisions`; `offers` judges
//! records, `resolve` finds revisions, `fetches` and [`crate::swarm`] bring their files, `providers`,
//! `seeding`, `serving`, `mirrors` and `freshness` are what a node does for others and by itself.

mod answers;
mod command;
mod commands;
mod copies;
mod event;
mod facts;
mod fetches;
mod freshness;
mod gossip;
mod hosting;
mod input;
mod leaves;
mod mirrors;
mod offers;
mod origins;
mod outbox;
mod output;
mod peers;
mod pending;
mod providers;
mod quota;
mod rates;
mod resolve;
mod revisions;
mod seeding;
mod serving;
mod uploads;
mod view;

use std::collections::{BTreeMap, BTreeSet};

pub use command::*;
pub use event::*;
use fastrand::Rng;
pub use hosting::Admission;
pub use input::*;
pub(crate) use outbox::Outbox;
pub use output::*;
use pending::{After, Pending, Purpose};

use crate::{
    id::{NodeId, ObjectId, RepositoryId, RevisionId},
    op::{Op, Pin, RevisionState, Snapshot},
    sign::NetworkId,
    swarm::{Context, Limits, Rates, Swarm},
    time::{Instant, Now},
};

/// One in so many inputs is followed by a full check.
#[cfg(debug_assertions)]
const CHECK_EVERY: u64 = 16;

/// What a node is told at start.
#[derive(Debug, Clone)]
pub struct Params {
    /// This node.
    pub node: NodeId,
    /// Which network.
    pub network: NetworkId,
    /// Seed of the machine's only randomness.
    pub seed: u64,
    /// This node's own introduction.
    pub hello: crate::wire::Hello,
    /// Disk limit in bytes for everything that is not pinned by the user; `None` is no limit.
    pub cache_bytes_max: Option<u64>,
}

/// The machine.
#[derive(Debug)]
pub struct Service {
    params: Params,
    rng: Rng,
    now: Now,
    booted: Instant,
    out: Outbox,
    pending: Pending,
    facts: facts::Facts,
    offers: offers::Offers,
    revisions: revisions::Revisions,
    resolves: resolve::Resolves,
    fetches: fetches::Fetches,
    swarm: Swarm,
    searches: providers::Searches,
    peers: peers::Peers,
    origins: origins::Origins,
    seeding: seeding::Seeding,
    serving: serving::Serving,
    mirrors: mirrors::Mirrors,
    freshness: freshness::Signer,
    gossip: gossip::Seen,
    seekers: hosting::Seekers,
    limits: Limits,
    /// What the driver was told last.
    rates: Rates,
    /// When something besides the swarm is due, at the earliest.
    others_due: Option<Instant>,
    /// Leaves that came in several answers and do not reach the tip yet.
    partial_logs: BTreeMap<RepositoryId, Vec<ObjectId>>,
    /// Repositories whose leaves are being written.
    leaves_writing: BTreeSet<RepositoryId>,
    /// Counts inputs, of which some are followed by a full check.
    #[cfg(debug_assertions)]
    inputs: u64,
}

impl Service {
    /// Takes up where the registry says the last run ended.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a snapshot is large and used once"
    )]
    pub fn new(params: Params, snapshot: Snapshot, now: Now) -> Self {
        let mut service = Self {
            rng: Rng::with_seed(params.seed),
            now,
            booted: now.instant,
            out: Outbox::default(),
            pending: Pending::default(),
            facts: facts::Facts::new(params.network, &snapshot),
            offers: offers::Offers::default(),
            revisions: revisions::Revisions::new(&snapshot),
            resolves: resolve::Resolves::default(),
            fetches: fetches::Fetches::default(),
            swarm: Swarm::default(),
            searches: providers::Searches::default(),
            peers: peers::Peers::new(&snapshot),
            origins: origins::Origins::default(),
            seeding: seeding::Seeding::default(),
            serving: serving::Serving::default(),
            mirrors: mirrors::Mirrors::new(&snapshot, now.instant),
            freshness: freshness::Signer::default(),
            gossip: gossip::Seen::default(),
            seekers: hosting::Seekers::default(),
            limits: Limits::default(),
            rates: Rates::default(),
            others_due: None,
            partial_logs: BTreeMap::new(),
            leaves_writing: BTreeSet::new(),
            #[cfg(debug_assertions)]
            inputs: 0,
            params,
        };
        service.revisions.tell(&mut service.out);
        service.dial_book();
        let wanted: Vec<RevisionId> = service
            .revisions
            .iter()
            .filter(|(_, held)| held.latest.state == RevisionState::Wanted)
            // Read once, and not asked for since.
            .filter(|(_, held)| held.latest.pin != Pin::None)
            .map(|(revision, _)| *revision)
            .collect();
        for revision in wanted {
            service.fetches.resume(revision);
            service.start_download(revision, BTreeSet::new());
        }
        service.put_everything();
        service.run_due();
        service
    }

    /// Something happened.
    pub fn handle(&mut self, now: Now, input: Input) {
        self.now = now;
        let is_frequent = is_frequent(&input);
        match input {
            Input::Command(id, command) => self.command(id, command),
            Input::PeerConnected { peer, address } => self.peer_connected(peer, address),
            Input::PeerAddresses { peer, addresses } => self.peer_addresses(peer, addresses),
            Input::PeerReached { peer, address } => self.peer_reached(peer, address),
            Input::PeerUnreachable { peer } => self.peer_unreachable(&peer),
            Input::OriginOpened { origin, revision } => self.origin_opened(origin, revision),
            Input::OriginClosed { origin } => self.origin_closed(&origin),
            Input::PeerDisconnected { peer } => self.peer_disconnected(&peer),
            Input::Request {
                peer,
                request,
                message,
            } => self.request_received(peer, request, message),
            Input::Response { request, result } => self.response_received(request, result),
            Input::Gossip {
                peer,
                message,
                announcement,
            } => self.gossip_received(peer, message, announcement),
            Input::RecordFound { request, record } => self.record_found(request, *record),
            Input::ProvidersFound { request, peers } => self.found(request, peers),
            Input::QueryFinished { request } => self.query_finished(request),
            Input::Committed { request, result } => {
                if let Some(Purpose::Commit(after)) = self.pending.remove(request) {
                    self.committed(after, result);
                }
            }
            Input::ObjectRead { request, preimage } => match self.pending.remove(request) {
                Some(Purpose::ServeObject { peer, inbound }) => {
                    self.object_for_peer(peer, inbound, preimage);
                }
                Some(Purpose::LocalObject { resolve, id }) => {
                    self.local_object(resolve, id, preimage);
                }
                Some(_) | None => {}
            },
            Input::HeadRead { request, head } => {
                if let Some(Purpose::ServeHead(question)) = self.pending.remove(request) {
                    self.head_for_peer(question, head);
                }
            }
            Input::BlobsInspected { request, have } => {
                self.swarm(|swarm, ctx| swarm.inspected(request, &have, ctx));
            }
            Input::Availability { peer, blob, have } => {
                self.swarm(|swarm, ctx| swarm.available(peer, &blob, &have, ctx));
            }
            Input::AvailabilityLost { peer, blob } => {
                self.swarm(|swarm, ctx| swarm.availability_lost(peer, &blob, ctx));
            }
            Input::PiecesProgress { request, bytes } => {
                self.swarm(|swarm, ctx| swarm.progressed(request, bytes, ctx));
            }
            Input::PiecesFetched { request, result } => {
                self.swarm(|swarm, ctx| swarm.fetched(request, result, ctx));
            }
            Input::CopiesPlanned { request, plans } => {
                self.swarm(|swarm, ctx| swarm.copies_planned(request, plans, ctx));
            }
            Input::CopyProgress { request, bytes } => {
                self.swarm(|swarm, ctx| swarm.copy_progressed(request, bytes, ctx.now));
            }
            Input::CopyEnded { request, have } => {
                self.swarm(|swarm, ctx| swarm.copy_ended(request, &have, ctx));
            }
            Input::AvailabilityGained { peer, blob, pieces } => {
                self.swarm(|swarm, ctx| swarm.gained(peer, &blob, pieces, ctx));
            }
            Input::UploadAsked {
                upload,
                peer,
                blob,
                bytes,
            } => self.upload_asked(upload, peer, blob, bytes),
            Input::UploadProgress { upload, bytes } => {
                self.swarm(|swarm, ctx| swarm.upload_progressed(upload, bytes, ctx));
            }
            Input::UploadEnded { upload, bytes } => {
                self.swarm(|swarm, ctx| swarm.upload_ended(upload, bytes, ctx));
            }
            Input::Reading {
                reader,
                blob,
                bytes,
            } => self.swarm(|swarm, ctx| swarm.reading(reader, blob, bytes, ctx)),
            Input::ReadingEnded { reader } => {
                self.swarm(|swarm, ctx| swarm.reading_ended(reader, ctx));
            }
            Input::FreshnessSigned { request, freshness } => {
                if let Some(Purpose::Sign(repository)) = self.pending.remove(request) {
                    self.freshness_signed(repository, freshness);
                }
            }
        }
        self.hear_swarm();
        if !is_frequent {
            self.others_due = self.find_others_due();
        }
        #[cfg(debug_assertions)]
        self.check_invariants();
    }

    /// Checks what must hold between any two calls. Only in builds with debug assertions, and not each time: a
    /// check costs many times what an input does.
    #[cfg(debug_assertions)]
    fn check_invariants(&mut self) {
        self.inputs += 1;
        if !self.inputs.is_multiple_of(CHECK_EVERY) {
            return;
        }
        self.swarm.check_invariants();
        self.revisions.check_invariants();
        self.resolves.check_invariants();
        for revision in self.swarm.running() {
            let held = self.revisions.get(revision);
            assert!(held.is_some(), "what is downloaded is protected");
        }
    }

    /// The time that `poll_timeout` named has come.
    pub fn handle_timeout(&mut self, now: Now) {
        self.now = now;
        self.run_due();
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop()
    }

    /// When to call `handle_timeout` at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let times = [self.swarm.poll_timeout(), self.others_due];
        times.into_iter().flatten().min()
    }

    fn find_others_due(&self) -> Option<Instant> {
        [
            self.resolves.poll_timeout(self.now.instant),
            self.next_starving(),
            (!self.peers.is_empty())
                .then(|| self.searches.poll_timeout())
                .flatten(),
            (!self.peers.is_empty())
                .then(|| self.seeding.poll_timeout())
                .flatten(),
            self.mirrors.poll_timeout(),
            Some(self.freshness.poll_timeout()),
            self.rates_change_at(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn run_due(&mut self) {
        self.swarm(|swarm, ctx| swarm.timeout(ctx));
        self.hear_swarm();
        self.advance_resolves();
        self.end_starving();
        self.run_searches();
        self.put_due();
        self.run_mirrors();
        self.renew_freshness();
        self.set_rates();
        self.others_due = self.find_others_due();
    }

    /// Hands a batch to the registry.
    fn commit(&mut self, ops: Vec<Op>, after: After) {
        if ops.is_empty() {
            return self.committed(after, Ok(()));
        }
        let request = self.pending.insert(&mut self.out, Purpose::Commit(after));
        self.out.push(Output::Commit { request, ops });
    }

    /// Calls the swarm with what it may use.
    fn swarm<R>(&mut self, call: impl FnOnce(&mut Swarm, &mut Context<'_>) -> R) -> R {
        let mut context = Context {
            now: self.now.instant,
            out: &mut self.out,
            rng: &mut self.rng,
        };
        call(&mut self.swarm, &mut context)
    }
}

/// Whether an input is one of those that come with every piece. Nothing besides the swarm becomes due earlier by one.
fn is_frequent(input: &Input) -> bool {
    matches!(
        input,
        Input::AvailabilityGained { .. }
            | Input::PiecesProgress { .. }
            | Input::UploadAsked { .. }
            | Input::UploadProgress { .. }
            | Input::UploadEnded { .. }
    )
}

/// A connected peer, for `weft peers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerView {
    /// Who.
    pub peer: NodeId,
    /// Remote address.
    pub address: String,
    /// What it calls itself.
    pub agent: String,
    /// Verified bytes received from it in this run.
    pub bytes_received: u64,
    /// Transfers in flight from it.
    pub in_flight: u32,
}
/// A repository, for `weft ls` and `weft info`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryView {
    /// Which.
    pub repository: RepositoryId,
    /// Tip index.
    pub index: u64,
    /// Tip revision.
    pub revision: RevisionId,
    /// How sure.
    pub freshness: Freshness,
    /// Frozen by an equivocation.
    pub frozen: bool,
    /// Revisions held or wanted.
    pub revisions: Vec<crate::op::RevisionRecord>,
}
/// A download, for progress bars.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferView {
    /// Which repository.
    pub repository: RepositoryId,
    /// Which revision.
    pub revision: RevisionId,
    /// Commands waiting for it.
    pub commands: Vec<CommandId>,
    /// Bytes in all.
    pub bytes_total: u64,
    /// Verified bytes here.
    pub bytes_done: u64,
    /// Of those, here before it began.
    pub bytes_reused: u64,
    /// Peers with a transfer in flight.
    pub peers_active: u32,
    /// Peers known to have something.
    pub peers_known: u32,
    /// Verified bytes by peer.
    pub sources: Vec<(NodeId, u64)>,
}
