//! The shortest way: one publishes, another fetches; with a daemon and without.

use anyhow::Result;
use weft_tests::{Model, Options, Run, World, model::MIB, node::Fetched};

#[test]
fn real_model_arrives_as_it_was_published() -> Result<()> {
    let world = World::new()?;
    let wren = Model::at(concat!(env!("CARGO_MANIFEST_DIR"), "/data/wren-3m"));
    let alice = world.node("alice", Options::default())?;
    let publication = alice.publish(&wren, "wren-3m")?;
    assert_eq!(publication.publisher.len(), 52);
    assert_eq!(publication.revision.len(), 64);
    assert_eq!(publication.value["bytes_total"], wren.bytes()?);

    let bob = world.node_knowing("bob", &alice)?;
    let fetched = bob.fetch(&publication.reference)?;
    wren.assert_same(&fetched.path)?;
    assert_eq!(fetched.revision, publication.revision);
    assert_eq!(fetched.bytes_total, wren.bytes()?);
    assert_eq!(fetched.from(&alice.id()?), fetched.bytes_fetched);

    let verified = bob.json(&["verify", &publication.reference])?;
    assert_eq!(verified["verified"], true);
    // What is here already is not fetched again.
    let again = bob.fetch(&publication.reference)?;
    assert_eq!(again.bytes_fetched, 0);
    assert_eq!(again.bytes_reused, again.bytes_total);
    Ok(())
}

#[test]
fn last_line_of_fetch_is_the_path() -> Result<()> {
    let world = World::new()?;
    let model = world.model("m", &[("a.bin", MIB), ("deep/er/b.bin", 3)], 1)?;
    let alice = world.node("alice", Options::default())?;
    let publication = alice.publish(&model, "m")?;
    let bob = world.node_knowing("bob", &alice)?;
    let to = world.join("here");
    let to = to.to_str().unwrap();
    let run = bob
        .weft(&["fetch", &publication.reference, "--to", to])?
        .ok()?;
    assert_eq!(run.stdout.lines().last(), Some(to));
    model.assert_same(to)
}

#[test]
fn fetch_works_without_a_daemon() -> Result<()> {
    let world = World::new()?;
    let model = world.model("m", &[("a.bin", 2 * MIB)], 2)?;
    let alice = world.node("alice", Options::default())?;
    let publication = alice.publish(&model, "m")?;
    let address = alice.address()?;
    let home = world.join("nobody.home");
    let arguments = [
        "fetch",
        &publication.reference,
        "--bootstrap",
        &address,
        "--no-mdns",
        "--json",
    ];
    let fetched = Fetched::read(Run::of(&home, &arguments)?.json()?)?;
    model.assert_same(&fetched.path)
}

#[test]
fn publish_works_without_a_daemon_and_is_served_by_the_next_one() -> Result<()> {
    let world = World::new()?;
    let model = world.model("m", &[("a.bin", 2 * MIB)], 3)?;
    let mut alice = world.idle_node("alice", Options::default());
    let publication = alice.publish(&model, "m")?;
    alice.start()?;
    let bob = world.node_knowing("bob", &alice)?;
    let fetched = bob.fetch(&publication.reference)?;
    model.assert_same(&fetched.path)
}

#[test]
fn odd_sizes_and_empty_files_arrive() -> Result<()> {
    let world = World::new()?;
    let sizes: [(&str, u64); 7] = [
        ("empty", 0),
        ("one", 1),
        ("group-less-one", 16 * 1024 - 1),
        ("group", 16 * 1024),
        ("group-and-one", 16 * 1024 + 1),
        ("piece-and-one", 256 * 1024 + 1),
        ("folder/ünïcode.txt", 100),
    ];
    let model = world.model("m", &sizes, 4)?;
    let alice = world.node("alice", Options::default())?;
    let publication = alice.publish(&model, "odd")?;
    let bob = world.node_knowing("bob", &alice)?;
    let fetched = bob.fetch(&publication.reference)?;
    model.assert_same(&fetched.path)
}

#[test]
fn tensors_of_a_published_model_are_listed() -> Result<()> {
    let world = World::new()?;
    let wren = Model::at(concat!(env!("CARGO_MANIFEST_DIR"), "/data/wren-3m"));
    let alice = world.node("alice", Options::default())?;
    let publication = alice.publish(&wren, "wren-3m")?;
    let info = alice.json(&["info", &publication.reference, "--tensors"])?;
    let tensors = info["tensors"].as_array().unwrap();
    // The same 39 in safetensors and in two quantizations of GGUF.
    assert_eq!(tensors.len(), 3 * 39);
    assert_eq!(info["tensor_count"], 3 * 39);
    for tensor in tensors {
        let path = wren.path().join(tensor["path"].as_str().unwrap());
        let bytes = std::fs::read(path)?;
        let range = |key: &str| usize::try_from(tensor[key].as_u64().unwrap()).unwrap();
        let bytes = &bytes[range("offset")..range("offset") + range("len")];
        let hash = blake3::hash(bytes).to_hex();
        assert_eq!(tensor["blake3"], hash.as_str(), "{tensor}");
    }
    let brief = alice.json(&["info", &publication.reference])?;
    assert!(brief.get("tensors").is_none());
    Ok(())
}
