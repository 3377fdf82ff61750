//! One revision on its way here.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use super::{blob::HUNGER, table::Table};
use crate::{
    id::{BlobHash, NodeId},
    service::CopyPlan,
    time::Instant,
};

/// A running download.
#[derive(Debug)]
pub(crate) struct Download {
    /// Distinct blobs that were not yet looked at in the store, in download order.
    pub(crate) uninspected: VecDeque<(BlobHash, u64)>,
    /// Blobs whose inspection was asked for and not answered.
    pub(crate) inspecting: BTreeSet<BlobHash>,
    /// Incomplete blobs that are not active yet, in download order.
    pub(crate) waiting: VecDeque<BlobHash>,
    /// Blobs of this download that are neither complete nor uninspected.
    pub(crate) incomplete: BTreeSet<BlobHash>,
    pub(crate) bytes_total: u64,
    /// Verified bytes here.
    pub(crate) bytes_done: u64,
    /// Of those, here when the store was inspected, or copied.
    pub(crate) bytes_reused: u64,
    /// Bytes that came over the network, repeats included.
    pub(crate) bytes_fetched: u64,
    /// Bytes by peer.
    pub(crate) sources: Table<NodeId, u64>,
    /// Peers that are said to have something of it.
    pub(crate) hints: BTreeSet<NodeId>,
    /// Last moment at which something arrived, or the start.
    pub(crate) progressed: Instant,
    /// When others are looked for because nothing arrives.
    pub(crate) hungry: Hunger,
    /// Whether `DownloadStarted` was told.
    pub(crate) announced: bool,
    /// Nothing is asked for before, unless the gathering ends early.
    pub(crate) gathering: Option<Gathering>,
    /// Nothing is asked for before it is known what can be copied.
    pub(crate) is_planning: bool,
    /// What can be copied, of blobs that are not active yet.
    pub(crate) plans: BTreeMap<BlobHash, CopyPlan>,
    /// Nothing is asked for before: the disk failed.
    pub(crate) paused_until: Option<Instant>,
    /// Only what somebody reads is fetched.
    pub(crate) partial: bool,
}

/// A short wait at the start of a small download, so that all providers share it instead of the first one
/// to answer serving everything.
#[derive(Debug)]
pub(crate) struct Gathering {
    /// Ends at the latest.
    pub(crate) until: Instant,
    /// Whether the provider search is over.
    pub(crate) searched: bool,
}

/// How long a small download waits for further providers: finding, dialling and asking them takes a few round
/// trips, and so long is hardly felt.
const GATHER: Duration = Duration::from_millis(1_500);
/// A download with less than this many missing bytes gathers first; a larger one is shared anyway.
pub(crate) const GATHER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// While nothing arrives, others are looked for again and again, each time after twice as long.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Hunger {
    due: Option<Instant>,
    rounds: u32,
}

/// The longest time between two searches of a download that starves.
const HUNGER_MAX: Duration = Duration::from_secs(120);

impl Hunger {
    /// Whether to look for others now, given when something last arrived.
    pub(crate) fn strikes(&mut self, progressed: Instant, now: Instant) -> bool {
        if self.due.unwrap_or(progressed + HUNGER) > now {
            return false;
        }
        let wait = HUNGER.saturating_mul(1_u32.checked_shl(self.rounds).unwrap_or(u32::MAX));
        self.rounds = self.rounds.saturating_add(1);
        self.due = Some(now + wait.min(HUNGER_MAX));
        true
    }
}

impl Download {
    pub(crate) fn new(now: Instant, blobs: &[(BlobHash, u64)], hints: BTreeSet<NodeId>) -> Self {
        let mut seen = BTreeSet::new();
        let uninspected: VecDeque<_> = blobs
            .iter()
            .filter(|(hash, _)| seen.insert(*hash))
            .copied()
            .collect();
        Self {
            bytes_total: uninspected
                .iter()
                .fold(0, |sum: u64, (_, size)| sum.saturating_add(*size)),
            uninspected,
            inspecting: BTreeSet::new(),
            waiting: VecDeque::new(),
            incomplete: BTreeSet::new(),
            bytes_done: 0,
            bytes_reused: 0,
            bytes_fetched: 0,
            sources: Table::default(),
            hints,
            progressed: now,
            hungry: Hunger::default(),
            announced: false,
            gathering: Some(Gathering {
                until: now + GATHER,
                searched: false,
            }),
            is_planning: false,
            plans: BTreeMap::new(),
            paused_until: None,
            partial: false,
        }
    }

    /// Whether every blob was looked at in the store.
    pub(crate) fn is_inspected(&self) -> bool {
        self.uninspected.is_empty() && self.inspecting.is_empty()
    }

    /// Whether every blob is here.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_inspected() && self.incomplete.is_empty()
    }

    /// Bytes that are missing, as far as is known.
    pub(crate) fn bytes_missing(&self) -> u64 {
        self.bytes_total.saturating_sub(self.bytes_done)
    }

    /// Whether pieces may be asked for.
    pub(crate) fn is_open(&self, now: Instant) -> bool {
        let is_ready = self.gathering.is_none() && !self.is_planning;
        is_ready && self.paused_until.is_none_or(|until| until <= now)
    }

    /// Somebody waits for a blob: it is the next to be looked at and to become active.
    pub(crate) fn hurry(&mut self, blob: &BlobHash) {
        if let Some(at) = self.uninspected.iter().position(|(other, _)| other == blob)
            && let Some(blob) = self.uninspected.remove(at)
        {
            self.uninspected.push_front(blob);
        }
        if let Some(at) = self.waiting.iter().position(|waiting| waiting == blob)
            && let Some(blob) = self.waiting.remove(at)
        {
            self.waiting.push_front(blob);
        }
    }

    /// Bytes by peer, most first.
    pub(crate) fn sources_ranked(&self) -> Vec<(NodeId, u64)> {
        let mut sources: Vec<_> = self
            .sources
            .iter()
            .map(|(peer, bytes)| (*peer, *bytes))
            .collect();
        sources.sort_by_key(|(peer, bytes)| (std::cmp::Reverse(*bytes), *peer));
        sources
    }
}
