//! One copy on disk, whoever looks.

use std::{fs, os::unix::fs::MetadataExt as _};

use anyhow::{Result, ensure};
use weft_tests::{Options, World, disk, model::MIB};

/// Outboards are 1/256 of the data; databases and logs take a few MiB whatever the data is.
const OVERHEAD: u64 = 16 * MIB;

#[test]
fn publishing_makes_no_second_copy_and_fetching_leaves_one() -> Result<()> {
    const SIZE: u64 = 128 * MIB;
    let world = World::new()?;
    let model = world.model("m", &[("weights.bin", SIZE)], 70)?;
    let alice = world.node("alice", Options::default())?;
    let publication = alice.publish(&model, "m")?;
    let bob = world.node_knowing("bob", &alice)?;
    let fetched = bob.fetch(&publication.reference)?;
    model.assert_same(&fetched.path)?;
    // Everything is on disk, not only in the page cache.
    drop(alice.weft(&["status"])?.ok()?);
    let publisher = disk::usage(&[model.path(), alice.home()])?;
    ensure!(
        publisher < SIZE + OVERHEAD,
        "the publisher's disk holds {publisher}"
    );
    let fetcher = disk::usage(&[bob.home(), &fetched.path])?;
    ensure!(
        fetcher < SIZE + OVERHEAD,
        "the fetcher's disk holds {fetcher}"
    );
    ensure!(fetcher >= SIZE, "the fetcher's disk holds only {fetcher}");
    Ok(())
}

#[test]
fn folder_given_by_the_user_shares_the_bytes() -> Result<()> {
    let world = World::new()?;
    let model = world.model("m", &[("weights.bin", 32 * MIB)], 71)?;
    let alice = world.node("alice", Options::default())?;
    let publication = alice.publish(&model, "m")?;
    let bob = world.node_knowing("bob", &alice)?;
    let to = world.join("models/m");
    bob.weft(&[
        "fetch",
        &publication.reference,
        "--to",
        to.to_str().unwrap(),
    ])?
    .ok()?;
    model.assert_same(&to)?;
    let used = disk::usage(&[bob.home(), &to])?;
    ensure!(
        used < 32 * MIB + OVERHEAD,
        "the fetcher's disk holds {used}"
    );

    // The user's folder is the user's: it goes, and the node still serves; it stays, and the node may forget.
    fs::remove_dir_all(&to)?;
    let carol = world.node_knowing("carol", &bob)?;
    let fetched = carol.fetch(&publication.reference)?;
    model.assert_same(&fetched.path)
}

#[test]
fn removed_revision_gives_its_space_back() -> Result<()> {
    const SIZE: u64 = 32 * MIB;
    let world = World::new()?;
    let model = world.model("m", &[("weights.bin", SIZE)], 72)?;
    let alice = world.node("alice", Options::default())?;
    let publication = alice.publish(&model, "m")?;
    let bob = world.node_knowing("bob", &alice)?;
    bob.fetch(&publication.reference)?;
    bob.weft(&["rm", "-y", &publication.reference])?.ok()?;
    weft_tests::wait_for("the space to be free", weft_tests::wait::PATIENCE, || {
        let used = disk::usage(&[bob.home()])?;
        Ok((used < OVERHEAD).then_some(()))
    })?;
    // What the publisher published is the publisher's own file: it is never deleted.
    alice.weft(&["rm", "-y", &publication.reference])?.ok()?;
    ensure!(fs::metadata(model.path().join("weights.bin"))?.size() == SIZE);
    Ok(())
}
