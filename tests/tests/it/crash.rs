//! kill -9 at moments that a seed fixes.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use weft_tests::{Options, World, model::MIB, wait::PATIENCE, wait_for};

/// Of the issue: at most so much may be fetched again.
const AGAIN_SHARE: u64 = 20;

#[test]
fn killed_fetcher_resumes_with_little_fetched_again() -> Result<()> {
    // One long download, killed twenty times. Larger than 20 × what is lost at worst, so that a node
    // which begins anew after each kill would never pass.
    const SIZE: u64 = 160 * MIB;
    let world = World::new()?;
    let model = world.model("m", &[("weights.bin", SIZE - MIB), ("more.bin", MIB)], 20)?;
    let alice = world.node("alice", Options::default())?;
    let publication = alice.publish(&model, "m")?;
    let mut random = fastrand::Rng::with_seed(20);

    for round in 0..20 {
        let mut bob = world.node_knowing(&format!("bob{round}"), &alice)?;
        let uploaded_before = alice.uploaded()?;
        let mut job = bob.job(&["--json", "fetch", &publication.reference])?;
        let point = random.u64(SIZE / 20..SIZE * 19 / 20);
        let what = format!("{point} bytes in round {round}");
        wait_for(&what, PATIENCE, || {
            let done = bob.bytes_done(&publication.revision)?;
            Ok((done.is_some_and(|done| done >= point) || job.ended()?.is_some()).then_some(()))
        })
        .with_context(|| bob.log())?;
        bob.kill()?;
        drop(job);

        bob.start()?;
        // Nobody asks again: the node knows what it had begun.
        bob.wait_complete(&publication)?;
        let fetched = bob.fetch(&publication.reference)?;
        model.assert_same(&fetched.path)?;
        let sent = alice.uploaded()? - uploaded_before;
        ensure!(
            sent <= SIZE + SIZE / AGAIN_SHARE,
            "round {round}, killed at {point}: {} bytes were sent again",
            sent - SIZE
        );
        bob.kill()?;
        std::fs::remove_dir_all(bob.home())?;
    }
    Ok(())
}

#[test]
fn killed_publisher_loses_nothing_it_had_acknowledged() -> Result<()> {
    let world = World::new()?;
    let model = world.model("m", &[("weights.bin", 64 * MIB)], 21)?;
    let small = world.model("s", &[("a.bin", MIB)], 22)?;
    let mut alice = world.node("alice", Options::default())?;
    let first = alice.publish(&small, "m")?;
    let mut random = fastrand::Rng::with_seed(21);

    let mut last = None;
    for round in 0..6 {
        let mut job = alice.job(&["--json", "publish", model.arg(), "--name", "m"])?;
        let limit = Duration::from_millis(random.u64(1..400));
        let begin = std::time::Instant::now();
        // The moment is drawn, but a publish that is done sooner is as good.
        wait_for("the moment", PATIENCE, || {
            Ok((begin.elapsed() > limit || job.ended()?.is_some()).then_some(()))
        })?;
        alice.kill()?;
        let acknowledged = job.finish()?;
        alice.start()?;
        let log = alice.json(&["log", &first.repository])?;
        let entries = log["entries"].as_array().context("`entries` is a list")?;
        let newest = entries.first().context("the first head is there")?;
        if acknowledged.code == Some(0) {
            let value = acknowledged.json()?;
            ensure!(
                newest["revision"] == value["revision"],
                "round {round}: {newest} {value}"
            );
        }
        for (position, entry) in entries.iter().rev().enumerate() {
            ensure!(entry["index"] == position, "round {round}: a gap in {log}");
        }
        last = Some(newest.clone());
    }
    ensure!(last.is_some());

    let again = alice.publish(&model, "m")?;
    let bob = world.node_knowing("bob", &alice)?;
    let fetched = bob.fetch(&again.reference)?;
    model.assert_same(&fetched.path)?;
    let fetched = bob.fetch(&first.reference)?;
    small.assert_same(&fetched.path)
}
