//! The hub endpoint over plain HTTP: what clients build on, header by header.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use weft_tests::{
    Node, Options, World,
    http::{self, Reply},
    model::MIB,
    node::Publication,
};

fn json(reply: &Reply) -> Result<Value> {
    serde_json::from_slice(&reply.body).with_context(|| format!("not JSON: {}", reply.text()))
}

/// Gives the publisher a short name on this node.
fn call_alice(node: &Node, publication: &Publication) -> Result<()> {
    let run = node.weft(&["alias", "alice", &publication.publisher])?;
    ensure!(run.code == Some(0), "{run:?}");
    Ok(())
}

#[test]
fn a_file_is_served_with_everything_that_clients_look_at() -> Result<()> {
    let world = World::new()?;
    let alice = world.node("alice", Options::default())?;
    let files = [
        ("w/big.bin", 12 * MIB),
        ("small.bin", 5_000),
        ("empty.txt", 0),
    ];
    let model = world.model("m", &files, 70)?;
    model.write("pct%20 é#1.txt", b"odd")?;
    let publication = alice.publish(&model, "m")?;
    call_alice(&alice, &publication)?;
    let gateway = alice.gateway();
    let commit = &publication.revision[..40];
    let big = fs::read(model.path().join("w/big.bin"))?;

    let head = http::send(gateway, "HEAD", "/alice/m/resolve/main/w/big.bin", &[], &[])?;
    ensure!(head.status == 307, "{head:?}");
    let pinned = format!("/alice/m/resolve/{commit}/w/big.bin");
    ensure!(head.header("location") == Some(&pinned), "{head:?}");
    ensure!(head.header("x-repo-commit") == Some(commit), "{head:?}");

    let head = http::send(gateway, "HEAD", &pinned, &[], &[])?;
    ensure!(head.status == 200, "{head:?}");
    let size = big.len().to_string();
    ensure!(head.header("content-length") == Some(&size), "{head:?}");
    ensure!(head.header("x-linked-size") == Some(&size), "{head:?}");
    ensure!(head.header("accept-ranges") == Some("bytes"), "{head:?}");
    let etag = head.header("etag").context("an etag")?.to_owned();
    ensure!(
        etag.len() == 66 && head.header("x-linked-etag") == Some(&etag),
        "{head:?}"
    );
    ensure!(http::get(gateway, &pinned, &[])?.body == big);

    for (range, expected, shown) in [
        ("bytes=0-0", &big[..1], format!("bytes 0-0/{size}")),
        (
            "bytes=70000-",
            &big[70_000..],
            format!("bytes 70000-{}/{size}", big.len() - 1),
        ),
        (
            "bytes=-7",
            &big[big.len() - 7..],
            format!("bytes {}-{}/{size}", big.len() - 7, big.len() - 1),
        ),
        (
            "bytes=16000-17000",
            &big[16_000..=17_000],
            format!("bytes 16000-17000/{size}"),
        ),
    ] {
        let part = http::get(gateway, &pinned, &[("Range", range)])?;
        ensure!(
            part.status == 206 && part.body == expected,
            "{range}: {}",
            part.status
        );
        ensure!(
            part.header("content-range") == Some(&shown),
            "{range}: {:?}",
            part.headers
        );
    }
    let beyond = http::get(gateway, &pinned, &[("Range", "bytes=99999999-")])?;
    ensure!(beyond.status == 416, "{beyond:?}");
    ensure!(beyond.header("content-range") == Some(format!("bytes */{size}").as_str()));
    ensure!(http::get(gateway, &pinned, &[("If-None-Match", &etag)])?.status == 304);

    let empty = http::get(
        gateway,
        "/alice/m/resolve/main/empty.txt",
        &[("Range", "bytes=0-0")],
    )?;
    ensure!(empty.status == 200 && empty.body.is_empty(), "{empty:?}");
    ensure!(
        empty.header("content-range") == Some("bytes */0"),
        "{empty:?}"
    );
    ensure!(
        empty.header("etag") == Some("\"e69de29bb2d1d6434b8b29ae775ad8c2e48c5391\""),
        "{empty:?}"
    );

    // Encoded as it should be, and as some clients send it.
    for spelling in ["pct%2520%20%C3%A9%231.txt", "pct%20%20%C3%A9%231.txt"] {
        let path = format!("/alice/m/resolve/main/{spelling}");
        let odd = http::get(gateway, &path, &[])?;
        let expected = if spelling.contains("2520") { 200 } else { 404 };
        ensure!(odd.status == expected, "{spelling}: {odd:?}");
    }

    for (path, code) in [
        ("/alice/m/resolve/main/nope", "EntryNotFound"),
        ("/alice/m/resolve/nope/small.bin", "RevisionNotFound"),
        ("/alice/nope/resolve/main/small.bin", "RepoNotFound"),
        ("/nobody/m/resolve/main/small.bin", "RepoNotFound"),
        ("/datasets/alice/m/resolve/main/small.bin", "RepoNotFound"),
        (
            "/alice/m/resolve/main/%2e%2e/%2e%2e/node.key",
            "EntryNotFound",
        ),
        ("/api/models/alice/m/tree/main/nodir", "EntryNotFound"),
        ("/api/models/alice/m/revision/zz", "RevisionNotFound"),
    ] {
        let missing = http::get(gateway, path, &[("Authorization", "Bearer hf_foreign")])?;
        ensure!(missing.status == 404, "{path}: {missing:?}");
        ensure!(
            missing.header("x-error-code") == Some(code),
            "{path}: {missing:?}"
        );
    }
    let missing = http::get(gateway, "/alice/m/resolve/main/nope", &[])?;
    ensure!(
        missing.header("x-repo-commit") == Some(commit),
        "{missing:?}"
    );
    Ok(())
}

#[test]
fn names_lists_and_pages_are_those_of_the_repository() -> Result<()> {
    let world = World::new()?;
    let alice = world.node("alice", Options::default())?;
    let model = world.model(
        "m",
        &[("a/b/c.bin", 10), ("a/d.bin", 10), ("e.bin", 10)],
        71,
    )?;
    model.write("README.md", b"---\nlicense: mit\n---\n# m\n")?;
    let first = alice.publish(&model, "m")?;
    call_alice(&alice, &first)?;
    model.write("e.bin", b"new")?;
    let second = alice.publish(&model, "m")?;
    let gateway = alice.gateway();

    for id in [
        "alice/m",
        &first.repository,
        &format!("{}/m", &first.publisher[..10]),
    ] {
        for revision in [
            "main",
            &second.revision[..40],
            &second.revision[..8],
            &second.revision,
        ] {
            let path = format!("/api/models/{id}/revision/{revision}");
            let info = json(&http::get(gateway, &path, &[])?)?;
            ensure!(info["sha"] == second.revision[..40], "{path}: {info}");
            ensure!(info["id"] == *id, "{path}: {info}");
        }
    }
    let info = json(&http::get(gateway, "/api/models/alice/m?blobs=true", &[])?)?;
    ensure!(info["cardData"]["license"] == "mit", "{info}");
    ensure!(
        info["siblings"].as_array().map(Vec::len) == Some(4),
        "{info}"
    );
    ensure!(info["siblings"][0]["size"].is_number(), "{info}");

    let old = format!("/alice/m/resolve/{}/e.bin", &first.revision[..40]);
    ensure!(http::get(gateway, &old, &[])?.body.len() == 10);

    // Page by page gives the same as all at once.
    let path = "/api/models/alice/m/tree/main?recursive=true";
    let all = json(&http::get(gateway, path, &[])?)?;
    ensure!(all.as_array().map(Vec::len) == Some(6), "{all}");
    let mut paged = Vec::new();
    let mut next = Some(format!("{path}&limit=2"));
    while let Some(path) = next {
        let page = http::get(gateway, &path, &[])?;
        paged.extend(json(&page)?.as_array().cloned().unwrap_or_default());
        let link = page
            .header("link")
            .and_then(|link| link.split(['<', '>']).nth(1));
        next = match link {
            Some(link) => Some(
                link.strip_prefix(gateway)
                    .context("the whole address")?
                    .to_owned(),
            ),
            None => None,
        };
    }
    ensure!(Value::Array(paged) == all, "pages differ from the whole");

    let commits = json(&http::get(
        gateway,
        "/api/models/alice/m/commits/main",
        &[],
    )?)?;
    ensure!(commits.as_array().map(Vec::len) == Some(2), "{commits}");
    let found = json(&http::get(
        gateway,
        "/api/models?search=M&author=alice",
        &[],
    )?)?;
    ensure!(found[0]["id"] == "alice/m", "{found}");
    ensure!(json(&http::get(gateway, "/api/datasets", &[])?)? == serde_json::json!([]));
    let harness = http::get(gateway, "/api/agent-harnesses", &[])?;
    ensure!(harness.status == 200, "{harness:?}");
    ensure!(http::get(gateway, "/api/whoami-v2", &[])?.status == 401);
    Ok(())
}

#[test]
fn only_what_is_read_is_fetched() -> Result<()> {
    let world = World::new()?;
    let alice = world.node("alice", Options::default())?;
    let files = [
        ("a.bin", 40 * MIB),
        ("b.bin", 24 * MIB),
        ("config.json", 900),
    ];
    let model = world.model("m", &files, 73)?;
    let publication = alice.publish(&model, "m")?;
    let mut bob = world.node_knowing("bob", &alice)?;
    bob.wait_peers(1)?;
    let base = format!("/{}/resolve/main", publication.repository);

    let config = http::get(bob.gateway(), &format!("{base}/config.json"), &[])?;
    ensure!(config.body.len() == 900, "{config:?}\n{}", bob.log());
    let expected = fs::read(model.path().join("a.bin"))?;
    let range = format!("bytes={}-{}", 30 * MIB, 31 * MIB);
    let part = http::get(
        bob.gateway(),
        &format!("{base}/a.bin"),
        &[("Range", &range)],
    )?;
    let (start, end) = (30 * MIB as usize, 31 * MIB as usize);
    ensure!(part.body == expected[start..=end], "{}", bob.log());
    let fetched = bob.downloaded()?;
    ensure!(fetched < 4 * MIB, "{fetched} bytes for 1 MiB");

    // It is not taken up as a whole later, either.
    bob.restart()?;
    bob.wait_peers(1)?;
    let whole = http::get(bob.gateway(), &format!("{base}/b.bin"), &[])?;
    ensure!(whole.body == fs::read(model.path().join("b.bin"))?);
    let fetched = bob.downloaded()?;
    ensure!(fetched < 26 * MIB, "{fetched} bytes for 24 MiB");

    // And a fetch of everything gets everything.
    let all = bob.fetch(&publication.reference)?;
    model.assert_same(&all.path)
}

#[test]
fn a_repository_elsewhere_is_found_and_read_while_it_is_fetched() -> Result<()> {
    let world = World::new()?;
    let alice = world.node("alice", Options::default())?;
    let model = world.model("m", &[("w.bin", 24 * MIB), ("config.json", 900)], 72)?;
    let publication = alice.publish(&model, "m")?;
    let bob = world.node_knowing("bob", &alice)?;
    bob.wait_peers(1)?;
    let gateway = bob.gateway();
    let base = format!("/{}/resolve/main", publication.repository);

    let head = http::send(gateway, "HEAD", &format!("{base}/w.bin"), &[], &[])?;
    ensure!(head.status == 307, "{head:?}\n{}", bob.log());
    // Nothing was fetched for a look at the headers.
    ensure!(
        bob.revision_state(&publication.repository, &publication.revision)?
            .is_none()
    );

    let expected = fs::read(model.path().join("w.bin"))?;
    let whole = http::get(gateway, &format!("{base}/w.bin"), &[])?;
    ensure!(whole.status == 200, "{}\n{}", whole.text(), bob.log());
    ensure!(whole.body == expected, "other bytes arrived");
    let tail = http::get(
        gateway,
        &format!("{base}/w.bin"),
        &[("Range", "bytes=-1000")],
    )?;
    ensure!(tail.body == expected[expected.len() - 1_000..]);
    let config = http::get(gateway, &format!("{base}/config.json"), &[])?;
    ensure!(config.body.len() == 900, "{config:?}");
    let nobody = format!("/{}/resolve/main/x", "a".repeat(52) + "/m");
    let nobody = http::get(gateway, &nobody, &[])?;
    ensure!(
        nobody.header("x-error-code") == Some("RepoNotFound"),
        "{nobody:?}"
    );
    Ok(())
}
