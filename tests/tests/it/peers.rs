//! Asking models at peers, with real engines.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use weft_tests::{Model, Node, Options, World, api, wait_for};

/// The chat model in the repository, without the files that a test does not need.
pub(crate) fn wren(world: &World) -> Result<Model> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/wren-3m");
    let folder: PathBuf = world.join("wren");
    std::fs::create_dir_all(&folder)?;
    for name in [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ] {
        std::fs::copy(data.join(name), folder.join(name))?;
    }
    Ok(Model::at(folder))
}

/// The model in the folder that `WEFT_TEST_MODEL` names, or else [`wren`].
pub(crate) fn model(world: &World) -> Result<Model> {
    match env::var_os("WEFT_TEST_MODEL") {
        Some(folder) => Ok(Model::at(folder)),
        None => wren(world),
    }
}

/// What came of a question.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Answer {
    text: String,
    pub(crate) hosts: Vec<String>,
    pub(crate) receipt: Option<String>,
    notices: usize,
    done: bool,
}

impl Answer {
    fn hear(&mut self, line: &Value) -> Result<()> {
        let text = |key: &str| line[key].as_str().map(str::to_owned);
        ensure!(line.get("error").is_none(), "{line} after {self:?}");
        self.text += &text("text").unwrap_or_default();
        self.hosts.extend(text("host"));
        self.receipt = text("receipt").or_else(|| self.receipt.take());
        self.notices += usize::from(line.get("notice").is_some());
        self.done |= line.get("done").is_some();
        Ok(())
    }
}

pub(crate) fn question(reference: &str, tokens: u32) -> Value {
    json!({"reference": reference, "prompt": "Once upon a time", "raw": true, "tokens_max": tokens})
}

pub(crate) fn ask(node: &Node, body: &Value) -> Result<Answer> {
    let mut answer = Answer::default();
    for line in api::post_lines(node.home(), node.gateway(), "/weft/v1/ask-peers", body)? {
        answer.hear(&line?)?;
    }
    ensure!(answer.done, "{answer:?}");
    Ok(answer)
}

pub(crate) fn traffic(node: &Node, key: &str) -> Result<u64> {
    let hosted = api::get(node.home(), node.gateway(), "/weft/v1/hosted")?;
    hosted[key].as_u64().context("a number")
}

/// Alice publishes, Bob fetches, both host; Carol has nothing.
pub(crate) fn two_hosts(world: &World) -> Result<(Node, Node, Node, String)> {
    let alice = world.node("alice", Options::default())?;
    let published = alice.publish(&wren(world)?, "wren")?;
    let bob = world.node_knowing("bob", &alice)?;
    bob.fetch(&published.reference)?;
    let carol = world.node_knowing("carol", &alice)?;
    for node in [&alice, &bob] {
        node.weft(&["host", &published.reference])?.ok()?;
    }
    Ok((alice, bob, carol, published.reference))
}

#[test]
fn a_peer_answers_with_a_receipt_that_a_third_one_confirms() -> Result<()> {
    let world = World::new()?;
    let (alice, bob, carol, reference) = two_hosts(&world)?;
    let answer = ask(&carol, &question(&reference, 40))?;
    ensure!(!answer.text.trim().is_empty(), "{answer:?}");
    assert_eq!(
        answer.notices, 1,
        "the first time it is said that peers read prompts"
    );
    let receipt = answer.receipt.clone().context("a receipt")?;
    let audited = carol.json(&["audit", &receipt, "--peer"])?;
    assert_eq!(audited["verdict"], "agrees", "{audited}");
    assert_ne!(audited["auditor"], audited["node"]);
    assert_eq!(audited["tokens"], 40);

    // The same on a machine that was given the receipt as a file.
    let file = world.join("answer.receipt");
    std::fs::write(&file, carol.weft(&["receipts", &receipt])?.ok()?.stdout)?;
    let file = file.to_str().context("UTF-8")?;
    for node in [&alice, &bob] {
        let audited = node.json(&["audit", file])?;
        assert_eq!(audited["verdict"], "agrees", "{audited}");
    }
    let again = ask(&carol, &question(&reference, 40))?;
    assert_eq!((again.text, again.notices), (answer.text, 0));
    Ok(())
}

#[test]
fn who_reads_prompts_is_told_until_somebody_has_seen_it() -> Result<()> {
    let world = World::new()?;
    let (_alice, _bob, carol, reference) = two_hosts(&world)?;
    // Who goes away in the middle has perhaps seen nothing.
    let body = question(&reference, 1_500);
    let mut lines = api::post_lines(carol.home(), carol.gateway(), "/weft/v1/ask-peers", &body)?;
    ensure!(
        lines.any(|line| line.is_ok_and(|line| line.get("notice").is_some())),
        "the first one was not told"
    );
    drop(lines);
    let told = |flag: &str| -> Result<bool> {
        let line = [
            flag,
            "run",
            &reference,
            "Once",
            "--peer",
            "--max-tokens",
            "3",
        ];
        Ok(carol
            .weft(&line)?
            .ok()?
            .stderr
            .contains("can read the prompt"))
    };
    ensure!(told("--quiet")?, "nobody was told, for the second time");
    ensure!(!told("--quiet")?, "it was told again");
    std::fs::remove_file(carol.home().join("peers-read-prompts"))?;
    ensure!(told("--json")?, "a program's user was not told");

    for (value, warns) in [("always", true), ("missing", true), ("never", false)] {
        for flag in ["--quiet", "--json"] {
            let set = [flag, "config", "set", "infer.peers", value];
            let run = carol.weft(&set)?.ok()?;
            assert_eq!(
                run.stderr.contains("can read the prompt"),
                warns,
                "{run:#?}"
            );
        }
    }
    Ok(())
}

#[test]
fn an_answer_survives_its_host() -> Result<()> {
    let rounds = env::var("WEFT_TEST_KILLS").map_or(Ok(3), |text| text.parse())?;
    let world = World::new()?;
    let (mut alice, mut bob, carol, reference) = two_hosts(&world)?;
    let body = question(&reference, 300);
    let undisturbed = ask(&carol, &body)?;
    for round in 0..rounds {
        let mut answer = Answer::default();
        let mut killed = false;
        for line in api::post_lines(carol.home(), carol.gateway(), "/weft/v1/ask-peers", &body)? {
            answer.hear(&line?)?;
            if !killed && answer.text.len() > 20 * (1 + round % 7) {
                let id = answer.hosts.last().context("a host")?;
                let victim = [&mut alice, &mut bob]
                    .into_iter()
                    .find(|node| node.id().is_ok_and(|own| own == *id));
                victim.context("one of the two")?.kill()?;
                killed = true;
            }
        }
        ensure!(answer.done && killed, "{answer:?}");
        assert_eq!(answer.text, undisturbed.text, "round {round}");
        for node in [&mut alice, &mut bob] {
            if node.pid().is_err() {
                let known = carol.address()?;
                node.options_mut().bootstrap = vec![known];
                node.start()?;
            }
        }
        wait_for("both to be hosts again", weft_tests::wait::PATIENCE, || {
            let peers = carol.json(&["peers"])?;
            Ok((peers["peers"].as_array().map_or(0, Vec::len) >= 2).then_some(()))
        })?;
    }
    Ok(())
}

#[test]
fn a_question_that_nobody_waits_for_any_more_ends_at_the_host() -> Result<()> {
    let world = World::new()?;
    let (_alice, _bob, carol, reference) = two_hosts(&world)?;
    for _ in 0..4 {
        // A stranger may have one question at a time: were one still running, the next would be refused.
        let mut body = question(&reference, 1_500);
        body["temperature"] = json!(1.0);
        let mut lines =
            api::post_lines(carol.home(), carol.gateway(), "/weft/v1/ask-peers", &body)?;
        let heard = lines.find(|line| line.as_ref().is_ok_and(|line| line.get("text").is_some()));
        ensure!(heard.is_some(), "nothing was heard");
        drop(lines);
    }
    ask(&carol, &question(&reference, 10))?;
    Ok(())
}

#[test]
fn who_was_not_named_gets_no_answer_and_nothing_after_unhost() -> Result<()> {
    let world = World::new()?;
    let (alice, bob, carol, reference) = two_hosts(&world)?;
    for node in [&alice, &bob] {
        node.weft(&["host", &reference, "--to", &alice.id()?])?
            .ok()?;
    }
    let refused = ask(&carol, &question(&reference, 5));
    ensure!(refused.is_err(), "{refused:?}");
    assert_eq!(
        traffic(&carol, "question_bytes_sent")?,
        0,
        "who would not answer hears no prompt"
    );
    bob.weft(&["host", &reference, "--to", &carol.id()?])?
        .ok()?;
    let answer = ask(&carol, &question(&reference, 5))?;
    assert_eq!(answer.hosts, [bob.id()?]);
    for node in [&alice, &bob] {
        node.weft(&["unhost", &reference])?.ok()?;
    }
    let gone = ask(&carol, &question(&reference, 5));
    ensure!(gone.is_err(), "{gone:?}");
    Ok(())
}

#[test]
fn what_is_not_complete_here_is_not_hosted() -> Result<()> {
    let world = World::new()?;
    let alice = world.node("alice", Options::default())?;
    let published = alice.publish(&wren(&world)?, "wren")?;
    let bob = world.node_knowing("bob", &alice)?;
    bob.weft(&["host", &published.reference])?
        .refused(3, "not here")?;
    alice
        .weft(&["host", &published.reference, "--to", "nobody"])?
        .refused(2, "node")?;
    Ok(())
}
