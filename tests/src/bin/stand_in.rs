//! Stands in for an engine where a real one cannot be made to misbehave: it dies, hangs or sends nonsense when the
//! question says so. Everything else it answers by counting.
#![expect(
    clippy::exit,
    clippy::print_stderr,
    reason = "an engine that dies does just that, and its last words go to standard error"
)]

use std::{
    collections::BTreeSet,
    io::{self, Read as _, Write as _},
    process,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
};

use weft_protocol::{
    infer::{
        Description, Event, Finish, FromEngine, Job, Prompt, Real, Refusal, Sampled, ToEngine,
        Usage,
    },
    wire,
};

/// Jobs that nobody waits for any more.
type Cancelled = Arc<(Mutex<BTreeSet<u64>>, Condvar)>;

fn main() {
    let model = std::env::args().nth(1).unwrap_or_default();
    if model.contains("unloadable") {
        tell(&FromEngine::Unloadable(Refusal::Broken(
            "tensor `x` lies beyond the file".to_owned(),
        )));
        return;
    }
    if model.contains("crash") {
        process::abort();
    }
    tell(&FromEngine::Ready(description()));
    let cancelled = Cancelled::default();
    while let Some(order) = hear() {
        match order {
            ToEngine::Start { job, what, .. } => {
                let cancelled = Arc::clone(&cancelled);
                thread::spawn(move || work(job, &what, &cancelled));
            }
            ToEngine::Cancel { job } => {
                let (jobs, changed) = &*cancelled;
                jobs.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(job);
                changed.notify_all();
            }
            // It has places for all.
            ToEngine::Pause { .. } | ToEngine::Resume { .. } => {}
        }
    }
}

fn description() -> Description {
    Description {
        architecture: "stand-in".to_owned(),
        quantization: "F32".to_owned(),
        format: "gguf".to_owned(),
        parameters: 1_000_000,
        context_len: 512,
        context_len_max: 512,
        embedding_len: 4,
        vocabulary_len: 256,
        kernel_class: "none".to_owned(),
        generates: true,
        embeds: true,
        chats: true,
        template: Some("{{ messages }} {{ tools }}".to_owned()),
        memory_bytes: 1_000,
        weights_bytes: 1_000,
    }
}

fn work(job: u64, what: &Job, cancelled: &Cancelled) {
    let say = |event| tell(&FromEngine::Event { job, event });
    let generate = match what {
        Job::Generate(generate) => generate,
        Job::Embed(embed) => {
            let vector = [0.5, 0.5, 0.5, 0.5].map(Real::new).to_vec();
            let vectors = vec![vector; embed.inputs.len()];
            return say(Event::Embedded {
                vectors,
                prompt_tokens: 3,
            });
        }
        Job::Score(_) => return say(Event::Failed(Refusal::Unsupported("no".to_owned()))),
    };
    let text = match &generate.prompt {
        Prompt::Chat { messages, .. } => messages.clone(),
        Prompt::Text { text, .. } => text.clone(),
        Prompt::Tokens { .. } => String::new(),
    };
    let prompt_tokens = u32::try_from(text.len() / 4 + 1).unwrap_or(u32::MAX);
    say(Event::Started {
        prompt_tokens,
        cached_tokens: 0,
        prompt_hash: [0; 32],
    });
    let has = |word: &str| text.contains(word);
    let done = |finish, answer_tokens| {
        say(Event::Done {
            finish,
            usage: Usage {
                prompt_tokens,
                answer_tokens,
                ..Usage::default()
            },
            fingerprints: Vec::new(),
        });
    };
    if has("please die") {
        say(word(0, "last words"));
        eprintln!("the stand-in was told to die");
        process::exit(9);
    }
    if has("please send nonsense") {
        raw(&[4, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
        return;
    }
    if has("please send a huge frame") {
        raw(&[0xff; 8]);
        return;
    }
    if has("please hang") {
        loop {
            thread::park();
        }
    }
    if has("please wait") {
        say(word(0, "waiting"));
        let (jobs, changed) = &**cancelled;
        let mut jobs = jobs.lock().unwrap_or_else(PoisonError::into_inner);
        while !jobs.contains(&job) {
            jobs = changed.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
        return done(Finish::Cancelled, 1);
    }
    if has("please call") {
        let call = r#"<tool_call>{"name": "weather", "arguments": {"city": "Rome"}}</tool_call>"#;
        call.chars().for_each(|c| say(word(0, &c.to_string())));
        return done(Finish::Stop, 9);
    }
    let count = generate.tokens_max.unwrap_or(10);
    for number in 0..count {
        say(word(number, &format!("{number} ")));
    }
    done(Finish::Length, count);
}

fn word(id: u32, text: &str) -> Event {
    Event::Tokens {
        text: text.to_owned(),
        tokens: vec![Sampled {
            id,
            logprob: None,
            bytes: Vec::new(),
            top: Vec::new(),
        }],
    }
}

fn tell(message: &FromEngine) {
    let bytes = wire::encode(message);
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    raw(&[&len.to_le_bytes()[..], &bytes].concat());
}

fn raw(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    if out.write_all(bytes).and_then(|()| out.flush()).is_err() {
        process::exit(0);
    }
}

fn hear() -> Option<ToEngine> {
    let mut input = io::stdin().lock();
    let mut len = [0; 4];
    input.read_exact(&mut len).ok()?;
    let mut bytes = vec![0; u32::from_le_bytes(len) as usize];
    input.read_exact(&mut bytes).ok()?;
    wire::decode(&bytes).ok()
}
