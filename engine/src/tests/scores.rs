//! What the engine says of answers that are given: its own, and those that somebody changed.

use weft_protocol::infer::{
    Constraint, Ended, Event, Fingerprint, Finish, Generate, Job, Prompt, Real, Refusal, Retold,
    Said, Sampling, Score,
};

use super::{Bench, greedy, text, tokens, wren};

fn prompt(bench: &Bench, text: &str) -> Vec<u32> {
    bench.texts.tokenizer.encode(text, true).unwrap()
}

/// The job that an auditor has of an answer to a question.
fn score(ask: &Generate, answer: Vec<u32>) -> Job {
    Job::Score(Score {
        prompt: ask.prompt.clone(),
        answer,
        fingerprint_every: 1,
        said: Some(Said {
            sampling: ask.sampling.clone(),
            terms: ask.terms(),
            resumed_tokens: u32::try_from(ask.resume.len()).unwrap(),
        }),
    })
}

fn scored(bench: &mut Bench, job: Job) -> (Vec<Fingerprint>, Vec<f32>, Option<Retold>) {
    let events = bench.ask(job);
    let [
        Event::Scored {
            fingerprints,
            gaps,
            retold,
            ..
        },
    ] = events.as_slice()
    else {
        panic!("{events:?}");
    };
    let gaps = gaps.iter().map(|gap| gap.get()).collect();
    (fingerprints.clone(), gaps, *retold)
}

fn retold(text: &str, tokens: usize, finish: Finish) -> Option<Retold> {
    Some(Retold {
        text_hash: *blake3::hash(text.as_bytes()).as_bytes(),
        ended: Some(Ended {
            tokens: u32::try_from(tokens).unwrap(),
            finish,
        }),
    })
}

fn finish(events: &[Event]) -> Finish {
    match events.last() {
        Some(Event::Done { finish, .. }) => *finish,
        _ => panic!("{events:?}"),
    }
}

#[test]
fn scores_are_the_fingerprints_of_the_answer() {
    let mut bench = Bench::new(&wren());
    let ids = prompt(&bench, "The little dog");
    let ask = Generate {
        fingerprint_every: 8,
        ..greedy(&ids, 40)
    };
    let events = bench.ask(Job::Generate(ask));
    let Some(Event::Done { fingerprints, .. }) = events.last() else {
        panic!("{events:?}");
    };
    let (again, gaps, retold) = scored(
        &mut bench,
        Job::Score(Score {
            prompt: Prompt::Tokens { ids },
            answer: tokens(&events),
            fingerprint_every: 8,
            said: None,
        }),
    );
    assert_eq!((gaps.len(), retold), (0, None), "nothing was said");
    assert_eq!(fingerprints.len(), again.len());
    for (a, b) in fingerprints.iter().zip(&again) {
        assert_eq!(a.position, b.position);
        for ((id, logit), (other, again)) in a.top.iter().zip(&b.top) {
            assert_eq!(id, other);
            assert_eq!(
                logit, again,
                "read at once as it was written token by token"
            );
        }
    }
}

#[test]
fn gaps_show_tokens_that_were_not_drawn() {
    let mut bench = Bench::new(&wren());
    let ids = prompt(&bench, "The little dog");
    for (temperature, top_p) in [(0.0, 1.0), (1.0, 1.0), (0.8, 0.9)] {
        let ask = Generate {
            sampling: Sampling {
                temperature: Real::new(temperature),
                top_p: Real::new(top_p),
                presence_penalty: Real::new(0.3),
                seed: 11,
                ..Sampling::greedy()
            },
            ignore_end: true,
            ..greedy(&ids, 100)
        };
        let events = bench.ask(Job::Generate(ask.clone()));
        let answer = tokens(&events);
        let (_, honest, _) = scored(&mut bench, score(&ask, answer.clone()));
        assert_eq!(honest.len(), 100);
        assert!(honest.iter().all(|gap| *gap < 1e-3), "{honest:?}");
        let mut edited = answer;
        edited[50] = if edited[50] == 700 { 701 } else { 700 };
        let (_, caught, _) = scored(&mut bench, score(&ask, edited));
        assert!(caught[50] > 0.01, "{}", caught[50]);
        assert_eq!(caught[..50], honest[..50]);
    }
}

/// Questions whose answers end in all ways there are.
fn questions(bench: &mut Bench) -> Vec<(Generate, Finish)> {
    let ids = prompt(bench, "Once upon a time");
    let whole = text(&bench.ask(Job::Generate(greedy(&ids, 30))));
    let drawn = Sampling {
        temperature: Real::new(1.0),
        seed: 5,
        ..Sampling::greedy()
    };
    let json = Generate {
        constraint: Some(Constraint::Json),
        ..greedy(&ids, 20)
    };
    let schema = r#"{"type":"object","required":["age"],"properties":{"age":{"enum":[3,4]}}}"#;
    vec![
        (greedy(&ids, 30), Finish::Length),
        // A stop text that begins and ends inside of tokens, and one whose beginning is held back to the end.
        (
            Generate {
                stop: vec!["never".to_owned(), whole[10..16].to_owned()],
                ..greedy(&ids, 30)
            },
            Finish::Stop,
        ),
        (
            Generate {
                stop: vec![format!("{}xyz", &whole[whole.len() - 2..])],
                ..greedy(&ids, 30)
            },
            Finish::Length,
        ),
        // Until the model ends it.
        (
            Generate {
                tokens_max: None,
                sampling: drawn.clone(),
                ..greedy(&ids, 0)
            },
            Finish::Stop,
        ),
        (
            Generate {
                constraint: Some(Constraint::Schema(schema.to_owned())),
                sampling: drawn.clone(),
                ..greedy(&ids, 200)
            },
            Finish::Stop,
        ),
        // Cut off in the middle of a form, and of characters.
        (json, Finish::Length),
        (
            Generate {
                ignore_end: true,
                sampling: Sampling {
                    temperature: Real::new(20.0),
                    ..drawn
                },
                ..greedy(&ids, 60)
            },
            Finish::Length,
        ),
    ]
}

#[test]
fn an_answer_reads_again_as_it_was_told_and_ends_where_it_did() {
    let mut bench = Bench::new(&wren());
    for (ask, end) in questions(&mut bench) {
        let events = bench.ask(Job::Generate(ask.clone()));
        let (told, answer) = (text(&events), tokens(&events));
        assert_eq!(finish(&events), end, "{ask:?}");
        let (_, gaps, again) = scored(&mut bench, score(&ask, answer.clone()));
        assert_eq!(again, retold(&told, answer.len(), end), "{told:?} {ask:?}");
        assert!(gaps.iter().all(|gap| *gap < 1e-3), "{gaps:?} {ask:?}");
        // Gone on with by another host, who tells only the rest.
        for cut in [1, answer.len() / 2, answer.len() - 1] {
            let ask = Generate {
                resume: answer[..cut].to_vec(),
                ..ask.clone()
            };
            let rest = bench.ask(Job::Generate(ask.clone()));
            assert_eq!(tokens(&rest), answer[cut..]);
            let (_, gaps, again) = scored(&mut bench, score(&ask, answer.clone()));
            assert_eq!(again, retold(&text(&rest), answer.len(), end), "{ask:?}");
            assert_eq!(gaps.len(), answer.len());
        }
    }
}

#[test]
fn an_answer_that_was_cut_short_has_no_end_and_one_that_went_on_has_it_before() {
    let mut bench = Bench::new(&wren());
    for (ask, end) in questions(&mut bench) {
        let answer = tokens(&bench.ask(Job::Generate(ask.clone())));
        let short = answer[..answer.len() - 1].to_vec();
        let (_, _, again) = scored(&mut bench, score(&ask, short));
        assert_eq!(again.and_then(|again| again.ended), None, "{ask:?}");
        let more = [answer.as_slice(), &answer].concat();
        let (_, gaps, again) = scored(&mut bench, score(&ask, more));
        let ended = Ended {
            tokens: u32::try_from(answer.len()).unwrap(),
            finish: end,
        };
        assert_eq!(again.and_then(|again| again.ended), Some(ended), "{ask:?}");
        assert_eq!(gaps.len(), 2 * answer.len());
    }
}

#[test]
fn a_token_that_the_form_rules_out_was_not_drawn() {
    let mut bench = Bench::new(&wren());
    let ids = prompt(&bench, "Once upon a time");
    for temperature in [0.0, 1.0] {
        let ask = Generate {
            sampling: Sampling {
                temperature: Real::new(temperature),
                ..Sampling::greedy()
            },
            ..greedy(&ids, 12)
        };
        let free = tokens(&bench.ask(Job::Generate(ask.clone())));
        // It says that it had to be JSON, and is none.
        let json = Generate {
            constraint: Some(Constraint::Json),
            ..ask
        };
        let (_, gaps, _) = scored(&mut bench, score(&json, free));
        assert_eq!(gaps[0], f32::MAX);
    }
}

#[test]
fn more_tokens_cannot_have_been_given_than_there_are() {
    let mut bench = Bench::new(&wren());
    let ids = prompt(&bench, "Once upon a time");
    let ask = Generate {
        resume: vec![20; 5],
        ..greedy(&ids, 12)
    };
    let work = crate::process::work(score(&ask, vec![20; 4]), &bench.texts, 512);
    assert!(matches!(work, Err(Refusal::Invalid(_))), "{work:?}");
    let events = bench.ask(score(&ask, vec![20; 5]));
    assert!(
        matches!(events.as_slice(), [Event::Scored { .. }]),
        "{events:?}"
    );
}
