//! Keeping to byte rates: buckets that fill with time, for everything together and for each peer.
//!
//! A bucket may be overdrawn by one send; whoever overdraws it waits until it is level again, so rates hold over any
//! longer while, and time lost to a late wake-up is made good.
//!
//! In polite mode each peer has one bucket more, whose rate follows the delay to it.

mod polite;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;
use weft_protocol::{id::NodeId, swarm};

use self::polite::Polite;

/// Longest nap while waiting: rates may be changed and transfers cancelled meanwhile.
const NAP_MAX: Duration = Duration::from_millis(100);
/// What a bucket may hold, as time: late wake-ups on a busy machine are made good, a pause is not.
const BURST: Duration = Duration::from_millis(200);
/// Sends in one second under a limit: fine-grained enough for others to get their turn.
const SENDS_PER_SECOND: u64 = 50;
/// Least bytes of one send: a few leaves.
const SEND_LEN_MIN: usize = 32 * 1024;
/// Peers with buckets of their own.
const PEERS_MAX: usize = 4_096;

/// All rates of the data plane.
#[derive(Debug, Default)]
pub(super) struct Rates {
    now: Mutex<swarm::Rates>,
    all: Pair,
    peers: Mutex<BTreeMap<NodeId, Arc<Pair>>>,
}

/// Buckets of both directions.
#[derive(Debug, Default)]
struct Pair {
    up: Bucket,
    down: Bucket,
    /// What is left to us of the way up; without a limit unless sending is to be polite.
    left: Bucket,
    polite: Mutex<Option<Polite>>,
}

/// One direction of one transfer.
#[derive(Debug, Clone)]
pub(super) struct Valve {
    rates: Arc<Rates>,
    peer: Arc<Pair>,
    up: bool,
}

impl Rates {
    /// Changes all rates at once, for running transfers as well.
    pub(super) fn set(&self, rates: swarm::Rates) {
        *lock(&self.now) = rates;
        self.all.up.set(rates.upload);
        self.all.down.set(rates.download);
        for peer in lock(&self.peers).values() {
            peer.set(&rates);
        }
    }

    /// The way out to a peer.
    pub(super) fn up(self: &Arc<Self>, peer: NodeId) -> Valve {
        self.valve(peer, true)
    }

    /// The way in from a peer.
    pub(super) fn down(self: &Arc<Self>, peer: NodeId) -> Valve {
        self.valve(peer, false)
    }

    fn valve(self: &Arc<Self>, id: NodeId, up: bool) -> Valve {
        let rates = *lock(&self.now);
        let mut peers = lock(&self.peers);
        if peers.len() >= PEERS_MAX {
            peers.retain(|_, pair| Arc::strong_count(pair) > 1);
        }
        let peer = Arc::clone(peers.entry(id).or_insert_with(|| {
            let pair = Pair::default();
            pair.set(&rates);
            Arc::new(pair)
        }));
        Valve {
            rates: Arc::clone(self),
            peer,
            up,
        }
    }
}

impl Pair {
    fn set(&self, rates: &swarm::Rates) {
        self.up.set(rates.upload_per_peer);
        self.down.set(rates.download_per_peer);
        let mut polite = lock(&self.polite);
        if polite.is_some() != rates.polite {
            *polite = rates.polite.then(Polite::default);
            self.left.set(polite.as_ref().map(Polite::rate));
        }
    }
}

impl Valve {
    /// Lets `bytes` through: returns when they may go, or as soon as `cancel` fires. Blocks.
    pub(super) fn pass(&self, bytes: usize, cancel: &CancellationToken) {
        self.take(bytes);
        loop {
            let wait = self.wait();
            if wait.is_zero() || cancel.is_cancelled() {
                break;
            }
            thread::park_timeout(wait);
        }
    }

    /// Counts bytes that are to go when there is nothing to wait for any more.
    pub(super) fn take(&self, bytes: usize) {
        for bucket in self.buckets() {
            bucket.take(bytes as u64, Instant::now());
        }
        if self.up
            && let Some(polite) = lock(&self.peer.polite).as_mut()
        {
            polite.sent(bytes as u64);
        }
    }

    /// How long to wait, before asking again.
    pub(super) fn wait(&self) -> Duration {
        let now = Instant::now();
        let longest = self.buckets().map(|bucket| bucket.wait(now)).max();
        longest.unwrap_or_default().min(NAP_MAX)
    }

    /// Whether delays are to be measured.
    pub(super) fn is_polite(&self) -> bool {
        self.up && lock(&self.peer.polite).is_some()
    }

    /// Takes a measured round trip.
    pub(super) fn delayed(&self, delay: Duration) {
        let mut polite = lock(&self.peer.polite);
        if let Some(polite) = polite.as_mut() {
            polite.sample(delay, Instant::now());
            self.peer.left.set(Some(polite.rate()));
        }
    }

    /// How much to send at once, at most `max`.
    pub(super) fn portion(&self, max: usize) -> usize {
        let rate = self.buckets().filter_map(|bucket| bucket.rate()).min();
        rate.map_or(max, |rate| {
            let portion = usize::try_from(rate / SENDS_PER_SECOND).unwrap_or(max);
            portion.clamp(SEND_LEN_MIN.min(max), max)
        })
    }

    fn buckets(&self) -> impl Iterator<Item = &Bucket> {
        let (all, peer) = (&self.rates.all, &self.peer);
        let both = if self.up {
            [&all.up, &peer.up]
        } else {
            [&all.down, &peer.down]
        };
        both.into_iter().chain(self.up.then_some(&peer.left))
    }
}

/// Bytes that may pass, growing with time.
#[derive(Debug, Default)]
struct Bucket(Mutex<Option<Level>>);

#[derive(Debug, Clone, Copy)]
struct Level {
    rate: u64,
    /// Below zero while overdrawn.
    bytes: f64,
    at: Instant,
}

impl Bucket {
    fn set(&self, rate: Option<u64>) {
        let now = Instant::now();
        let mut level = lock(&self.0);
        // What has come in at the old rate stays.
        let bytes = level.as_mut().map_or(0.0, |level| {
            level.fill(now);
            level.bytes
        });
        *level = rate.map(|rate| Level {
            // A rate of nothing at all would never let go of what already runs.
            rate: rate.max(1),
            bytes,
            at: now,
        });
    }

    fn rate(&self) -> Option<u64> {
        lock(&self.0).map(|level| level.rate)
    }

    fn take(&self, bytes: u64, now: Instant) {
        if let Some(level) = lock(&self.0).as_mut() {
            level.fill(now);
            level.bytes -= bytes as f64;
        }
    }

    /// How long until the bucket is level again.
    fn wait(&self, now: Instant) -> Duration {
        let mut level = lock(&self.0);
        let Some(level) = level.as_mut() else {
            return Duration::ZERO;
        };
        level.fill(now);
        if level.bytes >= 0.0 {
            Duration::ZERO
        } else {
            Duration::try_from_secs_f64(-level.bytes / level.rate as f64).unwrap_or(NAP_MAX)
        }
    }
}

impl Level {
    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at);
        let rate = self.rate as f64;
        self.bytes = (self.bytes + passed.as_secs_f64() * rate).min(BURST.as_secs_f64() * rate);
        self.at = now.max(self.at);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_lets_through_what_its_rate_allows() {
        let bucket = Bucket::default();
        bucket.set(Some(1_000_000));
        let mut now = Instant::now() + Duration::from_secs(1);
        let start = now;
        let mut sent = 0;
        while now < start + Duration::from_secs(10) {
            bucket.take(50_000, now);
            sent += 50_000;
            // As late as a busy machine wakes one up.
            now += bucket.wait(now) + Duration::from_millis(7);
        }
        let allowed = 10_000_000.0 + BURST.as_secs_f64() * 1e6 + 50_000.0;
        assert!(f64::from(sent) <= allowed, "{sent}");
        assert!(f64::from(sent) >= 9_900_000.0, "{sent}");
    }

    #[test]
    fn unlimited_bucket_never_waits_and_a_lifted_limit_frees_who_waits() {
        let bucket = Bucket::default();
        let now = Instant::now();
        bucket.take(u64::from(u32::MAX), now);
        assert_eq!(bucket.wait(now), Duration::ZERO);
        bucket.set(Some(1_000));
        bucket.take(1_000_000, Instant::now());
        assert!(bucket.wait(Instant::now()) > Duration::from_secs(900));
        bucket.set(None);
        assert_eq!(bucket.wait(Instant::now()), Duration::ZERO);
    }

    #[test]
    fn rate_that_is_set_again_and_again_does_not_stop_the_clock() {
        let bucket = Bucket::default();
        bucket.set(Some(1_000_000));
        bucket.take(50_000, Instant::now());
        // Ends only if time counts.
        while !bucket.wait(Instant::now()).is_zero() {
            bucket.set(Some(1_000_000));
        }
    }

    #[test]
    fn each_peer_has_a_bucket_of_its_own_and_all_share_one() {
        let rates = Arc::new(Rates::default());
        rates.set(swarm::Rates {
            upload: Some(10_000_000),
            upload_per_peer: Some(1_000_000),
            ..swarm::Rates::default()
        });
        let [one, other] = [1, 2].map(|n| rates.up(NodeId::new([n; 32])));
        let again = rates.up(NodeId::new([1; 32]));
        let now = Instant::now();
        one.peer.up.take(2_000_000, now);
        assert!(!again.peer.up.wait(now).is_zero());
        assert!(other.peer.up.wait(now).is_zero());
        assert_eq!(one.portion(256 * 1024), SEND_LEN_MIN);
        assert_eq!(rates.down(NodeId::new([1; 32])).portion(7), 7);
    }
}
