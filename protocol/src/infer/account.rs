//! What was asked of one host and what it told: the host makes the receipt of it, and the asker holds the receipt against
//! its own.
//!
//! Both hear the same events, so nothing that a receipt says of them is the host's word alone. What is: which weights and
//! kernels computed, how long it took, and the logits; the first and the last are for an audit ([`super::audit`]).

#[cfg(test)]
mod tests;

use super::{
    Event, Fingerprint, Finish, Generate, ModelId, Numerics, Receipt, Sampling, Usage,
    receipt::{answer_hash, fingerprint_positions},
};
use crate::{id::NodeId, limits, time::Timestamp};

/// Tokens of an answer to a question that names no limit.
const ANSWER_TOKENS_MAX: usize = 1 << 20;
/// Bytes of text: what may have been held back, and so many a token, which is more than any vocabulary has.
const TEXT_LEN_MAX: u64 = 64 * 1_024;
const TOKEN_LEN_MAX: u64 = 1_024;

/// One host's part of an answer.
#[derive(Debug, Clone)]
pub struct Account {
    sampling: Sampling,
    terms_hash: [u8; 32],
    tokens_max: Option<u32>,
    /// Something but the limit can end it.
    may_stop: bool,
    resumed: usize,
    answer: Vec<u32>,
    text: blake3::Hasher,
    begun: Option<Begun>,
    done: Option<Done>,
}

#[derive(Debug, Clone, Copy)]
struct Begun {
    prompt_hash: [u8; 32],
    prompt_tokens: u32,
}

#[derive(Debug, Clone)]
struct Done {
    finish: Finish,
    usage: Usage,
    fingerprints: Vec<Fingerprint>,
}

/// Who asked whom, for what, and when: the rest of a receipt.
#[derive(Debug, Clone)]
pub struct Parties {
    /// Who answers.
    pub node: NodeId,
    /// Who asked.
    pub asker: NodeId,
    /// What computes.
    pub model: ModelId,
    /// When the receipt is signed, or read.
    pub now: Timestamp,
}

/// What a receipt says otherwise than its reader heard it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// The answer has no end, or no beginning.
    #[error("the answer did not end")]
    Unfinished,
    /// Somebody else's receipt.
    #[error("it is about another host, asker or model")]
    Parties,
    /// Another prompt.
    #[error("it is about another prompt")]
    Prompt,
    /// Other tokens.
    #[error("it is about other tokens")]
    Answer,
    /// Other tokens are said to have been given.
    #[error("it says that other tokens were given")]
    Resumed,
    /// Another sampling or other terms.
    #[error("it says that something else was asked")]
    Asked,
    /// Another text.
    #[error("it is about another text")]
    Text,
    /// Another end, or one that cannot be.
    #[error("it says that the answer ended otherwise, or where it cannot")]
    Finish,
    /// Tokens were counted otherwise.
    #[error("tokens were counted otherwise")]
    Usage,
    /// It was not signed yet.
    #[error("it is from the future")]
    Issued,
}

impl Account {
    /// Begins with a question to one host, as that host was asked it: with the tokens that were given to it.
    pub fn new(generate: &Generate) -> Self {
        Self {
            sampling: generate.sampling.clone(),
            terms_hash: generate.terms().hash(),
            tokens_max: generate.tokens_max,
            may_stop: !generate.ignore_end
                || generate.constraint.is_some()
                || generate.stop.iter().any(|stop| !stop.is_empty()),
            resumed: generate.resume.len(),
            answer: generate.resume.clone(),
            text: blake3::Hasher::new(),
            begun: None,
            done: None,
        }
    }

    /// Takes down what is told.
    pub fn note(&mut self, event: &Event) {
        match event {
            Event::Started {
                prompt_hash,
                prompt_tokens,
                ..
            } => {
                self.begun = Some(Begun {
                    prompt_hash: *prompt_hash,
                    prompt_tokens: *prompt_tokens,
                });
            }
            Event::Tokens { text, tokens } => {
                self.text.update(text.as_bytes());
                self.answer.extend(tokens.iter().map(|token| token.id));
            }
            Event::Done {
                finish,
                usage,
                fingerprints,
            } => {
                self.done = Some(Done {
                    finish: *finish,
                    usage: *usage,
                    fingerprints: fingerprints.clone(),
                });
            }
            Event::Embedded { .. } | Event::Scored { .. } | Event::Failed(_) => {}
        }
    }

    /// Whether more was told than was asked for, or more text than so many tokens have.
    pub fn is_too_long(&self) -> bool {
        let tokens = self.answer.len();
        let most = self.tokens_max.and_then(|most| usize::try_from(most).ok());
        tokens > most.unwrap_or(ANSWER_TOKENS_MAX)
            || self.text.count() > TEXT_LEN_MAX + TOKEN_LEN_MAX * tokens as u64
    }

    /// Whether the answer was complete with the tokens that were given: a host that adds none has nothing to sign about.
    pub fn was_complete(&self) -> bool {
        self.resumed > 0 && self.answer.len() == self.resumed
    }

    /// The answer's tokens so far, those that were given first.
    pub fn answer(&self) -> &[u32] {
        &self.answer
    }

    /// The host's receipt. `None` if the answer has no end, or lacks fingerprints.
    pub fn receipt(self, parties: Parties, engine: &str, numerics: Numerics) -> Option<Receipt> {
        let (begun, done) = (self.begun?, self.done?);
        let answer_tokens = u32::try_from(self.answer.len()).ok()?;
        let mut fingerprints = done.fingerprints;
        fingerprints.retain(|print| print.position < answer_tokens);
        let found = fingerprints.iter().map(|print| print.position);
        if !found.eq(fingerprint_positions(answer_tokens)) {
            return None;
        }
        Some(Receipt {
            node: parties.node,
            asker: parties.asker,
            revision: parties.model.revision,
            file: parties.model.file,
            engine: engine.to_owned(),
            numerics,
            prompt_hash: begun.prompt_hash,
            prompt_tokens: begun.prompt_tokens,
            answer_hash: answer_hash(&self.answer),
            answer_tokens,
            resumed_tokens: u32::try_from(self.resumed).ok()?,
            sampling: self.sampling,
            terms_hash: self.terms_hash,
            finish: done.finish,
            fingerprints,
            prompt_millis: done.usage.prompt_nanos / 1_000_000,
            answer_millis: done.usage.answer_nanos / 1_000_000,
            issued: parties.now,
            text_hash: *self.text.finalize().as_bytes(),
        })
    }

    /// Holds a receipt against what its reader asked and heard.
    ///
    /// # Errors
    /// The first thing that it says otherwise.
    pub fn check(&self, receipt: &Receipt, parties: &Parties) -> Result<(), Contradiction> {
        let (Some(begun), Some(done)) = (&self.begun, &self.done) else {
            return Err(Contradiction::Unfinished);
        };
        let same = |same: bool, otherwise: Contradiction| match same {
            true => Ok(()),
            false => Err(otherwise),
        };
        let counts =
            |count: u32, len: usize| usize::try_from(count).is_ok_and(|count| count == len);
        same(
            receipt.node == parties.node
                && receipt.asker == parties.asker
                && receipt.model() == parties.model,
            Contradiction::Parties,
        )?;
        same(
            receipt.prompt_hash == begun.prompt_hash,
            Contradiction::Prompt,
        )?;
        same(
            receipt.answer_hash == answer_hash(&self.answer)
                && counts(receipt.answer_tokens, self.answer.len()),
            Contradiction::Answer,
        )?;
        same(
            counts(receipt.resumed_tokens, self.resumed),
            Contradiction::Resumed,
        )?;
        same(
            receipt.sampling == self.sampling && receipt.terms_hash == self.terms_hash,
            Contradiction::Asked,
        )?;
        same(
            receipt.text_hash == *self.text.finalize().as_bytes(),
            Contradiction::Text,
        )?;
        same(
            receipt.finish == done.finish && self.may_end(receipt.answer_tokens, done.finish),
            Contradiction::Finish,
        )?;
        same(
            receipt.prompt_tokens == begun.prompt_tokens
                && done.usage.prompt_tokens == begun.prompt_tokens
                && done.usage.answer_tokens == receipt.answer_tokens,
            Contradiction::Usage,
        )?;
        same(
            receipt.issued <= parties.now.plus(limits::CLOCK_SKEW_MAX),
            Contradiction::Issued,
        )
    }

    /// Whether an answer of so many tokens can end so, as far as one can know without the model. That it is as long as
    /// the context allows cannot be known: hosts have limits of their own.
    fn may_end(&self, tokens: u32, finish: Finish) -> bool {
        let fits = self.tokens_max.is_none_or(|most| tokens <= most);
        match finish {
            Finish::Stop => fits && self.may_stop && tokens > 0,
            Finish::Length => fits && (tokens > 0 || self.tokens_max == Some(0)),
            // Whoever reads this did not go away.
            Finish::Cancelled => false,
        }
    }
}
