//! What is asked of a model.

#[cfg(test)]
mod tests;

use minicbor::{Decode, Encode};

use super::Real;
use crate::{codec, wire::Message};

/// One piece of work for a model.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Job {
    /// Continue a prompt. Answered by `Started`, any number of `Tokens`, and `Done`.
    #[n(0)]
    Generate(#[n(0)] Generate),
    /// Vectors for texts. Answered by `Embedded`.
    #[n(1)]
    Embed(#[n(0)] Embed),
    /// What the model thinks of a given continuation: for audits. Answered by `Scored`.
    #[n(2)]
    Score(#[n(0)] Score),
}

impl Message for Job {
    /// A context of a million tokens as text, and room around it.
    const LEN_MAX: usize = 8 * 1024 * 1024;
}

/// What a model is to continue.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Prompt {
    /// A conversation, which the model's own chat template turns into text.
    #[n(0)]
    Chat {
        /// JSON array of messages as the OpenAI API has them, `content` always a string or null.
        #[n(0)]
        messages: String,
        /// JSON array of tools as the OpenAI API has them.
        #[n(1)]
        tools: Option<String>,
        /// Goes on with the last message, which is the assistant's, instead of opening a new one.
        #[n(2)]
        proceed: bool,
    },
    /// Text, with the tokens the model wants at its start.
    #[n(1)]
    Text {
        /// The text.
        #[n(0)]
        text: String,
        /// Take it as it is: nothing is put before it.
        #[n(1)]
        raw: bool,
    },
    /// Token ids as they are.
    #[n(2)]
    Tokens {
        /// The ids.
        #[n(0)]
        ids: Vec<u32>,
    },
}

/// How the next token is drawn. Every draw takes its randomness from the seed and the token's position alone, so a
/// continuation elsewhere from the same prefix draws the same.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Sampling {
    /// 0 takes the likeliest token always.
    #[n(0)]
    pub temperature: Real,
    /// Only the `top_k` likeliest; 0 for all.
    #[n(1)]
    pub top_k: u32,
    /// Only the likeliest that together have this probability; 1 for all.
    #[n(2)]
    pub top_p: Real,
    /// Only those with at least this share of the likeliest's probability; 0 for all.
    #[n(3)]
    pub min_p: Real,
    /// Divides positive and multiplies negative logits of tokens seen among the last [`Self::penalty_window`]; 1 for none.
    #[n(4)]
    pub repetition_penalty: Real,
    /// Tokens looked back at for [`Self::repetition_penalty`]; 0 for all.
    #[n(5)]
    pub penalty_window: u32,
    /// Taken from the logit of each token that the answer already has; 0 for none.
    #[n(6)]
    pub presence_penalty: Real,
    /// The same, times how often it has it; 0 for none.
    #[n(7)]
    pub frequency_penalty: Real,
    /// Added to the logits of these tokens.
    #[n(8)]
    pub logit_bias: Vec<(u32, Real)>,
    /// Where randomness comes from.
    #[n(9)]
    pub seed: u64,
}

impl Sampling {
    /// The likeliest token, always.
    pub const fn greedy() -> Self {
        Self {
            temperature: Real::ZERO,
            top_k: 0,
            top_p: Real::new(1.0),
            min_p: Real::ZERO,
            repetition_penalty: Real::new(1.0),
            penalty_window: 64,
            presence_penalty: Real::ZERO,
            frequency_penalty: Real::ZERO,
            logit_bias: Vec::new(),
            seed: 0,
        }
    }
}

/// What an answer has to be.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Constraint {
    /// One JSON object.
    #[n(0)]
    Json,
    /// One JSON value that this JSON schema admits.
    #[n(1)]
    Schema(#[n(0)] String),
}

/// Continue a prompt.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Generate {
    /// What comes before.
    #[n(0)]
    pub prompt: Prompt,
    /// Tokens of the answer that are there already, from this or another host. They count as the answer's own for
    /// penalties, stop strings and limits, and are not told again.
    #[n(1)]
    pub resume: Vec<u32>,
    /// How tokens are drawn.
    #[n(2)]
    pub sampling: Sampling,
    /// The longest answer in tokens, those of `resume` included; `None` for as long as the context allows.
    #[n(3)]
    pub tokens_max: Option<u32>,
    /// Texts at which the answer ends; they are not part of it.
    #[n(4)]
    pub stop: Vec<String>,
    /// Goes on past the model's own end-of-text tokens (for measurements).
    #[n(5)]
    pub ignore_end: bool,
    /// Tell the logarithm of each token's probability, and those of this many likeliest ones.
    #[n(6)]
    pub logprobs: Option<u32>,
    /// What the answer has to be.
    #[n(7)]
    pub constraint: Option<Constraint>,
    /// A fingerprint at the first and at each `n`-th token of the answer; 0 for none.
    #[n(8)]
    pub fingerprint_every: u32,
}

/// What ends an answer, and what it has to be: with the sampling, all of a question that decides what may be answered.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Terms {
    /// As in [`Generate`].
    #[n(0)]
    pub tokens_max: Option<u32>,
    /// As in [`Generate`].
    #[n(1)]
    pub constraint: Option<Constraint>,
    /// As in [`Generate`].
    #[n(2)]
    pub stop: Vec<String>,
    /// As in [`Generate`]. Never absent, so that nothing before it is left out and the hash is of one form.
    #[n(3)]
    pub ignore_end: bool,
}

impl Terms {
    /// BLAKE3 of their encoding: what a receipt says of them.
    pub fn hash(&self) -> [u8; 32] {
        *blake3::hash(&codec::encode(self)).as_bytes()
    }
}

impl Generate {
    /// The likeliest continuation of a prompt, with nothing asked for besides.
    pub const fn greedy(prompt: Prompt) -> Self {
        Self {
            prompt,
            resume: Vec::new(),
            sampling: Sampling::greedy(),
            tokens_max: None,
            stop: Vec::new(),
            ignore_end: false,
            logprobs: None,
            constraint: None,
            fingerprint_every: 0,
        }
    }

    /// What ends the answer, and what it has to be.
    pub fn terms(&self) -> Terms {
        Terms {
            tokens_max: self.tokens_max,
            constraint: self.constraint.clone(),
            stop: self.stop.clone(),
            ignore_end: self.ignore_end,
        }
    }
}

/// A text to make a vector of.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Text {
    /// As text.
    #[n(0)]
    Plain(#[n(0)] String),
    /// As token ids.
    #[n(1)]
    Tokens(#[n(0)] Vec<u32>),
}

/// Vectors for texts.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Embed {
    /// The texts, one vector each.
    #[n(0)]
    pub inputs: Vec<Text>,
    /// Cut texts that are longer than the model reads, instead of refusing them.
    #[n(1)]
    pub truncate: bool,
}

/// What the model thinks of a given continuation: forced decoding, one pass over prompt and answer.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Score {
    /// What comes before.
    #[n(0)]
    pub prompt: Prompt,
    /// The answer's tokens.
    #[n(1)]
    pub answer: Vec<u32>,
    /// A fingerprint at the first and at each `n`-th token of the answer; at least 1.
    #[n(2)]
    pub fingerprint_every: u32,
    /// How it is said to have been answered: how far each token is from that, what its text is and where it ends is told too.
    #[n(3)]
    pub said: Option<Said>,
}

/// How an answer is said to have been given.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Said {
    /// How tokens were drawn.
    #[n(0)]
    pub sampling: Sampling,
    /// What ended it.
    #[n(1)]
    pub terms: Terms,
    /// How many of its tokens, the first ones, were given.
    #[n(2)]
    pub resumed_tokens: u32,
}

impl Said {
    /// The question that an answer of these tokens is said to answer. `None` if more tokens were given than it has.
    pub fn question(&self, prompt: Prompt, answer: &[u32]) -> Option<Generate> {
        let resumed = usize::try_from(self.resumed_tokens).ok()?;
        Some(Generate {
            resume: answer.get(..resumed)?.to_vec(),
            sampling: self.sampling.clone(),
            tokens_max: self.terms.tokens_max,
            stop: self.terms.stop.clone(),
            ignore_end: self.terms.ignore_end,
            constraint: self.terms.constraint.clone(),
            ..Generate::greedy(prompt)
        })
    }
}
