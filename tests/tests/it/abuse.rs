//! A hundred strangers who want everything at once, and what others notice of it.
//!
//! `WEFT_TEST_QUESTIONS=40` asks as often, `WEFT_TEST_MODEL=FOLDER` another model.

mod crowd;

use std::{
    env, fs,
    net::SocketAddr,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use iroh::{EndpointAddr, EndpointId};
use serde_json::{Value, json};
use weft_protocol::{
    id::{NodeId, ObjectId},
    infer::ModelId,
    path::RepoPath,
};
use weft_tests::{Node, Options, World, api, wait::PATIENCE, wait_for};

use self::crowd::Crowd;
use crate::peers::model;

/// Strangers.
const STRANGERS: u64 = 100;
/// A question by who speaks which API, with a number that makes it new.
type Body<'a> = &'a dyn Fn(usize) -> Value;

/// How long the first word takes to come, of so many questions, sorted; each is answered in full.
fn ask(node: &Node, path: &str, count: usize, body: Body<'_>) -> Result<Vec<Duration>> {
    let mut firsts = Vec::new();
    for n in 0..count {
        let start = Instant::now();
        let (mut first, mut text, mut ended) = (None, String::new(), false);
        for line in api::post_lines(node.home(), node.gateway(), path, &body(n))? {
            let line = line?;
            ensure!(line.get("error").is_none(), "{n}: {line}\n{}", node.log());
            let more = [&line["text"], &line["choices"][0]["text"]];
            let more: String = more.iter().filter_map(|text| text.as_str()).collect();
            if !more.is_empty() {
                first = first.or_else(|| Some(start.elapsed()));
                text += &more;
            }
            ended |= line.get("done").is_some() || line["choices"][0]["finish_reason"].is_string();
        }
        ensure!(ended, "{n}: `{text}` has no end");
        firsts.push(first.context("no word")?);
    }
    firsts.sort();
    Ok(firsts)
}

fn p95(sorted: &[Duration]) -> f64 {
    sorted[(sorted.len() * 95).div_ceil(100) - 1].as_secs_f64() * 1_000.0
}

/// What `weft host` takes of a folder.
fn weights(folder: &Path) -> Result<Option<RepoPath>> {
    if folder.join("config.json").exists() {
        return Ok(None);
    }
    let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
    let names: Vec<Option<String>> = names.collect::<Result<_>>()?;
    let gguf = names.into_iter().flatten().find(|n| n.ends_with(".gguf"));
    Ok(Some(gguf.context("no weights")?.parse()?))
}

fn address(node: &Node) -> Result<EndpointAddr> {
    let status = node.status()?;
    let listen = status["data_listen"].as_array().context("a list")?;
    let mut found = listen
        .iter()
        .filter_map(Value::as_str)
        .filter_map(|address| address.parse().ok());
    let own = found
        .find(|address: &SocketAddr| address.ip().is_loopback())
        .context("no loopback address")?;
    let id: NodeId = node.id()?.parse()?;
    Ok(EndpointAddr::new(EndpointId::from_bytes(id.as_bytes())?).with_ip_addr(own))
}

#[test]
fn a_hundred_strangers_starve_neither_the_owner_nor_an_honest_one() -> Result<()> {
    let count: usize = env::var("WEFT_TEST_QUESTIONS").map_or(Ok(5), |text| text.parse())?;
    let world = World::new()?;
    let alice = world.node("alice", Options::default())?;
    let model = model(&world)?;
    let published = alice.publish(&model, "model")?;
    let reference = &published.reference;
    let carol = world.node_knowing("carol", &alice)?;
    alice.weft(&["host", reference])?.ok()?;
    let own: Body<'_> = &|n| json!({"model": reference, "prompt": format!("Tom {n} was"), "stream": true, "max_tokens": 8, "temperature": 0});
    let honest: Body<'_> = &|n| json!({"reference": reference, "prompt": format!("Ann {n} was"), "raw": true, "tokens_max": 8});
    let asked = [
        ("the owner", &alice, "/v1/completions", own),
        ("an honest stranger", &carol, "/weft/v1/ask-peers", honest),
    ];
    let ask_both = || -> Result<Vec<Vec<Duration>>> {
        asked
            .iter()
            .map(|(_, node, path, body)| ask(node, path, count, body))
            .collect()
    };
    // Both have asked before: the model is loaded, and the nodes know each other.
    ask_both()?;
    let quiet = ask_both()?;

    let id = ModelId {
        revision: published.revision.parse::<ObjectId>()?,
        file: weights(model.path())?,
    };
    let crowd = Crowd::gather(STRANGERS, &address(&alice)?, &id)?;
    wait_for(
        "all strangers to be served and refused",
        PATIENCE * 5,
        || {
            let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            let seen = &crowd.seen;
            ensure!(seen.reason.get().is_none(), "{:?}", seen.reason);
            let all = read(&seen.served) == STRANGERS && read(&seen.refused) >= STRANGERS;
            // The crowd gets its share as well; of a large model, which takes minutes for that, not to the end.
            let ends = read(&seen.finished) > 0 || env::var_os("WEFT_TEST_MODEL").is_some();
            Ok((all && ends).then_some(()))
        },
    )?;
    let loud = ask_both()?;
    let seen = crowd.disperse()?;
    ensure!(seen.reason.get().is_none(), "{:?}", seen.reason);
    for (((who, ..), quiet), loud) in asked.iter().zip(&quiet).zip(&loud) {
        let (quiet, loud) = (p95(quiet), p95(loud));
        eprintln!(
            "first word for {who}, p95 of {count}: {quiet:.1} ms alone, {loud:.1} ms among {STRANGERS}: {:.2} x",
            loud / quiet
        );
    }
    eprintln!("{seen:?}");
    // Who is starved waits for seconds; a busy machine makes a few questions no measure.
    if count >= 40 {
        for ((who, ..), (quiet, loud)) in asked.iter().zip(quiet.iter().zip(&loud)) {
            ensure!(p95(loud) < 10.0 * p95(quiet), "{who} is starved");
        }
    }
    // All questions of both were answered to the end, or `ask` had said so.
    Ok(())
}
