//! What programs are told of models: their names, their families, how far they are, and vectors of an encoder.

use std::{fs, process::Command};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use weft_tests::{Model, Options, World, api, http};

use crate::{
    ask::{post, publish},
    engines::wren,
    weights::shared,
};

fn names<'a>(list: &'a Value, field: &str) -> Vec<&'a str> {
    let all = list.as_array().into_iter().flatten();
    all.filter_map(|entry| entry[field].as_str()).collect()
}

#[test]
fn every_name_that_a_question_may_have_is_found() -> Result<()> {
    let world = World::new()?;
    let node = world.node("alice", Options::default())?;
    let long = publish(&world, &node)?;
    let publisher = long.split('/').next().context("a publisher")?;
    node.weft(&["alias", "birds", publisher])?.ok()?;
    let get = |path: &str| -> Result<(u16, Value)> {
        let reply = http::get(node.gateway(), path, &[])?;
        Ok((reply.status, serde_json::from_slice(&reply.body)?))
    };
    let (_, listed) = get("/v1/models")?;
    let (_, tags) = get("/api/tags")?;
    for base in ["alice/wren", "birds/wren", &long] {
        let ids = names(&listed["data"], "id");
        ensure!(ids.contains(&base), "no {base} in {ids:?}");
        let name = format!("{base}:latest");
        let found = names(&tags["models"], "name").contains(&name.as_str());
        ensure!(found, "no {name} in {tags}");
    }
    let (_, info) = get(&format!("/v1/models/{}", long.replace('/', "%2F")))?;
    ensure!(info["id"] == long.as_str(), "{info}");
    let start = long.get(..12).context("a long id")?;
    let revision = node.json(&["info", "alice/wren"])?["revision"].clone();
    let revision = revision.as_str().and_then(|id| id.get(..12));
    for name in [
        "alice/wren:latest".to_owned(),
        "birds/wren:q8_0".to_owned(),
        format!("{long}:Q4_K_M"),
        format!("{start}/wren"),
        format!("alice/wren@{}", revision.context("a revision")?),
    ] {
        let body = json!({ "model": name, "prompt": "Once", "max_tokens": 1 });
        post(&node, "/v1/completions", &body)?;
        let (status, found) = get(&format!("/v1/models/{name}"))?;
        ensure!(status == 200 && found["id"] == name.as_str(), "{found}");
        post(&node, "/api/show", &json!({ "model": name }))?;
    }
    for name in ["alice/wren:Q2_K", "alice/dove", "zz/zz"] {
        let (status, _) = get(&format!("/v1/models/{name}"))?;
        ensure!(status == 404, "{name}: {status}");
    }
    Ok(())
}

#[test]
fn lists_tell_families_without_loading_anything() -> Result<()> {
    let world = World::new()?;
    let node = world.node("alice", Options::default())?;
    publish(&world, &node)?;
    let listed = http::get(node.gateway(), "/api/tags", &[])?;
    let listed: Value = serde_json::from_slice(&listed.body)?;
    let models = listed["models"].as_array().context("a list")?;
    // Safetensors and two GGUF files, with a petname and without.
    ensure!(models.len() == 6, "{listed}");
    for model in models {
        ensure!(model["details"]["family"] == "llama", "{model}");
        ensure!(model["details"]["families"] == json!(["llama"]), "{model}");
    }
    let all = api::get(node.home(), node.gateway(), "/weft/v1/running")?;
    ensure!(all["loads"] == 0, "{all}");
    Ok(())
}

#[test]
fn a_pull_tells_files_by_their_own_hash() -> Result<()> {
    let world = World::new()?;
    let alice = world.node("alice", Options::default())?;
    let repository = publish(&world, &alice)?;
    let bob = world.node_knowing("bob", &alice)?;
    bob.wait_peers(1)?;
    let file = wren().join("wren-3m.Q8_0.gguf");
    let sum = Command::new("sha256sum").arg(&file).output()?.stdout;
    let sum = String::from_utf8(sum)?;
    let sum = sum.get(..64).context("a hash")?;
    // While it comes, and when it was here before.
    for _ in 0..2 {
        let body = json!({ "model": format!("{repository}:Q8_0") }).to_string();
        let pulled = http::send(bob.gateway(), "POST", "/api/pull", &[], body.as_bytes())?;
        let text = pulled.text();
        let lines: Vec<Value> = text.lines().flat_map(serde_json::from_str).collect();
        let bars: Vec<&Value> = lines.iter().filter(|l| !l["digest"].is_null()).collect();
        for bar in &bars {
            ensure!(bar["digest"] == format!("sha256:{sum}"), "{text}");
            ensure!(bar["total"] == fs::metadata(&file)?.len(), "{text}");
        }
        let last = bars.last().context("a line about the file")?;
        ensure!(last["completed"] == last["total"], "{text}");
        ensure!(
            lines.last().is_some_and(|l| l["status"] == "success"),
            "{text}"
        );
    }
    Ok(())
}

#[test]
fn who_waits_for_a_fetch_in_a_stream_hears_how_far_it_is() -> Result<()> {
    let world = World::new()?;
    let slow = Options {
        arguments: vec!["--limit-up".to_owned(), "1MB".to_owned()],
        ..Options::default()
    };
    let alice = world.node("alice", slow)?;
    let repository = publish(&world, &alice)?;
    let bob = world.node_knowing("bob", &alice)?;
    bob.wait_peers(1)?;
    let stream = |path: &str, model: &str, question: Value| {
        let mut body = question;
        body["model"] = model.into();
        body["stream"] = true.into();
        body["max_tokens"] = 3.into();
        http::send(
            bob.gateway(),
            "POST",
            path,
            &[],
            body.to_string().as_bytes(),
        )
    };
    let messages = json!({ "messages": [{ "role": "user", "content": "Hi" }] });
    for (path, tag, question) in [
        ("/v1/chat/completions", "Q8_0", messages.clone()),
        ("/v1/completions", "Q4_K_M", json!({ "prompt": "Once" })),
    ] {
        let reply = stream(path, &format!("{repository}:{tag}"), question)?;
        let text = reply.text();
        ensure!(reply.status == 200, "{text}");
        ensure!(text.starts_with(": fetching "), "{text}");
        ensure!(text.contains("\n\ndata: {"), "{text}");
        ensure!(text.ends_with("data: [DONE]\n\n"), "{text}");
    }
    // What is known at once has a status, also in a stream.
    let missing = stream("/v1/chat/completions", "zz/zz", messages)?;
    ensure!(missing.status == 404, "{missing:?}");
    let long = json!({ "messages": [{ "role": "user", "content": "word ".repeat(5_000) }] });
    let long = stream("/v1/chat/completions", &format!("{repository}:Q8_0"), long)?;
    ensure!(long.status == 400, "{long:?}");
    Ok(())
}

#[test]
fn an_encoder_gives_the_vectors_of_its_makers() -> Result<()> {
    let Some(shared) = shared("vectors of a sentence encoder through a node") else {
        return Ok(());
    };
    let folder = shared.join("all-MiniLM-L6-v2");
    let references = fs::read(folder.join("reference_embeddings.json"))?;
    let references: Value = serde_json::from_slice(&references)?;
    let cases = references["sentences"].as_array().context("sentences")?;
    let cases = cases.get(..7).context("seven of them")?;
    let texts: Vec<&str> = cases.iter().filter_map(|c| c["text"].as_str()).collect();
    let world = World::new()?;
    let node = world.node("alice", Options::default())?;
    let publication = node.publish(&Model::at(folder), "minilm")?;
    let check = |vectors: Vec<&Value>| -> Result<()> {
        ensure!(vectors.len() == texts.len(), "{} vectors", vectors.len());
        for (vector, case) in vectors.into_iter().zip(cases) {
            let numbers = |value: &Value| -> Vec<f64> {
                let all = value.as_array().into_iter().flatten();
                all.filter_map(Value::as_f64).collect()
            };
            let (ours, theirs) = (numbers(vector), numbers(&case["embedding"]));
            let cosine: f64 = ours.iter().zip(&theirs).map(|(a, b)| a * b).sum();
            ensure!(cosine > 0.99999, "{}: {cosine}", case["text"]);
        }
        Ok(())
    };
    let reference = publication.repository.as_str();
    let embedded = node.json(&[&["embed", reference][..], &texts].concat())?;
    check(
        embedded["vectors"]
            .as_array()
            .into_iter()
            .flatten()
            .collect(),
    )?;
    let body = json!({ "model": reference, "input": texts });
    let openai = post(&node, "/v1/embeddings", &body)?;
    let data = openai["data"].as_array().into_iter().flatten();
    check(data.map(|one| &one["embedding"]).collect())?;
    let body = json!({ "model": reference, "input": texts });
    let ollama = post(&node, "/api/embed", &body)?;
    check(
        ollama["embeddings"]
            .as_array()
            .into_iter()
            .flatten()
            .collect(),
    )?;
    // The only model that is here is meant where none is named.
    let client = post(&node, "/", &json!({ "inputs": texts }))?;
    check(client.as_array().into_iter().flatten().collect())?;
    let named = format!("/?model={}", reference.replace('/', "%2F"));
    let one = post(&node, &named, &json!({ "inputs": texts[0] }))?;
    ensure!(one.as_array().map(Vec::len) == Some(1), "{one}");
    Ok(())
}
