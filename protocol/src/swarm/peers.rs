//! What is known of one peer as a source of bytes.

use std::time::Duration;

use crate::{limits, time::Instant};

/// A connected peer as a source.
#[derive(Debug, Clone, Default)]
pub(crate) struct Peer {
    /// Transfers running, cancelled ones included until the driver has ended them.
    pub(crate) in_flight: u32,
    /// Live transfers that move.
    pub(crate) moving: u32,
    /// Bytes of live transfers that did not arrive yet.
    pub(crate) asked: u64,
    /// Verified bytes received in this connection.
    pub(crate) bytes_received: u64,
    /// When it last ended a transfer well, or sent something.
    pub(crate) delivered: Option<Instant>,
    /// Since when it is far slower than the others.
    pub(crate) slow_since: Option<Instant>,
    /// Transfers in a row that came to nothing.
    pub(crate) failures: u32,
    rate: Rate,
    /// Shortest time between a request to an idle peer and its first byte.
    latency: Option<Duration>,
}

/// How much a source may be relied on now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// It lets us wait, or failed.
    Waiting,
    /// It was not asked yet.
    Fresh,
    /// It sends, or did a moment ago.
    Serving,
}

impl Peer {
    /// Whether it may get one more transfer; in a crowd each source has many to serve, and one request waits at it.
    pub(crate) fn has_room(&self, crowded: bool, run_bytes: u64) -> bool {
        let start = if crowded {
            1
        } else {
            limits::TRANSFERS_PER_PEER_START
        };
        if self.in_flight < start {
            return true;
        }
        if self.moving == 0 || self.in_flight >= limits::TRANSFERS_PER_PEER_MAX {
            return false;
        }
        // While one moves the next waits at the provider, and what is on the way fills the path.
        let least = if crowded { 2 } else { 2 * start };
        self.in_flight < least || self.asked < self.on_the_way().saturating_add(run_bytes)
    }

    /// Bytes per second, if they were measured.
    pub(crate) fn rate(&self) -> Option<u64> {
        self.rate.value
    }

    /// Bytes that fit between request and answer.
    fn on_the_way(&self) -> u64 {
        let millis = self.latency.map_or(0, |latency| latency.as_millis());
        let millis = u64::try_from(millis).unwrap_or(u64::MAX);
        self.rate().unwrap_or(0).saturating_mul(millis) / 1_000
    }

    /// How much it may be relied on.
    pub(crate) fn standing(&self, now: Instant) -> Standing {
        let recently = |at: Instant| now.since(at) < SERVING_FOR;
        if self.moving > 0 || self.delivered.is_some_and(recently) {
            Standing::Serving
        } else if self.in_flight == 0 && self.failures == 0 {
            Standing::Fresh
        } else {
            Standing::Waiting
        }
    }

    /// A request was sent.
    pub(crate) fn asked_for(&mut self, bytes: u64) {
        self.in_flight += 1;
        self.asked = self.asked.saturating_add(bytes);
    }

    /// A transfer began to move.
    pub(crate) fn moves(&mut self, started: Instant, now: Instant) {
        self.moving += 1;
        if self.moving == 1 {
            self.rate.begin(now);
            if self.in_flight == 1 {
                let latency = now.since(started);
                self.latency = Some(self.latency.map_or(latency, |least| least.min(latency)));
            }
        }
    }

    /// Bytes arrived.
    pub(crate) fn received(&mut self, bytes: u64, now: Instant) {
        self.asked = self.asked.saturating_sub(bytes);
        self.bytes_received = self.bytes_received.saturating_add(bytes);
        self.delivered = Some(now);
        self.failures = 0;
        self.rate.add(bytes, now);
    }

    /// A live transfer is over or was given up; `left` bytes of it never came.
    pub(crate) fn released(&mut self, left: u64, moved: bool, now: Instant) {
        self.asked = self.asked.saturating_sub(left);
        if moved {
            self.moving = self.moving.saturating_sub(1);
            if self.moving == 0 {
                self.rate.end(now);
            }
        }
    }

    /// A transfer failed or stalled.
    pub(crate) fn failed(&mut self, rate: Option<u64>) {
        self.failures = self.failures.saturating_add(1);
        if let Some(rate) = rate {
            self.rate.value = Some(self.rate.value.map_or(rate, |known| known.min(rate)));
        }
    }
}

/// A peer that sent something within this time will soon send more.
const SERVING_FOR: Duration = Duration::from_secs(5);

/// Bytes per second while something moves, smoothed.
#[derive(Debug, Clone, Default)]
struct Rate {
    value: Option<u64>,
    since: Option<Instant>,
    bytes: u64,
}

/// A measurement takes at least this long, so that bursts do not count as rates.
const MEASURE_MS: u64 = 200;

impl Rate {
    fn begin(&mut self, now: Instant) {
        self.since = Some(now);
        self.bytes = 0;
    }

    fn add(&mut self, bytes: u64, now: Instant) {
        let since = *self.since.get_or_insert(now);
        self.bytes = self.bytes.saturating_add(bytes);
        if now.0.saturating_sub(since.0) >= MEASURE_MS {
            self.end(now);
            self.begin(now);
        }
    }

    fn end(&mut self, now: Instant) {
        let Some(since) = self.since.take() else {
            return;
        };
        if self.bytes == 0 {
            return;
        }
        let measured = self.bytes.saturating_mul(1_000) / now.0.saturating_sub(since.0).max(1);
        self.value = Some(match self.value {
            None => measured,
            Some(rate) => (rate / 4).saturating_mul(3).saturating_add(measured / 4),
        });
    }
}

/// When something that failed may be tried again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retry {
    /// Not before.
    pub(crate) at: Instant,
    /// Failures in a row.
    failures: u32,
}

impl Retry {
    /// The next attempt after one more failure: twice as far away each time.
    pub(crate) fn after(previous: Option<Self>, now: Instant) -> Self {
        let failures = previous.map_or(0, |retry| retry.failures).saturating_add(1);
        let wait = RETRY_MIN
            .saturating_mul(1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX))
            .min(RETRY_MAX);
        Self {
            at: now + wait,
            failures,
        }
    }

    /// As far away as it gets.
    pub(crate) fn late(now: Instant) -> Self {
        Self {
            at: now + RETRY_MAX,
            failures: 8,
        }
    }
}

/// First wait after a failure: a busy peer has a free slot again soon.
const RETRY_MIN: Duration = Duration::from_secs(1);
/// Longest wait: a peer that came back should be used within a minute.
const RETRY_MAX: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute() {
        let mut retry = None;
        let mut waits = Vec::new();
        for _ in 0..8 {
            let next = Retry::after(retry, Instant(0));
            waits.push(next.at.0 / 1_000);
            retry = Some(next);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    const MIB: u64 = 1 << 20;

    #[test]
    fn what_is_asked_fills_the_path_and_one_request_more() {
        let mut peer = Peer::default();
        peer.asked_for(MIB);
        assert!(!peer.has_room(true, MIB), "a crowd waits with one request");
        assert!(peer.has_room(false, MIB));
        // First byte after 500 ms, then 4 MiB a second: 2 MiB are on the way.
        peer.moves(Instant(0), Instant(500));
        peer.received(MIB, Instant(750));
        peer.released(0, true, Instant(750));
        peer.in_flight = 0;
        assert_eq!(peer.rate(), Some(4 * MIB));
        for _ in 0..3 {
            assert!(peer.has_room(true, MIB));
            peer.asked_for(MIB);
            peer.moving = 1;
        }
        assert!(!peer.has_room(true, MIB));
    }

    #[test]
    fn a_rate_is_bytes_by_the_time_in_which_something_moves() {
        let mut peer = Peer::default();
        for round in 0..20 {
            let start = round * 10_000;
            peer.in_flight = 1;
            peer.moves(Instant(start), Instant(start + 100));
            peer.received(MIB / 2, Instant(start + 350));
            peer.received(MIB / 2, Instant(start + 600));
            peer.released(0, true, Instant(start + 600));
        }
        assert_eq!(peer.rate(), Some(2 * MIB));
    }
}
