//! Heads that must not be believed, and publishers who contradict themselves.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use weft_tests::{
    Node, Options, World, disk,
    forge::{self, Forgery},
    model::MIB,
    node::{Publication, repository_of},
    wait::PATIENCE,
    wait_for,
};

/// A manifest id that nobody has.
const NOTHING: &str = "00000000000000000000000000000000000000000000000000000000000000ff";

#[test]
fn forged_heads_are_refused_and_the_honest_one_is_found() -> Result<()> {
    for forgery in [
        Forgery::StrangersKey,
        Forgery::OldSignature,
        Forgery::Unsigned,
        Forgery::JumpedIndex,
    ] {
        let world = World::new()?;
        let model = world.model("m", &[("a.bin", MIB)], 90)?;
        let alice = world.node("alice", Options::default())?;
        let honest = alice.publish(&model, "m")?;
        let mut mallory = world.node_knowing("mallory", &alice)?;
        mallory.fetch(&honest.reference)?;
        let mut bob = world.node_knowing("bob", &alice)?;
        bob.fetch(&honest.reference)?;

        mallory.stop()?;
        let index = forge::plant_head(mallory.home(), &honest.repository, NOTHING, forgery)?;
        ensure!(index > 0);
        mallory.start()?;
        ensure!(tip(&mallory, &honest)? == Some((index, NOTHING.to_owned())));

        // One who knows better, and one who knows nothing but the liar's address.
        bob.options_mut().bootstrap.push(mallory.address()?);
        bob.restart()?;
        bob.wait_peers(2)?;
        let carol = world.node_knowing("carol", &mallory)?;
        let fetched = carol
            .fetch(&honest.repository)
            .with_context(|| format!("{forgery:?}: {}", carol.log()))?;
        ensure!(
            fetched.revision == honest.revision,
            "{forgery:?}: {:?}",
            fetched.value
        );
        for node in [&bob, &carol] {
            let tip = tip(node, &honest)?;
            ensure!(
                tip == Some((0, honest.revision.clone())),
                "{forgery:?}: {tip:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn forged_head_alone_is_an_error_and_no_model() -> Result<()> {
    let world = World::new()?;
    let model = world.model("m", &[("a.bin", MIB)], 91)?;
    let mut alice = world.node("alice", Options::default())?;
    let honest = alice.publish(&model, "m")?;
    let mut mallory = world.node_knowing("mallory", &alice)?;
    mallory.fetch(&honest.reference)?;
    mallory.stop()?;
    alice.stop()?;
    forge::plant_head(
        mallory.home(),
        &honest.repository,
        NOTHING,
        Forgery::StrangersKey,
    )?;
    mallory.options_mut().bootstrap.clear();
    mallory.start()?;

    let carol = world.node_knowing("carol", &mallory)?;
    let run = carol.weft(&["fetch", &honest.repository, "--timeout", "20s"])?;
    ensure!(matches!(run.code, Some(3 | 4 | 6)), "{run:#?}");
    ensure!(
        run.stderr.contains("error:") && run.stdout.is_empty(),
        "{run:#?}"
    );
    ensure!(tip(&carol, &honest)?.is_none(), "a forged head was stored");
    Ok(())
}

#[test]
fn rolled_back_head_does_not_bring_the_past_back() -> Result<()> {
    let world = World::new()?;
    let model = world.model("m", &[("a.bin", MIB)], 92)?;
    let mut alice = world.node("alice", Options::default())?;
    let first = alice.publish(&model, "m")?;
    let mut sleeper = world.node_knowing("sleeper", &alice)?;
    sleeper.fetch(&first.reference)?;
    // Knows only the first revision from now on.
    sleeper.kill()?;
    model.write("a.bin", b"the second revision")?;
    let second = alice.publish(&model, "m")?;
    let mut bob = world.node_knowing("bob", &alice)?;
    bob.fetch(&second.repository)?;
    ensure!(tip(&bob, &second)? == Some((1, second.revision.clone())));

    // The present goes away, the past comes back.
    alice.stop()?;
    sleeper.options_mut().bootstrap.clear();
    sleeper.start()?;
    bob.options_mut().bootstrap = vec![sleeper.address()?];
    bob.restart()?;
    bob.wait_peers(1)?;
    let fetched = bob.fetch(&second.repository)?;
    ensure!(fetched.revision == second.revision, "{:?}", fetched.value);
    ensure!(tip(&bob, &second)? == Some((1, second.revision.clone())));
    // The other way round, the one who slept learns what he missed.
    let heard = wait_for("the sleeper to hear of it", PATIENCE, || {
        let run = sleeper.weft(&["info", &second.repository])?;
        ensure!(run.code == Some(0), "{run:#?}");
        Ok(tip(&sleeper, &second)?.filter(|(index, _)| *index == 1))
    });
    heard.map(drop).with_context(|| sleeper.log())
}

#[test]
fn two_heads_at_one_index_freeze_the_repository_with_proof() -> Result<()> {
    let world = World::new()?;
    let model = world.model("m", &[("a.bin", MIB)], 93)?;
    let mut alice = world.node("alice", Options::default())?;
    let first = alice.publish(&model, "m")?;
    let bob = world.node_knowing("bob", &alice)?;
    let carol = world.node_knowing("carol", &alice)?;
    for node in [&bob, &carol] {
        node.weft(&["mirror", &first.publisher])?.ok()?;
        node.wait_complete(&first)?;
    }

    // The same identity on two machines that do not know of each other.
    alice.stop()?;
    let mut twin = world.idle_node("twin", Options::knowing(&bob)?);
    disk::copy_tree(alice.home(), twin.home())?;
    fs::remove_file(twin.home().join("node.key"))?;
    alice.options_mut().bootstrap = vec![bob.address()?];

    alice.start()?;
    model.write("a.bin", b"what one machine says")?;
    let one = alice.publish(&model, "m")?;
    bob.wait_complete(&one)?;
    carol.wait_complete(&one)?;
    alice.kill()?;

    twin.options_mut().bootstrap = Vec::new();
    twin.start()?;
    model.write("a.bin", b"what the other machine says")?;
    let two = twin.publish(&model, "m")?;
    ensure!(one.value["index"] == two.value["index"] && one.revision != two.revision);
    // Now they meet.
    twin.stop()?;
    twin.options_mut().bootstrap = vec![bob.address()?];
    twin.start()?;

    for node in [&bob, &carol] {
        let what = format!("`{}` to freeze the repository", node.name());
        wait_for(&what, PATIENCE, || {
            let status = node.status()?;
            let entry = repository_of(&status, &first.repository).context("it is known")?;
            Ok((entry["frozen"] == true).then_some(()))
        })
        .with_context(|| node.log())?;
        // Visible to the user, and no later head is followed.
        let log = node.weft(&["log", &first.repository])?.ok()?;
        let text = log.stdout + &log.stderr;
        ensure!(text.to_lowercase().contains("frozen"), "{text}");
        let run = node.weft(&["fetch", &first.repository])?;
        run.refused(5, "frozen")?;
        // A revision named by its id is what it always was.
        node.fetch(&first.reference)?;
    }
    // It outlives a restart.
    let mut bob = bob;
    bob.restart()?;
    let status = bob.status()?;
    let entry = repository_of(&status, &first.repository).context("it is known")?;
    ensure!(entry["frozen"] == true, "{entry}");
    Ok(())
}

/// Index and revision of the tip that a node believes.
fn tip(node: &Node, publication: &Publication) -> Result<Option<(u64, String)>> {
    let status = node.status()?;
    let Some(entry) = repository_of(&status, &publication.repository) else {
        return Ok(None);
    };
    let index = entry["index"].as_u64().context("`index` is a number")?;
    Ok(Some((
        index,
        entry["revision"].as_str().unwrap_or_default().to_owned(),
    )))
}
