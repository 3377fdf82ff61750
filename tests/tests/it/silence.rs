//! A node that was told of nobody speaks to nobody.

use std::{fs, process::Command};

use anyhow::{Context as _, Result, bail, ensure};
use weft_tests::{
    Node, Options, World,
    model::MIB,
    program, sockets,
    wait::{PATIENCE, wait_for},
};

#[test]
fn node_holds_no_socket_beyond_what_was_named() -> Result<()> {
    let world = World::new()?;
    let model = world.model("m", &[("a.bin", MIB)], 60)?;
    let alice = world.node("alice", Options::default())?;
    let publication = alice.publish(&model, "m")?;
    let bob = world.node_knowing("bob", &alice)?;
    bob.fetch(&publication.reference)?;
    for node in [&alice, &bob] {
        let all = sockets::of_process(node.pid()?)?;
        ensure!(
            all.iter().any(|socket| socket.listening),
            "no socket was seen: {all:?}"
        );
        for socket in &all {
            ensure!(socket.is_local(), "`{}` holds {socket:?}", node.name());
        }
    }
    Ok(())
}

#[test]
fn node_with_default_settings_sends_nothing_to_anybody() -> Result<()> {
    // A network of its own whose only way out is a card that counts. Every default stays a default.
    const SETUP: &str = "ip link set lo up && ip link add out type dummy && ip link set out up && \
         ip addr add 10.9.8.7/24 dev out && ip route add default dev out";
    let possible = Command::new("unshare")
        .args(["-n", "sh", "-c", SETUP])
        .output();
    if !possible.is_ok_and(|output| output.status.success()) {
        weft_tests::skipped(
            "no network namespace can be made here, so outgoing packets were not counted",
        );
        return Ok(());
    }
    let world = World::new()?;
    let home = world.join("alone.home");
    let counter = world.join("packets");
    let ready = world.join("ready");
    let (home_text, ready_text) = (home.display(), ready.display());
    let counted = counter.display();
    let program = program::binary()?;
    let model = world.model("m", &[("a.bin", MIB)], 61)?;
    // Neighbour discovery of the kernel itself is no packet of ours: it is switched off.
    let script = format!(
        "{SETUP} && ip link set out arp off && echo 1 > /proc/sys/net/ipv6/conf/out/disable_ipv6; \
         \"$WEFT\" serve --no-mdns --ready-file {ready_text} & pid=$!; \
         while [ ! -e {ready_text} ]; do kill -0 $pid || exit 3; done; \
         \"$WEFT\" publish {} --name m >/dev/null || exit 4; \
         \"$WEFT\" stop || kill -TERM $pid; wait $pid; \
         cat /sys/class/net/out/statistics/tx_packets > {counted}",
        model.arg()
    );
    let output = Command::new("unshare")
        .args(["-n", "sh", "-c", &script])
        .env("WEFT", &program)
        .env("WEFT_HOME", home_text.to_string())
        .output()?;
    ensure!(output.status.success(), "{output:?}");
    let packets = fs::read_to_string(&counter).context("no count")?;
    ensure!(
        packets.trim() == "0",
        "{} packets left the machine",
        packets.trim()
    );
    Ok(())
}

#[test]
fn local_port_answers_only_this_machine_with_the_token() -> Result<()> {
    let world = World::new()?;
    let node = world.node("alice", Options::default())?;
    let path = "/weft/v1/status";
    let (status, _) = weft_tests::api::request(node.gateway(), path, &[])?;
    ensure!(status == 401 || status == 403, "without a token: {status}");
    let token = fs::read_to_string(node.home().join("control.token"))?;
    let bearer = format!("Bearer {}", token.trim());
    let with = |headers: &[(&str, &str)]| -> Result<u16> {
        let mut all = vec![("Authorization", bearer.as_str())];
        all.extend(headers);
        Ok(weft_tests::api::request(node.gateway(), path, &all)?.0)
    };
    ensure!(with(&[])? == 200);
    ensure!(
        with(&[("Host", "evil.example")])? != 200,
        "a rebound name was served"
    );
    ensure!(
        with(&[("Origin", "http://evil.example")])? != 200,
        "another site was served"
    );
    Ok(())
}

#[test]
fn two_strangers_do_not_find_each_other() -> Result<()> {
    let world = World::new()?;
    let alice = world.node("alice", Options::default())?;
    let bob = world.node("bob", Options::default())?;
    let friend = world.node_knowing("friend", &alice)?;
    friend.wait_peers(1)?;
    ensure!(peers(&bob)? == 0 && peers(&friend)? == 1);
    Ok(())
}

fn peers(node: &Node) -> Result<usize> {
    let status = wait_for("an answer", PATIENCE, || Ok(node.status().ok()))?;
    match status["peers"].as_array() {
        Some(peers) => Ok(peers.len()),
        None => bail!("`peers` is not a list: {status}"),
    }
}
