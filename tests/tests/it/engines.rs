//! Engines that misbehave, askers who go away or come in crowds, and memory: seen through the node's own counters.
//!
//! A stand-in takes the place of the engine here, because no real one can be made to die, hang or talk nonsense.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    path::PathBuf,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::{Value, json};
use weft_tests::{
    Model, Node, Options, World, api,
    http::{self, Reply},
    program,
    wait::PATIENCE,
    wait_for,
};

/// The folder with the small model.
pub(crate) fn wren() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/wren-3m")
}

/// A node whose engines are stand-ins, with a model of two GGUF files.
fn node(world: &World, settings: &[(&str, &str)]) -> Result<Node> {
    let stand_in = program::binary()?.with_file_name("weft-stand-in");
    let mut node = world.idle_node("alice", Options::default());
    for (key, value) in settings {
        node.weft(&["config", "set", key, value])?.ok()?;
    }
    let stand_in = stand_in.to_str().context("a path in UTF-8")?.to_owned();
    let environment = &mut node.options_mut().environment;
    environment.push(("WEFT_TEST_ENGINE".to_owned(), stand_in));
    node.start()?;
    let folder = world.join("wren");
    fs::create_dir_all(&folder)?;
    for (from, to) in [
        ("wren-3m.Q8_0.gguf", "wren.Q8_0.gguf"),
        ("wren-3m.Q4_K_M.gguf", "wren.Q4_K_M.gguf"),
        ("wren-3m.Q4_K_M.gguf", "unloadable.gguf"),
        ("wren-3m.Q4_K_M.gguf", "crash.gguf"),
    ] {
        fs::copy(wren().join(from), folder.join(to))?;
    }
    let publication = node.publish(&Model::at(folder), "wren")?;
    node.weft(&["alias", "alice", &publication.publisher])?
        .ok()?;
    Ok(node)
}

fn running(node: &Node) -> Result<Value> {
    api::get(node.home(), node.gateway(), "/weft/v1/running")
}

fn chat_body(model: &str, text: &str, stream: bool) -> String {
    let messages = json!([{ "role": "user", "content": text }]);
    json!({ "model": model, "messages": messages, "stream": stream, "max_tokens": 3 }).to_string()
}

fn chat(node: &Node, model: &str, text: &str) -> Result<Reply> {
    let body = chat_body(model, text, false);
    http::send(
        node.gateway(),
        "POST",
        "/v1/chat/completions",
        &[],
        body.as_bytes(),
    )
}

fn body(reply: &Reply) -> Result<Value> {
    serde_json::from_slice(&reply.body).with_context(|| reply.text())
}

/// Sends a question and does not read the answer.
fn open(node: &Node, text: &str, stream: bool) -> Result<TcpStream> {
    let body = chat_body("alice/wren:Q8_0", text, stream);
    let address = node.gateway().trim_start_matches("http://");
    let mut connection = TcpStream::connect(address)?;
    write!(
        connection,
        "POST /v1/chat/completions HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    Ok(connection)
}

/// Whether the first word of the answer has arrived; it stays unread.
fn has_begun(connection: &TcpStream) -> Result<bool> {
    let mut bytes = [0; 4096];
    connection.set_nonblocking(true)?;
    match connection.peek(&mut bytes) {
        Ok(count) => Ok(bytes[..count].windows(7).any(|word| word == b"waiting")),
        Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => Ok(false),
        Err(e) => Err(e.into()),
    }
}

fn wait_idle(node: &Node) -> Result<Value> {
    wait_for("nothing to run or wait", PATIENCE, || {
        let all = running(node)?;
        let models = all["models"].as_array().context("models")?;
        let is_idle = |model: &Value| model["running"] == 0 && model["waiting"] == 0;
        Ok(models.iter().all(is_idle).then_some(all.clone()))
    })
}

#[test]
fn an_engine_that_misbehaves_ends_its_own_questions_and_the_node_goes_on() -> Result<()> {
    let world = World::new()?;
    let node = node(&world, &[])?;
    for (count, text) in [
        "please die",
        "please send nonsense",
        "please send a huge frame",
    ]
    .into_iter()
    .enumerate()
    {
        // One that runs in another engine is not disturbed.
        let mut other = BufReader::new(open(&node, "please wait", true)?);
        read_until(&mut other, "waiting")?;
        let reply = chat(&node, "alice/wren:Q4_K_M", text)?;
        ensure!(reply.status == 500, "{text}: {reply:?}");
        let error = body(&reply)?;
        ensure!(error["error"]["type"] == "server_error", "{text}: {error}");
        let all = running(&node)?;
        ensure!(all["engines_died"] == count + 1, "{text}: {all}");
        ensure!(all["models"][0]["running"] == 1, "{text}: {all}");
        // The next question finds an engine again.
        let reply = chat(&node, "alice/wren:Q4_K_M", "count")?;
        ensure!(reply.status == 200, "{text}: {reply:?}\n{}", node.log());
    }
    // In the middle of a stream, where no status is left to tell it by.
    let mut stream = BufReader::new(open(&node, "please die", true)?);
    read_until(&mut stream, "last words")?;
    read_until(&mut stream, "\"error\"")?;
    ensure!(chat(&node, "alice/wren:Q8_0", "count")?.status == 200);
    Ok(())
}

#[test]
fn a_model_that_cannot_be_loaded_is_refused_with_its_reason() -> Result<()> {
    let world = World::new()?;
    let node = node(&world, &[])?;
    let reply = chat(&node, "alice/wren:unloadable", "hi")?;
    ensure!(reply.status == 422, "{reply:?}");
    let error = body(&reply)?;
    ensure!(error["error"]["code"] == "model_broken", "{error}");
    ensure!(reply.text().contains("lies beyond the file"), "{error}");
    // One whose engine dies while it loads is not loaded again and again for those who wait.
    let reply = chat(&node, "alice/wren:crash", "hi")?;
    ensure!(reply.status == 500, "{reply:?}");
    ensure!(running(&node)?["engines_died"] == 1, "{}", running(&node)?);
    let several = chat(&node, "alice/wren", "hi")?;
    ensure!(several.status == 404, "{several:?}");
    for tag in ["Q8_0", "Q4_K_M", "crash", "unloadable"] {
        ensure!(several.text().contains(tag), "{several:?}");
    }
    Ok(())
}

#[test]
fn who_goes_away_frees_what_his_question_held() -> Result<()> {
    let world = World::new()?;
    let node = node(&world, &[])?;
    for round in 1..=20 {
        let mut stream = BufReader::new(open(&node, "please wait", true)?);
        read_until(&mut stream, "waiting")?;
        ensure!(running(&node)?["models"][0]["running"] == 1);
        drop(stream);
        let all = wait_idle(&node)?;
        ensure!(all["jobs_cancelled"] == round, "{all}");
        ensure!(all["loads"] == 1, "{all}");
    }
    // Without a stream too: nobody has seen anything of the answer yet.
    let quiet = open(&node, "please wait", false)?;
    wait_for("the question to run", PATIENCE, || {
        Ok((running(&node)?["models"][0]["running"] == 1).then_some(()))
    })?;
    drop(quiet);
    let all = wait_idle(&node)?;
    ensure!(all["jobs_cancelled"] == 21, "{all}");
    Ok(())
}

#[test]
fn a_crowd_is_bounded_and_leaves_room_for_others() -> Result<()> {
    const CROWD: u64 = 200;
    let world = World::new()?;
    let node = node(&world, &[("infer.slots", "4")])?;
    let crowd: Vec<TcpStream> = (0..CROWD)
        .map(|_| open(&node, "please wait", true))
        .collect::<Result<_>>()?;
    let all = wait_for("everybody to be heard, and four answered", PATIENCE, || {
        let all = running(&node)?;
        let count = |name: &str| all[name].as_u64().unwrap_or_default();
        let heard = count("jobs_taken") + count("jobs_refused") == CROWD;
        Ok((heard && all["models"][0]["running"] == 4).then_some(all.clone()))
    })?;
    let model = &all["models"][0];
    ensure!(all["jobs_taken"] == 128 && model["waiting"] == 124, "{all}");
    let refused = chat(&node, "alice/wren:Q8_0", "count")?;
    ensure!(refused.status == 429, "{refused:?}");
    let retry: u64 = refused
        .header("retry-after")
        .context("when to come again")?
        .parse()?;
    ensure!((1..=60).contains(&retry), "{refused:?}");
    // Another program is taken in, and its turn comes before that of all who wait.
    let mine = {
        let body = chat_body("alice/wren:Q8_0", "count", false);
        let gateway = node.gateway().to_owned();
        std::thread::spawn(move || {
            let headers = [("User-Agent", "somebody else")];
            http::send(
                &gateway,
                "POST",
                "/v1/chat/completions",
                &headers,
                body.as_bytes(),
            )
        })
    };
    wait_for("it to be taken in", PATIENCE, || {
        Ok((running(&node)?["jobs_taken"] == 129).then_some(()))
    })?;
    // Whoever is being answered goes away, and makes room.
    let crowd = wait_for("the first words", PATIENCE, || {
        let begun = crowd.iter().map(has_begun).collect::<Result<Vec<_>>>()?;
        let begun: Vec<usize> = (0..crowd.len()).filter(|index| begun[*index]).collect();
        Ok((begun.len() == 4).then_some(begun))
    })
    .map(|begun| {
        let indexed = crowd.into_iter().enumerate();
        let rest = indexed.filter(|(index, _)| !begun.contains(index));
        rest.map(|(_, connection)| connection).collect::<Vec<_>>()
    })?;
    let reply = mine.join().map_err(|_| anyhow!("it panicked"))??;
    ensure!(reply.status == 200, "{reply:?}");
    ensure!(running(&node)?["models"][0]["waiting"].as_u64() > Some(50));
    drop(crowd);
    let all = wait_idle(&node)?;
    ensure!(all["jobs_cancelled"] == 128, "{all}");
    Ok(())
}

#[test]
fn models_make_room_for_each_other() -> Result<()> {
    let world = World::new()?;
    // One of the two fits, and not both.
    let node = node(&world, &[("infer.memory", "5MB")])?;
    for model in ["alice/wren:Q8_0", "alice/wren:Q4_K_M", "alice/wren:Q8_0"] {
        let reply = chat(&node, model, "count")?;
        ensure!(reply.status == 200, "{model}: {reply:?}");
        let all = running(&node)?;
        let models = all["models"].as_array().context("models")?;
        ensure!(models.len() == 1 && models[0]["name"] == model, "{all}");
    }
    ensure!(running(&node)?["loads"] == 3 && running(&node)?["engines_died"] == 0);
    // What runs is not sent away: the other waits for its end.
    let mut busy = BufReader::new(open(&node, "please wait", true)?);
    read_until(&mut busy, "waiting")?;
    let gateway = node.gateway().to_owned();
    let waiting = std::thread::spawn(move || {
        let body = chat_body("alice/wren:Q4_K_M", "count", false);
        http::send(
            &gateway,
            "POST",
            "/v1/chat/completions",
            &[],
            body.as_bytes(),
        )
    });
    wait_for("the other to wait", PATIENCE, || {
        let all = running(&node)?;
        let models = all["models"].as_array().context("models")?;
        Ok(models
            .iter()
            .any(|model| model["stage"] == "waiting")
            .then_some(()))
    })?;
    ensure!(running(&node)?["jobs_cancelled"] == 0);
    drop(busy);
    let reply = waiting.join().map_err(|_| anyhow!("it panicked"))??;
    ensure!(reply.status == 200, "{reply:?}");

    let run = node.weft(&["unload", "alice/wren:Q4_K_M"])?.ok()?;
    ensure!(run.stderr.contains("goes"), "{run:?}");
    wait_for("it to go", PATIENCE, || {
        let all = running(&node)?;
        Ok(all["models"]
            .as_array()
            .is_some_and(Vec::is_empty)
            .then_some(()))
    })?;
    node.weft(&["unload", "alice/wren:Q4_K_M"])?
        .refused(3, "not in memory")?;
    Ok(())
}

#[test]
fn a_model_larger_than_the_memory_is_refused() -> Result<()> {
    let world = World::new()?;
    let node = node(&world, &[("infer.memory", "1MB")])?;
    let reply = chat(&node, "alice/wren:Q8_0", "count")?;
    ensure!(reply.status == 400, "{reply:?}");
    ensure!(reply.text().contains("infer.memory"), "{reply:?}");
    ensure!(running(&node)?["loads"] == 0);
    Ok(())
}

#[test]
fn engines_end_with_their_node() -> Result<()> {
    let world = World::new()?;
    let mut node = node(&world, &[])?;
    for is_orderly in [true, false] {
        ensure!(chat(&node, "alice/wren:Q8_0", "count")?.status == 200);
        let all = running(&node)?;
        let pid = all["models"][0]["pid"].as_u64().context("a process id")?;
        let process = PathBuf::from(format!("/proc/{pid}"));
        ensure!(process.exists(), "{all}");
        if is_orderly {
            node.stop()?;
        } else {
            node.kill()?;
        }
        wait_for("the engine to end", PATIENCE, || {
            Ok((!process.exists()).then_some(()))
        })?;
        node.start()?;
    }
    Ok(())
}

#[test]
fn calls_of_tools_are_told_apart_from_text() -> Result<()> {
    let world = World::new()?;
    let node = node(&world, &[])?;
    let tools = json!([{ "type": "function", "function": { "name": "weather" } }]);
    let messages = json!([{ "role": "user", "content": "please call" }]);
    let ask = |path: &str, stream: bool| {
        let body = json!({
            "model": "alice/wren:Q8_0", "messages": messages, "tools": tools, "stream": stream,
        });
        http::send(
            node.gateway(),
            "POST",
            path,
            &[],
            body.to_string().as_bytes(),
        )
    };
    let whole = body(&ask("/v1/chat/completions", false)?)?;
    let choice = &whole["choices"][0];
    ensure!(choice["finish_reason"] == "tool_calls", "{whole}");
    let call = &choice["message"]["tool_calls"][0]["function"];
    ensure!(
        call["name"] == "weather" && call["arguments"] == "{\"city\":\"Rome\"}",
        "{whole}"
    );
    let streamed = ask("/v1/chat/completions", true)?.text();
    ensure!(
        streamed.contains("tool_calls") && !streamed.contains("<tool"),
        "{streamed}"
    );
    let ollama = body(&ask("/api/chat", false)?)?;
    let call = &ollama["message"]["tool_calls"][0]["function"];
    ensure!(call["arguments"]["city"] == "Rome", "{ollama}");
    Ok(())
}

/// Reads until a line contains a word.
fn read_until(stream: &mut BufReader<TcpStream>, word: &str) -> Result<()> {
    stream.get_ref().set_read_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    while stream.read_line(&mut line)? > 0 {
        if line.contains(word) {
            return Ok(());
        }
        line.clear();
    }
    anyhow::bail!("the connection ended before `{word}` came")
}
