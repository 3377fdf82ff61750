//! What bad input gets: a typed error with a hint, and nothing lost.

use std::{fs, process::Command};

use anyhow::{Context as _, Result, ensure};
use weft_tests::{
    Options, Run, World, disk,
    model::MIB,
    node::{Fetched, Node},
    wait::{PATIENCE, wait_for},
};

/// A well-formed id that nobody has.
const NOBODY: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

#[test]
fn malformed_references_are_refused_as_usage() -> Result<()> {
    let world = World::new()?;
    let node = world.node("alice", Options::default())?;
    let long = format!("weft:{NOBODY}/{}", "x".repeat(65));
    let upper = format!("weft:{}/m", NOBODY.to_uppercase());
    let traversal = format!("weft:{NOBODY}/../../etc");
    let cut = format!("weft:{}/m", &NOBODY[..51]);
    let revision = format!("weft:{NOBODY}/m@");
    for reference in [
        "",
        "weft:",
        "weft:/",
        "///",
        "weft:a/b/c/../d",
        &long,
        &upper,
        &traversal,
        &cut,
        &revision,
    ] {
        let run = node.weft(&["fetch", reference])?;
        ensure!(matches!(run.code, Some(2 | 3)), "`{reference}`: {run:#?}");
        ensure!(
            run.stderr.contains("error:") && !run.stderr.contains("panicked"),
            "{run:#?}"
        );
        ensure!(run.stdout.is_empty(), "{run:#?}");
    }
    Ok(())
}

#[test]
fn unknown_repository_is_not_found() -> Result<()> {
    let world = World::new()?;
    let alice = world.node("alice", Options::default())?;
    let bob = world.node_knowing("bob", &alice)?;
    bob.wait_peers(1)?;
    let run = bob.weft(&["fetch", &format!("weft:{NOBODY}/m"), "--timeout", "20s"])?;
    let run = run.refused(3, "not found")?;
    ensure!(run.stderr.contains("hint:"), "{run:#?}");
    Ok(())
}

#[test]
fn node_without_peers_says_so() -> Result<()> {
    let world = World::new()?;
    let reference = format!("weft:{NOBODY}/m");
    let mut gone = world.node("gone", Options::default())?;
    let address = gone.address()?;
    gone.kill()?;
    let node = world.node(
        "alice",
        Options {
            bootstrap: vec![address],
            ..Options::default()
        },
    )?;
    let run = node.weft(&["fetch", &reference, "--timeout", "10s"])?;
    ensure!(matches!(run.code, Some(3 | 6)), "{run:#?}");
    ensure!(
        run.stderr.contains("error:") && run.stderr.contains("hint:"),
        "{run:#?}"
    );
    Ok(())
}

#[test]
fn folders_that_cannot_be_published_are_refused() -> Result<()> {
    let world = World::new()?;
    let node = world.node("alice", Options::default())?;
    let missing = world.join("missing");
    let run = node.weft(&["publish", missing.to_str().unwrap()])?;
    ensure!(
        run.code != Some(0) && run.stderr.contains("error:"),
        "{run:#?}"
    );

    let empty = world.join("empty");
    fs::create_dir(&empty)?;
    let run = node.weft(&["publish", empty.to_str().unwrap(), "--name", "m"])?;
    ensure!(
        run.code != Some(0) && run.stderr.contains("error:"),
        "{run:#?}"
    );

    for name in ["CON", "trailing. ", "a:b", "tab\there", "bidi\u{202e}gnp"] {
        let model = world.model(&format!("m{}", name.len()), &[("good", 10)], 80)?;
        model.write(name, b"x")?;
        let run = node.weft(&["publish", model.arg(), "--name", "m"])?;
        ensure!(
            run.code != Some(0) && run.stderr.contains("error:"),
            "`{name}`: {run:#?}"
        );
        fs::remove_dir_all(model.path())?;
    }

    let model = world.model("folded", &[("readme.md", 10), ("README.md", 10)], 81)?;
    let run = node.weft(&["publish", model.arg(), "--name", "m"])?;
    ensure!(
        run.code != Some(0) && run.stderr.contains("error:"),
        "{run:#?}"
    );

    let model = world.model("named", &[("good", 10)], 82)?;
    for name in ["", ".hidden", "a/b", "sp ace", &"x".repeat(65)] {
        let run = node.weft(&["publish", model.arg(), "--name", name])?;
        ensure!(
            run.code != Some(0) && run.stderr.contains("error:"),
            "`{name}`: {run:#?}"
        );
    }
    // After all that, nothing was published and the next good folder is.
    ensure!(
        node.status()?["repositories"]
            .as_array()
            .is_some_and(Vec::is_empty)
    );
    node.publish(&model, "fine")?;
    Ok(())
}

#[test]
fn second_daemon_on_one_home_is_refused() -> Result<()> {
    let world = World::new()?;
    let alice = world.node("alice", Options::default())?;
    let mut second = Node::new("second", alice.home().to_path_buf(), Options::default());
    let error = second.start().expect_err("two daemons on one home");
    let text = format!("{error:#}");
    ensure!(text.contains("error:") && text.contains("hint:"), "{text}");
    // The first one is not disturbed.
    alice.status()?;
    alice.weft(&["status"])?.ok()?;
    Ok(())
}

#[test]
fn home_of_a_newer_version_is_refused_and_left_alone() -> Result<()> {
    let world = World::new()?;
    let model = world.model("m", &[("a.bin", MIB)], 83)?;
    let mut alice = world.node("alice", Options::default())?;
    let publication = alice.publish(&model, "m")?;
    alice.stop()?;
    let (registry, kept) = (alice.home().join("registry"), world.join("kept"));
    disk::copy_tree(&registry, &kept)?;
    weft_tests::forge::age_registry(alice.home())?;
    let error = alice.start().expect_err("a home of the future");
    let text = format!("{error:#}");
    ensure!(text.contains("newer") || text.contains("version"), "{text}");
    alice.kill()?;
    fs::remove_dir_all(&registry)?;
    fs::rename(&kept, &registry)?;
    alice.start()?;
    let state = alice.revision_state(&publication.repository, &publication.revision)?;
    ensure!(state.as_deref() == Some("complete"), "{state:?}");
    Ok(())
}

#[test]
fn full_disk_ends_a_fetch_and_loses_nothing() -> Result<()> {
    let world = World::new()?;
    let small = world.join("small");
    fs::create_dir(&small)?;
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=48m", "tmpfs"])
        .arg(&small)
        .output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        weft_tests::skipped(
            "no small file system can be mounted here, so a full disk was not tried",
        );
        return Ok(());
    }
    let outcome = fill(&world, &small);
    // Detached, so that it goes even if something still looks at it.
    let unmounted = Command::new("umount").arg("-l").arg(&small).status()?;
    outcome?;
    ensure!(unmounted.success());
    Ok(())
}

fn fill(world: &World, disk: &std::path::Path) -> Result<()> {
    let small = world.model("s", &[("a.bin", 2 * MIB)], 84)?;
    let large = world.model("l", &[("a.bin", 96 * MIB)], 85)?;
    let alice = world.node("alice", Options::default())?;
    let small_one = alice.publish(&small, "small")?;
    let large_one = alice.publish(&large, "large")?;
    let mut bob = Node::new("bob", disk.join("home"), Options::knowing(&alice)?);
    bob.start()?;
    bob.fetch(&small_one.reference)?;
    let run = bob.weft(&["fetch", &large_one.reference, "--timeout", "60s"])?;
    let run = run.refused(1, "disk is full").with_context(|| bob.log())?;
    ensure!(run.stderr.contains("hint:"), "{run:#?}");
    // What was here is still here, is right, and the node lives.
    let again = Fetched::read(bob.json(&["fetch", &small_one.reference])?)?;
    small.assert_same(&again.path)?;
    bob.weft(&["rm", "-y", &large_one.reference])?.ok()?;
    bob.restart().with_context(|| bob.log())?;
    let again = Fetched::read(bob.json(&["fetch", &small_one.reference])?)?;
    small.assert_same(&again.path)
}

#[test]
fn commands_without_a_node_tell_how_to_start_one() -> Result<()> {
    let world = World::new()?;
    let run = Run::of(&world.join("none.home"), &["peers"])?;
    ensure!(
        run.code != Some(0) && run.stderr.contains("hint:"),
        "{run:#?}"
    );
    Ok(())
}

#[test]
fn stopping_during_a_fetch_is_orderly() -> Result<()> {
    let world = World::new()?;
    let model = world.model("m", &[("a.bin", 64 * MIB)], 86)?;
    let alice = world.node("alice", Options::default())?;
    let publication = alice.publish(&model, "m")?;
    let mut options = Options::knowing(&alice)?;
    // So that it is stopped in the middle, however long the test takes to look.
    options.arguments = ["--limit-down", "16MB"].map(str::to_owned).to_vec();
    let mut bob = world.node("bob", options)?;
    let job = bob.job(&["--json", "fetch", &publication.reference])?;
    wait_for("the first bytes", PATIENCE, || {
        Ok(bob
            .bytes_done(&publication.revision)?
            .filter(|done| *done > 0))
    })?;
    bob.stop()?;
    let run = job.finish()?;
    ensure!(run.code != Some(0), "{run:#?}");
    bob.start()?;
    bob.wait_complete(&publication)?;
    let fetched = bob.fetch(&publication.reference)?;
    model.assert_same(&fetched.path)
}
