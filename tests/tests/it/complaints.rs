//! Hosts that cheat: they are found out without anybody asking for it, complained about, and not asked again.

use anyhow::{Context as _, Result, ensure};
use data_encoding::BASE64;
use serde_json::Value;
use weft_protocol::{
    infer::{
        Complaint,
        receipt::{Fault, Kept},
    },
    sign::NetworkId,
    wire,
};
use weft_tests::{Node, Options, World, wait::PATIENCE, wait_for};

use crate::peers::{ask, question, traffic, wren};

/// Alice is honest, Mallory cheats, and Carol, who has nothing of the model, asks. At the beginning Alice refuses her, so that
/// Mallory is asked: also when Alice answers again, as one that failed lately.
struct Court {
    alice: Node,
    mallory: Node,
    carol: Node,
    reference: String,
    _world: World,
}

/// A node that cheats.
fn cheat(world: &World, name: &str, fault: &str, other: &Node) -> Result<Node> {
    let mut options = Options::knowing(other)?;
    let variable = ("WEFT_TEST_FAULT".to_owned(), fault.to_owned());
    options.environment.push(variable);
    world.node(name, options)
}

/// Lets a node host a model for nobody else.
fn only_itself(node: &Node, reference: &str) -> Result<()> {
    node.weft(&["host", reference, "--to", &node.id()?])?.ok()?;
    Ok(())
}

/// A node that has so large a part of all receipts checked without being asked for.
fn suspicious(world: &World, rate: &str, other: &Node) -> Result<Node> {
    let mut node = world.idle_node("carol", Options::knowing(other)?);
    node.weft(&["config", "set", "infer.audit_rate", rate])?
        .ok()?;
    node.start()?;
    Ok(node)
}

impl Court {
    fn new(fault: &str) -> Result<Self> {
        let world = World::new()?;
        let alice = world.node("alice", Options::default())?;
        let reference = alice.publish(&wren(&world)?, "wren")?.reference;
        alice.weft(&["host", &reference])?.ok()?;
        let mallory = cheat(&world, "mallory", fault, &alice)?;
        mallory.fetch(&reference)?;
        // Both are announced before Carol looks; at first Mallory refuses her, and then Alice does.
        only_itself(&mallory, &reference)?;
        let carol = suspicious(&world, "1", &alice)?;
        let court = Self {
            alice,
            mallory,
            carol,
            reference,
            _world: world,
        };
        assert_eq!(court.ask()?, (court.alice.id()?, true));
        only_itself(&court.alice, &court.reference)?;
        court.mallory.weft(&["host", &court.reference])?.ok()?;
        Ok(court)
    }

    /// Alice answers everybody again.
    fn open(&self) -> Result<()> {
        self.alice.weft(&["host", &self.reference])?.ok()?;
        Ok(())
    }

    fn answer(&self) -> Result<crate::peers::Answer> {
        ask(&self.carol, &question(&self.reference, 40)).with_context(|| self.carol.log())
    }

    /// Who answers Carol, and whether with a receipt.
    fn ask(&self) -> Result<(String, bool)> {
        let mut answer = self.answer()?;
        let host = answer.hosts.pop().context("a host")?;
        Ok((host, answer.receipt.is_some()))
    }

    /// What an audit that nobody asked for said about a receipt: nothing if it was in vain.
    fn checked(&self, receipt: &str) -> Result<Option<bool>> {
        wait_for("the end of an audit", PATIENCE, || {
            let log = self.carol.whole_log()?;
            let in_vain =
                |line: &str| line.contains("could not be checked") && line.contains(&receipt[..10]);
            let is_in_vain = log.lines().any(in_vain);
            let holds = self.receipt(receipt)?["agrees"].as_bool();
            Ok((is_in_vain || holds.is_some()).then_some(holds))
        })
        .with_context(|| self.carol.log())
    }

    fn receipt(&self, receipt: &str) -> Result<Value> {
        let mut found = self.carol.json(&["receipts", receipt])?;
        Ok(found["receipts"][0].take())
    }

    fn kept(&self, receipt: &str) -> Result<Kept> {
        let view = self.receipt(receipt)?;
        let content = view["content"].as_str().context("its content")?;
        Ok(wire::decode(&BASE64.decode(content.as_bytes())?)?)
    }
}

#[test]
fn a_host_that_signs_what_is_not_true_is_found_out_and_not_asked_again() -> Result<()> {
    let mut court = Court::new("logits")?;
    let ids = [&court.alice, &court.mallory, &court.carol].map(Node::id);
    let [alice, mallory, carol] = ids.map(|id| id.expect("it runs"));

    // Nobody can check the first one, as long as Alice refuses.
    let first = court.answer()?;
    assert_eq!(first.hosts, [&*mallory]);
    let first = first.receipt.context("a receipt")?;
    assert_eq!(court.checked(&first)?, None);
    court.open()?;
    // Whom she refused just now she may keep waiting for a moment.
    let told = wait_for("an audit that tells", PATIENCE, || {
        let answer = court.answer()?;
        // Alice may be quicker on a busy machine.
        if answer.hosts != [&*mallory] {
            return Ok(None);
        }
        let receipt = answer.receipt.context("a receipt")?;
        let holds = court.checked(&receipt)?;
        Ok(holds.map(|holds| (receipt, holds)))
    });
    let (told, holds) = told.with_context(|| court.carol.log())?;
    ensure!(!holds, "it was found to hold");

    let listed = court.carol.weft(&["receipts"])?.ok()?.stdout;
    let line = listed.lines().find(|line| line.starts_with(&told[..16]));
    ensure!(
        line.is_some_and(|line| line.contains("does not hold")),
        "{listed}"
    );
    let complaint = court.kept(&told)?.complaint.context("a complaint")?;
    let complaint = Complaint::open(NetworkId::MAIN, &complaint)?;
    let names =
        [&complaint.complainant, &complaint.node, &complaint.auditor].map(ToString::to_string);
    assert_eq!(names, [carol, mallory.clone(), alice.clone()]);
    assert_eq!(complaint.receipt.to_string(), told);
    assert_eq!(complaint.fault, Fault::Logits);

    // The same for who asks, of the one that nobody could check before.
    let audit = court.carol.weft(&["audit", &first, "--peer"])?;
    let audit = audit.refused(4, "does not hold")?;
    for word in ["differs", "other weights", &alice, &mallory] {
        ensure!(
            audit.stdout.contains(word),
            "no word of `{word}`: {audit:#?}"
        );
    }
    ensure!(court.kept(&first)?.complaint.is_some(), "no complaint");

    // Not asked while another is there, nor alone, nor after a new start.
    for _ in 0..2 {
        assert_eq!(court.ask()?, (alice.clone(), true));
    }
    let asked = traffic(&court.mallory, "answered")?;
    court.alice.weft(&["unhost", &court.reference])?.ok()?;
    court.carol.restart()?;
    ensure!(court.ask().is_err(), "an accused host answered");
    assert_eq!(traffic(&court.carol, "questions_sent")?, 0);
    assert_eq!(traffic(&court.mallory, "answered")?, asked);

    // Of an honest one the same audit has nothing to say.
    court.open()?;
    court.carol.fetch(&court.reference)?;
    let honest = court.answer()?;
    assert_eq!(honest.hosts, [alice]);
    let honest = honest.receipt.context("a receipt")?;
    assert_eq!(court.checked(&honest)?, Some(true));
    ensure!(court.kept(&honest)?.complaint.is_none(), "a complaint");
    Ok(())
}

#[test]
fn a_host_that_signs_nothing_or_something_else_is_asked_after_others() -> Result<()> {
    for fault in ["unsigned", "unstarted", "forged"] {
        let court = Court::new(fault)?;
        let line = [
            "run",
            &court.reference,
            "Once",
            "--peer",
            "--max-tokens",
            "3",
        ];
        let run = |flag: &str| court.carol.weft(&[&[flag], &line[..]].concat())?.ok();
        let (mallory, alice) = (court.mallory.id()?, court.alice.id()?);
        // While there is no other it answers, and the user is told each time.
        for flag in ["--json", "--quiet"] {
            let told = run(flag)?;
            ensure!(
                told.stderr.contains("warning: no valid receipt"),
                "{told:#?}"
            );
            if flag == "--json" {
                let answer = told.json()?;
                ensure!(
                    answer["receipt"].is_null() && answer["host"] == *mallory,
                    "{answer}"
                );
                ensure!(answer["no_receipt"].is_string(), "{answer}");
            }
        }
        court.open()?;
        // Whom she refused just now she may keep waiting for a moment; after that it is she who is asked.
        let honest = wait_for("Alice to be asked", PATIENCE, || {
            let run = run("--json")?;
            let answer = run.clone().json()?;
            Ok((answer["host"] == *alice).then_some((run, answer)))
        });
        let (run, answer) = honest.with_context(|| fault)?;
        ensure!(!run.stderr.contains("warning"), "{run:#?}");
        ensure!(
            answer["receipt"].is_string() && answer["no_receipt"].is_null(),
            "{answer}"
        );
    }
    Ok(())
}

#[test]
fn a_host_that_chooses_its_receipts_id_escapes_no_audit() -> Result<()> {
    let world = World::new()?;
    let alice = world.node("alice", Options::default())?;
    let reference = alice.publish(&wren(&world)?, "wren")?.reference;
    let hosts = [
        cheat(&world, "bob", "chosen", &alice)?,
        cheat(&world, "mallory", "chosen", &alice)?,
    ];
    for host in &hosts {
        host.fetch(&reference)?;
        host.weft(&["host", &reference])?.ok()?;
    }
    // One of a thousand is looked at by nobody, and would be this one each time.
    let carol = suspicious(&world, "0.999", &hosts[0])?;
    wait_for("any receipt to be checked", PATIENCE, || {
        ask(&carol, &question(&reference, 5))?;
        let receipts = carol.json(&["receipts"])?;
        let receipts = receipts["receipts"].as_array().context("a list")?;
        let held = receipts.iter().any(|receipt| receipt["agrees"] == true);
        Ok(held.then_some(()))
    })
    .with_context(|| carol.log())
}
