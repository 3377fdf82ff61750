//! Byte rates that the user set, from end to end. Time only ever bounds from below here: a busy machine is slower
//! than a limit, never faster.

use std::time::Instant;

use anyhow::{Result, ensure};
use weft_tests::{Node, Options, World, model::MIB, node::Publication, wait, wait_for};

/// Bytes a second of the limits.
const RATE: u64 = 4_000_000;
/// What may pass at once: 200 ms of a rate, and one send.
const BURST: u64 = RATE / 5 + 128 * 1024;

fn limited(direction: &str, rate: &str) -> Options {
    Options {
        arguments: vec![format!("--limit-{direction}"), rate.to_owned()],
        ..Options::default()
    }
}

/// Fetches, and checks that no more came than the rate allows.
fn fetch_within_rate(node: &Node, publication: &Publication) -> Result<()> {
    let begin = Instant::now();
    let fetched = node.fetch(&publication.reference)?;
    let seconds = begin.elapsed().as_secs_f64();
    let allowed = BURST as f64 + RATE as f64 * seconds;
    ensure!(
        fetched.bytes_fetched as f64 <= allowed,
        "{} bytes in {seconds} s",
        fetched.bytes_fetched
    );
    Ok(())
}

#[test]
fn seed_sends_and_fetcher_takes_no_faster_than_they_may() -> Result<()> {
    let world = World::new()?;
    let model = world.model("m", &[("weights.bin", 8 * MIB)], 90)?;
    let slow = world.node("slow", limited("up", "4MB"))?;
    let publication = slow.publish(&model, "m")?;
    let bob = world.node_knowing("bob", &slow)?;
    fetch_within_rate(&bob, &publication)?;

    let mut options = limited("down", "4MB");
    options.bootstrap = vec![slow.address()?, bob.address()?];
    let carol = world.node("carol", options)?;
    fetch_within_rate(&carol, &publication)
}

#[test]
fn a_limit_that_is_lifted_lets_a_running_download_go() -> Result<()> {
    let world = World::new()?;
    let model = world.model("m", &[("weights.bin", 64 * MIB)], 91)?;
    let seed = world.node("seed", Options::default())?;
    let publication = seed.publish(&model, "m")?;
    let mut options = limited("up", "1MB");
    options.bootstrap = vec![seed.address()?];
    let fetcher = world.node("fetcher", options)?;
    // So slow that it would take minutes: only lifting it ends the test in time.
    fetcher
        .weft(&["config", "set", "limit.down", "200KB"])?
        .ok()?;

    let job = fetcher.job(&["--json", "fetch", &publication.reference])?;
    wait_for("the first bytes", 2 * wait::PATIENCE, || {
        let done = fetcher.bytes_done(&publication.revision)?;
        Ok(done.filter(|bytes| *bytes > 0).map(drop))
    })?;
    fetcher.weft(&["config", "set", "limit.down", ""])?.ok()?;
    job.finish()?.ok()?;
    model.assert_same(fetcher.fetch(&publication.reference)?.path)
}
