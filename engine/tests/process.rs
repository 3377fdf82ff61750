//! The process, through its pipes.
#![expect(
    clippy::unwrap_used,
    reason = "clippy allows it in test functions, but not in their helpers here"
)]

use std::{
    io::{Read, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use weft_protocol::{
    infer::{
        Description, Event, Finish, FromEngine, Generate, Job, Prompt, Rank, Refusal, ToEngine,
    },
    wire::{decode, encode},
};

struct Engine {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
}

impl Engine {
    fn start(path: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_weft-engine"))
            .arg(path)
            .args(["--threads", "1", "--parallel", "2"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self {
            child,
            input,
            output,
        }
    }

    fn tell(&mut self, message: &ToEngine) {
        let frame = encode(message);
        self.input
            .write_all(&(frame.len() as u32).to_le_bytes())
            .unwrap();
        self.input.write_all(&frame).unwrap();
    }

    fn hear(&mut self) -> FromEngine {
        let mut len = [0; 4];
        self.output.read_exact(&mut len).unwrap();
        let mut frame = vec![0; u32::from_le_bytes(len) as usize];
        self.output.read_exact(&mut frame).unwrap();
        decode(&frame).unwrap()
    }

    fn ready(&mut self) -> Description {
        match self.hear() {
            FromEngine::Ready(description) => description,
            other => panic!("{other:?}"),
        }
    }

    /// Events of a job, to its last.
    fn finish(&mut self, job: u64) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            match self.hear() {
                FromEngine::Event { job: other, event } if other == job => events.push(event),
                FromEngine::Event { .. } => {}
                other => panic!("{other:?}"),
            }
            if !matches!(
                events.last(),
                None | Some(Event::Started { .. } | Event::Tokens { .. })
            ) {
                return events;
            }
        }
    }
}

fn wren() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/wren-3m")
}

fn ask(text: &str, tokens_max: u32) -> Box<Job> {
    let prompt = Prompt::Text {
        text: text.to_owned(),
        raw: false,
    };
    Box::new(Job::Generate(Generate {
        tokens_max: Some(tokens_max),
        ignore_end: true,
        ..Generate::greedy(prompt)
    }))
}

#[test]
fn a_process_answers_refuses_cancels_and_ends() {
    let mut engine = Engine::start(&wren());
    let description = engine.ready();
    assert_eq!(description.architecture, "llama");
    assert_eq!(description.quantization, "BF16");
    assert!(description.generates && description.embeds && description.chats);

    engine.tell(&ToEngine::Start {
        job: 1,
        rank: Rank::Own,
        what: ask("Once upon a time", 8),
    });
    let events = engine.finish(1);
    assert!(
        matches!(
            events[0],
            Event::Started {
                prompt_tokens: 5,
                ..
            }
        ),
        "{events:?}"
    );
    assert!(
        matches!(
            events.last(),
            Some(Event::Done {
                finish: Finish::Length,
                ..
            })
        ),
        "{events:?}"
    );

    engine.tell(&ToEngine::Start {
        job: 2,
        rank: Rank::Own,
        what: ask(&"long ".repeat(9_000), 8),
    });
    let events = engine.finish(2);
    assert!(
        matches!(events[..], [Event::Failed(Refusal::TooLong { .. })]),
        "{events:?}"
    );

    engine.tell(&ToEngine::Start {
        job: 3,
        rank: Rank::Own,
        what: ask("Once upon a time", 400),
    });
    engine.tell(&ToEngine::Cancel { job: 3 });
    let events = engine.finish(3);
    assert!(
        matches!(
            events.last(),
            Some(Event::Done {
                finish: Finish::Cancelled,
                ..
            })
        ),
        "{events:?}"
    );

    let Engine {
        mut child,
        input,
        output,
    } = engine;
    drop(input);
    assert!(child.wait().unwrap().success());
    drop(output);
}

#[test]
fn what_cannot_be_loaded_is_said_why() {
    let folder = tempfile::tempdir().unwrap();
    let gguf = std::fs::read(wren().join("wren-3m.Q4_K_M.gguf")).unwrap();
    let name = folder.path().join("cut.gguf");
    for len in [0, 100, 50_000, gguf.len() - 1] {
        std::fs::write(&name, &gguf[..len]).unwrap();
        let mut engine = Engine::start(&name);
        let told = engine.hear();
        assert!(
            matches!(&told, FromEngine::Unloadable(Refusal::Broken(_))),
            "{len}: {told:?}"
        );
        assert!(!engine.child.wait().unwrap().success());
    }
    let mut engine = Engine::start(&folder.path().join("none"));
    assert!(matches!(engine.hear(), FromEngine::Unloadable(_)));
    assert!(!engine.child.wait().unwrap().success());
}
