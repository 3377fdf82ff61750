//! A real model, asked in every way that there is: words, endpoints, and both at once.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use weft_tests::{
    Job, Model, Node, Options, World, api, http, node::text, wait::PATIENCE, wait_for,
};

use crate::engines::wren;

/// What the model goes on with after its first reference prompt, as another implementation computed it.
fn reference() -> Result<(String, String)> {
    let text = fs::read_to_string(wren().join("reference_outputs.json"))?;
    let all: Value = serde_json::from_str(&text)?;
    let first = &all["prompts"][0];
    let prompt = first["prompt"].as_str().context("a prompt")?;
    let whole = first["greedy_text"].as_str().context("an answer")?;
    let answer = whole.strip_prefix(prompt).context("it goes on")?;
    Ok((prompt.to_owned(), answer.to_owned()))
}

/// The folder of the model without what only tests need.
fn folder(world: &World) -> Result<Model> {
    let folder = world.join("wren");
    fs::create_dir_all(&folder)?;
    for entry in fs::read_dir(wren())? {
        let entry = entry?;
        let name = entry.file_name().into_string().unwrap_or_default();
        if !name.ends_with("_outputs.json") && !name.ends_with("_check.json") {
            fs::copy(entry.path(), folder.join(name))?;
        }
    }
    Ok(Model::at(folder))
}

pub(crate) fn publish(world: &World, node: &Node) -> Result<String> {
    let publication = node.publish(&folder(world)?, "wren")?;
    node.weft(&["alias", "alice", &publication.publisher])?
        .ok()?;
    Ok(publication.repository)
}

pub(crate) fn post(node: &Node, path: &str, body: &Value) -> Result<Value> {
    let reply = http::send(
        node.gateway(),
        "POST",
        path,
        &[],
        body.to_string().as_bytes(),
    )?;
    ensure!(reply.status == 200, "{path}: {reply:?}\n{}", node.log());
    serde_json::from_slice(&reply.body).with_context(|| reply.text())
}

#[test]
fn every_way_of_asking_gives_the_reference_answer() -> Result<()> {
    let world = World::new()?;
    let node = world.node("alice", Options::default())?;
    publish(&world, &node)?;
    let (prompt, expected) = reference()?;
    let body = json!({
        "model": "alice/wren", "prompt": prompt, "temperature": 0, "max_tokens": 64,
    });
    let openai = post(&node, "/v1/completions", &body)?;
    ensure!(
        openai["choices"][0]["text"] == expected,
        "{openai}\nnot {expected}"
    );
    ensure!(openai["usage"]["prompt_tokens"] == 5, "{openai}");
    let options = json!({ "temperature": 0, "num_predict": 64, "repeat_penalty": 1.0 });
    let body = json!({
        "model": "alice/wren:latest", "prompt": prompt, "raw": true, "stream": false,
        "options": options,
    });
    let ollama = post(&node, "/api/generate", &body)?;
    ensure!(ollama["response"] == expected, "{ollama}");
    ensure!(
        ollama["eval_count"] == 64 && ollama["done_reason"] == "length",
        "{ollama}"
    );

    // A conversation, by the command line and by both endpoints.
    let run = node.json(&[
        "run",
        "alice/wren",
        "Tell me a story.",
        "--temperature",
        "0",
        "--max-tokens",
        "20",
    ])?;
    let said = text(&run, "text")?;
    ensure!(!said.is_empty() && run["answer_tokens"] == 20, "{run}");
    let messages = json!([{ "role": "user", "content": "Tell me a story." }]);
    let body = json!({
        "model": "alice/wren", "messages": messages, "temperature": 0, "max_tokens": 20,
    });
    let chat = post(&node, "/v1/chat/completions", &body)?;
    ensure!(
        chat["choices"][0]["message"]["content"] == said,
        "{chat}\nnot {said}"
    );
    let all = api::get(node.home(), node.gateway(), "/weft/v1/running")?;
    ensure!(all["loads"] == 1 && all["jobs_ended"] == 4, "{all}");
    ensure!(all["models"][0]["architecture"] == "llama", "{all}");
    Ok(())
}

#[test]
fn a_command_asks_without_a_node_and_reads_its_input() -> Result<()> {
    let world = World::new()?;
    let mut node = world.node("alice", Options::default())?;
    publish(&world, &node)?;
    node.stop()?;
    let alone = ["--listen", "127.0.0.1:0", "--no-mdns"];
    let with = |arguments: &[&'static str]| [arguments, &alone].concat();
    let arguments = with(&[
        "run",
        "alice/wren:Q8_0",
        "--seed",
        "5",
        "--max-tokens",
        "12",
    ]);
    let asked = || Job::start_with_input(node.home(), &arguments, "Who are you?\n")?.finish();
    let first = asked()?.ok()?;
    ensure!(first.stdout.trim().len() > 4, "{first:?}");
    ensure!(
        asked()?.stdout == first.stdout,
        "the same seed gave another answer"
    );
    let empty = Job::start_with_input(node.home(), &with(&["run", "alice/wren"]), "")?.finish()?;
    empty.refused(2, "no question")?;
    node.weft(&with(&["run", "alice/wren:Q2_K", "hi"]))?
        .refused(3, "Q4_K_M")?;
    let embedded = node.json(&with(&["embed", "alice/wren", "a dog", "a cat"]))?;
    ensure!(
        embedded["vectors"].as_array().map(Vec::len) == Some(2),
        "{embedded}"
    );
    Ok(())
}

#[test]
fn a_model_elsewhere_is_fetched_as_far_as_it_is_needed() -> Result<()> {
    let world = World::new()?;
    let alice = world.node("alice", Options::default())?;
    let repository = publish(&world, &alice)?;
    let bob = world.node_knowing("bob", &alice)?;
    bob.wait_peers(1)?;
    let model = format!("{repository}:q4_k_m");
    let body = json!({
        "model": model, "max_tokens": 4, "messages": [{ "role": "user", "content": "Hi" }],
    });
    let answer = post(&bob, "/v1/chat/completions", &body)?;
    ensure!(
        answer["usage"]["completion_tokens"].as_u64() > Some(0),
        "{answer}"
    );
    let gguf = fs::metadata(wren().join("wren-3m.Q4_K_M.gguf"))?.len();
    let fetched = bob.downloaded()?;
    ensure!(
        (gguf..gguf + gguf / 4).contains(&fetched),
        "{fetched} bytes for {gguf}"
    );
    let pulled = http::send(
        bob.gateway(),
        "POST",
        "/api/pull",
        &[],
        json!({ "model": format!("{repository}:Q8_0") })
            .to_string()
            .as_bytes(),
    )?;
    let lines = pulled.text();
    ensure!(
        lines.trim_end().ends_with(r#"{"status":"success"}"#),
        "{lines}"
    );
    Ok(())
}

#[test]
fn an_engine_killed_in_the_middle_is_replaced() -> Result<()> {
    let world = World::new()?;
    let node = world.node("alice", Options::default())?;
    publish(&world, &node)?;
    let body = json!({ "model": "alice/wren", "prompt": "Once", "max_tokens": 4 });
    post(&node, "/v1/completions", &body)?;
    let all = api::get(node.home(), node.gateway(), "/weft/v1/running")?;
    let pid = all["models"][0]["pid"].as_u64().context("a process id")?;
    let killed = std::process::Command::new("kill")
        .args(["-9", &pid.to_string()])
        .status()?;
    ensure!(killed.success());
    wait_for("the node to notice", PATIENCE, || {
        let all = api::get(node.home(), node.gateway(), "/weft/v1/running")?;
        Ok((all["engines_died"] == 1).then_some(()))
    })?;
    post(&node, "/v1/completions", &body)?;
    Ok(())
}
