//! What a model thinks of an answer that is given.

use weft_protocol::infer::{Real, Refusal, Sampling};

use crate::{refusal::invalid, sampling::Sampler};

/// A job that scores.
#[derive(Debug)]
pub(super) struct Scoring {
    /// Draws as is said to have been drawn.
    sampler: Option<Sampler>,
    gaps: Vec<Real>,
}

impl Scoring {
    /// Refuses what cannot be scored.
    pub(super) fn new(
        prompt: &[u32],
        answer_len: usize,
        context: usize,
        every: u32,
        sampling: Option<Sampling>,
    ) -> Result<Self, Refusal> {
        let len = prompt.len() + answer_len;
        if len > context {
            return Err(Refusal::TooLong {
                tokens: len as u32,
                max: context as u32,
            });
        }
        if answer_len == 0 || every == 0 {
            return Err(invalid("there is no answer to score, or no place in it"));
        }
        let sampler = sampling.map(|sampling| Sampler::new(sampling, prompt));
        Ok(Self {
            sampler: sampler.transpose()?,
            gaps: Vec::new(),
        })
    }

    /// Whether it looks at the logits of each token.
    pub(super) fn is_thorough(&self) -> bool {
        self.sampler.is_some()
    }

    /// Takes the logits that led to a token of the answer.
    pub(super) fn look(&mut self, logits: &mut [f32], token: u32) {
        if let Some(sampler) = &mut self.sampler {
            self.gaps.push(Real::new(sampler.gap(logits, token)));
            sampler.push(token);
        }
    }

    pub(super) fn into_gaps(self) -> Vec<Real> {
        self.gaps
    }
}
