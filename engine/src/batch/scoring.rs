//! What a model thinks of an answer that is given.

use weft_protocol::infer::Refusal;

use crate::refusal::invalid;

/// A job that scores; everything it needs is in its slot.
#[derive(Debug)]
pub(super) struct Scoring(());

impl Scoring {
    /// Refuses what cannot be scored.
    pub(super) fn new(
        prompt_len: usize,
        answer_len: usize,
        context: usize,
        every: u32,
    ) -> Result<Self, Refusal> {
        let len = prompt_len + answer_len;
        if len > context {
            return Err(Refusal::TooLong {
                tokens: len as u32,
                max: context as u32,
            });
        }
        if answer_len == 0 || every == 0 {
            return Err(invalid("there is no answer to score, or no place in it"));
        }
        Ok(Self(()))
    }
}
