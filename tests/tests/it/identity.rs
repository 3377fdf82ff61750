//! Keys come and go; the publisher stays.

use std::fs;

use anyhow::{Context as _, Result};
use weft_tests::{Job, Options, World, model::MIB};

#[test]
fn rotation_goes_on_when_all_old_keys_were_thrown_away() -> Result<()> {
    let world = World::new()?;
    let model = world.model("m", &[("a.bin", MIB)], 50)?;
    let alice = world.node("alice", Options::default())?;
    let first = alice.publish(&model, "m")?;
    let phrase = first.value["recovery_phrase"]
        .as_str()
        .context("a new identity has a phrase")?;
    let bob = world.node_knowing("bob", &alice)?;
    bob.weft(&["mirror", &first.publisher])?.ok()?;
    bob.wait_complete(&first)?;

    let keys = alice.home().join("identities").join(&first.publisher);
    for name in ["release.key", "freshness.key"] {
        fs::remove_file(keys.join(name)).with_context(|| format!("no {name}"))?;
    }
    let rotate = ["--json", "id", "rotate", &first.publisher];
    let rotated = Job::start_with_input(alice.home(), &rotate, phrase)?
        .finish()?
        .json()?;
    assert_eq!(rotated["publisher"], first.publisher.as_str());
    assert_eq!(rotated["index"], 1);

    model.write("a.bin", b"signed by new keys")?;
    let second = alice.publish(&model, "m")?;
    assert_eq!(
        second.publisher, first.publisher,
        "the name outlives the keys"
    );
    bob.wait_complete(&second)?;
    let carol = world.node_knowing("carol", &bob)?;
    let fetched = carol.fetch(&second.repository)?;
    assert_eq!(fetched.revision, second.revision);
    model.assert_same(&fetched.path)
}

#[test]
fn identity_moves_to_another_machine_with_its_phrase() -> Result<()> {
    let world = World::new()?;
    let model = world.model("m", &[("a.bin", MIB)], 51)?;
    let alice = world.node("alice", Options::default())?;
    let first = alice.publish(&model, "m")?;
    let phrase = first.value["recovery_phrase"]
        .as_str()
        .context("a new identity has a phrase")?;

    let other = world.node_knowing("other", &alice)?;
    other.fetch(&first.reference)?;
    let recover = ["--json", "id", "recover", &first.publisher];
    let recovered = Job::start_with_input(other.home(), &recover, phrase)?
        .finish()?
        .json()?;
    assert_eq!(recovered["publisher"], first.publisher.as_str());
    model.write("a.bin", b"from the new machine")?;
    let second = other.publish(&model, "m")?;
    assert_eq!(second.repository, first.repository);
    let carol = world.node_knowing("carol", &other)?;
    let fetched = carol.fetch(&second.repository)?;
    model.assert_same(&fetched.path)
}

#[test]
fn wrong_phrase_changes_nothing() -> Result<()> {
    let world = World::new()?;
    let model = world.model("m", &[("a.bin", MIB)], 52)?;
    let alice = world.node("alice", Options::default())?;
    let first = alice.publish(&model, "m")?;
    let words = ["abandon"; 23].join(" ") + " art";
    let rotate = ["id", "rotate", &first.publisher];
    let run = Job::start_with_input(alice.home(), &rotate, &words)?.finish()?;
    assert!(matches!(run.code, Some(1..=5)), "{run:?}");
    model.write("a.bin", b"still signed by the first keys")?;
    let second = alice.publish(&model, "m")?;
    assert_eq!(second.publisher, first.publisher);
    Ok(())
}
