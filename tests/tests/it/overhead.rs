//! What asking a peer costs as against asking here: the same host, the same questions, turn by turn.
//!
//! `WEFT_TEST_ROUNDS=30` takes as many turns, `WEFT_TEST_MODEL=FOLDER` another model.

use std::{
    env,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use serde_json::json;
use weft_tests::{Node, Options, World, api};

use crate::peers::model;

/// Tokens of an answer.
const TOKENS: usize = 48;

/// How an answer came.
#[derive(Debug, Clone, Copy)]
struct Pace {
    first: Duration,
    each: Duration,
}

fn ask(node: &Node, model: &str, prompt: &str) -> Result<(String, Pace)> {
    let body = json!({
        "model": model, "prompt": prompt, "stream": true, "temperature": 0, "max_tokens": TOKENS,
        "stream_options": {"include_usage": true},
    });
    let start = Instant::now();
    let (mut text, mut came, mut tokens) = (String::new(), Vec::new(), 0);
    for line in api::post_lines(node.home(), node.gateway(), "/v1/completions", &body)? {
        let line = line?;
        ensure!(line.get("error").is_none(), "{line}");
        if let Some(more) = line["choices"][0]["text"]
            .as_str()
            .filter(|t| !t.is_empty())
        {
            text += more;
            came.push(start.elapsed());
        }
        tokens = line["usage"]["completion_tokens"]
            .as_u64()
            .unwrap_or(tokens);
    }
    ensure!(came.len() > 1 && tokens > 1, "`{text}` came at once");
    let (first, last) = (came[0], came[came.len() - 1]);
    // Those that come fast come together.
    let each = (last - first) / u32::try_from(tokens - 1)?;
    Ok((text, Pace { first, each }))
}

fn median(paces: &[Pace], pick: fn(&Pace) -> Duration) -> f64 {
    let mut all: Vec<_> = paces.iter().map(pick).collect();
    all.sort();
    all[all.len() / 2].as_secs_f64() * 1_000.0
}

#[test]
fn a_peer_answers_as_this_machine_does_and_as_soon() -> Result<()> {
    let rounds: usize = env::var("WEFT_TEST_ROUNDS").map_or(Ok(3), |text| text.parse())?;
    let world = World::new()?;
    let alice = world.node("alice", Options::default())?;
    let model = model(&world)?;
    let reference = alice.publish(&model, "model")?.reference;
    alice.weft(&["host", &reference])?.ok()?;
    let mut carol = world.node_knowing("carol", &alice)?;
    carol
        .weft(&["config", "set", "infer.peers", "always"])?
        .ok()?;
    carol.restart()?;
    carol.wait_peers(1)?;
    let (mut here, mut there) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        // The same length, and nothing that was computed before.
        let prompt =
            |who: &str| format!("{who}{round:02} went into the forest to look for a box. Then");
        let mut turn = [(&alice, "Ann", &mut here), (&carol, "Tom", &mut there)];
        if round % 2 == 1 {
            turn.reverse();
        }
        for (node, who, paces) in turn {
            let (_, pace) = ask(node, &reference, &prompt(who))?;
            // The model is loaded, and the peers find each other.
            if round > 0 {
                paces.push(pace);
            }
        }
    }
    let prompt = "Once upon a time";
    assert_eq!(
        ask(&alice, &reference, prompt)?.0,
        ask(&carol, &reference, prompt)?.0
    );
    let (a, b) = (median(&here, |p| p.first), median(&there, |p| p.first));
    let (c, d) = (median(&here, |p| p.each), median(&there, |p| p.each));
    eprintln!(
        "medians of {rounds}: first token {a:.1} ms here, {b:.1} ms at a peer: {:.2} x, {:+.1} ms; \
         each further {c:.2} ms here, {d:.2} ms at a peer: {:.3} x as many tokens/s",
        b / a,
        b - a,
        c / d,
    );
    // Few turns say little on a busy machine; of many the medians would have to be far off the target.
    if rounds >= 30 {
        ensure!(b < 3.0 * a && d < 2.0 * c, "a peer is slow");
    }
    Ok(())
}
