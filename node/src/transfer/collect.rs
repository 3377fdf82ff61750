//! Garbage collection: which blobs stay, and when the rest goes.
//!
//! The store collects in a loop of its own and only asks, before each round, what to keep. Two things are ours to
//! add. Rounds happen on a schedule or on demand, by answering that question late. And a blob that becomes
//! protected while a round is under way may already be doomed, so whoever wants to rely on what is in the store
//! waits for the round to end first ([`Collector::settled`]).

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use iroh_blobs::{
    Hash,
    store::{ProtectCb, ProtectOutcome},
};
use tokio::sync::{Notify, watch};
use tracing::warn;
use weft_protocol::id::BlobHash;

use super::context::hash;

/// The store's own pause between asking; the schedule is kept here.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// A round takes milliseconds for each thousand blobs. One that takes longer than this has died.
const ROUND_TIMEOUT: Duration = Duration::from_secs(30);

/// Decides what the store's collector keeps and when it runs.
#[derive(Debug)]
pub(super) struct Collector {
    interval: Duration,
    /// `None` until the machine has spoken: then nothing may be collected.
    protected: Mutex<Option<HashSet<Hash>>>,
    /// Blobs that the next round takes even if they are protected.
    abandoned: Mutex<HashSet<Hash>>,
    rounds: watch::Sender<Rounds>,
    wanted: Notify,
}

/// How many rounds began and ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Rounds {
    begun: u64,
    ended: u64,
}

impl Collector {
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            interval,
            protected: Mutex::new(None),
            abandoned: Mutex::default(),
            rounds: watch::Sender::new(Rounds::default()),
            wanted: Notify::new(),
        }
    }

    /// Replaces the protected set. Holds for every round that begins after the call. When a blob loses its
    /// protection a round begins soon, so that what the user removes gives its space back at once.
    pub(super) fn protect(&self, blobs: &[BlobHash]) {
        let set: HashSet<Hash> = blobs.iter().copied().map(hash).collect();
        let mut protected = self
            .protected
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let shrinks = protected
            .as_ref()
            .is_some_and(|before| !before.is_subset(&set));
        *protected = Some(set);
        drop(protected);
        if shrinks {
            self.wanted.notify_one();
        }
    }

    /// Returns once no round is under way that began before the call.
    pub(super) async fn settled(&self) {
        let begun = self.rounds.borrow().begun;
        self.ended(begun).await;
    }

    /// Runs a round now and returns when it is over.
    pub(super) async fn collect_now(&self) {
        self.settled().await;
        let next = self.rounds.borrow().begun + 1;
        self.wanted.notify_one();
        self.ended(next).await;
    }

    /// Removes what the store knows of one blob, protected or not.
    pub(super) async fn abandon(&self, blob: Hash) {
        self.abandoned
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(blob);
        self.collect_now().await;
    }

    async fn ended(&self, round: u64) {
        let mut rounds = self.rounds.subscribe();
        let wait = rounds.wait_for(|rounds| rounds.ended >= round);
        if tokio::time::timeout(ROUND_TIMEOUT, wait).await.is_err() {
            warn!(round, "garbage collection does not end");
        }
    }

    /// What the store calls before each round.
    pub(super) fn callback(self: &Arc<Self>) -> ProtectCb {
        let collector = Arc::clone(self);
        Arc::new(move |live| {
            let collector = Arc::clone(&collector);
            Box::pin(async move { collector.next_round(live).await })
        })
    }

    async fn next_round(&self, live: &mut HashSet<Hash>) -> ProtectOutcome {
        // Being asked again means that the round before is over.
        self.rounds
            .send_modify(|rounds| rounds.ended = rounds.begun);
        tokio::time::timeout(self.interval, self.wanted.notified())
            .await
            .ok();
        let protected = self
            .protected
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Under the lock, so that a `protect` either is seen by this round or sees that it has begun.
        self.rounds.send_modify(|rounds| rounds.begun += 1);
        match &*protected {
            Some(set) => {
                live.extend(set);
                let mut abandoned = self
                    .abandoned
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                for blob in abandoned.drain() {
                    live.remove(&blob);
                }
                ProtectOutcome::Continue
            }
            None => ProtectOutcome::Abort,
        }
    }
}
