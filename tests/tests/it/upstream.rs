//! Another hub behind the node: what it has is served like weft's own, fetched once for a whole site, and kept.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use weft_tests::{
    HubServer, Model, Node, Options, World, disk,
    http::{self, Reply},
    hub::{COMMIT, Fault, ID, TOKEN},
    model::MIB,
    program,
    wait::PATIENCE,
    wait_for,
};

/// A node behind which there is a hub.
fn node(world: &World, name: &str, hub: &str, known: Option<&Node>) -> Result<Node> {
    let options = known.map_or_else(|| Ok(Options::default()), Options::knowing)?;
    let mut node = world.idle_node(name, options);
    let set = node.weft(&["config", "set", "origin.hub", hub])?;
    ensure!(set.code == Some(0), "{set:?}");
    node.start()?;
    Ok(node)
}

fn get(node: &Node, path: &str) -> Result<Reply> {
    http::get(node.gateway(), path, &[])
}

fn json(reply: &Reply) -> Result<Value> {
    serde_json::from_slice(&reply.body).with_context(|| format!("not JSON: {}", reply.text()))
}

fn file(path: &str) -> String {
    format!("/{ID}/resolve/main/{path}")
}

fn model(world: &World, seed: u64) -> Result<Model> {
    let files = [
        ("big.bin", 24 * MIB),
        ("sub/more.bin", 3 * MIB),
        ("config.json", 900),
    ];
    let model = world.model("m", &files, seed)?;
    model.write("empty.txt", b"")?;
    Ok(model)
}

/// All files of the repository, as a client gets them.
fn assert_served(node: &Node, model: &Model) -> Result<()> {
    for path in ["config.json", "empty.txt", "big.bin", "sub/more.bin"] {
        let got = get(node, &file(path))?;
        let shown = || format!("{path}: {} {}\n{}", got.status, got.text(), node.log());
        ensure!(got.status == 200, "{}", shown());
        ensure!(
            got.body == fs::read(model.path().join(path))?,
            "{path}: other bytes"
        );
    }
    Ok(())
}

#[test]
fn repository_of_the_hub_is_served_like_any_other_and_kept() -> Result<()> {
    let world = World::new()?;
    let model = model(&world, 130)?;
    let hub = HubServer::start(&model, Fault::None)?;
    let mut node = node(&world, "alice", &hub.url(), None)?;

    let head = http::send(node.gateway(), "HEAD", &file("big.bin"), &[], &[])?;
    ensure!(head.status == 307, "{head:?}\n{}", node.log());
    let pinned = format!("/{ID}/resolve/{COMMIT}/big.bin");
    ensure!(head.header("location") == Some(&pinned), "{head:?}");
    let head = http::send(node.gateway(), "HEAD", &pinned, &[], &[])?;
    ensure!(head.header("x-repo-commit") == Some(COMMIT), "{head:?}");
    let etag = head.header("etag").context("an etag")?;
    ensure!(
        etag.len() == 66 && head.header("x-linked-etag") == Some(etag),
        "{head:?}"
    );
    ensure!(head.header("x-xet-hash").is_none(), "{head:?}");
    // A look at the headers moves no file.
    ensure!(hub.sent() == 0);

    let part = http::get(
        node.gateway(),
        &file("big.bin"),
        &[("Range", "bytes=5000000-5000999")],
    )?;
    let big = fs::read(model.path().join("big.bin"))?;
    ensure!(
        part.status == 206 && part.body == big[5_000_000..5_001_000],
        "{}",
        node.log()
    );
    assert_served(&node, &model)?;
    let info = json(&get(&node, &format!("/api/models/{ID}?blobs=true"))?)?;
    ensure!(
        info["sha"] == COMMIT && info["pipeline_tag"] == "text-generation",
        "{info}"
    );
    ensure!(
        info["cardData"]["license"] == "mit" && info.get("xetEnabled").is_none(),
        "{info}"
    );
    ensure!(
        info["siblings"].as_array().map(Vec::len) == Some(4),
        "{info}"
    );
    let tree = get(&node, &format!("/api/models/{ID}/tree/main?recursive=true"))?;
    ensure!(!tree.text().contains("xetHash"), "{}", tree.text());
    ensure!(
        json(&tree)?.as_array().map(Vec::len) == Some(5),
        "{}",
        tree.text()
    );
    let refs = json(&get(&node, &format!("/api/models/{ID}/refs"))?)?;
    ensure!(refs["tags"][0]["name"] == "v1", "{refs}");
    for (path, code) in [
        (file("nope"), "EntryNotFound"),
        (
            format!("/{ID}/resolve/nope/config.json"),
            "RevisionNotFound",
        ),
        (
            "/acme/nothing/resolve/main/config.json".to_owned(),
            "RepoNotFound",
        ),
    ] {
        let missing = get(&node, &path)?;
        ensure!(
            missing.header("x-error-code") == Some(code),
            "{path}: {missing:?}"
        );
    }

    // Every byte came once, but for what was on its way when a reader went elsewhere.
    ensure!(hub.sent() <= model.bytes()? + 17 * MIB, "{}", hub.sent());
    // And from now on it works without the hub, also after a restart.
    drop(hub);
    node.restart()?;
    assert_served(&node, &model)?;
    ensure!(json(&get(&node, &format!("/api/models/{ID}"))?)?["sha"] == COMMIT);

    // Nothing keeps it but the wish to have it again.
    let size = model.bytes()?;
    let rehearsal = wait_for("all readers to be gone", PATIENCE, || {
        let rehearsal = node.json(&["prune", "--dry-run"])?;
        Ok((rehearsal["bytes"] == size).then_some(rehearsal))
    })?;
    ensure!(rehearsal["revisions"][0]["repository"] == format!("hf:{ID}"));
    ensure!(get(&node, &file("config.json"))?.status == 200);
    wait_for("all of it to be gone", PATIENCE, || {
        node.json(&["prune", "--yes"])?;
        let left = disk::usage(&[&node.home().join("upstream/files")])?;
        Ok((left < MIB).then_some(()))
    })?;
    ensure!(get(&node, &file("big.bin"))?.status == 429);
    Ok(())
}

#[test]
fn nodes_of_one_site_cost_the_hub_one_copy_and_need_it_no_more() -> Result<()> {
    let world = World::new()?;
    let model = model(&world, 131)?;
    let hub = HubServer::start(&model, Fault::None)?;
    let mut nodes = vec![node(&world, "node0", &hub.url(), None)?];
    for number in 1..5 {
        let name = format!("node{number}");
        nodes.push(node(&world, &name, &hub.url(), nodes.first())?);
    }
    for node in &nodes {
        node.wait_peers(4)?;
    }
    std::thread::scope(|scope| {
        let served: Vec<_> = nodes
            .iter()
            .map(|node| scope.spawn(|| assert_served(node, &model)))
            .collect();
        served
            .into_iter()
            .try_for_each(|one| one.join().expect("the thread does not panic"))
    })?;
    let (sent, size) = (hub.sent(), model.bytes()?);
    ensure!(
        sent * 100 <= size * 105,
        "{sent} bytes for a repository of {size}"
    );

    let url = hub.url();
    drop(hub);
    let late = node(&world, "late", &url, nodes.first())?;
    late.wait_peers(1)?;
    assert_served(&late, &model)
}

#[test]
fn busy_hub_and_cut_answers_are_tried_again() -> Result<()> {
    let world = World::new()?;
    let model = model(&world, 132)?;
    for fault in [Fault::Busy, Fault::Cut] {
        let hub = HubServer::start(&model, fault)?;
        let node = node(&world, &format!("{fault:?}"), &hub.url(), None)?;
        assert_served(&node, &model).with_context(|| format!("{fault:?}"))?;
    }
    Ok(())
}

/// A hub that goes wrong is reported by name; once it comes to its senses, so does the node.
fn assert_reported(fault: Fault) -> Result<()> {
    let world = World::new()?;
    let model = model(&world, 135)?;
    let hub = HubServer::start(&model, fault)?;
    let node = node(&world, "alice", &hub.url(), None)?;
    let refused = get(&node, &file("config.json"))?;
    ensure!(matches!(refused.status, 429 | 502), "{refused:?}");
    let message = refused.header("x-error-message").unwrap_or_default();
    ensure!(message.contains(&hub.url()), "{refused:?}");
    hub.set_fault(Fault::None);
    assert_served(&node, &model)
}

#[test]
fn hub_that_sends_pages_is_reported_by_name() -> Result<()> {
    assert_reported(Fault::Page)
}

#[test]
fn hub_that_redirects_in_circles_is_reported_by_name() -> Result<()> {
    assert_reported(Fault::Circle)
}

#[test]
fn hub_that_sends_wrong_bytes_is_reported_by_name() -> Result<()> {
    assert_reported(Fault::Flip)
}

#[test]
fn hub_that_lies_about_sizes_is_reported_by_name() -> Result<()> {
    assert_reported(Fault::Size)
}

#[test]
fn lying_neighbour_is_caught_and_nobody_completes_a_wrong_file() -> Result<()> {
    let world = World::new()?;
    let model = model(&world, 136)?;
    let hub = HubServer::start(&model, Fault::None)?;
    let mut alice = node(&world, "alice", &hub.url(), None)?;
    assert_served(&alice, &model)?;
    alice.stop()?;
    let lie = ("WEFT_TEST_FAULT".to_owned(), "flip".to_owned());
    alice.options_mut().environment.push(lie);
    alice.start()?;

    let bob = node(&world, "bob", &hub.url(), Some(&alice))?;
    bob.wait_peers(1)?;
    let big = fs::read(model.path().join("big.bin"))?;
    // An answer that turned out to be wrong on the way ends in the middle.
    let got = wait_for("the right file", PATIENCE, || {
        let got = get(&bob, &file("big.bin")).ok();
        Ok(got.filter(|got| got.status == 200))
    })?;
    ensure!(got.body == big, "a wrong file\n{}", bob.log());
    ensure!(
        bob.whole_log()?
            .contains("nodes near here sent other bytes")
    );
    // Whoever kept a part of the wrong one begins again; whoever wants a part gets it.
    let going_on = [("Range", "bytes=5000000-")];
    let got = http::get(bob.gateway(), &file("big.bin"), &going_on)?;
    ensure!(got.status == 200 && got.body == big, "{}", got.status);
    let part = http::get(bob.gateway(), &file("big.bin"), &[("Range", "bytes=5-9")])?;
    ensure!(
        part.status == 206 && part.body == big[5..10],
        "{}",
        part.status
    );
    Ok(())
}

#[test]
fn gated_repository_is_between_the_user_and_the_hub() -> Result<()> {
    let world = World::new()?;
    let model = model(&world, 133)?;
    let hub = HubServer::start(&model, Fault::Gated)?;
    let alice = node(&world, "alice", &hub.url(), None)?;
    let bob = node(&world, "bob", &hub.url(), Some(&alice))?;
    bob.wait_peers(1)?;
    let bearer = format!("Bearer {TOKEN}");
    let own = fs::read_to_string(alice.home().join("control.token"))?;
    let path = file("config.json");
    let refused = http::get(
        alice.gateway(),
        &path,
        &[("Authorization", "Bearer hf_other")],
    )?;
    ensure!(refused.status == 403, "{refused:?}");
    ensure!(
        refused.header("x-error-code") == Some("GatedRepo"),
        "{refused:?}"
    );
    let got = http::get(alice.gateway(), &path, &[("Authorization", &bearer)])?;
    ensure!(
        got.status == 200 && got.body.len() == 900,
        "{got:?}\n{}",
        alice.log()
    );

    // Neither without a token nor for a neighbour.
    ensure!(get(&alice, &path)?.status == 401);
    let own = format!("Bearer {}", own.trim());
    ensure!(http::get(alice.gateway(), &path, &[("Authorization", &own)])?.status == 401);
    // The command line shows what HF_TOKEN holds, unless that is this node's own, as `weft env --hf` sets it.
    let reference = format!("hf:{ID}");
    let fetch = |token: &str| -> Result<std::process::Output> {
        let mut command = program::command(alice.home(), &["fetch", &reference])?;
        Ok(command.env("HF_TOKEN", token).output()?)
    };
    let writer = alice.json(&["env", "--hf"])?;
    let writer = writer["HF_TOKEN"].as_str().context("a token")?;
    for none in ["", writer] {
        let refused = fetch(none)?;
        ensure!(!refused.status.success(), "{refused:?}");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        ensure!(said.contains("not for everybody"), "{none}: {said}");
    }
    let fetched = fetch(TOKEN)?;
    ensure!(fetched.status.success(), "{fetched:?}");
    model.assert_same(String::from_utf8(fetched.stdout)?.trim())?;
    // To publish it is to give it to everybody.
    let published = alice.weft(&["publish", "--from", &reference, "--name", "mine"])?;
    ensure!(published.code != Some(0), "{published:?}");
    ensure!(
        hub.tokens() == [bearer.clone(), "Bearer hf_other".to_owned()],
        "{:?}",
        hub.tokens()
    );
    drop(hub);
    let refused = http::get(bob.gateway(), &path, &[("Authorization", &bearer)])?;
    ensure!(refused.status == 429, "{refused:?}");

    // The token is nowhere.
    ensure!(!alice.whole_log()?.contains(TOKEN));
    for entry in disk::files(alice.home())? {
        // What goes while we look is the database's, which goes on.
        let bytes = fs::read(&entry).unwrap_or_default();
        let found = bytes
            .windows(TOKEN.len())
            .any(|window| window == TOKEN.as_bytes());
        ensure!(!found, "{}", entry.display());
    }
    Ok(())
}

#[test]
fn whole_revision_of_the_hub_is_fetched_and_published_again() -> Result<()> {
    let world = World::new()?;
    let model = model(&world, 134)?;
    let hub = HubServer::start(&model, Fault::None)?;
    let alice = node(&world, "alice", &hub.url(), None)?;
    let reference = format!("hf:{ID}");
    let fetched = alice.fetch(&reference)?;
    model.assert_same(&fetched.path)?;
    ensure!(fetched.revision == COMMIT && fetched.bytes_fetched == model.bytes()?);
    let sent = hub.sent();

    // Into a folder and into the cache of clients, out of the one copy that is here.
    let folder = world.join("plain");
    let to = folder.to_str().context("a plain path")?;
    for _ in 0..2 {
        let again = alice.json(&["fetch", &format!("{reference}@v1"), "--to", to])?;
        ensure!(again["bytes_fetched"] == 0, "{again}");
        model.assert_same(&folder)?;
    }
    let cache = world.join("cache");
    let mut command = program::command(alice.home(), &["fetch", &reference, "--into", "hf-cache"])?;
    let output = command.env("HF_HUB_CACHE", &cache).output()?;
    ensure!(output.status.success(), "{output:?}");
    let name = ID.replace('/', "--");
    model.assert_same(cache.join(format!("models--{name}/snapshots/{COMMIT}")))?;
    ensure!(hub.sent() == sent, "fetched again");
    // What is shown somewhere stays.
    let pruned = alice.json(&["prune", "--yes"])?;
    ensure!(pruned["bytes"] == 0, "{pruned}");
    let used = disk::usage(&[alice.home(), &folder, &cache])?;
    ensure!(used < model.bytes()? * 3 / 2, "{used}");

    // Under Alice's own signature, with its origin; Bob needs no hub for it.
    drop(hub);
    let published = alice.json(&["publish", "--from", &reference, "--name", "tiny"])?;
    let repository = published["repository"].as_str().context("a repository")?;
    let bob = world.node_knowing("bob", &alice)?;
    let fetched = bob.fetch(repository)?;
    model.assert_same(&fetched.path)?;
    let log = bob.weft(&["log", repository])?;
    ensure!(
        log.stdout.contains(COMMIT) && log.stdout.contains(ID),
        "{log:?}"
    );

    let missing = alice.weft(&["fetch", "hf:acme/nothing"])?;
    ensure!(missing.code != Some(0), "{missing:?}");
    let unset = bob.weft(&["fetch", &reference])?;
    ensure!(unset.stderr.contains("origin.hub"), "{unset:?}");
    Ok(())
}
