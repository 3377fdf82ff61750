//! Bytes per second, smoothed so that a person can read it.

use std::time::{Duration, Instant};

/// Below this a difference of two counters says more about timers than about the network.
const SAMPLE_MIN: Duration = Duration::from_millis(250);
/// How long an old measurement matters: long enough to read, short enough to show a stall.
const MEMORY: Duration = Duration::from_secs(4);

/// An exponentially weighted rate.
#[derive(Debug, Default)]
pub(super) struct Rate {
    last: Option<(Instant, u64)>,
    bytes_per_second: Option<f64>,
}

impl Rate {
    /// Takes in a counter; tells the rate as soon as there is one.
    pub(super) fn update(&mut self, now: Instant, bytes: u64) -> Option<u64> {
        let (then, before) = *self.last.get_or_insert((now, bytes));
        let span = now.saturating_duration_since(then);
        if span >= SAMPLE_MIN {
            let sample = bytes.saturating_sub(before) as f64 / span.as_secs_f64();
            let weight = 1.0 - (-span.as_secs_f64() / MEMORY.as_secs_f64()).exp();
            let rate = self
                .bytes_per_second
                .map_or(sample, |old| old + (sample - old) * weight);
            self.bytes_per_second = Some(rate);
            self.last = Some((now, bytes));
        }
        self.bytes_per_second.map(|rate| rate as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steady_stream_has_its_rate() {
        let start = Instant::now();
        let mut rate = Rate::default();
        assert_eq!(rate.update(start, 0), None);
        for second in 1..5 {
            let now = start + Duration::from_secs(second);
            assert_eq!(rate.update(now, second * 1_000), Some(1_000));
        }
    }

    #[test]
    fn stall_brings_the_rate_down() {
        let start = Instant::now();
        let mut rate = Rate::default();
        rate.update(start, 0);
        rate.update(start + Duration::from_secs(1), 1_000_000);
        let after = rate
            .update(start + Duration::from_secs(21), 1_000_000)
            .unwrap();
        assert!(after < 10_000, "{after}");
    }
}
