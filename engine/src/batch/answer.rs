//! An answer as it grows: drawing, text, and when to end.

use weft_protocol::infer::{Candidate, Event, Finish, Generate, Real, Refusal, Sampled};

use crate::{
    model::Texts,
    refusal::invalid,
    sampling::{
        Sampler, Stops,
        constraint::{Constraint, Form},
    },
    tokenizer::Stream,
};

/// More stop texts than any client sends.
const STOPS_MAX: usize = 64;
/// As many as clients may ask for, and no more than the largest of them allows.
const LOGPROBS_MAX: u32 = 32;

/// An answer under way.
#[derive(Debug)]
pub(super) struct Answer {
    sampler: Sampler,
    stream: Stream,
    stops: Stops,
    logprobs: Option<u32>,
    ignore_end: bool,
    /// What it has to be.
    form: Option<Form>,
    /// Tokens at most.
    most: usize,
    ended: Option<Result<Finish, Refusal>>,
}

impl Answer {
    pub(super) fn new(
        ask: &Generate,
        prompt: &[u32],
        context: usize,
        texts: &Texts,
    ) -> Result<Self, Refusal> {
        if prompt.len() + ask.resume.len() >= context {
            return Err(Refusal::TooLong {
                tokens: (prompt.len() + ask.resume.len()) as u32,
                max: context as u32 - 1,
            });
        }
        if ask.stop.len() > STOPS_MAX {
            return Err(invalid(format!("more than {STOPS_MAX} stop texts")));
        }
        if ask.logprobs.is_some_and(|count| count > LOGPROBS_MAX) {
            return Err(invalid(format!(
                "logarithms of more than {LOGPROBS_MAX} tokens"
            )));
        }
        let room = context - prompt.len();
        let most = ask.tokens_max.map_or(room, |most| room.min(most as usize));
        let mut answer = Self {
            sampler: Sampler::new(ask.sampling.clone(), prompt)?,
            stream: Stream::default(),
            stops: Stops::new(&ask.stop),
            logprobs: ask.logprobs,
            ignore_end: ask.ignore_end,
            form: ask.constraint.as_ref().map(Form::new).transpose()?,
            most,
            ended: None,
        };
        if most == 0 {
            answer.ended = Some(Ok(Finish::Length));
        }
        // What is there already was told before; only what it held back is still to be told.
        for id in &ask.resume {
            answer.push(*id, texts, &mut String::new());
        }
        Ok(answer)
    }

    pub(super) fn ended(&self) -> Option<Result<Finish, Refusal>> {
        self.ended.clone()
    }

    /// Tokens so far.
    pub(super) fn len(&self) -> usize {
        self.sampler.answer().len()
    }

    /// Draws a token and tells it. Returns it if the answer goes on.
    pub(super) fn draw(
        &mut self,
        logits: &mut [f32],
        texts: &Texts,
        tell: impl FnOnce(Event),
    ) -> Option<u32> {
        let constraint = self.form.as_ref().map(|form| Constraint {
            form,
            tokenizer: &texts.tokenizer,
        });
        let drawn = self
            .sampler
            .draw(logits, self.logprobs, constraint.as_ref());
        let Some(drawn) = drawn else {
            let why = match &self.form {
                None => "the model's logits are no numbers",
                Some(_) => "no token of this model continues the answer in the form asked for",
            };
            self.ended = Some(Err(Refusal::Failed(why.to_owned())));
            return None;
        };
        let piece = |id: u32| texts.tokenizer.piece(id).to_vec();
        let mut text = String::new();
        self.push(drawn.id, texts, &mut text);
        let asked = self.logprobs.is_some();
        let sampled = Sampled {
            id: drawn.id,
            logprob: drawn.logprob.map(Real::new),
            bytes: if asked { piece(drawn.id) } else { Vec::new() },
            top: drawn
                .top
                .into_iter()
                .map(|(id, logprob)| Candidate {
                    id,
                    bytes: piece(id),
                    logprob: Real::new(logprob),
                })
                .collect(),
        };
        tell(Event::Tokens {
            text,
            tokens: vec![sampled],
        });
        self.ended.is_none().then_some(drawn.id)
    }

    /// How far a token is from being the one that would be drawn now. Changes the logits.
    pub(super) fn gap(&self, logits: &mut [f32], token: u32, texts: &Texts) -> f32 {
        let constraint = self.form.as_ref().map(|form| Constraint {
            form,
            tokenizer: &texts.tokenizer,
        });
        self.sampler.gap(logits, token, constraint.as_ref())
    }

    /// Takes note of a token; appends text that is certain now.
    pub(super) fn push(&mut self, id: u32, texts: &Texts, told: &mut String) {
        if self.ended.is_some() {
            return;
        }
        self.sampler.push(id);
        if texts.tokenizer.is_end(id) && !self.ignore_end {
            self.end(Finish::Stop, told);
            return;
        }
        let mut text = String::new();
        if !texts.tokenizer.is_control(id) {
            self.stream.push(texts.tokenizer.piece(id), &mut text);
        }
        let whole = self.form.as_mut().is_some_and(|form| {
            form.push(texts.tokenizer.piece(id));
            form.is_whole()
        });
        if self.stops.push(&text, told) {
            self.ended = Some(Ok(Finish::Stop));
        } else if whole {
            self.end(Finish::Stop, told);
        } else if self.len() >= self.most {
            self.end(Finish::Length, told);
        }
    }

    /// Ends the answer, with what was held back.
    fn end(&mut self, finish: Finish, told: &mut String) {
        let mut rest = String::new();
        self.stream.finish(&mut rest);
        if !self.stops.push(&rest, told) {
            self.stops.finish(told);
        }
        self.ended = Some(Ok(finish));
    }
}
