//! Jobs that stand still for others.

use weft_protocol::infer::{Event, Finish, Generate, Job, Rank, Sampling};

use super::{Bench, greedy, is_last, tokens, wren};
use crate::{Options, batch::Command};

fn own(events: &[(u64, Event)], job: u64) -> Vec<Event> {
    let own = events.iter().filter(|(other, _)| *other == job);
    own.map(|(_, event)| event.clone()).collect()
}

fn long(seed: u64) -> Job {
    let prompt: Vec<u32> = (0..60).map(|at| 20 + (at * 7) % 900).collect();
    Job::Generate(Generate {
        ignore_end: true,
        fingerprint_every: 8,
        sampling: Sampling {
            temperature: weft_protocol::infer::Real::new(0.9),
            presence_penalty: weft_protocol::infer::Real::new(0.4),
            seed,
            ..Sampling::greedy()
        },
        ..greedy(&prompt, 60)
    })
}

/// What an answer is but for its times.
fn substance(events: &[Event]) -> (Vec<u32>, Finish, Vec<weft_protocol::infer::Fingerprint>) {
    match events.last() {
        Some(Event::Done {
            finish,
            fingerprints,
            ..
        }) => (tokens(events), *finish, fingerprints.clone()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_paused_answer_is_the_undisturbed_one() {
    let mut bench = Bench::with(&Options {
        parallel: 2,
        ..Options::new(wren())
    });
    let whole = substance(&bench.ask(long(3)));
    assert_eq!((whole.0.len(), whole.2.len()), (60, 8));
    // With what it remembers still there, and after others have taken its place; while its prompt is read as well.
    for (steps, others) in [(1, 0), (9, 0), (9, 4), (30, 4)] {
        let job = bench.start_as(Rank::Stranger, long(3));
        for _ in 0..steps {
            bench.batch.advance();
        }
        bench.batch.take(Command::Pause { job });
        let mut events = own(&bench.events(), job);
        assert!(!events.iter().any(is_last));
        bench.batch.advance();
        for other in 0..others {
            bench.ask(long(100 + other));
        }
        assert_eq!(bench.events(), [], "it stands still");
        let rank = Rank::Stranger;
        bench.batch.take(Command::Resume { job, rank });
        events.extend(own(&bench.finish(1), job));
        assert_eq!(substance(&events), whole, "{steps} steps, {others} others");
    }
}

#[test]
fn a_paused_job_can_be_cancelled_and_one_that_waits_paused() {
    let mut bench = Bench::with(&Options {
        parallel: 1,
        ..Options::new(wren())
    });
    let runs = bench.start_as(Rank::Stranger, long(1));
    bench.batch.advance();
    let waits = bench.start_as(Rank::Stranger, long(2));
    for job in [runs, waits, 999] {
        bench.batch.take(Command::Pause { job });
    }
    bench.events();
    let other = bench.start(long(3));
    assert_eq!(
        own(&bench.finish(1), other)
            .iter()
            .filter(|e| is_last(e))
            .count(),
        1
    );
    bench.batch.take(Command::Cancel { job: runs });
    let cancelled = own(&bench.events(), runs);
    assert_eq!(substance(&cancelled).1, Finish::Cancelled);
    let rank = Rank::Brief;
    bench.batch.take(Command::Resume { job: waits, rank });
    // Of no job, and of one that is gone.
    bench.batch.take(Command::Resume { job: runs, rank });
    let events = own(&bench.finish(1), waits);
    assert_eq!(substance(&events), substance(&bench.ask(long(2))));
}

#[test]
fn the_first_token_of_a_better_rank_comes_before_all_else() {
    let mut bench = Bench::with(&Options {
        parallel: 8,
        ..Options::new(wren())
    });
    let strangers: Vec<u64> = (0..5)
        .map(|n| {
            let prompt: Vec<u32> = (0..400).map(|at| 20 + (at * (n + 3)) % 900).collect();
            bench.start_as(Rank::Stranger, Job::Generate(greedy(&prompt, 20)))
        })
        .collect();
    for _ in 0..3 {
        bench.batch.advance();
    }
    bench.events();
    let brief = bench.start_as(Rank::Brief, Job::Generate(greedy(&[20, 30, 40], 20)));
    let mine = bench.start(Job::Generate(greedy(&[50, 60, 70, 80], 20)));
    bench.batch.advance();
    let events = bench.events();
    assert_eq!(tokens(&own(&events, mine)).len(), 1);
    assert!(tokens(&own(&events, brief)).is_empty());
    bench.batch.advance();
    let events = bench.events();
    assert_eq!(tokens(&own(&events, mine)).len(), 1, "it goes on meanwhile");
    assert_eq!(tokens(&own(&events, brief)).len(), 1);
    // Among equals, a short prompt does not wait for the long ones before it.
    let short = bench.start_as(Rank::Stranger, Job::Generate(greedy(&[90, 95], 20)));
    bench.batch.advance();
    assert_eq!(tokens(&own(&bench.events(), short)).len(), 1);
    let events = bench.finish(8);
    for job in strangers {
        let own = own(&events, job);
        assert_eq!(own.iter().filter(|event| is_last(event)).count(), 1);
    }
}
