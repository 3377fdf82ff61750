//! Requests into tokens, before the model's thread sees them.

use std::time::Instant;

use weft_protocol::infer::{Embed, Event, Job, Prompt, Refusal, Said, Text, ToEngine};

use crate::{
    batch::{Command, Teller, Waiting, Work, guarded},
    model::Texts,
    refusal::invalid,
};

/// Texts of one request at most.
const INPUTS_MAX: usize = 2_048;

/// The command of a frame; `None` if it was refused.
pub(super) fn prepare(
    frame: ToEngine,
    texts: &Texts,
    context: usize,
    teller: &Teller,
) -> Option<Command> {
    match frame {
        ToEngine::Cancel { job } => Some(Command::Cancel { job }),
        ToEngine::Pause { job } => Some(Command::Pause { job }),
        ToEngine::Resume { job, rank } => Some(Command::Resume { job, rank }),
        ToEngine::Start { job, what, rank } => {
            let arrived = Instant::now();
            match guarded(|| work(*what, texts, context)) {
                Ok(work) => Some(Command::Start(Waiting {
                    job,
                    rank: rank.of_prompt(work.tokens() as u64),
                    work,
                    arrived,
                })),
                Err(refusal) => {
                    teller.tell(job, Event::Failed(refusal));
                    None
                }
            }
        }
    }
}

pub(crate) fn work(job: Job, texts: &Texts, context: usize) -> Result<Work, Refusal> {
    match job {
        Job::Generate(ask) => {
            let prompt = texts.prompt(&ask.prompt)?;
            texts.check(&ask.resume)?;
            Ok(Work::Generate {
                ask: Box::new(ask),
                prompt,
            })
        }
        Job::Score(score) => {
            let prompt = texts.prompt(&score.prompt)?;
            texts.check(&score.answer)?;
            let question = |said: Said| {
                let question = said.question(Prompt::Tokens { ids: Vec::new() }, &score.answer);
                question.ok_or_else(|| invalid("more tokens were given than the answer has"))
            };
            Ok(Work::Score {
                said: score.said.map(question).transpose()?.map(Box::new),
                prompt,
                answer: score.answer,
                every: score.fingerprint_every,
            })
        }
        Job::Embed(embed) => embed_texts(&embed, texts, context),
    }
}

fn embed_texts(embed: &Embed, texts: &Texts, context: usize) -> Result<Work, Refusal> {
    if embed.inputs.len() > INPUTS_MAX {
        return Err(invalid(format!("more than {INPUTS_MAX} texts")));
    }
    let input = |text: &Text| {
        let mut ids = match text {
            Text::Plain(text) => texts.tokenizer.encode(text, true)?,
            Text::Tokens(ids) => ids.clone(),
        };
        texts.check(&ids)?;
        if ids.len() > context {
            if !embed.truncate {
                return Err(Refusal::TooLong {
                    tokens: ids.len() as u32,
                    max: context as u32,
                });
            }
            ids.truncate(context);
        }
        if ids.is_empty() {
            return Err(invalid("a text is empty"));
        }
        Ok(ids)
    };
    let texts = embed.inputs.iter().map(input).collect::<Result<_, _>>()?;
    Ok(Work::Embed { texts })
}
