//! Scenarios with a known right end.

mod chaos;
mod fetching;
mod following;
mod hostile;
mod memory;
mod seeds;

use weft_protocol::{
    id::RevisionId,
    service::{CommandError, Fetched, Outcome},
};

use crate::{HostId, Publisher, World, scenario::PIECE};

/// A publisher on host 0 with one revision of `pieces` pieces, and `others` hosts connected to it.
fn published(seed: u64, pieces: u64, others: usize) -> (World, Publisher, Vec<HostId>) {
    let mut world = World::new(seed);
    let origin = world.add_default();
    let mut publisher = Publisher::new(seed, "tiny", world.now().unix);
    world.publish(
        origin,
        &mut publisher,
        &[("model.safetensors", pieces * PIECE), ("config.json", 900)],
    );
    let mut hosts = vec![origin];
    for _ in 0..others {
        let host = world.add_default();
        world.connect(host, origin);
        hosts.push(host);
    }
    (world, publisher, hosts)
}

fn fetch(world: &mut World, host: HostId, publisher: &Publisher) -> Result<Fetched, CommandError> {
    let reply = world.run_command(host, World::fetch_latest(publisher), 600_000);
    match reply.expect("a fetch ends") {
        Ok(Outcome::Fetched(fetched)) => Ok(fetched),
        Ok(other) => panic!("a fetch ends with {other:?}"),
        Err(error) => Err(error),
    }
}

fn tip(world: &World, host: HostId, publisher: &Publisher) -> RevisionId {
    let (_, head) = world.host(host).disk.tip(&publisher.repository).unwrap();
    head.decode_body::<weft_protocol::head::Head>()
        .unwrap()
        .manifest
}
