//! Under default settings no prompt leaves the machine, whoever is connected: seen at the sockets themselves.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use weft_tests::{Node, World, api, http, skip::skipped, trace, trace::Trace};

use crate::peers::two_hosts;

/// Requests that are sent.
const REQUESTS: usize = 100;
/// How long a prompt is, at least.
const PROMPT_LEN: usize = 1_000;

/// Text that does not compress well and that no cache knows.
fn prompt(n: usize) -> String {
    let words = [
        "bird", "tree", "box", "king", "sea", "red", "old", "Tom", "light", "home", "lost", "play",
        "big", "small", "found", "day",
    ];
    let mut random = fastrand::Rng::with_seed(n as u64);
    let mut text = format!("Story {n}:");
    while text.len() < PROMPT_LEN {
        text += " ";
        text += words[random.usize(..words.len())];
    }
    text
}

/// Asks in the `n`th way; answers with the status.
fn ask(node: &Node, model: &str, n: usize) -> Result<u16> {
    let prompt = prompt(n);
    let messages = json!([{ "role": "user", "content": prompt }]);
    let (path, body) = match n % 6 {
        0 => ("/v1/completions", json!({ "prompt": prompt })),
        1 => ("/v1/chat/completions", json!({ "messages": messages })),
        2 => ("/api/generate", json!({ "prompt": prompt })),
        3 => (
            "/api/chat",
            json!({ "messages": messages, "stream": n % 12 == 3 }),
        ),
        4 => ("/v1/embeddings", json!({ "input": prompt })),
        _ => ("/api/embed", json!({ "input": prompt })),
    };
    let mut body = body;
    body["model"] = json!(model);
    body["max_tokens"] = json!(2);
    body["options"] = json!({ "num_predict": 2 });
    let body = body.to_string();
    let reply = http::send(node.gateway(), "POST", path, &[], body.as_bytes())?;
    Ok(reply.status)
}

/// Bytes that went to anybody but the clients of the local port.
fn left(node: &Node, sent: &std::collections::BTreeMap<String, u64>) -> Result<u64> {
    let gateway = node
        .gateway()
        .strip_prefix("http://")
        .context("a local URL")?;
    let local = format!("TCP:[{}->", gateway.trim_end_matches('/'));
    let others = sent.iter().filter(|(name, _)| !name.starts_with(&local));
    Ok(others.map(|(_, bytes)| bytes).sum())
}

fn answered(node: &Node) -> Result<u64> {
    let hosted: Value = api::get(node.home(), node.gateway(), "/weft/v1/hosted")?;
    hosted["answered"].as_u64().context("a number")
}

#[test]
fn no_prompt_leaves_the_machine_unless_peers_are_allowed() -> Result<()> {
    if !trace::is_possible() {
        skipped("what a node sends is not watched, because `strace` is missing or forbidden");
        return Ok(());
    }
    let world = World::new()?;
    let (alice, bob, mut carol, reference) = two_hosts(&world)?;
    carol.fetch(&reference)?;
    carol.wait_peers(2)?;
    // The model is loaded before.
    ensure!(ask(&carol, &reference, REQUESTS)? == 200, "{}", carol.log());

    let watch = Trace::attach(carol.pid()?, &world.join("sent"))?;
    let mut done = 0;
    for n in 0..REQUESTS {
        done += usize::from(ask(&carol, &reference, n)? == 200);
    }
    let sent = watch.finish()?;
    let quiet = left(&carol, &sent)?;
    let prompts = (REQUESTS * PROMPT_LEN) as u64;
    eprintln!("{done} answers to {prompts} bytes of prompts; {quiet} bytes left: {sent:?}");
    ensure!(done == REQUESTS, "{done} of {REQUESTS}\n{}", carol.log());
    ensure!(
        quiet < prompts / 4,
        "{quiet} bytes, where prompts have {prompts}: {sent:?}"
    );
    for host in [&alice, &bob] {
        assert_eq!(answered(host)?, 0, "a host was asked");
    }

    // The same with leave: it is seen, so the other would have been.
    carol
        .weft(&["config", "set", "infer.peers", "always"])?
        .ok()?;
    let known = [alice.address()?, bob.address()?];
    carol.options_mut().bootstrap = known.to_vec();
    carol.restart()?;
    carol.wait_peers(2)?;
    let watch = Trace::attach(carol.pid()?, &world.join("sent-loudly"))?;
    let some = 12;
    for n in 0..some {
        let status = ask(&carol, &reference, n)?;
        ensure!(status == 200, "{n}: {status}\n{}", carol.log());
    }
    let loud = left(&carol, &watch.finish()?)?;
    eprintln!("with `infer.peers always`: {loud} bytes left for {some} requests");
    ensure!(loud > (some * PROMPT_LEN) as u64, "{loud} bytes");
    assert_eq!(answered(&alice)? + answered(&bob)?, some as u64);
    Ok(())
}
