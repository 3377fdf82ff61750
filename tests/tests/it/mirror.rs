//! Standing orders.

use anyhow::Result;
use weft_tests::{Options, World, model::MIB};

#[test]
fn mirror_picks_up_a_second_revision_by_itself() -> Result<()> {
    let world = World::new()?;
    let model = world.model("m", &[("weights.bin", 4 * MIB), ("config.json", 100)], 30)?;
    let mut alice = world.node("alice", Options::default())?;
    let first = alice.publish(&model, "m")?;
    let bob = world.node_knowing("bob", &alice)?;
    bob.weft(&["mirror", &first.publisher])?.ok()?;
    bob.wait_complete(&first)?;

    model.write("config.json", b"{\"better\": true}")?;
    let second = alice.publish(&model, "m")?;
    assert_ne!(first.revision, second.revision);
    bob.wait_complete(&second)?;

    // A repository that did not exist when the order was given.
    let other = world.model("o", &[("a.bin", MIB)], 31)?;
    let third = alice.publish(&other, "other")?;
    bob.wait_complete(&third)?;

    // The mirror serves what the publisher no longer can.
    let address = bob.address()?;
    alice.kill()?;
    let carol = world.node(
        "carol",
        Options {
            bootstrap: vec![address],
            ..Options::default()
        },
    )?;
    for (publication, model) in [(&second, &model), (&third, &other)] {
        let fetched = carol.fetch(&publication.reference)?;
        model.assert_same(&fetched.path)?;
    }
    Ok(())
}

#[test]
fn mirror_of_one_repository_leaves_the_others_alone() -> Result<()> {
    let world = World::new()?;
    let alice = world.node("alice", Options::default())?;
    let wanted = world.model("w", &[("a.bin", MIB)], 32)?;
    let other = world.model("o", &[("a.bin", MIB)], 33)?;
    let other = alice.publish(&other, "other")?;
    let wanted = alice.publish(&wanted, "wanted")?;
    let bob = world.node_knowing("bob", &alice)?;
    bob.weft(&["mirror", &wanted.repository])?.ok()?;
    bob.wait_complete(&wanted)?;
    let state = bob.revision_state(&other.repository, &other.revision)?;
    assert_ne!(state.as_deref(), Some("complete"));
    assert_ne!(state.as_deref(), Some("wanted"));
    Ok(())
}

#[test]
fn mirror_stays_inside_its_quota() -> Result<()> {
    let world = World::new()?;
    let alice = world.node("alice", Options::default())?;
    let small = world.model("s", &[("a.bin", MIB)], 34)?;
    let small = alice.publish(&small, "small")?;
    let bob = world.node_knowing("bob", &alice)?;
    bob.weft(&["mirror", &small.publisher, "--max", "3MB"])?
        .ok()?;
    bob.wait_complete(&small)?;

    let large = world.model("l", &[("a.bin", 8 * MIB)], 35)?;
    let large = alice.publish(&large, "large")?;
    // Published later and small enough: once it is here, the large one has been decided on.
    let last = world.model("e", &[("a.bin", MIB)], 36)?;
    let last = alice.publish(&last, "last")?;
    bob.wait_complete(&last)?;
    let state = bob.revision_state(&large.repository, &large.revision)?;
    assert_ne!(state.as_deref(), Some("complete"));
    Ok(())
}
