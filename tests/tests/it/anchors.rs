//! A node that was killed comes back to the peers it had chosen itself, whoever else knocked meanwhile.

use anyhow::Result;
use weft_protocol::{
    id::NodeId,
    limits,
    op::{Op, PeerRecord},
    time::Timestamp,
};
use weft_registry::{Registry as _, RocksRegistry};
use weft_tests::{Node, Options, World, wait, wait_for};

/// Opens the peer book of a node that is not running.
fn registry(node: &Node) -> Result<RocksRegistry> {
    Ok(RocksRegistry::open(&node.home().join("registry"))?)
}

fn anchors(node: &Node) -> Result<Vec<String>> {
    let peers = registry(node)?.snapshot()?.peers;
    let anchors = peers.into_iter().filter(|record| record.anchor);
    Ok(anchors.map(|record| record.peer.to_string()).collect())
}

/// Somebody who connected in the last second, many times over. Nobody listens where he says.
fn flood() -> Vec<Op> {
    let records = (0..limits::PEER_BOOK_MAX).map(|n| {
        let mut bytes = [0xee; 32];
        bytes[..8].copy_from_slice(&(n as u64).to_be_bytes());
        Op::PutPeer(PeerRecord {
            peer: NodeId::new(bytes),
            addresses: vec!["/ip4/127.0.0.1/tcp/1".to_owned()],
            seen: Timestamp(u64::from(u32::MAX)),
            since: Timestamp(u64::from(u32::MAX)),
            reached: 0,
            failures: 0,
            anchor: false,
        })
    });
    records.collect()
}

#[test]
fn killed_node_comes_back_to_its_anchors_in_spite_of_a_flood() -> Result<()> {
    let world = World::new()?;
    let alice = world.node("alice", Options::default())?;
    let mut bob = world.node_knowing("bob", &alice)?;
    wait_for("bob to have an anchor", wait::PATIENCE, || {
        bob.wait_peers(1)?;
        bob.kill()?;
        let found = anchors(&bob)?;
        bob.start()?;
        Ok((found == [alice.id()?]).then_some(()))
    })?;
    // Carol knocks at bob; he did not choose her.
    let carol = world.node_knowing("carol", &bob)?;
    bob.wait_peers(2)?;
    bob.kill()?;
    drop(carol);
    assert_eq!(anchors(&bob)?, [alice.id()?]);
    registry(&bob)?.commit(&flood())?;

    bob.options_mut().bootstrap.clear();
    bob.start()?;
    bob.wait_peers(1)?;
    let peers = bob.json(&["peers"])?.to_string();
    assert!(peers.contains(&alice.id()?), "{peers}");
    Ok(())
}
