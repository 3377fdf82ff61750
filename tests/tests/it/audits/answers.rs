//! Answers of a real engine as hosts sign them, honest or not, and what askers and auditors make of them.

use anyhow::{Context as _, Result, bail};
use weft_protocol::{
    id::{NodeId, ObjectId},
    infer::{
        Account, Event, Fingerprint, Finish, Generate, Job, ModelId, Numerics, Prompt, Real,
        Receipt, Said, Sampling, Score,
        account::{Contradiction, Parties},
        audit::{self, Evidence, Verdict},
    },
    time::Timestamp,
};
use weft_tests::engine::Engine;

use super::report::Spread;

/// Tokens of an answer.
const LEN: u32 = 64;

/// One answer: what was asked, what was told, and what was signed about it.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) asked: Generate,
    pub(super) events: Vec<Event>,
    pub(super) receipt: Receipt,
}

/// What comes of a receipt.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Who asked sees that it is wrong.
    Refused(Contradiction),
    /// Who computes it again says this.
    Judged(Verdict),
}

fn parties() -> Parties {
    Parties {
        node: NodeId::new([1; 32]),
        asker: NodeId::new([2; 32]),
        model: ModelId {
            revision: ObjectId::new([3; 32]),
            file: None,
        },
        now: Timestamp(0),
    }
}

impl Answer {
    /// What both sides heard.
    fn account(&self) -> Account {
        let mut account = Account::new(&self.asked);
        for event in &self.events {
            account.note(event);
        }
        account
    }

    pub(super) fn tokens(&self) -> Vec<u32> {
        self.account().answer().to_vec()
    }

    /// Signs what was told, whatever it is.
    pub(super) fn sign(&mut self) -> Result<()> {
        let (engine, numerics) = (&self.receipt.engine, self.receipt.numerics.clone());
        let receipt = self.account().receipt(parties(), engine, numerics);
        self.receipt = receipt.context("the answer has no end, or fingerprints are missing")?;
        Ok(())
    }

    /// Tells another token than was drawn.
    pub(super) fn edit(&mut self, position: usize) -> Result<()> {
        let tokens = self.events.iter_mut().filter_map(|event| match event {
            Event::Tokens { tokens, .. } => Some(tokens),
            _ => None,
        });
        let token = tokens.flatten().nth(position).context("a token")?;
        token.id = token.id % 1_000 + 17;
        self.sign()
    }

    /// Tells another text than the tokens have, and signs that.
    pub(super) fn edit_text(&mut self, position: usize) -> Result<()> {
        let mut texts = self.events.iter_mut().filter_map(|event| match event {
            Event::Tokens { text, .. } if !text.is_empty() => Some(text),
            _ => None,
        });
        *texts.nth(position).context("a text")? = " surely".to_owned();
        self.sign()
    }

    /// Stops after so many tokens and says that the model did.
    pub(super) fn cut_short(&mut self, len: u32) -> Result<()> {
        let mut left = len;
        self.events.retain_mut(|event| match event {
            Event::Tokens { .. } => {
                let keeps = left > 0;
                left = left.saturating_sub(1);
                keeps
            }
            Event::Done { finish, usage, .. } => {
                *finish = Finish::Stop;
                usage.answer_tokens = len;
                true
            }
            _ => true,
        });
        self.sign()
    }

    /// Tells that another prompt was read than was.
    pub(super) fn claim_prompt(&mut self, other: &Self) -> Result<()> {
        self.asked.prompt = other.asked.prompt.clone();
        for event in &mut self.events {
            match event {
                Event::Started {
                    prompt_tokens,
                    prompt_hash,
                    ..
                } => {
                    *prompt_tokens = other.receipt.prompt_tokens;
                    *prompt_hash = other.receipt.prompt_hash;
                }
                Event::Done { usage, .. } => usage.prompt_tokens = other.receipt.prompt_tokens,
                _ => {}
            }
        }
        self.sign()
    }
}

fn sampling(n: usize) -> Sampling {
    if n.is_multiple_of(2) {
        return Sampling::greedy();
    }
    Sampling {
        temperature: Real::new(0.8),
        top_p: Real::new(0.95),
        seed: n as u64,
        ..Sampling::greedy()
    }
}

fn numerics(engine: &Engine) -> Numerics {
    Numerics {
        weights: engine.description.quantization.clone(),
        kernel_class: engine.description.kernel_class.clone(),
    }
}

/// Answers with receipts as a host signs them.
pub(super) fn answers(engine: &mut Engine, prompts: &[Prompt]) -> Result<Vec<Answer>> {
    let question = |(n, prompt): (usize, &Prompt)| Generate {
        sampling: sampling(n),
        tokens_max: Some(LEN),
        // No end but by a text that never comes: all are as long, and for who only asked each might have ended.
        ignore_end: true,
        stop: vec!["\u{1}THE END".to_owned()],
        fingerprint_every: Fingerprint::EVERY,
        ..Generate::greedy(prompt.clone())
    };
    let asked: Vec<Generate> = prompts.iter().enumerate().map(question).collect();
    let jobs: Vec<Job> = asked.iter().cloned().map(Job::Generate).collect();
    let numerics = numerics(engine);
    let heard = engine.all(&jobs)?.into_iter().zip(asked);
    let answer = |(events, asked): (Vec<Event>, Generate)| {
        let mut account = Account::new(&asked);
        events.iter().for_each(|event| account.note(event));
        let receipt = account.receipt(parties(), "weft", numerics.clone());
        Ok(Answer {
            receipt: receipt.with_context(|| format!("{events:?}"))?,
            asked,
            events,
        })
    };
    heard.map(answer).collect()
}

/// What an asker, and then an auditor with this engine, says of each.
pub(super) fn audit(engine: &mut Engine, answers: &[Answer]) -> Result<Vec<(Outcome, Spread)>> {
    let job = |answer: &Answer| {
        Job::Score(Score {
            prompt: answer.asked.prompt.clone(),
            answer: answer.tokens(),
            fingerprint_every: 1,
            said: Some(Said {
                sampling: answer.receipt.sampling.clone(),
                terms: answer.asked.terms(),
                resumed_tokens: answer.receipt.resumed_tokens,
            }),
        })
    };
    let jobs: Vec<Job> = answers.iter().map(job).collect();
    let numerics = numerics(engine);
    let mut outcomes = Vec::new();
    for (events, answer) in engine.all(&jobs)?.into_iter().zip(answers) {
        let Some(Event::Scored {
            fingerprints,
            prompt_hash,
            gaps,
            prompt_tokens,
            retold,
        }) = events.into_iter().next_back()
        else {
            bail!("no score");
        };
        let evidence = Evidence {
            answer: &answer.tokens(),
            terms_hash: answer.asked.terms().hash(),
            prompt_hash,
            prompt_tokens,
            fingerprints: &fingerprints,
            gaps: &gaps,
            retold,
            numerics: &numerics,
        };
        let spread = Spread::of(&answer.receipt.fingerprints, &fingerprints, &gaps);
        let outcome = match answer.account().check(&answer.receipt, &parties()) {
            Err(contradiction) => Outcome::Refused(contradiction),
            Ok(()) => Outcome::Judged(audit::judge(&answer.receipt, &evidence)),
        };
        outcomes.push((outcome, spread));
    }
    Ok(outcomes)
}
