//! A fetched revision in the folders of other programs: their layout, and no second copy.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use weft_tests::{
    Model, Node, Options, World, disk, http, model::MIB, program, wait::PATIENCE, wait_for,
};

/// What a node keeps besides the model: the log of its database, the hash tree, keys.
const BESIDES: u64 = 4 * MIB;

/// Fetches into one of the folders, all of which lie in `root`; what it prints.
fn fetch_into(node: &Node, root: &Path, reference: &str, place: &str) -> Result<String> {
    let arguments = ["fetch", reference, "--into", place];
    let mut command = program::command(node.home(), &arguments)?;
    command
        .env("HF_HUB_CACHE", root.join("hf"))
        .env_remove("HF_HOME")
        .env("OLLAMA_MODELS", root.join("ollama"));
    let output = command.output()?;
    ensure!(output.status.success(), "{output:?}\n{}", node.log());
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Checks that everything together takes the space of the model once.
fn assert_one_copy(model: &Model, directories: &[&Path]) -> Result<()> {
    let (used, size) = (disk::usage(directories)?, model.bytes()?);
    ensure!(
        used <= size + BESIDES,
        "{used} bytes for a model of {size}: {directories:?}"
    );
    Ok(())
}

#[test]
fn a_fetched_revision_is_shown_in_the_cache_without_a_second_copy() -> Result<()> {
    let world = World::new()?;
    let alice = world.node("alice", Options::default())?;
    let model = world.model("m", &[("w/big.bin", 48 * MIB), ("b.bin", 300_000)], 80)?;
    model.write("empty.txt", b"")?;
    let publication = alice.publish(&model, "m")?;
    let bob = world.node_knowing("bob", &alice)?;
    let cache = world.join("hf");
    let fetch = |reference: &str| fetch_into(&bob, world.path(), reference, "hf-cache");
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
    assert_one_copy(&model, &[bob.home(), &cache])?;

    // Removing one leaves the other whole.
    fs::remove_dir_all(&cache)?;
    let plain = bob.fetch(&publication.repository)?;
    model.assert_same(&plain.path)?;
    fetch(&publication.repository)?;
    ensure!(bob.weft(&["rm", &publication.repository, "--yes"])?.code == Some(0));
    model.assert_same(&snapshot)?;
    Ok(())
}

#[test]
fn all_views_share_one_copy_and_none_needs_another() -> Result<()> {
    let world = World::new()?;
    let alice = world.node("alice", Options::default())?;
    let files = [
        ("tiny.Q8_0.gguf", 40 * MIB),
        ("tiny.F32.gguf", 9 * MIB),
        ("LICENSE", 900),
    ];
    let model = world.model("m", &files, 81)?;
    let publication = alice.publish(&model, "tiny")?;
    let bob = world.node_knowing("bob", &alice)?;
    let (plain, cache, ollama) = (world.join("plain"), world.join("hf"), world.join("ollama"));
    let to = plain.to_str().context("scratch paths are UTF-8")?;
    ensure!(
        bob.weft(&["fetch", &publication.reference, "--to", to])?
            .code
            == Some(0)
    );
    let snapshot = fetch_into(&bob, world.path(), &publication.repository, "hf-cache")?;
    // Twice, because the second time everything is there.
    for _ in 0..2 {
        let shown = fetch_into(&bob, world.path(), &publication.repository, "ollama")?;
        let latest = ollama.join(format!(
            "manifests/registry.ollama.ai/{}/tiny/latest",
            publication.publisher
        ));
        ensure!(shown == latest.display().to_string(), "{shown}");
    }
    assert_one_copy(&model, &[bob.home(), &plain, &cache, &ollama])?;

    let check_ollama = |tag: &str, file: &str| -> Result<()> {
        let path = format!(
            "manifests/registry.ollama.ai/{}/tiny/{tag}",
            publication.publisher
        );
        let manifest: Value = serde_json::from_slice(&fs::read(ollama.join(path))?)?;
        let blob = |entry: &Value| -> Result<Vec<u8>> {
            let digest = entry["digest"].as_str().context("a digest")?;
            let bytes = fs::read(ollama.join("blobs").join(digest.replace(':', "-")))?;
            ensure!(entry["size"] == bytes.len(), "{entry}");
            Ok(bytes)
        };
        let config: Value = serde_json::from_slice(&blob(&manifest["config"])?)?;
        ensure!(config["model_format"] == "gguf", "{config}");
        let layers = manifest["layers"].as_array().context("layers")?;
        let kinds: Vec<_> = layers
            .iter()
            .filter_map(|layer| layer["mediaType"].as_str())
            .collect();
        let (kind, license) = (
            "application/vnd.ollama.image.model",
            "application/vnd.ollama.image.license",
        );
        ensure!(kinds == [kind, license], "{kinds:?}");
        ensure!(blob(&layers[0])? == fs::read(model.path().join(file))?);
        Ok(())
    };
    check_ollama("Q8_0", "tiny.Q8_0.gguf")?;
    check_ollama("F32", "tiny.F32.gguf")?;
    check_ollama("latest", "tiny.F32.gguf")?;
    // Whatever goes, the others stay whole.
    fs::remove_dir_all(&plain)?;
    model.assert_same(&snapshot)?;
    check_ollama("Q8_0", "tiny.Q8_0.gguf")?;
    fs::remove_dir_all(&cache)?;
    check_ollama("Q8_0", "tiny.Q8_0.gguf")?;
    ensure!(bob.weft(&["rm", &publication.repository, "--yes"])?.code == Some(0));
    check_ollama("Q8_0", "tiny.Q8_0.gguf")?;
    fs::remove_dir_all(&ollama)?;
    let again = bob.fetch(&publication.repository)?;
    model.assert_same(&again.path)?;
    Ok(())
}

#[test]
fn what_comes_fast_is_in_the_cache_before_its_client_takes_a_byte() -> Result<()> {
    let world = World::new()?;
    let alice = world.node("alice", Options::default())?;
    let model = world.model("m", &[("big.bin", 24 * MIB)], 82)?;
    let publication = alice.publish(&model, "m")?;
    let cache = world.join("hub");
    let path = cache.to_str().context("scratch paths are UTF-8")?;
    let mut bob = world.node_knowing("bob", &alice)?;
    bob.weft(&["config", "set", "gateway.hf_cache", path])?
        .ok()?;
    bob.restart()?;
    bob.wait_peers(1)?;
    let commit = &publication.revision[..40];
    let repository = format!("{}/m", publication.publisher);
    let asked = format!("/{repository}/resolve/{commit}/big.bin");
    let shown = cache
        .join(format!("models--{}--m", publication.publisher))
        .join("snapshots")
        .join(commit)
        .join("big.bin");
    // On a busy machine it may not come fast the first time.
    wait_for("the file in the cache", PATIENCE, || {
        let head = http::send(bob.gateway(), "HEAD", &asked, &[], &[])?;
        ensure!(head.status == 200, "{head:?}");
        Ok(shown.exists().then_some(()))
    })?;
    ensure!(fs::read(&shown)? == fs::read(model.path().join("big.bin"))?);
    assert_one_copy(&model, &[bob.home(), &cache])
}
