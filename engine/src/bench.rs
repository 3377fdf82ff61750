//! How fast a model reads and writes, measured as llama.cpp's own tool does: one prompt of random tokens, and single
//! tokens after an empty context. And how it serves several callers at once.

use std::{
    fs,
    io::Write,
    sync::mpsc::{self, Receiver},
    time::Instant,
};

use serde_json::{Value, json};
use weft_protocol::infer::{Event, FromEngine, Generate, Job, Prompt, Rank};

use crate::{
    Options,
    batch::{Batch, Command, Teller, Waiting},
    decoder::{Cache, Chunk, Decoder},
    model::{self, Model, Network},
    process::{Ended, settle, work},
    refusal::{OrRefuse, Result, unsupported},
};

const PROMPT_LEN: usize = 512;
const ANSWER_LEN: usize = 48;
const REPEATS: usize = 3;
/// Events of a measurement at most.
const EVENTS_MAX: usize = 1 << 14;

/// What something took: seconds on the clock, and of this thread on a processor, where the system says so. With one
/// thread the latter is what counts on a machine that others use as well.
#[derive(Debug, Clone, Copy)]
struct Took {
    wall: f64,
    cpu: f64,
}

#[derive(Debug)]
struct Clock(Instant, f64);

impl Clock {
    fn start() -> Self {
        Self(Instant::now(), cpu())
    }

    fn took(&self) -> Took {
        Took {
            wall: self.0.elapsed().as_secs_f64(),
            cpu: cpu() - self.1,
        }
    }
}

fn cpu() -> f64 {
    let told = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = told.split(' ').next().and_then(|nanos| nanos.parse().ok());
    nanos.unwrap_or(0_u64) as f64 / 1e9
}

impl Took {
    const NEVER: Self = Self {
        wall: f64::INFINITY,
        cpu: f64::INFINITY,
    };

    fn least(self, other: Self) -> Self {
        Self {
            wall: self.wall.min(other.wall),
            cpu: self.cpu.min(other.cpu),
        }
    }

    fn json(self) -> Value {
        json!({"wall": self.wall, "cpu": self.cpu})
    }
}

/// Measures a model and writes what was seen, as one line of JSON: for each thing the least seconds.
///
/// # Errors
/// If it cannot be loaded or computed.
pub fn run(options: &Options, output: &mut impl Write) -> Result<(), Ended> {
    settle(options.threads)?;
    let clock = Clock::start();
    let model = model::load(options)?;
    let load = clock.took();
    let Network::Decoder { decoder, .. } = &model.network else {
        return Err(unsupported("only models that continue text are measured").into());
    };
    // Any ids will do.
    let vocabulary = decoder.config().vocabulary;
    let ids: Vec<u32> = (0..PROMPT_LEN)
        .map(|at| ((at * 7919 + 13) % vocabulary) as u32)
        .collect();
    prompt(decoder, &ids[..1]).or_failed("the model")?;
    let first = clock.took();
    let mut least = [Took::NEVER; 3];
    for _ in 0..=REPEATS {
        let took = [
            prompt(decoder, &ids).or_failed("the model")?,
            answers(decoder, &ids, 1).or_failed("the model")?,
            answers(decoder, &ids, options.parallel).or_failed("the model")?,
        ];
        for (least, took) in least.iter_mut().zip(took) {
            *least = least.least(took);
        }
    }
    let class = model.description.kernel_class.clone();
    let [read, one, many] = least.map(Took::json);
    let clients = clients(model, &ids, options.parallel)?;
    let seen = json!({
        "kernels": class, "prompt_len": PROMPT_LEN, "answer_len": ANSWER_LEN, "parallel": options.parallel,
        "load": load.json(), "load_to_first_token": first.json(), "prompt": read, "answer": one, "answers": many,
        "first_tokens": clients,
    });
    writeln!(output, "{seen}")?;
    Ok(())
}

/// Reads a prompt.
fn prompt(decoder: &Decoder, ids: &[u32]) -> Result<Took> {
    let mut cache = Cache::new(decoder.shape())?;
    let clock = Clock::start();
    decoder.forward(&mut [Chunk {
        cache: &mut cache,
        tokens: ids,
        wanted: vec![ids.len() - 1],
    }])?;
    Ok(clock.took())
}

/// Writes several answers side by side.
fn answers(decoder: &Decoder, ids: &[u32], count: usize) -> Result<Took> {
    let mut caches = (0..count)
        .map(|_| Cache::new(decoder.shape()))
        .collect::<Result<Vec<_>>>()?;
    let clock = Clock::start();
    for id in &ids[..ANSWER_LEN] {
        let mut chunks: Vec<Chunk<'_>> = caches
            .iter_mut()
            .map(|cache| Chunk {
                cache,
                tokens: std::slice::from_ref(id),
                wanted: vec![0],
            })
            .collect();
        decoder.forward(&mut chunks)?;
    }
    Ok(clock.took())
}

/// Seconds to the first token of each of several callers who ask at one moment, each something else.
fn clients(model: Model, ids: &[u32], count: usize) -> Result<Value, Ended> {
    let context = model.description.context_len as usize;
    let texts = model.texts.clone();
    let (teller, events) = mpsc::sync_channel(EVENTS_MAX);
    let mut batch = Batch::new(model, count, Teller(teller));
    let clock = Clock::start();
    for caller in 0..count {
        let mut ids = ids.to_vec();
        ids.rotate_left(caller + 1);
        let ask = Generate {
            tokens_max: Some(ANSWER_LEN as u32),
            ..Generate::greedy(Prompt::Tokens { ids })
        };
        batch.take(Command::Start(Waiting {
            job: caller as u64,
            rank: Rank::Own,
            work: work(Job::Generate(ask), &texts, context)?,
            arrived: Instant::now(),
        }));
    }
    let (mut seen, mut first) = (vec![false; count], Vec::new());
    let mut ended = 0;
    while ended < count {
        batch.advance();
        ended += hear(&events, &mut seen, || first.push(clock.took().json()));
    }
    Ok(Value::Array(first))
}

/// Calls `first` for each caller who hears of a token for the first time; returns how many have heard the last.
fn hear(events: &Receiver<FromEngine>, seen: &mut [bool], mut first: impl FnMut()) -> usize {
    let mut ended = 0;
    for message in events.try_iter() {
        match message {
            FromEngine::Event {
                job,
                event: Event::Tokens { .. },
            } => {
                if !std::mem::replace(&mut seen[job as usize], true) {
                    first();
                }
            }
            FromEngine::Event {
                event: Event::Started { .. },
                ..
            } => {}
            _ => ended += 1,
        }
    }
    ended
}
