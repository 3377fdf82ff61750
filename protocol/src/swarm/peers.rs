//! What is known of one peer as a source of bytes.

use std::time::Duration;

use crate::{limits, time::Instant};

/// A connected peer as a source.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// Transfers running, cancelled ones included until the driver has ended them.
    pub(crate) in_flight: u32,
    /// How many transfers it may have at once.
    slots: u32,
    /// Bytes per second of one transfer, smoothed.
    rate: Option<u64>,
    /// Verified bytes received in this connection.
    pub(crate) bytes_received: u64,
}

impl Default for Peer {
    /// A peer that has not served anything yet.
    fn default() -> Self {
        Self {
            in_flight: 0,
            slots: limits::TRANSFERS_PER_PEER_START,
            rate: None,
            bytes_received: 0,
        }
    }
}

impl Peer {
    /// Whether it may get one more transfer.
    pub(crate) fn has_slot(&self) -> bool {
        self.in_flight < self.slots
    }

    /// Bytes per second of one transfer, if one was measured.
    pub(crate) fn rate(&self) -> Option<u64> {
        self.rate
    }

    /// A transfer of `bytes` went well after `took`.
    pub(crate) fn succeeded(&mut self, bytes: u64, took: Duration) {
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
        let measured = bytes.saturating_mul(1_000) / millis;
        self.rate = Some(match self.rate {
            None => measured,
            Some(rate) => (rate / 10)
                .saturating_mul(7)
                .saturating_add((measured / 10).saturating_mul(3)),
        });
        if took < SLOT_GROWTH_WITHIN {
            self.slots = (self.slots + 1).min(limits::TRANSFERS_PER_PEER_MAX);
        }
    }

    /// A transfer failed or stalled: be gentler.
    pub(crate) fn failed(&mut self) {
        self.slots = (self.slots / 2).max(1);
    }
}

/// A transfer that ends within this time leaves the peer idle for a good part of it: one more slot.
const SLOT_GROWTH_WITHIN: Duration = Duration::from_secs(2);

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

    #[test]
    fn slots_grow_with_quick_success_and_shrink_on_failure() {
        let mut peer = Peer::default();
        for _ in 0..9 {
            peer.succeeded(1_000_000, Duration::from_millis(100));
        }
        assert_eq!(peer.slots, limits::TRANSFERS_PER_PEER_MAX);
        assert_eq!(peer.rate(), Some(10_000_000));
        for _ in 0..9 {
            peer.failed();
        }
        assert_eq!(peer.slots, 1);
    }
}
