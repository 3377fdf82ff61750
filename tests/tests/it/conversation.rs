//! Conversations with a model at a peer.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use weft_tests::{World, api};

use crate::{ask::post, peers::two_hosts};

#[test]
fn a_peer_hears_the_whole_conversation() -> Result<()> {
    let world = World::new()?;
    let (alice, _bob, carol, reference) = two_hosts(&world)?;
    let said = |role: &str, text: &str| json!({ "role": role, "content": text });
    let before = [
        said("system", "You are a bird."),
        said("user", "Who are you?"),
        said("assistant", "A wren."),
    ];
    let mut messages = before.to_vec();
    messages.push(said("user", "Tell me a story."));
    let body = json!({
        "model": reference, "messages": messages, "temperature": 0, "max_tokens": 12,
    });
    let here = post(&alice, "/v1/chat/completions", &body)?;
    let body = json!({
        "reference": reference, "before": before, "prompt": "Tell me a story.",
        "temperature": 0.0, "tokens_max": 12,
    });
    let (mut text, mut tokens) = (String::new(), None);
    for line in api::post_lines(carol.home(), carol.gateway(), "/weft/v1/ask-peers", &body)? {
        let line = line?;
        text += line["text"].as_str().unwrap_or_default();
        tokens = line["done"]["prompt_tokens"].as_u64().or(tokens);
    }
    ensure!(
        text == here["choices"][0]["message"]["content"],
        "{text}\nnot {here}"
    );
    ensure!(
        tokens == here["usage"]["prompt_tokens"].as_u64(),
        "{tokens:?}"
    );
    Ok(())
}

#[test]
fn a_question_to_a_peer_is_timed_and_keeps_nothing_in_memory() -> Result<()> {
    let world = World::new()?;
    let (_alice, _bob, carol, reference) = two_hosts(&world)?;
    let asked = ["run", "--peer", &reference, "Hi", "--max-tokens", "4"];
    let timed = carol.weft(&[&asked[..], &["-v"]].concat())?.ok()?;
    let line = timed
        .stderr
        .lines()
        .find(|line| line.starts_with("answer "));
    let line = line.with_context(|| timed.stderr.clone())?;
    ensure!(line.contains("tokens in "), "{line}");
    let silent = carol.weft(&asked)?.ok()?;
    ensure!(!silent.stderr.contains("tokens in "), "{}", silent.stderr);
    carol
        .weft(&[&asked[..], &["--keep-alive", "5m"]].concat())?
        .refused(2, "--keep-alive")?;
    Ok(())
}
