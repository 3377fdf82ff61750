//! Many jobs on one model.

use weft_protocol::infer::{
    Constraint, Event, Finish, Generate, Job, Prompt, Real, Refusal, Sampling,
};

use super::{Bench, greedy, is_last, text, tokens, wren};
use crate::batch::Command;

fn prompt(bench: &Bench, text: &str) -> Vec<u32> {
    bench.texts.tokenizer.encode(text, true).unwrap()
}

fn own(events: &[(u64, Event)], job: u64) -> Vec<Event> {
    let own = events.iter().filter(|(other, _)| *other == job);
    own.map(|(_, event)| event.clone()).collect()
}

#[test]
fn a_continued_answer_is_the_undisturbed_one() {
    let mut bench = Bench::new(&wren());
    let ids = prompt(&bench, "Once upon a time");
    for sampling in [
        Sampling::greedy(),
        Sampling {
            temperature: Real::new(1.0),
            top_p: Real::new(0.9),
            repetition_penalty: Real::new(1.2),
            seed: 7,
            ..Sampling::greedy()
        },
    ] {
        let ask = Generate {
            sampling,
            fingerprint_every: 8,
            ..greedy(&ids, 48)
        };
        let whole = bench.ask(Job::Generate(ask.clone()));
        for cut in [1, 9, 30] {
            let resume = tokens(&whole)[..cut].to_vec();
            let rest = bench.ask(Job::Generate(Generate {
                resume,
                ..ask.clone()
            }));
            assert_eq!(tokens(&rest), tokens(&whole)[cut..]);
            assert!(text(&whole).ends_with(&text(&rest)));
            let (
                Some(Event::Done {
                    fingerprints: a, ..
                }),
                Some(Event::Done {
                    fingerprints: b, ..
                }),
            ) = (whole.last(), rest.last())
            else {
                panic!("{rest:?}");
            };
            assert_eq!(a.len(), 6);
            let ids = |prints: &[weft_protocol::infer::Fingerprint]| -> Vec<(u32, u32)> {
                prints
                    .iter()
                    .map(|print| (print.position, print.top[0].0))
                    .collect()
            };
            assert_eq!(ids(a), ids(b));
        }
    }
}

#[test]
fn a_common_beginning_is_computed_once() {
    let mut bench = Bench::new(&wren());
    let ids = prompt(&bench, "Once upon a time there was a little girl who loved");
    let cached = |events: &[Event]| match events[0] {
        Event::Started { cached_tokens, .. } => cached_tokens as usize,
        _ => panic!("{events:?}"),
    };
    let first = bench.ask(Job::Generate(greedy(&ids, 20)));
    assert_eq!(cached(&first), 0);
    let again = bench.ask(Job::Generate(greedy(&ids, 20)));
    assert_eq!(cached(&again), ids.len() - 1);
    assert_eq!(tokens(&again), tokens(&first));
    let mut longer = ids.clone();
    longer.extend(tokens(&first));
    longer.extend(prompt(&bench, " and then")[1..].iter());
    let next = bench.ask(Job::Generate(greedy(&longer, 4)));
    assert_eq!(cached(&next), ids.len() + 19);
    // Also of one that is still running.
    let running = bench.start(Job::Generate(greedy(&longer, 30)));
    bench.batch.advance();
    let beside = bench.start(Job::Generate(greedy(&ids, 20)));
    let events = bench.finish(2);
    assert!(cached(&own(&events, beside)) > 8);
    assert_eq!(tokens(&own(&events, beside)), tokens(&first));
    assert_eq!(tokens(&own(&events, running))[..4], tokens(&next)[..4]);
}

#[test]
fn a_running_answer_goes_on_while_a_long_prompt_is_read() {
    let mut bench = Bench::new(&wren());
    let ids = prompt(&bench, "Once upon a time");
    let running = bench.start(Job::Generate(Generate {
        ignore_end: true,
        ..greedy(&ids, 60)
    }));
    bench.batch.advance();
    bench.events();
    let long = bench.start(Job::Generate(greedy(&vec![20; 400], 2)));
    let mut steps = 0;
    loop {
        bench.batch.advance();
        let events = bench.events();
        assert_eq!(
            tokens(&own(&events, running)).len(),
            1,
            "one token each step"
        );
        if !tokens(&own(&events, long)).is_empty() {
            break;
        }
        steps += 1;
    }
    assert!((2..6).contains(&steps), "{steps}");
}

#[test]
fn cancelled_jobs_end_at_once_and_others_do_not_notice() {
    let mut bench = Bench::new(&wren());
    let ids = prompt(&bench, "Once upon a time");
    let alone = bench.greedy(&ids, 12);
    let jobs: Vec<u64> = (0..12)
        .map(|_| bench.start(Job::Generate(greedy(&ids, 12))))
        .collect();
    for _ in 0..3 {
        bench.batch.advance();
    }
    // One that runs and one that waits.
    bench.batch.take(Command::Cancel { job: jobs[0] });
    bench.batch.take(Command::Cancel { job: jobs[11] });
    let mut events = bench.events();
    for job in [jobs[0], jobs[11]] {
        let own = own(&events, job);
        assert!(
            matches!(
                own.last(),
                Some(Event::Done {
                    finish: Finish::Cancelled,
                    ..
                })
            ),
            "{own:?}"
        );
    }
    events.extend(bench.finish(10));
    for job in &jobs[1..11] {
        assert_eq!(tokens(&own(&events, *job)), alone);
    }
    assert_eq!(
        events.iter().filter(|(_, event)| is_last(event)).count(),
        12
    );
}

#[test]
fn answers_end_where_they_must() {
    let mut bench = Bench::new(&wren());
    let ids = prompt(&bench, "Once upon a time");
    let whole = text(&bench.ask(Job::Generate(greedy(&ids, 30))));
    let stop = whole[10..16].to_owned();
    let before = whole[..whole.find(&stop).unwrap()].to_owned();
    let finish = |events: &[Event]| match events.last() {
        Some(Event::Done { finish, .. }) => *finish,
        _ => panic!("{events:?}"),
    };
    let events = bench.ask(Job::Generate(Generate {
        stop: vec!["never".to_owned(), stop],
        ..greedy(&ids, 30)
    }));
    assert_eq!((text(&events), finish(&events)), (before, Finish::Stop));
    let events = bench.ask(Job::Generate(greedy(&ids, 3)));
    assert_eq!(
        (tokens(&events).len(), finish(&events)),
        (3, Finish::Length)
    );
    let events = bench.ask(Job::Generate(greedy(&ids, 0)));
    assert_eq!(
        (tokens(&events).len(), finish(&events)),
        (0, Finish::Length)
    );
    // As far as the context goes.
    let context = bench.description.context_len as usize;
    let events = bench.ask(Job::Generate(Generate {
        ignore_end: true,
        tokens_max: None,
        ..greedy(&vec![20; context - 5], 0)
    }));
    assert_eq!(
        (tokens(&events).len(), finish(&events)),
        (5, Finish::Length)
    );
    let events = bench.ask(Job::Generate(greedy(&vec![20; context], 1)));
    let refusal = Refusal::TooLong {
        tokens: context as u32,
        max: context as u32 - 1,
    };
    assert_eq!(events, [Event::Failed(refusal)]);
}

#[test]
fn answers_take_the_form_that_is_asked_for() {
    let mut bench = Bench::new(&wren());
    let schema = r#"{"type":"object","required":["name","age"],
        "properties":{"name":{"type":"string","maxLength":12},"age":{"enum":[3,4]}}}"#;
    for temperature in [0.0, 1.0] {
        let prompt = Prompt::Text {
            text: "Who is it?".to_owned(),
            raw: false,
        };
        let events = bench.ask(Job::Generate(Generate {
            constraint: Some(Constraint::Schema(schema.to_owned())),
            sampling: Sampling {
                temperature: Real::new(temperature),
                ..Sampling::greedy()
            },
            tokens_max: Some(400),
            ..Generate::greedy(prompt)
        }));
        let told = text(&events);
        let Ok(value) = serde_json::from_str::<serde_json::Value>(&told) else {
            panic!("{told}");
        };
        assert!(value["name"].is_string(), "{told}");
        assert!(matches!(value["age"].as_u64(), Some(3 | 4)), "{told}");
        assert!(matches!(
            events.last(),
            Some(Event::Done {
                finish: Finish::Stop,
                ..
            })
        ));
    }
}

#[test]
fn logarithms_are_told_with_their_bytes() {
    let mut bench = Bench::new(&wren());
    let ids = prompt(&bench, "Once upon a time");
    let events = bench.ask(Job::Generate(Generate {
        logprobs: Some(3),
        ..greedy(&ids, 5)
    }));
    let told = events.iter().filter_map(|event| match event {
        Event::Tokens { tokens, .. } => Some(&tokens[0]),
        _ => None,
    });
    let mut bytes = Vec::new();
    for token in told {
        assert_eq!(token.top.len(), 3);
        assert_eq!(
            (token.top[0].id, Some(token.top[0].logprob)),
            (token.id, token.logprob)
        );
        assert!(token.logprob.unwrap().get() < 0.0);
        bytes.extend_from_slice(&token.bytes);
    }
    assert_eq!(String::from_utf8(bytes).unwrap(), text(&events));
}
