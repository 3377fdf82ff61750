//! What is said on a stream between who asks a model and who hosts it.
//!
//! One question a stream, on connections of their own (ALPN `weft/infer/1`), each message in a frame: its length as 4
//! bytes, big-endian, then one CBOR item. The host answers with any number of messages and ends the stream. Whoever
//! asked and does not wait any more resets it, and the host stops computing.

use std::time::Duration;

use minicbor::{Decode, Encode};

use super::{Description, Event, Job, ModelId};
use crate::{id::RevisionId, limits, sign::Envelope, wire::Message};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Question {
    /// Do you host this, would you take a question of mine, and how busy are you? Answered by [`Told::Load`] or
    /// [`Event::Failed`].
    #[n(0)]
    Load {
        /// The model's revision.
        #[n(0)]
        revision: RevisionId,
    },
    /// Do this. Answered by events, and by a receipt after the last event of an answer.
    #[n(1)]
    Ask {
        /// Which model.
        #[n(0)]
        model: ModelId,
        /// What to do.
        #[n(1)]
        job: Box<Job>,
    },
    /// What is it? Answered by [`Told::Described`] or [`Event::Failed`].
    #[n(2)]
    Describe {
        /// Which model.
        #[n(0)]
        model: ModelId,
    },
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Told {
    /// Answers [`Question::Load`].
    #[n(0)]
    Load(#[n(0)] Load),
    /// A job went on.
    #[n(1)]
    Event(#[n(0)] Event),
    /// What was computed, signed. The last message.
    #[n(2)]
    Receipt(#[n(0)] Envelope),
    /// How an answer that has no receipt was computed, after its last event: vectors and scores.
    #[n(3)]
    Computed(#[n(0)] super::Numerics),
    /// There is nothing to say yet; at least each [`ALIVE_EVERY`].
    #[n(4)]
    Alive,
    /// Answers [`Question::Describe`].
    #[n(5)]
    Described(#[n(0)] Box<Description>),
}

/// A host that computes says so this often.
pub const ALIVE_EVERY: Duration = Duration::from_secs(1);
/// A host that says nothing for so long is gone: some lost packets and their repetition fit in.
pub const SILENCE_MAX: Duration = Duration::from_secs(4);

/// How busy a host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub struct Load {
    /// Questions that are being answered.
    #[n(0)]
    pub running: u32,
    /// Questions that wait.
    #[n(1)]
    pub waiting: u32,
    /// Tokens of prompt and answer together that it computes for this asker, at most.
    #[n(2)]
    pub tokens_max: u32,
}

impl Message for Question {
    const LEN_MAX: usize = Job::LEN_MAX + limits::PATH_LEN_MAX + 64;
}
impl Message for Told {
    const LEN_MAX: usize = Event::LEN_MAX + 64;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        id::ObjectId,
        infer::{Generate, Prompt},
        wire::{decode, encode},
    };

    #[test]
    fn questions_and_answers_read_back_and_nothing_shorter_does() {
        let revision = ObjectId::new([1; 32]);
        let job = Job::Generate(Generate::greedy(Prompt::Tokens { ids: vec![1, 2] }));
        for question in [
            Question::Load { revision },
            Question::Ask {
                model: ModelId {
                    revision,
                    file: Some("a.gguf".parse().expect("a valid path")),
                },
                job: Box::new(job),
            },
        ] {
            let bytes = encode(&question);
            assert_eq!(decode::<Question>(&bytes), Ok(question));
            for len in 0..bytes.len() {
                assert!(decode::<Question>(&bytes[..len]).is_err());
            }
        }
        for told in [
            Told::Load(Load {
                running: 1,
                waiting: 2,
                tokens_max: 4_096,
            }),
            Told::Event(Event::Tokens {
                text: "a".to_owned(),
                tokens: Vec::new(),
            }),
            Told::Receipt(Envelope {
                body: vec![0],
                signatures: Vec::new(),
            }),
        ] {
            let bytes = encode(&told);
            assert_eq!(decode::<Told>(&bytes), Ok(told));
        }
    }
}
