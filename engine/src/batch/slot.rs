//! One sequence under way.

use std::time::Instant;

use weft_protocol::infer::{Event, Fingerprint, Finish, Rank, Refusal, Usage};

use super::{Teller, Waiting, Work, answer::Answer, scoring::Scoring};
use crate::{
    decoder::{Cache, Chunk},
    model::Texts,
    sampling,
};

/// Tokens of a given answer that are scored at once: each has the logits of a whole vocabulary.
const SCORED_MAX: usize = 64;

/// One sequence under way.
#[derive(Debug)]
pub(super) struct Slot {
    job: u64,
    rank: Rank,
    cache: Cache,
    /// What has to be computed, and before it what is.
    tokens: Vec<u32>,
    prompt_len: usize,
    /// Tokens up to which logits were looked at: what is computed again after a pause is not looked at twice.
    looked: usize,
    prompt_hash: [u8; 32],
    /// A fingerprint at the first and at each such token behind the prompt; 0 for none.
    every: usize,
    fingerprints: Vec<Fingerprint>,
    task: Task,
    clock: Clock,
}

#[derive(Debug)]
enum Task {
    Generate(Box<Answer>),
    Score(Scoring),
}

/// When things happened.
#[derive(Debug)]
struct Clock {
    arrived: Instant,
    admitted: Instant,
    first: Option<Instant>,
    cached: usize,
}

impl Slot {
    /// Begins a job; `find` gives a cache for tokens.
    pub(super) fn new(
        waiting: Waiting,
        context: usize,
        texts: &Texts,
        find: impl FnOnce(&[u32], usize) -> Result<Cache, Refusal>,
    ) -> Result<Self, Refusal> {
        let Waiting {
            job,
            rank,
            work,
            arrived,
        } = waiting;
        let (prompt, behind, every, task) = match work {
            Work::Generate { ask, prompt } => {
                let answer = Answer::new(&ask, &prompt, context, texts)?;
                let every = ask.fingerprint_every;
                (prompt, ask.resume, every, Task::Generate(Box::new(answer)))
            }
            Work::Score {
                prompt,
                answer,
                every,
                said,
            } => {
                let said = said.as_deref();
                let scoring = Scoring::new(&prompt, answer.len(), context, every, said, texts)?;
                (prompt, answer, every, Task::Score(scoring))
            }
            Work::Embed { .. } => {
                return Err(Refusal::Failed("vectors have no sequence".to_owned()));
            }
        };
        let prompt_len = prompt.len();
        let bytes: Vec<u8> = prompt.iter().flat_map(|id| id.to_le_bytes()).collect();
        let mut tokens = prompt;
        tokens.extend_from_slice(&behind);
        // The last token is always computed, and so is everything of which a fingerprint is wanted.
        let most = match (every, behind.is_empty()) {
            (0, _) | (_, true) => tokens.len() - 1,
            (_, false) => prompt_len - 1,
        };
        let cache = find(&tokens, most)?;
        let clock = Clock {
            arrived,
            admitted: Instant::now(),
            first: None,
            cached: cache.len().min(prompt_len),
        };
        Ok(Self {
            job,
            rank,
            cache,
            tokens,
            prompt_len,
            looked: 0,
            prompt_hash: *blake3::hash(&bytes).as_bytes(),
            every: every as usize,
            fingerprints: Vec::new(),
            task,
            clock,
        })
    }

    pub(super) fn job(&self) -> u64 {
        self.job
    }

    pub(super) fn rank(&self) -> Rank {
        self.rank
    }

    /// Whether its caller waits for the first token.
    pub(super) fn is_new(&self) -> bool {
        matches!(self.task, Task::Generate(_)) && self.clock.first.is_none()
    }

    /// Stands still from now on; returns what it remembers.
    pub(super) fn park(&mut self) -> Cache {
        std::mem::replace(&mut self.cache, Cache::nothing())
    }

    /// Goes on; `find` gives a cache for tokens.
    pub(super) fn resume(
        &mut self,
        rank: Rank,
        find: impl FnOnce(&[u32], usize) -> Result<Cache, Refusal>,
    ) -> Result<(), Refusal> {
        self.rank = rank;
        let most = match self.task {
            Task::Generate(_) => self.tokens.len() - 1,
            // It looks at most of its tokens' logits.
            Task::Score(_) => self.looked.min(self.tokens.len() - 1),
        };
        self.cache = find(&self.tokens, most)?;
        Ok(())
    }

    pub(super) fn cache(&self) -> &Cache {
        &self.cache
    }

    /// What is told when its turn has come.
    pub(super) fn started(&self) -> Option<Event> {
        matches!(self.task, Task::Generate(_)).then(|| Event::Started {
            prompt_tokens: self.prompt_len as u32,
            cached_tokens: self.clock.cached as u32,
            prompt_hash: self.prompt_hash,
        })
    }

    /// Tokens that wait to be computed.
    pub(super) fn pending(&self) -> usize {
        self.tokens.len() - self.cache.len()
    }

    /// The next `count` tokens.
    pub(super) fn chunk(&mut self, count: usize) -> Chunk<'_> {
        let start = self.cache.len();
        let wanted = (0..count)
            .filter(|row| self.is_wanted(start + row))
            .collect();
        Chunk {
            cache: &mut self.cache,
            tokens: &self.tokens[start..start + count],
            wanted,
        }
    }

    /// Whether the logits behind a token are of use.
    fn is_wanted(&self, at: usize) -> bool {
        let next = at + 1;
        if next <= self.looked {
            return false;
        }
        let draws = matches!(self.task, Task::Generate(_)) && next == self.tokens.len();
        draws || self.is_fingerprinted(next) || self.is_looked_at(next)
    }

    /// Whether the logits for the token at `next` are compared with it.
    fn is_looked_at(&self, next: usize) -> bool {
        let is_thorough = matches!(&self.task, Task::Score(scoring) if scoring.is_thorough());
        is_thorough && next >= self.prompt_len && next < self.tokens.len()
    }

    /// How many tokens one step may take. Unless passes are `exact`, an answer that is scored is read as it was written,
    /// token by token behind its prompt: in a pass of another shape sums come in another order, quantized activations fall
    /// to other steps, and an honest answer looks like one of slightly other weights.
    pub(super) fn share_max(&self, exact: bool) -> usize {
        match &self.task {
            Task::Generate(_) => usize::MAX,
            Task::Score(scoring) => {
                // What a form allows takes long to find out, and nothing interrupts it.
                let scored = match exact && !scoring.has_form() {
                    true => SCORED_MAX,
                    false => 1,
                };
                self.prompt_len.saturating_sub(self.cache.len()).max(scored)
            }
        }
    }

    /// Whether the logits for the token at `next` are asked for as a fingerprint.
    fn is_fingerprinted(&self, next: usize) -> bool {
        let scored = matches!(self.task, Task::Generate(_)) || next < self.tokens.len();
        self.every > 0
            && next >= self.prompt_len
            && (next - self.prompt_len).is_multiple_of(self.every)
            && scored
    }

    /// Takes the logits of the last `count` tokens that were wanted.
    pub(super) fn computed(
        &mut self,
        count: usize,
        rows: &mut impl Iterator<Item = Vec<f32>>,
        texts: &Texts,
        teller: &Teller,
    ) {
        let end = self.cache.len();
        for at in end - count..end {
            if !self.is_wanted(at) {
                continue;
            }
            let Some(mut logits) = rows.next() else {
                continue;
            };
            let next = at + 1;
            self.looked = next;
            if self.is_fingerprinted(next) {
                let position = (next - self.prompt_len) as u32;
                self.fingerprints
                    .push(sampling::fingerprint(position, &logits));
            }
            match &mut self.task {
                Task::Generate(answer) if next == self.tokens.len() => {
                    self.clock.first.get_or_insert_with(Instant::now);
                    let tell = |event| teller.tell(self.job, event);
                    self.tokens.extend(answer.draw(&mut logits, texts, tell));
                    return;
                }
                Task::Generate(_) => {}
                Task::Score(scoring) => {
                    if let Some(token) = self.tokens.get(next) {
                        scoring.look(&mut logits, *token, texts);
                    }
                }
            }
        }
    }

    /// Whether there is nothing left to do.
    pub(super) fn is_over(&self) -> bool {
        match &self.task {
            Task::Generate(answer) => answer.ended().is_some(),
            Task::Score(_) => self.pending() == 0,
        }
    }

    /// The last event, and what it remembers.
    pub(super) fn over(self) -> (Event, Cache) {
        let usage = self.usage();
        let event = match self.task {
            Task::Generate(answer) => match answer.ended() {
                Some(Err(refusal)) => Event::Failed(refusal),
                Some(Ok(finish)) => Event::Done {
                    finish,
                    usage,
                    fingerprints: self.fingerprints,
                },
                None => Event::Done {
                    finish: Finish::Cancelled,
                    usage,
                    fingerprints: self.fingerprints,
                },
            },
            Task::Score(scoring) => {
                let (gaps, retold) = scoring.into_parts();
                Event::Scored {
                    fingerprints: self.fingerprints,
                    prompt_hash: self.prompt_hash,
                    gaps,
                    prompt_tokens: self.prompt_len as u32,
                    retold,
                }
            }
        };
        (event, self.cache)
    }

    /// The last event when nobody waits for it any more.
    pub(super) fn cancelled(self) -> Event {
        Event::Done {
            finish: Finish::Cancelled,
            usage: self.usage(),
            fingerprints: self.fingerprints,
        }
    }

    fn usage(&self) -> Usage {
        let nanos = |from: Instant, to: Instant| {
            u64::try_from(to.duration_since(from).as_nanos()).unwrap_or(u64::MAX)
        };
        let now = Instant::now();
        let first = self.clock.first.unwrap_or(now);
        let answer_tokens = match &self.task {
            Task::Generate(answer) => answer.len() as u32,
            Task::Score(_) => 0,
        };
        Usage {
            prompt_tokens: self.prompt_len as u32,
            cached_tokens: self.clock.cached as u32,
            answer_tokens,
            wait_nanos: nanos(self.clock.arrived, self.clock.admitted),
            prompt_nanos: nanos(self.clock.admitted, first),
            answer_nanos: nanos(first, now),
        }
    }
}
