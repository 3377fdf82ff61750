//! Many questions, asked here and at a peer, some of them given up: what they leave behind.
//!
//! `WEFT_TEST_REQUESTS=1000` asks as many, `WEFT_TEST_MODEL=FOLDER` another model in the middle of whose prompts callers go.

use std::{
    env, fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use weft_tests::{Node, Options, World, api, wait::PATIENCE, wait_for};

use crate::peers::{model, wren};

/// Questions before anything is measured: buffers and caches fill.
const WARM_UP: usize = 40;
/// What a process may have grown by, in KiB: allocators keep pages.
const GROWTH_MAX: u64 = 24 * 1024;

/// A node and its engines: memory in KiB, and open descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    memory: u64,
    descriptors: usize,
}

fn processes(node: &Node) -> Result<Vec<u32>> {
    let running = api::get(node.home(), node.gateway(), "/weft/v1/running")?;
    let models = running["models"].as_array().context("a list")?;
    let engines = models.iter().filter_map(|model| model["pid"].as_u64());
    let engines = engines.filter_map(|pid| u32::try_from(pid).ok());
    Ok([node.pid()?].into_iter().chain(engines).collect())
}

fn held(node: &Node) -> Result<Held> {
    let mut held = Held {
        memory: 0,
        descriptors: 0,
    };
    for pid in processes(node)? {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS"));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        held.memory += number.context("no memory")?.parse::<u64>()?;
        held.descriptors += fs::read_dir(format!("/proc/{pid}/fd"))?.count();
    }
    Ok(held)
}

/// Asks; each fourth time nobody waits for the end.
fn ask(node: &Node, path: &str, reference: &str, n: usize) -> Result<()> {
    let prompt = format!("Story {n}: once upon a time there was");
    let body = match path.starts_with("/v1/") {
        true => json!({"model": reference, "prompt": prompt, "stream": true, "max_tokens": 12}),
        false => {
            json!({"reference": reference, "prompt": prompt, "raw": true, "tokens_max": 12, "temperature": 0.5})
        }
    };
    let lines = api::post_lines(node.home(), node.gateway(), path, &body)?;
    let lines = lines.take(if n % 4 == 3 { 2 } else { usize::MAX });
    for line in lines {
        let line = line?;
        ensure!(line.get("error").is_none(), "{n}: {line}\n{}", node.log());
    }
    Ok(())
}

fn idle(node: &Node) -> Result<Option<()>> {
    let running = api::get(node.home(), node.gateway(), "/weft/v1/running")?;
    let jobs = running["models"].as_array().context("a list")?;
    let busy = jobs
        .iter()
        .any(|model| model["running"] != 0 || model["waiting"] != 0);
    Ok((!busy).then_some(()))
}

#[test]
fn many_questions_leave_nothing_behind() -> Result<()> {
    let count: usize = env::var("WEFT_TEST_REQUESTS").map_or(Ok(60), |text| text.parse())?;
    let world = World::new()?;
    let alice = world.node("alice", Options::default())?;
    let reference = alice.publish(&wren(&world)?, "wren")?.reference;
    alice.weft(&["host", &reference])?.ok()?;
    let carol = world.node_knowing("carol", &alice)?;
    let all = |from: usize, to: usize| {
        for n in from..to {
            match n % 2 {
                0 => ask(&alice, "/v1/completions", &reference, n / 2)?,
                _ => ask(&carol, "/weft/v1/ask-peers", &reference, n / 2)?,
            }
        }
        wait_for("all to be over", PATIENCE, || idle(&alice))
    };
    all(0, WARM_UP)?;
    let before = [held(&alice)?, held(&carol)?];
    all(WARM_UP, WARM_UP + count)?;
    let after = [held(&alice)?, held(&carol)?];
    eprintln!("{count} questions: {before:?} before, {after:?} after");
    for (before, after) in before.iter().zip(&after) {
        ensure!(
            after.memory <= before.memory + GROWTH_MAX,
            "{before:?} {after:?}"
        );
        ensure!(
            after.descriptors <= before.descriptors + 8,
            "{before:?} {after:?}"
        );
    }
    Ok(())
}

#[test]
fn a_question_given_up_in_the_middle_of_its_prompt_frees_what_it_holds() -> Result<()> {
    let world = World::new()?;
    let alice = world.node("alice", Options::default())?;
    let model = model(&world)?;
    let reference = alice.publish(&model, "model")?.reference;
    ask(&alice, "/v1/completions", &reference, 0)?;
    let mut took: Vec<Duration> = Vec::new();
    for n in 0..10 {
        let prompt = format!("{n} ") + &"and then the bird said hello ".repeat(60);
        let body = json!({"model": reference, "prompt": prompt, "stream": true, "max_tokens": 4});
        let path = "/v1/completions";
        let stream = api::post(alice.home(), alice.gateway(), path, &body)?;
        wait_for("it to be taken in", PATIENCE, || {
            let running = api::get(alice.home(), alice.gateway(), "/weft/v1/running")?;
            Ok((running["jobs_taken"].as_u64() > Some(n + 1)).then_some(()))
        })?;
        drop(stream);
        let start = Instant::now();
        while idle(&alice)?.is_none() {
            ensure!(start.elapsed() < PATIENCE, "it still runs");
        }
        took.push(start.elapsed());
    }
    took.sort();
    eprintln!("free after {took:?}");
    // And it answers as before.
    ask(&alice, "/v1/completions", &reference, 0)
}
