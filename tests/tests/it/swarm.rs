//! Several peers at once: drawing from all, and completing each other.

use std::{collections::BTreeMap, fs::File, os::unix::fs::FileExt as _};

use anyhow::{Context as _, Result, ensure};
use weft_tests::{Job, Model, Node, Options, World, model::MIB, node::Fetched, wait, wait_for};

#[test]
fn fetch_draws_a_tenth_or_more_from_each_of_three_peers() -> Result<()> {
    let world = World::new()?;
    let model = world.model("m", &[("weights.bin", 96 * MIB), ("config.json", 900)], 10)?;
    let alice = world.node("alice", Options::default())?;
    let publication = alice.publish(&model, "m")?;
    let bob = world.node_knowing("bob", &alice)?;
    let carol = world.node_knowing("carol", &alice)?;
    bob.fetch(&publication.reference)?;
    carol.fetch(&publication.reference)?;

    // Knows one address and the reference, nothing else.
    let dave = world.node_knowing("dave", &alice)?;
    let fetched = dave.fetch(&publication.reference)?;
    model.assert_same(&fetched.path)?;
    for node in [&alice, &bob, &carol] {
        let bytes = fetched.from(&node.id()?);
        ensure!(
            bytes * 10 >= fetched.bytes_total,
            "`{}` sent only {bytes} of {}: {:?}",
            node.name(),
            fetched.bytes_total,
            fetched.sources
        );
    }
    let sum: u64 = fetched.sources.iter().map(|(_, bytes)| bytes).sum();
    ensure!(
        sum == fetched.bytes_fetched,
        "{sum} is not {}",
        fetched.bytes_fetched
    );
    Ok(())
}

#[test]
fn two_partial_peers_complete_each_other_when_the_only_seed_dies() -> Result<()> {
    let world = World::new()?;
    let model = world.model("m", &[("weights.bin", 192 * MIB)], 11)?;
    // The two get more from the seed than from each other, so that they are caught half-way.
    let limit_up = |rate: &str| vec!["--limit-up".to_owned(), rate.to_owned()];
    let slow = Options {
        arguments: limit_up("48MB"),
        ..Options::default()
    };
    let mut seed = world.node("seed", slow)?;
    let publication = seed.publish(&model, "m")?;
    let mut options = Options::knowing(&seed)?;
    options.arguments = limit_up("8MB");
    let bob = world.node("bob", options)?;
    let mut options = Options::knowing(&seed)?;
    options.arguments = limit_up("8MB");
    options.bootstrap.push(bob.address()?);
    let carol = world.node("carol", options)?;

    let jobs = [&bob, &carol].map(|node| node.job(&["--json", "fetch", &publication.reference]));
    // Once the two hold every group between them, the seed is of no more use.
    let original = std::fs::read(model.path().join("weights.bin"))?;
    let (mut one, mut two) = (Groups::default(), Groups::default());
    wait_for("two halves that make a whole", 2 * wait::PATIENCE, || {
        for node in [&bob, &carol] {
            let state = node.revision_state(&publication.repository, &publication.revision)?;
            ensure!(
                state.as_deref() != Some("complete"),
                "`{}` was too fast",
                node.name()
            );
        }
        one.look(&original, &bob)?;
        two.look(&original, &carol)?;
        let union = one.0.iter().zip(&two.0).all(|(one, two)| *one || *two);
        Ok((union && !one.0.is_empty()).then_some(()))
    })?;
    seed.kill()?;

    for (job, node) in jobs.into_iter().zip([&bob, &carol]) {
        let fetched = Fetched::read(job?.finish()?.json().context(node.log())?)?;
        model.assert_same(&fetched.path)?;
        ensure!(!fetched.sources.is_empty(), "{:?}", fetched.value);
    }
    Ok(())
}

#[test]
fn eight_fetchers_at_once_all_finish() -> Result<()> {
    let world = World::new()?;
    let model = world.model("m", &[("weights.bin", 8 * MIB)], 12)?;
    let seed = world.node("seed", Options::default())?;
    let publication = seed.publish(&model, "m")?;
    let names: Vec<String> = (0..8).map(|number| format!("peer{number}")).collect();
    let nodes = names
        .iter()
        .map(|name| world.node_knowing(name, &seed))
        .collect::<Result<Vec<Node>>>()?;
    let jobs = nodes
        .iter()
        .map(|node| node.job(&["--json", "fetch", &publication.reference]))
        .collect::<Result<Vec<Job>>>()?;
    for (job, node) in jobs.into_iter().zip(&nodes) {
        let fetched = Fetched::read(job.finish()?.json().context(node.log())?)?;
        model.assert_same(&fetched.path)?;
    }
    Ok(())
}

/// Which 16 KiB groups of the original a node has on disk, found by looking at the bytes: random bytes
/// are not equal by chance. What was seen once is not looked at again.
#[derive(Debug, Default)]
struct Groups(Vec<bool>);

impl Groups {
    fn look(&mut self, original: &[u8], node: &Node) -> Result<()> {
        const GROUP: usize = 16 * 1024;
        let folder = node.home().join("blobs/data");
        let mut partial: BTreeMap<u64, std::path::PathBuf> = BTreeMap::new();
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|end| end == "data") {
                partial.insert(entry.metadata()?.len(), path);
            }
        }
        let Some((_, largest)) = partial.pop_last() else {
            return Ok(());
        };
        let largest = File::open(largest)?;
        self.0.resize(original.len().div_ceil(GROUP), false);
        let mut here = vec![0; GROUP];
        for (n, (group, seen)) in original.chunks(GROUP).zip(&mut self.0).enumerate() {
            let here = &mut here[..group.len()];
            *seen =
                *seen || largest.read_exact_at(here, (n * GROUP) as u64).is_ok() && here == group;
        }
        Ok(())
    }
}

#[test]
fn partial_holder_is_recognised_by_its_bytes() -> Result<()> {
    let world = World::new()?;
    let model: Model = world.model("m", &[("a.bin", 64 * 1024)], 13)?;
    let node = world.idle_node("x", Options::default());
    let folder = node.home().join("blobs/data");
    std::fs::create_dir_all(&folder)?;
    let mut bytes = std::fs::read(model.path().join("a.bin"))?;
    bytes[16 * 1024..32 * 1024].fill(0);
    std::fs::write(folder.join("x.data"), bytes)?;
    let mut groups = Groups::default();
    groups.look(&std::fs::read(model.path().join("a.bin"))?, &node)?;
    assert_eq!(groups.0, [true, false, true, true]);
    Ok(())
}
