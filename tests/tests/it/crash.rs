//! kill -9 at moments that a seed fixes.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use weft_tests::{Options, World, model::MIB, safetensors, wait::PATIENCE, wait_for};

/// For each open stream at most one piece may be fetched again. One provider serves a few streams, and
/// files of this size have the smallest pieces.
const AGAIN_MAX: u64 = 8 * MIB / 4;

#[test]
fn killed_fetcher_resumes_with_little_fetched_again() -> Result<()> {
    // One long download, killed fifty times, far larger than what may be lost: a node that begins anew after a kill
    // does not pass.
    const SIZE: u64 = 160 * MIB;
    let world = World::new()?;
    let model = world.model("m", &[("weights.bin", SIZE - MIB), ("more.bin", MIB)], 20)?;
    let alice = world.node("alice", Options::default())?;
    let publication = alice.publish(&model, "m")?;
    let mut random = fastrand::Rng::with_seed(20);

    for round in 0..50 {
        let mut bob = world.node_knowing(&format!("bob{round}"), &alice)?;
        let mut job = bob.job(&["--json", "fetch", &publication.reference])?;
        let point = random.u64(SIZE / 20..SIZE * 19 / 20);
        let what = format!("{point} bytes in round {round}");
        let arrived = wait_for(&what, PATIENCE, || {
            let done = bob.bytes_done(&publication.revision)?;
            let ended = job.ended()?.is_some();
            Ok(done
                .filter(|done| *done >= point)
                .or_else(|| ended.then_some(SIZE)))
        })
        .with_context(|| bob.log())?;
        bob.kill()?;
        drop(job);

        bob.start()?;
        // Nobody asks again: the node knows what it had begun.
        bob.wait_complete(&publication)?;
        let fetched = bob.fetch(&publication.reference)?;
        model.assert_same(&fetched.path)?;
        let kept = SIZE.saturating_sub(bob.downloaded()?);
        ensure!(
            kept + AGAIN_MAX >= arrived,
            "round {round}: {arrived} bytes had arrived, {kept} were kept"
        );
        ensure!(
            !bob.whole_log()?.contains("comparing with its hashes"),
            "round {round}: what was here was read again"
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

#[test]
fn killed_while_copying_what_is_shared_goes_on_copying() -> Result<()> {
    const TENSOR: u64 = 4 * MIB + 24;
    const TENSORS: usize = 24;
    let world = World::new()?;
    let names: Vec<String> = (0..TENSORS).map(|n| format!("t{n}")).collect();
    let file = |labels: &[String]| {
        let tensors: Vec<safetensors::Content<'_>> = names
            .iter()
            .zip(labels)
            .map(|(name, label)| (name.as_str(), label.as_str(), TENSOR))
            .collect();
        safetensors::file(&tensors, "")
    };
    let model = world.model("m", &[("config.json", 700)], 23)?;
    let mut labels = names.clone();
    model.write("model.safetensors", &file(&labels))?;
    let alice = world.node("alice", Options::default())?;
    let mut newest = alice.publish(&model, "m")?;
    let mut random = fastrand::Rng::with_seed(23);

    // Connections of the killed stay open at the other end for half a minute, and one node may have four.
    for round in 0..6 {
        let mut bob = world.node_knowing(&format!("bob{round}"), &alice)?;
        bob.fetch(&newest.reference)?;
        labels[random.usize(0..TENSORS)] = format!("round {round}");
        model.write("model.safetensors", &file(&labels))?;
        newest = alice.publish(&model, "m")?;
        let before = alice.uploaded()?;
        let mut job = bob.job(&["--json", "fetch", &newest.reference])?;
        let limit = Duration::from_millis(random.u64(1..500));
        let begin = std::time::Instant::now();
        // The moment is drawn; a fetch that is done sooner was not caught, which is no harm.
        wait_for("the moment", PATIENCE, || {
            Ok((begin.elapsed() > limit || job.ended()?.is_some()).then_some(()))
        })?;
        bob.kill()?;
        drop(job);
        bob.start()?;
        let fetched = bob.fetch(&newest.reference)?;
        model.assert_same(&fetched.path)?;
        let sent = alice.uploaded()? - before;
        // All that had changed may have been on its way when it was killed, which counts as sent; of what was to be
        // copied, twenty times as much, nothing may come over the network.
        ensure!(
            sent <= 2 * (TENSOR + MIB / 4) + AGAIN_MAX,
            "round {round}, killed after {limit:?}: {sent} bytes were sent\n{}",
            bob.log()
        );
        bob.kill()?;
    }
    Ok(())
}
