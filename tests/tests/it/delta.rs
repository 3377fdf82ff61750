//! A revision that shares content with one that is here moves the difference only.

use anyhow::{Result, ensure};
use serde_json::json;
use weft_tests::{
    Model, Node, Options, WebServer, World, http,
    model::MIB,
    node::{Fetched, Publication},
    safetensors::{self, Content},
    web::Manner,
};

const GROUP: u64 = 16 * 1024;
const TENSOR: u64 = MIB / 2 + 24;
/// What the network may bring besides what changed.
const SLACK: u64 = 256 * 1024;

const BASE: [Content<'static>; 10] = [
    ("a", "a", TENSOR),
    ("b", "b", TENSOR),
    ("c", "c", TENSOR),
    ("d", "d", TENSOR),
    ("e", "e", TENSOR),
    ("f", "f", TENSOR),
    ("g", "g", TENSOR),
    ("h", "h", TENSOR),
    ("i", "i", 512),
    ("j", "j", TENSOR),
];

/// Base64 without a library.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at) & 63) as usize];
            text.push(if at > three.len() {
                '='
            } else {
                char::from(digit)
            });
        }
    }
    text
}

/// One who publishes and one who holds the base.
fn two(world: &World) -> Result<(Model, Node, Node)> {
    let model = world.model("m", &[("config.json", 700)], 1)?;
    model.write("model.safetensors", &safetensors::file(&BASE, ""))?;
    let alice = world.node("alice", Options::default())?;
    let base = alice.publish(&model, "m")?;
    let bob = world.node_knowing("bob", &alice)?;
    let fetched = bob.fetch(&base.reference)?;
    ensure!(fetched.bytes_reused == 0, "{:?}", fetched.value);
    Ok((model, alice, bob))
}

/// Fetches what was published and checks that no byte is counted twice or not at all.
fn fetch(bob: &Node, model: &Model, published: &Publication) -> Result<Fetched> {
    let fetched = bob.fetch(&published.reference)?;
    model.assert_same(&fetched.path)?;
    ensure!(
        fetched.bytes_fetched + fetched.bytes_reused == fetched.bytes_total,
        "{:?}",
        fetched.value
    );
    bob.json(&["verify", &published.reference])?;
    Ok(fetched)
}

#[test]
fn fine_tune_moves_its_changed_tensor() -> Result<()> {
    let world = World::new()?;
    let (model, alice, bob) = two(&world)?;
    let mut tuned = BASE;
    tuned[4].1 = "tuned";
    model.write("model.safetensors", &safetensors::file(&tuned, ""))?;
    let fetched = fetch(&bob, &model, &alice.publish(&model, "m")?)?;
    // The header, the tensor with the groups at its ends, and what little lies around it.
    let most = TENSOR + 4 * GROUP;
    ensure!(fetched.bytes_fetched <= most, "{:?}", fetched.value);
    Ok(())
}

#[test]
fn shifted_tensors_are_found_under_other_names_and_in_other_repositories() -> Result<()> {
    let world = World::new()?;
    let (model, alice, bob) = two(&world)?;
    let mut tuned = BASE;
    tuned[2] = ("new", "new", TENSOR);
    tuned[7] = ("h", "other", TENSOR / 2);
    tuned.swap(0, 9);
    let note = "a longer header than before: every tensor lies elsewhere, and not at a multiple of anything";
    model.write(
        "weights/renamed.safetensors",
        &safetensors::file(&tuned, note),
    )?;
    std::fs::remove_file(model.path().join("model.safetensors"))?;
    let fetched = fetch(&bob, &model, &alice.publish(&model, "another")?)?;
    let changed = TENSOR + TENSOR / 2;
    let most = changed + changed / 50 + SLACK;
    ensure!(fetched.bytes_fetched <= most, "{:?}", fetched.value);
    Ok(())
}

#[test]
fn shards_of_the_same_weights_cost_their_headers() -> Result<()> {
    let world = World::new()?;
    let (model, alice, bob) = two(&world)?;
    std::fs::remove_file(model.path().join("model.safetensors"))?;
    for (n, tensors) in BASE.chunks(4).enumerate() {
        let name = format!("model-{n}-of-3.safetensors");
        model.write(&name, &safetensors::file(tensors, "shard"))?;
    }
    model.write("model.safetensors.index.json", &[b' '; 3_000])?;
    let fetched = fetch(&bob, &model, &alice.publish(&model, "m")?)?;
    ensure!(
        fetched.bytes_fetched <= 3 * 2 * GROUP + 3_000,
        "{:?}",
        fetched.value
    );
    Ok(())
}

#[test]
fn lying_index_costs_nothing_but_the_way_without_one() -> Result<()> {
    let world = World::new()?;
    let (model, mut alice, bob) = two(&world)?;
    let mut tuned = BASE;
    for (_, label, _) in &mut tuned {
        if !matches!(*label, "a" | "b") {
            *label = "x";
        }
    }
    model.write("model.safetensors", &safetensors::file(&tuned, ""))?;
    let honest = alice.publish(&model, "m")?;
    alice.stop()?;
    let twin = weft_tests::forge::plant_index(alice.home(), &honest.repository, |tensors| {
        let hash_of = |label: &str| {
            let mut content = vec![0; TENSOR as usize];
            let mut stream = blake3::Hasher::new();
            stream
                .update(label.as_bytes())
                .finalize_xof()
                .fill(&mut content);
            weft_protocol::id::ObjectId::new(*blake3::hash(&content).as_bytes())
        };
        // Here they lie the other way round, and nothing of what they are said to be is in the others.
        tensors[0].blake3 = hash_of("b");
        tensors[1].blake3 = hash_of("a");
        for (tensor, label) in tensors.iter_mut().skip(2).zip(["c", "d", "e", "f", "g"]) {
            tensor.blake3 = hash_of(label);
        }
        // One inside another.
        tensors[4].offset -= TENSOR / 2;
    })?;
    alice.start()?;
    let mut bob = bob;
    bob.options_mut().bootstrap = vec![alice.address()?];
    bob.restart()?;
    bob.wait_peers(1)?;
    let fetched = bob.fetch(&honest.repository)?;
    ensure!(fetched.revision == twin, "{:?}", fetched.value);
    model.assert_same(&fetched.path)?;
    let weights = model.path().join("model.safetensors").metadata()?.len();
    ensure!(fetched.bytes_fetched == weights, "{:?}", fetched.value);
    Ok(())
}

#[test]
fn source_damaged_on_this_disk_is_replaced_by_the_network() -> Result<()> {
    let world = World::new()?;
    let (model, alice, bob) = two(&world)?;
    let view = bob
        .fetch(&format!("{}@main", alice.publish(&model, "m")?.repository))?
        .path;
    let path = view.join("model.safetensors");
    let mut bytes = std::fs::read(&path)?;
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    // Through the view, which is the store's own file.
    let mut permissions = path.metadata()?.permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o644);
    std::fs::set_permissions(&path, permissions)?;
    std::fs::write(&path, &bytes)?;
    let mut tuned = BASE;
    tuned[0].1 = "tuned";
    let another = world.model("n", &[("config.json", 700)], 1)?;
    another.write("model.safetensors", &safetensors::file(&tuned, ""))?;
    let fetched = fetch(&bob, &another, &alice.publish(&another, "n")?)?;
    ensure!(fetched.bytes_reused > TENSOR, "{:?}", fetched.value);
    Ok(())
}

#[test]
fn uploads_of_hub_clients_move_the_difference_and_are_kept_once() -> Result<()> {
    let world = World::new()?;
    let (mut alice, token) = super::hub_writes::writer(&world)?;
    let create = json!({ "name": "m", "organization": "alice" }).to_string();
    let call = |node: &Node, path: &str, body: &str| {
        let reply = super::hub_writes::send(node, "POST", path, &token, body)?;
        super::hub_writes::done(&reply)
    };
    call(&alice, "/api/repos/create", &create)?;
    let model = world.model("m", &[("config.json", 700)], 1)?;
    let upload = |node: &Node, tensors: &[Content<'_>]| -> Result<()> {
        let weights = safetensors::file(tensors, "");
        model.write("model.safetensors", &weights)?;
        let config = std::fs::read(model.path().join("config.json"))?;
        let file = |path: &str, bytes: &[u8]| {
            let value = json!({ "path": path, "content": base64(bytes), "encoding": "base64" });
            json!({ "key": "file", "value": value })
        };
        let lines = [
            super::hub_writes::header("upload"),
            file("config.json", &config),
            file("model.safetensors", &weights),
        ];
        let body = super::hub_writes::commit(&lines);
        call(node, "/api/models/alice/m/commit/main", &body)?;
        let left = std::fs::read_dir(node.home().join("uploads"))?.count();
        ensure!(left == 0, "{left} uploads stayed behind");
        Ok(())
    };
    upload(&alice, &BASE)?;
    let publisher = alice.json(&["id", "show"])?["identities"][0]["publisher"].clone();
    let repository = format!("weft:{}/m", publisher.as_str().unwrap());
    let bob = world.node_knowing("bob", &alice)?;
    model.assert_same(&bob.fetch(&repository)?.path)?;

    let mut tuned = BASE;
    tuned[4].1 = "tuned";
    upload(&alice, &tuned)?;
    alice.restart()?;
    let mut bob = bob;
    bob.options_mut().bootstrap = vec![alice.address()?];
    bob.restart()?;
    bob.wait_peers(1)?;
    let fetched = bob.fetch(&repository)?;
    model.assert_same(&fetched.path)?;
    ensure!(
        fetched.bytes_fetched <= TENSOR + 4 * GROUP,
        "{:?}",
        fetched.value
    );
    Ok(())
}

#[test]
fn web_server_that_knows_no_hashes_sends_what_changed() -> Result<()> {
    let world = World::new()?;
    let (model, mut alice, mut bob) = two(&world)?;
    let mut tuned = BASE;
    tuned[4].1 = "tuned";
    model.write("model.safetensors", &safetensors::file(&tuned, ""))?;
    let published = alice.publish(&model, "m")?;
    // She tells what she has published, and lies when asked for it.
    alice.stop()?;
    let lie = ("WEFT_TEST_FAULT".to_owned(), "size".to_owned());
    alice.options_mut().environment.push(lie);
    alice.start()?;
    bob.options_mut().bootstrap = vec![alice.address()?];
    bob.restart()?;
    bob.wait_peers(1)?;
    let server = WebServer::start(model.path(), Manner::Honest)?;
    let arguments = ["fetch", &published.reference, "--web-seed", &server.url()];
    let fetched = Fetched::read(bob.json(&arguments)?)?;
    model.assert_same(&fetched.path)?;
    // Whole spans with the header and the changed tensor.
    let most = TENSOR + 4 * SLACK;
    ensure!(server.sent() <= most, "{} bytes", server.sent());
    let reused = fetched.bytes_reused;
    ensure!(reused >= fetched.bytes_total - most, "{:?}", fetched.value);
    Ok(())
}

#[test]
fn reading_through_the_local_endpoint_moves_the_difference() -> Result<()> {
    let world = World::new()?;
    let (model, alice, bob) = two(&world)?;
    let mut tuned = BASE;
    tuned[4].1 = "tuned";
    model.write("model.safetensors", &safetensors::file(&tuned, ""))?;
    let published = alice.publish(&model, "m")?;
    let before = bob.downloaded()?;
    let path = format!(
        "/{}/m/resolve/{}/model.safetensors",
        published.publisher,
        &published.revision[..40]
    );
    let reply = http::get(bob.gateway(), &path, &[])?;
    ensure!(reply.status == 200, "{}", reply.text());
    let weights = std::fs::read(model.path().join("model.safetensors"))?;
    ensure!(reply.body == weights, "{} bytes", reply.body.len());
    let moved = bob.downloaded()? - before;
    ensure!(moved <= TENSOR + 4 * GROUP, "{moved} bytes");
    Ok(())
}

/// Rows of a dataset that nobody could guess.
fn rows(range: std::ops::Range<u64>) -> Vec<u8> {
    let mut text = Vec::new();
    for row in range {
        let digest = blake3::hash(&row.to_le_bytes());
        text.extend(format!("{{\"row\":{row},\"text\":\"{digest}\"}}\n").bytes());
    }
    text
}

#[test]
fn rows_put_into_a_dataset_move_alone() -> Result<()> {
    let world = World::new()?;
    let data = world.model("d", &[("README.md", 300)], 1)?;
    data.write("train.jsonl", &rows(0..40_000))?;
    let alice = world.node("alice", Options::default())?;
    let base = alice.publish(&data, "d")?;
    let bob = world.node_knowing("bob", &alice)?;
    bob.fetch(&base.reference)?;

    let new = [rows(0..7_001), rows(90_000..90_010), rows(7_001..41_000)].concat();
    data.write("train.jsonl", &new)?;
    let changed = alice.publish(&data, "d")?;
    let fetched = fetch(&bob, &data, &changed)?;
    // Two chunks at most around each place, with the groups at their ends.
    ensure!(fetched.bytes_fetched <= 768 * 1024, "{:?}", fetched.value);
    ensure!(new.len() as u64 > 3 * MIB, "{}", new.len());

    // Nothing has changed since.
    let again = alice.publish(&data, "d")?;
    ensure!(again.reference == changed.reference, "{again:?}");
    Ok(())
}
