//! Yielding to the household's other traffic: a rate that shrinks as the way to a peer gets longer.
//!
//! The idea and the constants are LEDBAT's (RFC 6817): delay above the least seen in the last minutes is a queue, and a
//! queue above the target means that somebody waits behind us. LEDBAT moves a window once a round trip; a seed's sends are
//! paced by rate anyway, so the rate is moved here, with each measurement. Pure code.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// The queue that sending may cause. RFC 6817 allows 100 ms at most.
const TARGET: Duration = Duration::from_millis(100);
/// The least delay of each of so many minutes is remembered; a path that became longer is believed after them.
const BASE_MINUTES: usize = 10;
/// The least of so many measurements counts: one may be late for reasons of its own.
const FILTER: usize = 3;
/// What is always sent, in bytes per second: a queue that does not go away is not ours.
const RATE_MIN: f64 = 16_000.0;
/// Where it begins, in bytes per second.
const RATE_START: f64 = 500_000.0;
/// How fast the rate follows: so many e-folds a second without any queue, or with one of twice the target.
const GAIN: f64 = 0.6;
/// What the queue changes at once, as a share of the rate. Without it the rate would swing about the right one.
const DAMPING: f64 = 0.4;
/// A queue counts for so many targets at most.
const HASTE_MAX: f64 = 3.0;
/// A pause between measurements counts for this at most.
const STEP_MAX: Duration = Duration::from_secs(1);
/// Sending less than allowed is no reason to be allowed more than so many times of it.
const HEADROOM: f64 = 2.0;

/// What is known of the way to one peer.
#[derive(Debug)]
pub(super) struct Polite {
    rate: f64,
    /// Share of the target that is left, or minus how many targets too much.
    off: f64,
    /// Least delays, by minute, the newest last.
    base: VecDeque<(Instant, Duration)>,
    recent: VecDeque<Duration>,
    last: Option<Instant>,
    /// Bytes sent since then.
    sent: u64,
    /// Bytes per second sent of late.
    used: f64,
}

impl Default for Polite {
    fn default() -> Self {
        Self {
            rate: RATE_START,
            off: 0.0,
            base: VecDeque::new(),
            recent: VecDeque::new(),
            last: None,
            sent: 0,
            used: 0.0,
        }
    }
}

impl Polite {
    /// Bytes per second that may be sent.
    pub(super) fn rate(&self) -> u64 {
        (self.rate * DAMPING.mul_add(self.off.max(-1.0), 1.0)).max(RATE_MIN) as u64
    }

    /// Counts bytes that were sent.
    pub(super) fn sent(&mut self, bytes: u64) {
        self.sent += bytes;
    }

    /// Takes a measured round trip.
    pub(super) fn sample(&mut self, delay: Duration, now: Instant) {
        self.remember(delay, now);
        let least = |delays: &mut dyn Iterator<Item = Duration>| delays.min().unwrap_or(delay);
        let base = least(&mut self.base.iter().map(|(_, delay)| *delay));
        let current = least(&mut self.recent.iter().copied());
        let queue = current.saturating_sub(base);
        self.off = (1.0 - queue.as_secs_f64() / TARGET.as_secs_f64()).max(-HASTE_MAX);
        let step = self.last.map_or(Duration::ZERO, |last| {
            now.saturating_duration_since(last).min(STEP_MAX)
        });
        self.last = Some(now);
        let step = step.as_secs_f64();
        if step > 0.0 {
            // Half of it is older than half a second.
            let weight = (step / 0.5).min(1.0);
            self.used += (self.sent as f64 / step - self.used) * weight;
            self.sent = 0;
        }
        let moved = self.rate * (GAIN * self.off * step).exp();
        let allowed = (self.used * HEADROOM).max(RATE_START);
        self.rate = if self.off > 0.0 {
            moved.min(allowed.max(self.rate))
        } else {
            moved.max(RATE_MIN)
        };
    }

    fn remember(&mut self, delay: Duration, now: Instant) {
        self.recent.push_back(delay);
        if self.recent.len() > FILTER {
            self.recent.pop_front();
        }
        let minute = Duration::from_secs(60);
        match self.base.back_mut() {
            Some((since, least)) if now.saturating_duration_since(*since) < minute => {
                *least = delay.min(*least);
            }
            _ => self.base.push_back((now, delay)),
        }
        if self.base.len() > BASE_MINUTES {
            self.base.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A household's line up: one queue, which others fill as well.
    struct Line {
        now: Instant,
        queue: f64,
        polite: Polite,
    }

    /// Bytes per second that the line carries.
    const CAPACITY: f64 = 1_250_000.0;
    /// Milliseconds of a round trip without a queue.
    const NEAR_MS: f64 = 20.0;
    const STEP: Duration = Duration::from_millis(20);

    impl Line {
        fn new() -> Self {
            Self {
                now: Instant::now(),
                queue: 0.0,
                polite: Polite::default(),
            }
        }

        /// Lets time pass while others send at `others` bytes per second, or keep a queue of `standing` seconds. What we
        /// sent per second, and the longest queue in milliseconds.
        fn run(&mut self, seconds: u64, others: f64, standing: f64) -> (f64, f64) {
            let (mut ours, mut longest) = (0.0, 0.0_f64);
            let steps = seconds * 1_000 / 20;
            for step in 0..steps {
                self.now += STEP;
                let dt = STEP.as_secs_f64();
                let mine = self.polite.rate() as f64 * dt;
                ours += mine;
                self.queue =
                    (self.queue + mine + (others - CAPACITY) * dt).max(standing * CAPACITY);
                self.polite.sent(mine as u64);
                let queue = self.queue / CAPACITY;
                longest = longest.max(queue * 1_000.0);
                // An echo comes back once in a while.
                if step % 3 == 0 {
                    let delay = Duration::from_secs_f64(NEAR_MS / 1_000.0 + queue);
                    self.polite.sample(delay, self.now);
                }
            }
            (ours / seconds as f64, longest)
        }
    }

    #[test]
    fn line_that_nobody_else_uses_is_used_up_without_a_long_queue() {
        let mut line = Line::new();
        line.run(20, 0.0, 0.0);
        let (rate, queue) = line.run(30, 0.0, 0.0);
        assert!(rate > 0.9 * CAPACITY, "{rate}");
        assert!(queue < 200.0, "{queue}");
    }

    #[test]
    fn what_others_send_is_left_to_them() {
        let mut line = Line::new();
        line.run(20, 0.0, 0.0);
        line.run(10, 0.8 * CAPACITY, 0.0);
        let (rate, queue) = line.run(30, 0.8 * CAPACITY, 0.0);
        assert!(rate < 0.22 * CAPACITY && rate > 0.1 * CAPACITY, "{rate}");
        assert!(queue < 200.0, "{queue}");
    }

    #[test]
    fn queue_of_somebody_elses_stops_all_but_a_trickle_until_it_is_gone() {
        let mut line = Line::new();
        line.run(20, 0.0, 0.0);
        line.run(10, 0.0, 0.3);
        let (rate, _) = line.run(10, 0.0, 0.3);
        assert!(rate < 1.1 * RATE_MIN, "{rate}");
        line.run(15, 0.0, 0.0);
        let (rate, _) = line.run(10, 0.0, 0.0);
        assert!(rate > 0.8 * CAPACITY, "{rate}");
    }

    #[test]
    fn path_that_became_longer_is_believed_after_ten_minutes() {
        let mut line = Line::new();
        line.run(20, 0.0, 0.0);
        line.run(11 * 60, 0.0, 0.3);
        let (rate, _) = line.run(30, 0.0, 0.3);
        assert!(rate > 0.5 * CAPACITY, "{rate}");
    }

    #[test]
    fn pause_is_no_reason_for_a_leap() {
        let mut polite = Polite::default();
        let mut now = Instant::now();
        polite.sample(Duration::from_millis(10), now);
        for _ in 0..100 {
            now += Duration::from_secs(3_600);
            polite.sample(Duration::from_millis(10), now);
        }
        assert!(
            polite.rate() <= (2.0 * RATE_START) as u64,
            "{}",
            polite.rate()
        );
    }
}
