//! Act six: a question, answered by a peer that hosts the model, and checked by a third node.

use anyhow::{Result, ensure};
use serde_json::Value;

use super::{share::Shared, stage::Stage};
use crate::{Options, World};

/// What is asked.
const PROMPT: &str = "Once upon a time";

/// Two nodes host the model; a third one, which has nothing of it, asks one and lets the other check.
pub(super) fn at_a_peer(stage: &Stage, world: &World, shared: &mut Shared) -> Result<()> {
    stage.act(
        "6. A question is answered here, and at a peer, and the receipt is checked by a third node",
    );
    let reference = shared.revisions[1].reference.clone() + ":safetensors";
    let [host, _] = &mut shared.mirrors;
    let auditor = world.node_knowing("auditor", host)?;
    auditor.fetch(&shared.revisions[1].reference)?;
    let asker = world.node("asker", Options::knowing(host)?)?;
    for node in [&*host, &auditor] {
        stage
            .run(node, &["host", &shared.revisions[1].reference])?
            .ok()?;
    }
    stage.say("mirror-1 answers on its own machine:");
    let arguments = [
        "run",
        &reference,
        PROMPT,
        "--temperature",
        "0",
        "--max-tokens",
        "24",
    ];
    let local = stage.run(host, &arguments)?.ok()?;
    stage.say(
        "A node that has no byte of the model asks a peer; who can read the prompt then is said first:",
    );
    let arguments = [&arguments[..], &["--peer", "--json"]].concat();
    stage.typed(&asker, &arguments);
    let asked = asker.weft(&arguments)?.ok()?;
    ensure!(
        asked.stderr.contains("can read the prompt"),
        "nobody was told: {asked:#?}"
    );
    for line in asked.stderr.lines() {
        stage.say(&format!("    {line}"));
    }
    let answer = asked.json()?;
    let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
    stage.say(&format!("    {}", text("text").trim()));
    ensure!(
        text("text").trim() == local.stdout.trim(),
        "another text: {answer} and {local:?}"
    );
    stage.good("the same text");
    let receipt: String = text("receipt").chars().take(16).collect();
    let audited: Value = asker.json(&["audit", &receipt, "--peer"])?;
    stage.typed(&asker, &["audit", &receipt, "--peer"]);
    ensure!(
        audited["verdict"] == "agrees" && audited["auditor"] != audited["node"],
        "{audited}"
    );
    let said = audited["message"].as_str().unwrap_or_default();
    stage.good(&format!("a third node computed it again: {said}"));
    Ok(())
}
