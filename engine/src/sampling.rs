//! From logits to a token.
//!
//! A draw takes its randomness from the seed and the token's position in the answer, and from nothing else: whoever
//! continues the same answer draws the same.

pub(crate) mod constraint;
mod draw;
mod gap;
mod stop;

use std::collections::HashMap;

use constraint::Constraint;
pub(crate) use stop::Stops;
use weft_protocol::infer::{Fingerprint, Real, Refusal, Sampling};

use crate::refusal::invalid;

/// What is remembered of a sequence between draws.
#[derive(Debug)]
pub(crate) struct Sampler {
    sampling: Sampling,
    /// The prompt and the answer so far; the end of it is what repetition is looked for in.
    tokens: Vec<u32>,
    prompt_len: usize,
    /// How often the answer has each of its tokens.
    counts: HashMap<u32, u32>,
}

/// A drawn token.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Drawn {
    pub(crate) id: u32,
    /// Logarithms of probabilities before anything changed them: its own, and the likeliest ones.
    pub(crate) logprob: Option<f32>,
    pub(crate) top: Vec<(u32, f32)>,
}

impl Sampler {
    pub(crate) fn new(sampling: Sampling, prompt: &[u32]) -> Result<Self, Refusal> {
        let within = |what: &str, value: Real, low: f32, high: f32| {
            if (low..=high).contains(&value.get()) {
                Ok(())
            } else {
                Err(invalid(format!(
                    "{what} is {value:?}, and must lie between {low} and {high}"
                )))
            }
        };
        within("temperature", sampling.temperature, 0.0, 100.0)?;
        within("top_p", sampling.top_p, 0.0, 1.0)?;
        within("min_p", sampling.min_p, 0.0, 1.0)?;
        within(
            "repetition_penalty",
            sampling.repetition_penalty,
            0.01,
            100.0,
        )?;
        within("presence_penalty", sampling.presence_penalty, -100.0, 100.0)?;
        within(
            "frequency_penalty",
            sampling.frequency_penalty,
            -100.0,
            100.0,
        )?;
        Ok(Self {
            sampling,
            tokens: prompt.to_vec(),
            prompt_len: prompt.len(),
            counts: HashMap::new(),
        })
    }

    /// Takes note of a token of the answer.
    pub(crate) fn push(&mut self, id: u32) {
        self.tokens.push(id);
        *self.counts.entry(id).or_default() += 1;
    }

    /// Tokens of the answer so far.
    pub(crate) fn answer(&self) -> &[u32] {
        &self.tokens[self.prompt_len..]
    }

    /// Draws the next token. `None` if a constraint admits none.
    pub(crate) fn draw(
        &self,
        logits: &mut [f32],
        logprobs: Option<u32>,
        constraint: Option<&Constraint<'_>>,
    ) -> Option<Drawn> {
        let plain =
            logprobs.map(|count| (draw::log_total(logits), likeliest(logits, count as usize)));
        // Kept, since what follows changes them.
        let before = logprobs.map(|_| logits.to_vec());
        self.penalise(logits);
        let position = self.answer().len() as u64;
        let id = draw::pick(logits, &self.sampling, position, constraint)?;
        let Some((total, top)) = plain else {
            return Some(Drawn {
                id,
                logprob: None,
                top: Vec::new(),
            });
        };
        let logprob = before.and_then(|logits| logits.get(id as usize).map(|logit| logit - total));
        let top = top.into_iter().map(|(id, logit)| (id, logit - total));
        Some(Drawn {
            id,
            logprob,
            top: top.collect(),
        })
    }

    /// How far a token is from being the one that would be drawn now.
    pub(crate) fn gap(
        &self,
        logits: &mut [f32],
        token: u32,
        constraint: Option<&Constraint<'_>>,
    ) -> f32 {
        self.penalise(logits);
        let position = self.answer().len() as u64;
        gap::gap(logits, &self.sampling, position, token, constraint)
    }

    fn penalise(&self, logits: &mut [f32]) {
        let sampling = &self.sampling;
        let repetition = sampling.repetition_penalty.get();
        if repetition != 1.0 {
            let window = match sampling.penalty_window as usize {
                0 => self.tokens.len(),
                window => window.min(self.tokens.len()),
            };
            let mut recent = self.tokens[self.tokens.len() - window..].to_vec();
            recent.sort_unstable();
            recent.dedup();
            for id in recent {
                if let Some(logit) = logits.get_mut(id as usize) {
                    *logit = if *logit > 0.0 {
                        *logit / repetition
                    } else {
                        *logit * repetition
                    };
                }
            }
        }
        let presence = sampling.presence_penalty.get();
        let frequency = sampling.frequency_penalty.get();
        if presence != 0.0 || frequency != 0.0 {
            for (id, count) in &self.counts {
                if let Some(logit) = logits.get_mut(*id as usize) {
                    *logit -= presence + frequency * *count as f32;
                }
            }
        }
        for (id, bias) in &sampling.logit_bias {
            if let Some(logit) = logits.get_mut(*id as usize) {
                *logit += bias.get();
            }
        }
    }
}

/// The likeliest tokens with their logits, the largest first; of equals the one with the lower id.
fn likeliest(logits: &[f32], count: usize) -> Vec<(u32, f32)> {
    let count = count.min(logits.len());
    if count == 0 {
        return Vec::new();
    }
    let mut all: Vec<(u32, f32)> = (0..).zip(logits.iter().copied()).collect();
    let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if count < all.len() {
        all.select_nth_unstable_by(count - 1, order);
        all.truncate(count);
    }
    all.sort_unstable_by(order);
    all
}

/// What a second host can check of logits.
pub(crate) fn fingerprint(position: u32, logits: &[f32]) -> Fingerprint {
    let top = likeliest(logits, Fingerprint::TOP);
    Fingerprint {
        position,
        top: top
            .into_iter()
            .map(|(id, logit)| (id, Real::new(logit)))
            .collect(),
    }
}

#[cfg(test)]
mod tests;
