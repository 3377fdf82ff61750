//! Writing through the hub endpoint over plain HTTP: who may, what becomes of it, and what a crash leaves.

use std::{fs, io::Write as _, net::TcpStream};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use weft_tests::{
    Node, Options, World,
    http::{self, Reply},
    node,
};

/// A node with an identity called `alice`, and the token that lets hub clients write.
pub(crate) fn writer(world: &World) -> Result<(Node, String)> {
    let node = world.node("alice", Options::default())?;
    let made = node.json(&["id", "new", "--alias", "alice"])?;
    ensure!(made.to_string().contains("alice"), "{made}");
    let token = node::text(&node.json(&["env", "--hf"])?, "HF_TOKEN")?;
    Ok((node, token))
}

pub(crate) fn send(
    node: &Node,
    method: &str,
    path: &str,
    token: &str,
    body: &str,
) -> Result<Reply> {
    let bearer = format!("Bearer {token}");
    let headers = [
        ("Authorization", bearer.as_str()),
        ("Content-Type", "application/json"),
    ];
    http::send(node.gateway(), method, path, &headers, body.as_bytes())
}

pub(crate) fn done(reply: &Reply) -> Result<Value> {
    ensure!(reply.status == 200, "{}: {}", reply.status, reply.text());
    Ok(serde_json::from_slice(&reply.body).unwrap_or_default())
}

pub(crate) fn commit(lines: &[Value]) -> String {
    let lines = lines.iter().map(|line| format!("{line}\n"));
    lines.collect()
}

pub(crate) fn header(summary: &str) -> Value {
    json!({ "key": "header", "value": { "summary": summary, "description": "" } })
}

/// `hi there` in base64.
fn file(path: &str) -> Value {
    let value = json!({ "path": path, "content": "aGkgdGhlcmU=", "encoding": "base64" });
    json!({ "key": "file", "value": value })
}

#[test]
fn nothing_is_written_without_the_token() -> Result<()> {
    let world = World::new()?;
    let (alice, token) = writer(&world)?;
    let create = json!({ "name": "m", "organization": "alice" }).to_string();
    done(&send(&alice, "POST", "/api/repos/create", &token, &create)?)?;
    let body = commit(&[header("first"), file("a.txt")]);
    done(&send(
        &alice,
        "POST",
        "/api/models/alice/m/commit/main",
        &token,
        &body,
    )?)?;
    let state = |node: &Node| -> Result<String> {
        let models = http::get(node.gateway(), "/api/models?full=true", &[])?;
        let refs = http::get(node.gateway(), "/api/models/alice/m/refs", &[])?;
        Ok(models.text() + &refs.text())
    };
    let before = state(&alice)?;
    let other = json!({ "name": "n", "organization": "alice" }).to_string();
    for (method, path, body) in [
        ("POST", "/api/repos/create", other.as_str()),
        ("DELETE", "/api/repos/delete", create.as_str()),
        ("POST", "/api/repos/move", "{}"),
        ("POST", "/api/models/alice/m/commit/main", body.as_str()),
        (
            "POST",
            "/api/models/alice/m/preupload/main",
            r#"{"files":[]}"#,
        ),
        ("POST", "/api/models/alice/m/branch/b", "{}"),
        ("DELETE", "/api/models/alice/m/branch/b", ""),
        ("POST", "/api/models/alice/m/tag/main", r#"{"tag":"t"}"#),
        ("DELETE", "/api/models/alice/m/tag/t", ""),
        ("PUT", "/api/models/alice/m/settings", "{}"),
        ("POST", "/alice/m.git/info/lfs/objects/batch", "{}"),
    ] {
        for wrong in ["", "hf_somebodyelsestokensomebodyelsestoken"] {
            let reply = send(&alice, method, path, wrong, body)?;
            ensure!(reply.status == 401, "{method} {path}: {reply:?}");
        }
    }
    let forged = format!("/uploads/lfs/{}/3/{}", "a".repeat(64), "0".repeat(64));
    ensure!(send(&alice, "PUT", &forged, &token, "abc")?.status == 403);
    ensure!(state(&alice)? == before, "something was changed");
    // The token for repositories does not open the control API.
    ensure!(send(&alice, "POST", "/weft/v1/shutdown", &token, "{}")?.status == 403);
    Ok(())
}

#[test]
fn commits_branches_and_tags_are_signed_revisions_that_others_fetch() -> Result<()> {
    let world = World::new()?;
    let (alice, token) = writer(&world)?;
    let call = |method: &str, path: &str, body: &str| send(&alice, method, path, &token, body);
    let create = json!({ "name": "d", "organization": "alice", "type": "dataset" }).to_string();
    done(&call("POST", "/api/repos/create", &create)?)?;
    let again = call("POST", "/api/repos/create", &create)?;
    ensure!(
        again.status == 409 && again.text().contains("/datasets/alice/d"),
        "{again:?}"
    );
    let base = "/api/datasets/alice/d";
    ensure!(http::get(alice.gateway(), base, &[])?.status == 200);

    let lines = [
        header("first"),
        file("a.txt"),
        file("f/b.txt"),
        file("f/c.txt"),
    ];
    let first = done(&call(
        "POST",
        &format!("{base}/commit/main"),
        &commit(&lines),
    )?)?;
    let first = node::text(&first, "commitOid")?;
    done(&call(
        "POST",
        &format!("{base}/tag/main"),
        r#"{"tag":"v1"}"#,
    )?)?;
    ensure!(call("POST", &format!("{base}/tag/main"), r#"{"tag":"v1"}"#)?.status == 409);
    done(&call("POST", &format!("{base}/branch/x%2Fy"), "{}")?)?;
    let folder = json!({ "key": "deletedFolder", "value": { "path": "f/" } });
    let lines = [header("second"), folder, file("f/new.txt")];
    done(&call(
        "POST",
        &format!("{base}/commit/x%2Fy"),
        &commit(&lines),
    )?)?;
    let stale = json!({ "summary": "s", "parentCommit": "0".repeat(40) });
    let stale = commit(&[json!({ "key": "header", "value": stale }), file("z")]);
    ensure!(call("POST", &format!("{base}/commit/main"), &stale)?.status == 412);
    let lines = [header("bad"), file("../up.txt")];
    ensure!(call("POST", &format!("{base}/commit/main"), &commit(&lines))?.status == 400);
    let missing = json!({ "path": "w.bin", "algo": "sha256", "oid": "b".repeat(64), "size": 1 });
    let lines = [header("bad"), json!({ "key": "lfsFile", "value": missing })];
    ensure!(call("POST", &format!("{base}/commit/main"), &commit(&lines))?.status == 400);

    let id = node::text(&alice.json(&["id", "show"])?["identities"][0], "publisher")?;
    let bob = world.node_knowing("bob", &alice)?;
    bob.wait_peers(1)?;
    let at = |revision: &str| -> Result<Vec<String>> {
        let path = format!("/api/datasets/{id}/d/revision/{revision}");
        let info = done(&http::get(bob.gateway(), &path, &[])?)
            .with_context(|| format!("{path}\n{}", bob.log()))?;
        let files = info["siblings"].as_array().context("siblings")?;
        let names = files.iter().filter_map(|file| file["rfilename"].as_str());
        Ok(names.map(str::to_owned).collect())
    };
    ensure!(at("main")? == ["a.txt", "f/b.txt", "f/c.txt"]);
    ensure!(at(&first)? == at("v1")?);
    ensure!(at("x%2Fy")? == ["a.txt", "f/new.txt"]);
    let path = format!("/datasets/{id}/d/resolve/x%2Fy/f/new.txt");
    ensure!(
        http::get(bob.gateway(), &path, &[])?.text() == "hi there",
        "{}",
        bob.log()
    );
    let fetched = bob.fetch(&format!("weft:{id}/d@x%2Fy"))?;
    ensure!(fs::read_to_string(fetched.path.join("f/new.txt"))? == "hi there");

    done(&call("DELETE", "/api/repos/delete", &create)?)?;
    ensure!(http::get(alice.gateway(), base, &[])?.status == 404);
    done(&call("POST", "/api/repos/create", &create)?)?;
    let empty = done(&http::get(
        alice.gateway(),
        &format!("{base}/tree/main"),
        &[],
    )?)?;
    ensure!(empty == json!([]), "{empty}");
    Ok(())
}

#[test]
fn a_killed_upload_publishes_nothing_and_is_taken_up_again() -> Result<()> {
    let world = World::new()?;
    let (mut alice, token) = writer(&world)?;
    let create = json!({ "name": "m", "organization": "alice" }).to_string();
    done(&send(&alice, "POST", "/api/repos/create", &token, &create)?)?;
    // Two large files: one arrives whole, the other is cut off by the kill.
    let batch = |node: &Node| -> Result<Vec<Option<String>>> {
        let objects: Vec<_> = [("abc", 3), ("hello", 5)]
            .iter()
            .map(|(text, size)| json!({ "oid": sha256(text), "size": size }))
            .collect();
        let body = json!({ "operation": "upload", "transfers": ["basic"], "objects": objects });
        let path = "/alice/m.git/info/lfs/objects/batch";
        let answer = done(&send(node, "POST", path, &token, &body.to_string())?)?;
        let objects = answer["objects"].as_array().context("objects")?;
        let href = |object: &Value| {
            let href = object["actions"]["upload"]["href"].as_str()?;
            Some(href.strip_prefix(node.gateway())?.to_owned())
        };
        Ok(objects.iter().map(href).collect())
    };
    let wanted = batch(&alice)?;
    let [Some(first), Some(second)] = wanted.as_slice() else {
        anyhow::bail!("both are wanted: {wanted:?}");
    };
    // Without the token: the address is the permission.
    ensure!(http::send(alice.gateway(), "PUT", first, &[], b"abd")?.status == 400);
    ensure!(http::send(alice.gateway(), "PUT", first, &[], b"abc")?.status == 200);
    let address = alice.gateway().trim_start_matches("http://").to_owned();
    let mut cut = TcpStream::connect(&address)?;
    let head = format!("PUT {second} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 5\r\n\r\nhel");
    cut.write_all(head.as_bytes())?;
    alice.kill()?;
    alice.start()?;

    let tree = http::get(alice.gateway(), "/api/models/alice/m/tree/main", &[])?;
    ensure!(done(&tree)? == json!([]), "{tree:?}");
    let wanted = batch(&alice)?;
    let [None, Some(second)] = wanted.as_slice() else {
        anyhow::bail!("only the second is wanted: {wanted:?}");
    };
    ensure!(http::send(alice.gateway(), "PUT", second, &[], b"hello")?.status == 200);
    let large = |path: &str, text: &str| {
        let value = json!({ "path": path, "algo": "sha256", "oid": sha256(text), "size": 0 });
        json!({ "key": "lfsFile", "value": value })
    };
    let body = commit(&[
        header("both"),
        large("a.bin", "abc"),
        large("b.bin", "hello"),
    ]);
    done(&send(
        &alice,
        "POST",
        "/api/models/alice/m/commit/main",
        &token,
        &body,
    )?)?;
    for (path, text) in [("a.bin", "abc"), ("b.bin", "hello")] {
        let path = format!("/alice/m/resolve/main/{path}");
        ensure!(http::get(alice.gateway(), &path, &[])?.text() == text);
    }
    Ok(())
}

fn sha256(text: &str) -> &'static str {
    match text {
        "abc" => "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        _ => "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
    }
}
