//! What a model thinks of an answer that is given, and how it reads.

use weft_protocol::infer::{Ended, Generate, Real, Refusal, Retold};

use super::answer::Answer;
use crate::{model::Texts, refusal::invalid};

/// A job that scores.
#[derive(Debug)]
pub(super) struct Scoring {
    /// Goes the way that the answer is said to have gone.
    again: Option<Box<Again>>,
    gaps: Vec<Real>,
}

#[derive(Debug)]
struct Again {
    answer: Answer,
    has_form: bool,
    /// Tokens that were given: it knows them from the start.
    given: usize,
    text: blake3::Hasher,
}

impl Scoring {
    /// Refuses what cannot be scored. `said` is the question that the answer is said to answer.
    pub(super) fn new(
        prompt: &[u32],
        answer_len: usize,
        context: usize,
        every: u32,
        said: Option<&Generate>,
        texts: &Texts,
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
        let again = said.map(|ask| {
            Ok(Box::new(Again {
                answer: Answer::new(ask, prompt, context, texts)?,
                has_form: ask.constraint.is_some(),
                given: ask.resume.len(),
                text: blake3::Hasher::new(),
            }))
        });
        Ok(Self {
            again: again.transpose()?,
            gaps: Vec::new(),
        })
    }

    /// Whether it looks at the logits of each token.
    pub(super) fn is_thorough(&self) -> bool {
        self.again.is_some()
    }

    /// Whether the answer is said to have a form.
    pub(super) fn has_form(&self) -> bool {
        self.again.as_ref().is_some_and(|again| again.has_form)
    }

    /// Takes the logits that led to a token of the answer.
    pub(super) fn look(&mut self, logits: &mut [f32], token: u32, texts: &Texts) {
        let Some(again) = &mut self.again else { return };
        // What is behind the end was not drawn at all: that it is there is what is wrong.
        let drawn = self.gaps.len() >= again.given && again.answer.ended().is_none();
        let gap = match drawn {
            true => again.look(logits, token, texts),
            false => 0.0,
        };
        self.gaps.push(Real::new(gap));
    }

    pub(super) fn into_parts(self) -> (Vec<Real>, Option<Retold>) {
        let retold = self.again.map(|again| Retold {
            text_hash: *again.text.finalize().as_bytes(),
            ended: match again.answer.ended() {
                Some(Ok(finish)) => Some(Ended {
                    tokens: again.answer.len() as u32,
                    finish,
                }),
                Some(Err(_)) | None => None,
            },
        });
        (self.gaps, retold)
    }
}

impl Again {
    fn look(&mut self, logits: &mut [f32], token: u32, texts: &Texts) -> f32 {
        let gap = self.answer.gap(logits, token, texts);
        let mut told = String::new();
        self.answer.push(token, texts, &mut told);
        self.text.update(told.as_bytes());
        gap
    }
}
