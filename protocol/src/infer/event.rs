//! What comes back from a model.

use minicbor::{Decode, Encode};

use super::Real;
use crate::wire::Message;

/// One step of an answer. `Done`, `Embedded`, `Scored` and `Failed` are the last.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Event {
    /// The prompt was understood, and its turn has come.
    #[n(0)]
    Started {
        /// Tokens of the prompt.
        #[n(0)]
        prompt_tokens: u32,
        /// How many of them did not have to be computed again.
        #[n(1)]
        cached_tokens: u32,
        /// BLAKE3 of the prompt's token ids, each as 4 bytes, little-endian.
        #[cbor(n(2), with = "minicbor::bytes")]
        prompt_hash: [u8; 32],
    },
    /// The answer goes on.
    #[n(1)]
    Tokens {
        /// Text that is certain now: whole characters, no part of a stop text. May be empty.
        #[n(0)]
        text: String,
        /// The tokens drawn since the last event.
        #[n(1)]
        tokens: Vec<Sampled>,
    },
    /// The answer is over. The text told so far is all of it.
    #[n(2)]
    Done {
        /// Why.
        #[n(0)]
        finish: Finish,
        /// What it took.
        #[n(1)]
        usage: Usage,
        /// As asked for.
        #[n(2)]
        fingerprints: Vec<Fingerprint>,
    },
    /// Answers [`Job::Embed`](super::Job::Embed).
    #[n(3)]
    Embedded {
        /// One vector for each text, of unit length where the model's files say so.
        #[n(0)]
        vectors: Vec<Vec<Real>>,
        /// Tokens of all texts.
        #[n(1)]
        prompt_tokens: u32,
    },
    /// Answers [`Job::Score`](super::Job::Score).
    #[n(4)]
    Scored {
        /// As asked for.
        #[n(0)]
        fingerprints: Vec<Fingerprint>,
        /// BLAKE3 of the prompt's token ids, each as 4 bytes, little-endian.
        #[cbor(n(1), with = "minicbor::bytes")]
        prompt_hash: [u8; 32],
        /// For each token of the answer how far it is from being the one that the given sampling draws in its place, 0
        /// where it is: without a temperature, by how much the logit of the token drawn is larger; with one, 1 and the
        /// least error of logits by which it could have been drawn, neither cut off nor wholly behind the number drawn; or,
        /// where it takes none, how far that number lies from the token's share of the probability. 0 for tokens that were
        /// given. Empty if it was not said how they were drawn.
        #[n(2)]
        gaps: Vec<Real>,
        /// Tokens of the prompt.
        #[n(3)]
        prompt_tokens: u32,
        /// How the answer reads, if it was said how it was given.
        #[n(4)]
        retold: Option<Retold>,
    },
    /// There is no answer, or no more of it.
    #[n(5)]
    Failed(#[n(0)] Refusal),
}

impl Event {
    /// Joins tokens to the tokens before them.
    ///
    /// # Errors
    /// What cannot be joined, unchanged.
    pub fn append(&mut self, more: Self) -> Result<(), Self> {
        match (self, more) {
            (
                Self::Tokens { text, tokens },
                Self::Tokens {
                    text: further,
                    tokens: drawn,
                },
            ) => {
                text.push_str(&further);
                tokens.extend(drawn);
                Ok(())
            }
            (_, more) => Err(more),
        }
    }
}

impl Message for Event {
    /// Vectors of 2,048 texts.
    const LEN_MAX: usize = 64 * 1024 * 1024;
}

/// How an answer that is given reads, and where it ends, to who computes it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Retold {
    /// BLAKE3 of the text that the tokens behind those given have told, in UTF-8.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub text_hash: [u8; 32],
    /// Behind how many tokens it ends, and why: `Length` also where the context of who computes it again is full. Nothing if
    /// it could go on.
    #[n(1)]
    pub ended: Option<Ended>,
}

/// Where and why an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Ended {
    /// Tokens that it has.
    #[n(0)]
    pub tokens: u32,
    /// Why.
    #[n(1)]
    pub finish: Finish,
}

/// A token of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Sampled {
    /// Its id.
    #[n(0)]
    pub id: u32,
    /// Natural logarithm of its probability, before temperature and penalties, where asked for.
    #[n(1)]
    pub logprob: Option<Real>,
    /// Its bytes, where logarithms were asked for.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub bytes: Vec<u8>,
    /// The likeliest tokens in its place, where asked for.
    #[n(3)]
    pub top: Vec<Candidate>,
}

/// A token that could have been.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Candidate {
    /// Its id.
    #[n(0)]
    pub id: u32,
    /// Its bytes.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub bytes: Vec<u8>,
    /// Natural logarithm of its probability.
    #[n(2)]
    pub logprob: Real,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Finish {
    /// The model, or a stop text, ended it.
    #[n(0)]
    Stop,
    /// It is as long as was asked for, or the context is full.
    #[n(1)]
    Length,
    /// Who asked went away.
    #[n(2)]
    Cancelled,
}

/// What an answer took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub struct Usage {
    /// Tokens of the prompt.
    #[n(0)]
    pub prompt_tokens: u32,
    /// How many of them did not have to be computed again.
    #[n(1)]
    pub cached_tokens: u32,
    /// Tokens of the answer.
    #[n(2)]
    pub answer_tokens: u32,
    /// Nanoseconds waited for a turn.
    #[n(3)]
    pub wait_nanos: u64,
    /// Nanoseconds from then until the first token.
    #[n(4)]
    pub prompt_nanos: u64,
    /// Nanoseconds from then to the end.
    #[n(5)]
    pub answer_nanos: u64,
}

/// The likeliest tokens and their logits before one token of an answer: what a second host can check.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Fingerprint {
    /// Index in the answer of the token that these logits led to.
    #[n(0)]
    pub position: u32,
    /// Token ids and logits, the largest first; at most [`Self::TOP`].
    #[n(1)]
    pub top: Vec<(u32, Real)>,
}

impl Fingerprint {
    /// Logits that a fingerprint has.
    pub const TOP: usize = 8;
    /// Tokens between two fingerprints of a receipt.
    pub const EVERY: u32 = 32;
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, thiserror::Error)]
pub enum Refusal {
    /// Too much is waiting already.
    #[error("too many requests wait already; try again in {retry_millis} ms")]
    #[n(0)]
    Busy {
        /// When another try makes sense.
        #[n(0)]
        retry_millis: u32,
    },
    /// The prompt does not fit.
    #[error("the prompt has {tokens} tokens, and no more than {max} fit")]
    #[n(1)]
    TooLong {
        /// What it has.
        #[n(0)]
        tokens: u32,
        /// What fits.
        #[n(1)]
        max: u32,
    },
    /// The request makes no sense.
    #[error("{0}")]
    #[n(2)]
    Invalid(#[n(0)] String),
    /// This model, or this engine, cannot do that.
    #[error("{0}")]
    #[n(3)]
    Unsupported(#[n(0)] String),
    /// The model's files are broken.
    #[error("{0}")]
    #[n(4)]
    Broken(#[n(0)] String),
    /// No such model here.
    #[error("{0}")]
    #[n(5)]
    NotFound(#[n(0)] String),
    /// Not for this asker.
    #[error("{0}")]
    #[n(6)]
    Forbidden(#[n(0)] String),
    /// The engine failed; another try, or another host, may do.
    #[error("{0}")]
    #[n(7)]
    Failed(#[n(0)] String),
}
