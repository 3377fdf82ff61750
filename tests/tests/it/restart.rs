//! Everybody goes down and comes back; nothing is forgotten.

use anyhow::Result;
use weft_tests::{Options, World, model::MIB};

#[test]
fn everything_is_still_served_after_every_node_restarted() -> Result<()> {
    let world = World::new()?;
    let model = world.model("m", &[("weights.bin", 6 * MIB)], 40)?;
    let mut alice = world.node("alice", Options::default())?;
    let first = alice.publish(&model, "m")?;
    let mut bob = world.node_knowing("bob", &alice)?;
    bob.weft(&["mirror", &first.publisher])?.ok()?;
    bob.wait_complete(&first)?;
    let mut carol = world.node_knowing("carol", &alice)?;
    carol.fetch(&first.reference)?;
    let ids = [alice.id()?, bob.id()?, carol.id()?];

    for node in [&mut alice, &mut bob, &mut carol] {
        node.stop()?;
    }
    alice.start()?;
    // Ports are new: the others have to be told one address again, nothing else.
    for node in [&mut bob, &mut carol] {
        node.options_mut().bootstrap = vec![alice.address()?];
        node.start()?;
    }
    assert_eq!(ids, [alice.id()?, bob.id()?, carol.id()?]);

    // Each of them alone can serve a stranger.
    for (node, name) in [(&alice, "one"), (&bob, "two"), (&carol, "three")] {
        let stranger = world.node_knowing(name, node)?;
        let fetched = stranger.fetch(&first.reference)?;
        model.assert_same(&fetched.path)?;
    }
    // The standing order still stands.
    model.write("added.txt", b"second revision")?;
    let second = alice.publish(&model, "m")?;
    bob.wait_complete(&second)
}

#[test]
fn revision_that_was_removed_stays_removed() -> Result<()> {
    let world = World::new()?;
    let model = world.model("m", &[("a.bin", MIB)], 41)?;
    let alice = world.node("alice", Options::default())?;
    let publication = alice.publish(&model, "m")?;
    let mut bob = world.node_knowing("bob", &alice)?;
    bob.fetch(&publication.reference)?;
    bob.weft(&["rm", "-y", &publication.reference])?.ok()?;
    bob.restart()?;
    let state = bob.revision_state(&publication.repository, &publication.revision)?;
    assert_ne!(state.as_deref(), Some("complete"));
    Ok(())
}
