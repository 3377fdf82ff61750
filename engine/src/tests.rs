//! Whole models against what other engines say of them.

mod architectures;
mod converted;
mod encoders;
mod exact;
mod references;
mod scheduling;
mod scores;
mod turns;

use std::{
    env,
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
    sync::mpsc::{self, Receiver},
    time::Instant,
};

use weft_protocol::infer::{Event, FromEngine, Generate, Job, Prompt, Rank};

use crate::{
    Options,
    batch::{Batch, Command, Teller, Waiting},
    model,
    process::work,
};

/// A model with its jobs, without a process around it.
pub(crate) struct Bench {
    pub(crate) batch: Batch,
    pub(crate) description: weft_protocol::infer::Description,
    pub(crate) texts: std::sync::Arc<model::Texts>,
    events: Receiver<FromEngine>,
    next: u64,
}

impl Bench {
    pub(crate) fn new(path: &Path) -> Self {
        Self::with(&Options::new(path))
    }

    pub(crate) fn with(options: &Options) -> Self {
        let model = model::load(options).unwrap();
        let (teller, events) = mpsc::sync_channel(1 << 16);
        Self {
            description: model.description.clone(),
            texts: model.texts.clone(),
            batch: Batch::new(model, options.parallel, Teller(teller)),
            events,
            next: 0,
        }
    }

    /// Begins a job and returns its number.
    pub(crate) fn start(&mut self, job: Job) -> u64 {
        self.start_as(Rank::Own, job)
    }

    pub(crate) fn start_as(&mut self, rank: Rank, job: Job) -> u64 {
        let work = work(job, &self.texts, self.description.context_len as usize).unwrap();
        self.next += 1;
        self.batch.take(Command::Start(Waiting {
            job: self.next,
            rank,
            work,
            arrived: Instant::now(),
        }));
        self.next
    }

    /// Events since the last look, in order.
    pub(crate) fn events(&self) -> Vec<(u64, Event)> {
        self.events
            .try_iter()
            .filter_map(|message| match message {
                FromEngine::Event { job, event } => Some((job, event)),
                FromEngine::Ready(_) | FromEngine::Unloadable(_) => None,
            })
            .collect()
    }

    /// Advances until that many jobs have ended; returns all events.
    pub(crate) fn finish(&mut self, mut jobs: usize) -> Vec<(u64, Event)> {
        let mut all = Vec::new();
        while jobs > 0 {
            self.batch.advance();
            let events = self.events();
            jobs -= events.iter().filter(|(_, event)| is_last(event)).count();
            all.extend(events);
        }
        all
    }

    /// All events of one job.
    pub(crate) fn ask(&mut self, job: Job) -> Vec<Event> {
        self.start(job);
        self.finish(1).into_iter().map(|(_, event)| event).collect()
    }

    /// The greedy continuation of token ids.
    pub(crate) fn greedy(&mut self, ids: &[u32], count: u32) -> Vec<u32> {
        tokens(&self.ask(Job::Generate(greedy(ids, count))))
    }
}

pub(crate) fn is_last(event: &Event) -> bool {
    !matches!(event, Event::Started { .. } | Event::Tokens { .. })
}

pub(crate) fn greedy(ids: &[u32], count: u32) -> Generate {
    Generate {
        tokens_max: Some(count),
        ..Generate::greedy(Prompt::Tokens { ids: ids.to_vec() })
    }
}

/// Tokens of an answer.
pub(crate) fn tokens(events: &[Event]) -> Vec<u32> {
    let tokens = events.iter().filter_map(|event| match event {
        Event::Tokens { tokens, .. } => Some(tokens.iter().map(|token| token.id)),
        _ => None,
    });
    tokens.flatten().collect()
}

/// Text of an answer.
pub(crate) fn text(events: &[Event]) -> String {
    let texts = events.iter().filter_map(|event| match event {
        Event::Tokens { text, .. } => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

/// The model that the repository has.
pub(crate) fn wren() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/wren-3m")
}

/// A model that the repository must not have. `None`, said loudly, where it is not here either.
pub(crate) fn shared(name: &str) -> Option<PathBuf> {
    let root = env::var_os("WEFT_SHARED_MODELS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/models"),
        PathBuf::from,
    );
    let path = root.join(name);
    if path.exists() {
        return Some(path);
    }
    let line = format!(
        "SKIPPED: no `{name}` in `{}` (set WEFT_SHARED_MODELS)",
        root.display()
    );
    eprintln!("{line}");
    if let Some(list) = env::var_os("WEFT_SKIPPED") {
        let mut list = OpenOptions::new()
            .create(true)
            .append(true)
            .open(list)
            .unwrap();
        writeln!(list, "{line}").unwrap();
    }
    None
}
