//! Uploads in chunks: what is put together is what was sent, and only for who may write.

use anyhow::{Context as _, Result, ensure};
use data_encoding::HEXLOWER;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use weft_tests::{Node, World, http, node};

use crate::hub_writes::{commit, done, header, send, writer};

/// A name for a bundle; what it is does not matter to the node.
const XORB: [u8; 32] = [0x5a; 32];

/// A bundle of plain chunks.
fn xorb(chunks: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in chunks {
        let len = u32::try_from(chunk.len()).unwrap().to_le_bytes();
        bytes.extend([0, len[0], len[1], len[2], 0, len[0], len[1], len[2]]);
        bytes.extend(*chunk);
    }
    bytes
}

/// A list of one file, made of all chunks of [`XORB`].
fn shard(sha256: &[u8; 32], len: usize, chunks: u32) -> Vec<u8> {
    let mut bytes = b"HFRepoMetaData".to_vec();
    bytes.resize(48, 0);
    let mut put = |hash: [u8; 32], numbers: [u32; 4]| {
        bytes.extend(hash);
        bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    };
    put([1; 32], [1 << 30, 1, 0, 0]);
    put(XORB, [0, u32::try_from(len).unwrap(), 0, chunks]);
    let mut words = *sha256;
    words.chunks_exact_mut(8).for_each(<[u8]>::reverse);
    put(words, [0; 4]);
    put([0xff; 32], [0; 4]);
    bytes
}

fn post(node: &Node, path: &str, token: &str, body: &[u8]) -> Result<http::Reply> {
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str())];
    http::send(node.gateway(), "POST", path, &headers, body)
}

#[test]
fn chunks_become_the_file_that_was_promised_and_nothing_else() -> Result<()> {
    let world = World::new()?;
    let (alice, token) = writer(&world)?;
    let create = json!({ "name": "m", "organization": "alice" }).to_string();
    done(&send(&alice, "POST", "/api/repos/create", &token, &create)?)?;

    // Only who may write gets a token for chunks, and no other token does.
    let ask = "/api/models/alice/m/xet-write-token/main";
    ensure!(http::get(alice.gateway(), ask, &[])?.status == 401);
    let given = done(&send(&alice, "GET", ask, &token, "")?)?;
    let pass = node::text(&given, "accessToken")?;
    let sends = format!("/v1/xorbs/default/{}", HEXLOWER.encode(&XORB));
    let (first, second) = (vec![b'a'; 100_000], b"and the rest".to_vec());
    let bundle = xorb(&[&first, &second]);
    let late = format!("1.{}", pass.split_once('.').context("two parts")?.1);
    for wrong in ["", "hf_foreign", &token, &late] {
        ensure!(
            post(&alice, &sends, wrong, &bundle)?.status == 401,
            "{wrong}"
        );
        ensure!(
            post(&alice, "/v2/shards", wrong, b"")?.status == 401,
            "{wrong}"
        );
    }

    let whole = [first, second].concat();
    let sha256: [u8; 32] = Sha256::digest(&whole).into();
    let list = shard(&sha256, whole.len(), 2);
    // Before its chunks are here, a file cannot be.
    let early = post(&alice, "/v2/shards", &pass, &list)?;
    ensure!(
        early.text().contains("not here any more"),
        "{}",
        early.text()
    );
    ensure!(post(&alice, &sends, &pass, &bundle[1..])?.status == 400);
    ensure!(post(&alice, "/v1/xorbs/default/..%2Fx", &pass, &bundle)?.status == 404);
    done(&post(&alice, &sends, &pass, &bundle)?)?;
    let wrong = post(
        &alice,
        "/v2/shards",
        &pass,
        &shard(&[7; 32], whole.len(), 2),
    )?;
    ensure!(wrong.text().contains("\"error\""), "{}", wrong.text());
    let made = post(&alice, "/v2/shards", &pass, &list)?;
    ensure!(
        made.text().trim() == r#"{"type":"result"}"#,
        "{}",
        made.text()
    );

    let oid = HEXLOWER.encode(&sha256);
    let value = json!({ "path": "w.bin", "algo": "sha256", "oid": oid, "size": whole.len() });
    let body = commit(&[
        header("in chunks"),
        json!({ "key": "lfsFile", "value": value }),
    ]);
    done(&send(
        &alice,
        "POST",
        "/api/models/alice/m/commit/main",
        &token,
        &body,
    )?)?;
    let got = http::get(alice.gateway(), "/alice/m/resolve/main/w.bin", &[])?;
    ensure!(got.body == whole, "other bytes");
    Ok(())
}
