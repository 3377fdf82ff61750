//! What peers ask of us: requests wait until their turn comes, a few are served at a time.
//!
//! # Invariants
//! A request is started at most once, and none before it was chosen. While fewer than [`Uploads::slots`] move,
//! nobody waits.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    time::Duration,
};

use super::{
    blob::Blob,
    choker::{Candidate, Choker, Chosen, Share},
    ledger::Ledger,
    spread::Spread,
    table::Table,
    window,
};
use crate::{
    id::{BlobHash, NodeId},
    layout::{Layout, PieceRange},
    limits,
    piece_set::PieceSet,
    service::{Outbox, Output, UploadId},
    time::Instant,
};

/// What a call may use: the time, the outputs, and what those who ask have of blobs that are on their way here.
#[derive(Debug)]
pub(crate) struct Wants<'a> {
    pub(crate) now: Instant,
    pub(crate) out: &'a mut Outbox,
    pub(crate) blobs: &'a BTreeMap<BlobHash, Blob>,
}

/// One request.
#[derive(Debug)]
struct Upload {
    peer: NodeId,
    blob: BlobHash,
    layout: Layout,
    pieces: PieceRange,
    running: Option<Running>,
}

/// A request that is served.
#[derive(Debug)]
struct Running {
    share: Share,
    newcomer: bool,
    since: Instant,
    bytes: u64,
    /// The peer takes so little that another one is served beside it.
    slow: bool,
}

/// All requests of peers.
#[derive(Debug, Default)]
pub(crate) struct Uploads {
    requests: Table<UploadId, Upload>,
    /// Requests that are served, slow ones included.
    running: Vec<UploadId>,
    ledger: Ledger,
    /// Who passes on what we give him of what is whole here.
    pub(crate) spread: Spread,
    choker: Choker,
    sent: Sent,
    rate: Rate,
    tick: Option<Instant>,
}

/// How often each piece was sent.
#[derive(Debug, Default)]
struct Sent {
    blobs: BTreeMap<BlobHash, Vec<u16>>,
    order: VecDeque<BlobHash>,
}

/// How fast we send.
#[derive(Debug, Default)]
struct Rate {
    bytes: u64,
    since: Option<Instant>,
    value: u64,
}

/// Requests served at once on a line of unknown width: few, because a piece spreads once it is whole.
const SLOTS_MIN: u64 = 4;
/// One more for each such rate, so that a wide line is not held up by narrow ones.
const SLOT_RATE: u64 = 8_000_000;
/// Requests served at once at most.
const SLOTS_MAX: u64 = 64;
/// Peers that take next to nothing are served beside the others up to this many times the slots.
const SLOW_FACTOR: u64 = 4;
/// How often rates are looked at.
const TICK: Duration = Duration::from_secs(1);
/// Blobs whose sent pieces are counted.
const COUNTED_MAX: usize = 256;

impl Uploads {
    /// Requests served at once, slow ones not counted.
    pub(crate) fn slots(&self) -> usize {
        let slots = (SLOTS_MIN + self.rate.value / SLOT_RATE).min(SLOTS_MAX);
        usize::try_from(slots).unwrap_or(usize::MAX)
    }

    /// Whether a peer asks us for something now.
    pub(crate) fn serves(&self, peer: &NodeId) -> bool {
        self.requests.values().any(|request| request.peer == *peer)
    }

    /// When a request of a peer was last served.
    pub(crate) fn served_at(&self, peer: &NodeId) -> Option<Instant> {
        self.ledger.get(peer).served_at
    }

    /// A peer gave us verified bytes.
    pub(crate) fn credit(&mut self, peer: NodeId, bytes: u64, now: Instant) {
        self.ledger.credit(peer, bytes, now);
    }

    /// A peer asks for bytes of a blob of a known size.
    pub(crate) fn asked(
        &mut self,
        upload: UploadId,
        peer: NodeId,
        (blob, layout): (BlobHash, Layout),
        bytes: Range<u64>,
        ctx: &mut Wants<'_>,
    ) {
        let of_peer = self.requests.values().filter(|other| other.peer == peer);
        let full = self.requests.len() >= limits::UPLOADS_MAX
            || of_peer.take(limits::UPLOADS_PER_PEER_MAX).count() >= limits::UPLOADS_PER_PEER_MAX;
        if full {
            return ctx.out.push(Output::RefuseUpload { upload });
        }
        self.sent.count(blob, layout);
        let none = PieceRange { start: 0, end: 0 };
        let request = Upload {
            peer,
            blob,
            layout,
            pieces: window::pieces(layout, bytes).unwrap_or(none),
            running: None,
        };
        self.requests.insert(upload, request);
        self.serve(ctx);
    }

    /// Bytes of a request were sent.
    pub(crate) fn progressed(&mut self, upload: UploadId, bytes: u64, now: Instant) {
        if bytes == 0 {
            return;
        }
        let Some(request) = self.requests.get_mut(&upload) else {
            return;
        };
        if let Some(running) = &mut request.running {
            running.bytes = running.bytes.saturating_add(bytes);
            self.choker.spend(running.share, bytes);
        }
        self.ledger.debit(request.peer, bytes, now);
        self.rate.bytes = self.rate.bytes.saturating_add(bytes);
    }

    /// A request is over.
    pub(crate) fn ended(&mut self, upload: UploadId, bytes: u64, ctx: &mut Wants<'_>) {
        self.progressed(upload, bytes, ctx.now);
        if let Some(request) = self.requests.remove(&upload)
            && request.running.is_some()
        {
            self.running.retain(|other| *other != upload);
            self.serve(ctx);
        }
    }

    /// Looks at rates if it is time to.
    pub(crate) fn timeout(&mut self, ctx: &mut Wants<'_>) {
        let now = ctx.now;
        if self.tick.is_none_or(|tick| tick > now) {
            return;
        }
        self.tick = None;
        self.rate.measure(now);
        self.spread.tidy(now, ctx.out);
        let share = self.rate.value / u64::try_from(self.slots()).unwrap_or(1).max(1);
        for upload in &self.running {
            let running = self
                .requests
                .get_mut(upload)
                .and_then(|r| r.running.as_mut());
            if let Some(running) = running {
                let millis = now.0.saturating_sub(running.since.0);
                let rate = running.bytes.saturating_mul(1_000) / millis.max(1);
                running.slow = millis >= 1_000 && rate < share / 4;
            }
        }
        self.serve(ctx);
    }

    /// When to call [`Self::timeout`].
    pub(crate) fn wake(&self) -> Option<Instant> {
        self.tick
    }

    /// Starts requests while there is room.
    fn serve(&mut self, ctx: &mut Wants<'_>) {
        let now = ctx.now;
        let slots = self.slots();
        let all_max = slots.saturating_mul(usize::try_from(SLOW_FACTOR).unwrap_or(1));
        while self.running.len() < self.requests.len() {
            let moving = self.running.iter().filter(|upload| !self.is_slow(upload));
            if self.running.len() >= all_max || moving.count() >= slots {
                break;
            }
            let Some(chosen) = self.choose(ctx.blobs, now) else {
                break;
            };
            self.start(chosen, ctx);
            let upload = chosen.upload;
            ctx.out.push(Output::StartUpload { upload });
        }
        if self.running.is_empty() {
            self.tick = None;
        } else {
            self.tick.get_or_insert(now + TICK);
        }
    }

    fn is_slow(&self, upload: &UploadId) -> bool {
        let running = self.requests.get(upload).and_then(|r| r.running.as_ref());
        running.is_some_and(|running| running.slow)
    }

    fn choose(&self, blobs: &BTreeMap<BlobHash, Blob>, now: Instant) -> Option<Chosen> {
        let served: Vec<&Upload> = self
            .running
            .iter()
            .filter_map(|upload| self.requests.get(upload))
            .collect();
        let waiting = self.requests.iter().filter(|(_, r)| r.running.is_none());
        let candidates: Vec<Candidate> = waiting
            .map(|(upload, request)| {
                let same = served.iter().filter(|other| other.peer == request.peer);
                Candidate {
                    upload: *upload,
                    running: u32::try_from(same.count()).unwrap_or(u32::MAX),
                    copies: self.sent.copies(&request.blob, request.pieces),
                    have: blobs
                        .get(&request.blob)
                        .and_then(|blob| blob.neighbours().get(&request.peer)?.have.as_ref())
                        .map(PieceSet::count),
                    account: self.ledger.get(&request.peer),
                    passes: self.spread.passes(&request.peer, &request.blob, now),
                }
            })
            .collect();
        let newcomer = |request: &&Upload| request.running.as_ref().is_some_and(|r| r.newcomer);
        self.choker.choose(&candidates, served.iter().any(newcomer))
    }

    fn start(&mut self, chosen: Chosen, ctx: &mut Wants<'_>) {
        let (upload, now) = (chosen.upload, ctx.now);
        let Some(request) = self.requests.get_mut(&upload) else {
            return;
        };
        let account = self.ledger.account(request.peer, now);
        request.running = Some(Running {
            share: chosen.share,
            newcomer: account.is_newcomer(),
            since: now,
            bytes: 0,
            slow: false,
        });
        account.serve(chosen.by, now);
        // Who gives to us is known by that; whom we give all that we have is known by what he passes on.
        if account.received() == 0 && !ctx.blobs.contains_key(&request.blob) {
            let (sent, hash) = (&self.sent, request.blob);
            let fresh = |piece: u32| {
                let (start, end) = (piece, piece + 1);
                sent.copies(&hash, PieceRange { start, end }) == 0
            };
            let blob = (hash, request.layout);
            self.spread
                .gave(request.peer, blob, request.pieces, fresh, now, ctx.out);
        }
        self.sent.add(&request.blob, request.pieces);
        self.running.push(upload);
    }

    /// Checks what must hold between any two calls.
    #[cfg(debug_assertions)]
    pub(crate) fn check_invariants(&self) {
        let marked = self.requests.values().filter(|r| r.running.is_some());
        assert_eq!(
            marked.count(),
            self.running.len(),
            "what is served is known"
        );
        let moving = self.running.iter().filter(|upload| !self.is_slow(upload));
        let full =
            moving.count() >= self.slots() || self.running.len() >= self.slots().saturating_mul(4);
        assert!(
            full || self.running.len() == self.requests.len(),
            "nobody waits while there is room"
        );
        assert!(self.requests.len() <= limits::UPLOADS_MAX);
    }
}

impl Sent {
    /// Counts what is sent of a blob from now on; past a bound the blob counted longest is counted anew.
    fn count(&mut self, blob: BlobHash, layout: Layout) {
        if self.blobs.contains_key(&blob) {
            return;
        }
        if self.order.len() >= COUNTED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.blobs.remove(&oldest);
        }
        let pieces = usize::try_from(layout.pieces()).unwrap_or(0);
        self.blobs.insert(blob, vec![0; pieces]);
        self.order.push_back(blob);
    }

    fn slice(&self, blob: &BlobHash, pieces: PieceRange) -> &[u16] {
        let start = usize::try_from(pieces.start).unwrap_or(usize::MAX);
        let end = usize::try_from(pieces.end).unwrap_or(usize::MAX);
        let counts = self.blobs.get(blob);
        counts
            .and_then(|counts| counts.get(start..end))
            .unwrap_or(&[])
    }

    /// How often the pieces of a run were sent, in sixteenths, on average.
    fn copies(&self, blob: &BlobHash, pieces: PieceRange) -> u32 {
        let counts = self.slice(blob, pieces);
        let sum: u32 = counts.iter().map(|count| u32::from(*count)).sum();
        sum.saturating_mul(16) / u32::try_from(counts.len()).unwrap_or(1).max(1)
    }

    fn add(&mut self, blob: &BlobHash, pieces: PieceRange) {
        let start = usize::try_from(pieces.start).unwrap_or(usize::MAX);
        let end = usize::try_from(pieces.end).unwrap_or(usize::MAX);
        let counts = self.blobs.get_mut(blob);
        let counts = counts.and_then(|counts| counts.get_mut(start..end));
        for count in counts.into_iter().flatten() {
            *count = count.saturating_add(1);
        }
    }
}

impl Rate {
    /// Takes a measurement; a lull is forgotten slowly, because a line does not shrink when nobody asks.
    fn measure(&mut self, now: Instant) {
        let since = *self.since.get_or_insert(now);
        let millis = now.0.saturating_sub(since.0);
        if millis >= 500 {
            let measured = self.bytes.saturating_mul(1_000) / millis;
            self.value = measured.max(self.value / 8 * 7);
            self.bytes = 0;
            self.since = Some(now);
        }
    }
}
