//! What sequences that have ended still remember.

use super::slot::Slot;
use crate::{
    decoder::{Cache, Decoder},
    refusal::Result,
};

/// Copying pays from this many tokens on; computing fewer is as fast.
const FORK_LEN_MIN: usize = 8;

/// Caches without a sequence, the least recently used first.
#[derive(Debug)]
pub(super) struct Memory {
    idle: Vec<Cache>,
    /// Caches at most, those of running sequences included.
    most: usize,
}

impl Memory {
    pub(super) fn new(most: usize) -> Self {
        Self {
            idle: Vec::new(),
            most,
        }
    }

    /// A cache that remembers as much as possible of `tokens`, and no more than the first `most` of them.
    pub(super) fn find(
        &mut self,
        decoder: &Decoder,
        running: &[Slot],
        tokens: &[u32],
        most: usize,
    ) -> Result<Cache> {
        let common = |cache: &Cache| {
            let same = cache.tokens().iter().zip(tokens);
            same.take_while(|(ours, theirs)| ours == theirs)
                .count()
                .min(most)
        };
        let shape = decoder.shape();
        let best_idle = (0..self.idle.len())
            .map(|at| (common(&self.idle[at]), at))
            .max();
        let best_running = running
            .iter()
            .map(|slot| (common(slot.cache()), slot))
            .max_by_key(|(len, _)| *len)
            .filter(|(len, _)| *len >= FORK_LEN_MIN);
        match (best_idle, best_running) {
            (idle, Some((len, slot))) if idle.is_none_or(|(idle, _)| len > idle) => {
                slot.cache().fork(shape, len)
            }
            (Some((len, at)), _) if len > 0 => {
                // Another conversation may go on from what this one would overwrite.
                let loses = self.idle[at].len() - len;
                let room = self.idle.len() + running.len() < self.most;
                if loses > len && room && len >= FORK_LEN_MIN {
                    return self.idle[at].fork(shape, len);
                }
                let mut cache = self.idle.remove(at);
                cache.truncate(len);
                Ok(cache)
            }
            _ => Cache::new(shape),
        }
    }

    /// Keeps the cache of a sequence that has ended.
    pub(super) fn keep(&mut self, cache: Cache) {
        self.idle.push(cache);
    }

    /// Forgets until all fit beside `running` sequences.
    pub(super) fn fit(&mut self, running: usize) {
        let room = self.most.saturating_sub(running).max(1);
        while self.idle.len() > room {
            self.idle.remove(0);
        }
    }
}
