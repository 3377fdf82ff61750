//! Peers that send other bytes than they should.

use anyhow::{Context as _, Result, ensure};
use weft_tests::{Node, Options, World, model::MIB};

/// Makes a node lie from its next start on.
fn corrupt(node: &mut Node, fault: &str) -> Result<()> {
    node.stop()?;
    let variable = ("WEFT_TEST_FAULT".to_owned(), fault.to_owned());
    node.options_mut().environment.push(variable);
    node.start()
}

#[test]
fn sender_of_flipped_bytes_is_named_and_dropped_and_others_complete() -> Result<()> {
    for fault in ["flip", "size"] {
        let world = World::new()?;
        let model = world.model("m", &[("weights.bin", 48 * MIB)], 100)?;
        let alice = world.node("alice", Options::default())?;
        let publication = alice.publish(&model, "m")?;
        let mut mallory = world.node_knowing("mallory", &alice)?;
        mallory.fetch(&publication.reference)?;
        corrupt(&mut mallory, fault)?;

        let mut options = Options::knowing(&alice)?;
        options.bootstrap.push(mallory.address()?);
        let bob = world.node("bob", options)?;
        bob.wait_peers(2)?;
        let fetched = bob
            .fetch(&publication.reference)
            .with_context(|| bob.log())?;
        model.assert_same(&fetched.path)?;
        // What was right before the lie counts, no more than one request of it.
        let from_liar = fetched.from(&mallory.id()?);
        ensure!(from_liar <= 8 * MIB, "{fault}: {:?}", fetched.sources);
        if fault == "flip" {
            let (id, log) = (mallory.id()?, bob.whole_log()?);
            let named = log
                .lines()
                .any(|line| line.contains("verif") && line.contains(&id[..10]));
            ensure!(named, "the liar was not named\n{}", bob.log());
            let status = bob.status()?;
            let peers = status["peers"].as_array().context("`peers` is a list")?;
            ensure!(
                peers.iter().all(|peer| peer["node_id"] != id.as_str()),
                "{status}"
            );
        }
    }
    Ok(())
}

#[test]
fn liar_alone_delivers_nothing() -> Result<()> {
    let world = World::new()?;
    let model = world.model("m", &[("weights.bin", 16 * MIB)], 101)?;
    let mut mallory = world.node("mallory", Options::default())?;
    let publication = mallory.publish(&model, "m")?;
    corrupt(&mut mallory, "flip")?;
    let bob = world.node_knowing("bob", &mallory)?;
    let run = bob.weft(&["fetch", &publication.reference, "--timeout", "20s"])?;
    ensure!(matches!(run.code, Some(4 | 6)), "{run:#?}");
    ensure!(
        run.stdout.is_empty() && run.stderr.contains("hint:"),
        "{run:#?}"
    );
    let state = bob.revision_state(&publication.repository, &publication.revision)?;
    ensure!(state.as_deref() != Some("complete"), "{state:?}");
    Ok(())
}

#[test]
fn altered_file_of_a_seed_is_not_served() -> Result<()> {
    let world = World::new()?;
    let model = world.model("m", &[("weights.bin", 16 * MIB)], 102)?;
    let alice = world.node("alice", Options::default())?;
    let publication = alice.publish(&model, "m")?;
    let carol = world.node_knowing("carol", &alice)?;
    carol.fetch(&publication.reference)?;
    // The publisher's own file is what is served: somebody writes into the middle of it.
    let path = model.path().join("weights.bin");
    let mut bytes = std::fs::read(&path)?;
    bytes[8 << 20] ^= 1;
    std::fs::write(&path, &bytes)?;

    let bob = world.node_knowing("bob", &alice)?;
    let fetched = bob
        .fetch(&publication.reference)
        .with_context(|| bob.log())?;
    bytes[8 << 20] ^= 1;
    std::fs::write(&path, &bytes)?;
    model.assert_same(&fetched.path)
}
