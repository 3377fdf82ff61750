//! A fetched revision in the cache of Hugging Face clients: their layout, and no second copy.

use std::fs;

use anyhow::{Result, ensure};
use weft_tests::{Options, World, disk, model::MIB, program};

#[test]
fn a_fetched_revision_is_shown_in_the_cache_without_a_second_copy() -> Result<()> {
    let world = World::new()?;
    let alice = world.node("alice", Options::default())?;
    let model = world.model("m", &[("w/big.bin", 16 * MIB), ("b.bin", 300_000)], 80)?;
    model.write("empty.txt", b"")?;
    let publication = alice.publish(&model, "m")?;
    let bob = world.node_knowing("bob", &alice)?;
    let cache = world.join("hf");
    let fetch = |reference: &str| -> Result<String> {
        let arguments = ["fetch", reference, "--into", "hf-cache"];
        let mut command = program::command(bob.home(), &arguments)?;
        command.env("HF_HUB_CACHE", &cache).env_remove("HF_HOME");
        let output = command.output()?;
        ensure!(output.status.success(), "{output:?}\n{}", bob.log());
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    };
    let name = format!("models--{}--m", publication.publisher);
    let commit = &publication.revision[..40];
    let snapshot = cache.join(&name).join("snapshots").join(commit);
    // Twice, because the second time everything is there.
    for _ in 0..2 {
        let shown = fetch(&publication.repository)?;
        ensure!(shown == snapshot.display().to_string(), "{shown}");
    }
    model.assert_same(&snapshot)?;
    ensure!(fs::read_to_string(cache.join(&name).join("refs/main"))? == commit);
    ensure!(snapshot.join("w/big.bin").is_symlink());
    let used = disk::usage(&[bob.home(), &cache])?;
    let size = model.bytes()?;
    // Databases take a few MiB; a second copy would double it.
    ensure!(used < size + size / 2, "{used} bytes for a model of {size}");

    // Removing one leaves the other whole.
    fs::remove_dir_all(&cache)?;
    let plain = bob.fetch(&publication.repository)?;
    model.assert_same(&plain.path)?;
    fetch(&publication.repository)?;
    ensure!(bob.weft(&["rm", &publication.repository, "--yes"])?.code == Some(0));
    model.assert_same(&snapshot)?;
    Ok(())
}
