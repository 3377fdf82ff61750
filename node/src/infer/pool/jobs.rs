//! Jobs: taken in, begun, told of, ended.

use std::{sync::Arc, time::Duration};

use weft_protocol::{
    infer::{
        Event, Job, ModelId, Prompt, Refusal, Text, ToEngine,
        admission::{Class, Offer, Ticket, Turn, cost},
    },
    time::Instant as Moment,
};

use super::{Inner, state::State};
use crate::infer::{
    Caller, Question,
    mailbox::{Mailbox, is_last},
};

/// Bytes of text that are taken for a token before it is known better.
const TOKEN_LEN: u64 = 5;
/// Tokens of an answer that are reckoned with if who asks names no limit.
const ANSWER_TOKENS: u64 = 512;
/// Tokens of an answer after which it is seen whose turn it is: far fewer than a turn has.
const RECKONED_EVERY: u64 = 16;
/// How long a job of this machine may take.
const OWN_TIME_MAX: Duration = Duration::from_secs(2 * 3_600);
/// How long one of another node may take.
const PEER_TIME_MAX: Duration = Duration::from_secs(600);

/// A job that was taken in.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) lane: ModelId,
    /// What the model was called.
    pub(super) name: String,
    pub(super) mailbox: Arc<Mailbox>,
    /// What is asked; gone when the engine was told.
    what: Option<Box<Job>>,
    pub(super) has_begun: bool,
    /// Since when nobody waits for it.
    pub(super) cancelled: Option<Moment>,
    /// Tokens that it reads: the prompt, and what of the answer is there already.
    pub(super) prompt_tokens: u64,
    resumed_tokens: u64,
    pub(super) answer_tokens: u64,
    /// The longest prompt, if who asks has a budget.
    prompt_tokens_max: Option<u64>,
}

pub(super) const fn class(caller: Caller) -> Class {
    match caller {
        Caller::Local(_) => Class::Own,
        Caller::Known(_) => Class::Known,
        Caller::Peer(_) => Class::Stranger,
    }
}

/// Tokens that a job reads, as far as they can be told without the model; without those of an answer that goes on.
fn prompt_tokens(job: &Job) -> u64 {
    // Even an empty one takes a pass.
    let text = |text: &str| text.len() as u64 / TOKEN_LEN + 1;
    let prompt = |prompt: &Prompt| match prompt {
        Prompt::Chat {
            messages, tools, ..
        } => text(messages) + tools.as_deref().map_or(0, text),
        Prompt::Text { text: all, .. } => text(all),
        Prompt::Tokens { ids } => ids.len() as u64,
    };
    match job {
        Job::Generate(generate) => prompt(&generate.prompt),
        Job::Embed(embed) => {
            let lens = embed.inputs.iter().map(|input| match input {
                Text::Plain(all) => text(all),
                Text::Tokens(ids) => ids.len() as u64,
            });
            lens.sum()
        }
        Job::Score(score) => prompt(&score.prompt) + score.answer.len() as u64,
    }
}

fn resumed_tokens(job: &Job) -> u64 {
    match job {
        Job::Generate(generate) => generate.resume.len() as u64,
        Job::Embed(_) | Job::Score(_) => 0,
    }
}

/// Tokens of an answer at most, those included that are there already.
fn answer_tokens(job: &Job) -> u64 {
    match job {
        Job::Generate(generate) => generate.tokens_max.map_or(ANSWER_TOKENS, u64::from),
        Job::Embed(_) | Job::Score(_) => 0,
    }
}

impl Inner {
    /// Takes a job in and does what can be done at once.
    pub(super) fn take_in(
        self: &Arc<Self>,
        question: Question,
        mailbox: Arc<Mailbox>,
    ) -> Result<Ticket, Refusal> {
        let Question {
            model,
            mut job,
            caller,
            deadline,
            keep,
        } = question;
        let now = self.now();
        let class = class(caller);
        let longest = match class {
            Class::Own => OWN_TIME_MAX,
            Class::Known | Class::Stranger => PEER_TIME_MAX,
        };
        let (prompt, resumed) = (prompt_tokens(&job), resumed_tokens(&job));
        let context_max = self.settings.admission.stranger_context_max;
        let budget = (class == Class::Stranger).then_some(context_max);
        if let (Some(context_max), Job::Generate(generate)) = (budget, &mut job) {
            let left = u32::try_from(context_max.saturating_sub(prompt)).unwrap_or(u32::MAX);
            generate.tokens_max = Some(generate.tokens_max.map_or(left, |max| max.min(left)));
        }
        let mut state = self.lock();
        if state.is_closed {
            return Err(Refusal::Failed("the node is shutting down".to_owned()));
        }
        let offered = state.admission.offer(Offer {
            caller,
            class,
            lane: model.id.clone(),
            prompt_tokens: prompt + resumed,
            answer_tokens: answer_tokens(&job).saturating_sub(resumed),
            deadline: Some(now + deadline.map_or(longest, |deadline| deadline.min(longest))),
        });
        let ticket = match offered {
            Ok(ticket) => ticket,
            Err(refusal) => {
                state.counters.refused += 1;
                return Err(refusal);
            }
        };
        state.counters.taken += 1;
        let work = Work {
            lane: model.id.clone(),
            name: model.name.clone(),
            mailbox,
            what: Some(Box::new(job)),
            has_begun: false,
            cancelled: None,
            prompt_tokens: prompt + resumed,
            resumed_tokens: resumed,
            answer_tokens: 0,
            prompt_tokens_max: budget,
        };
        state.jobs.insert(ticket, work);
        let keep = keep.unwrap_or(self.settings.keep);
        self.want(&mut state, &model, keep);
        self.step(&mut state);
        Ok(ticket)
    }

    /// Begins every job whose turn it is, and pauses those that others come before.
    pub(super) fn take_turns(&self, state: &mut State) {
        while let Some(turn) = state.admission.next(self.now()) {
            let (Turn::Start(job, _) | Turn::Resume(job, _) | Turn::Pause(job)) = turn;
            let Some(work) = state.jobs.get_mut(&job) else {
                continue;
            };
            let (lane, what) = (work.lane.clone(), work.what.take());
            let order = match (turn, what) {
                (Turn::Start(job, rank), Some(what)) => {
                    work.has_begun = true;
                    if let Some(engine) = state.engines.get_mut(&lane) {
                        engine.begun += 1;
                    }
                    ToEngine::Start { job, what, rank }
                }
                (Turn::Resume(job, rank), _) => ToEngine::Resume { job, rank },
                (Turn::Pause(job), _) => ToEngine::Pause { job },
                (Turn::Start(..), None) => continue,
            };
            state.tell(&lane, order);
        }
    }

    /// An engine says how a job goes.
    pub(super) fn told(
        self: &Arc<Self>,
        state: &mut State,
        id: &ModelId,
        ticket: Ticket,
        event: Event,
    ) {
        let now = self.now();
        let Some(work) = state.jobs.get_mut(&ticket) else {
            return;
        };
        if work.lane != *id {
            return;
        }
        // It may have had enough for now.
        let mut may_change = true;
        match &event {
            Event::Started { prompt_tokens, .. } => {
                work.prompt_tokens = u64::from(*prompt_tokens) + work.resumed_tokens;
                state.admission.counted(ticket, work.prompt_tokens);
                if let Some(max) = work.prompt_tokens_max
                    && work.prompt_tokens >= max
                {
                    let refusal = Refusal::TooLong {
                        tokens: *prompt_tokens,
                        max: u32::try_from(max).unwrap_or(u32::MAX),
                    };
                    work.mailbox.push(Event::Failed(refusal));
                    state.abandon(ticket, now);
                    return;
                }
            }
            Event::Tokens { tokens, .. } => {
                let before = work.answer_tokens;
                work.answer_tokens += tokens.len() as u64;
                may_change = before / RECKONED_EVERY != work.answer_tokens / RECKONED_EVERY;
                let spent = cost(work.prompt_tokens, work.answer_tokens);
                state.admission.spent(ticket, spent);
            }
            Event::Embedded { prompt_tokens, .. } => {
                work.prompt_tokens = u64::from(*prompt_tokens);
                state.admission.counted(ticket, work.prompt_tokens);
            }
            Event::Done { .. } | Event::Scored { .. } | Event::Failed(_) => {}
        }
        if !is_last(&event) {
            if work.cancelled.is_none() {
                work.mailbox.push(event);
            }
            if may_change {
                self.take_turns(state);
            }
            return;
        }
        if let Some(work) = state.finish(ticket, now)
            && work.cancelled.is_none()
        {
            state.counters.ended += 1;
            work.mailbox.push(event);
        }
        self.step(state);
    }
}

#[cfg(test)]
mod tests {
    use weft_protocol::infer::{Embed, Generate};

    use super::*;

    #[test]
    fn every_text_costs_something_and_what_goes_on_is_no_part_of_the_prompt() {
        let inputs = vec![Text::Plain("abcd".to_owned()); 2_048];
        let embed = Job::Embed(Embed {
            inputs,
            truncate: true,
        });
        assert!(prompt_tokens(&embed) >= 2_048);
        let generate = Job::Generate(Generate {
            resume: vec![7; 2_000],
            tokens_max: Some(3_000),
            ..Generate::greedy(Prompt::Tokens { ids: vec![1, 2] })
        });
        assert_eq!(
            (
                prompt_tokens(&generate),
                resumed_tokens(&generate),
                answer_tokens(&generate)
            ),
            (2, 2_000, 3_000)
        );
    }
}
