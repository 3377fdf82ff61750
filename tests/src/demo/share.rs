//! Acts one to three: publish, mirror, and a fetch from three at once that survives its publisher.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use super::stage::Stage;
use crate::{
    Job, Model, Node, Options, World,
    disk::copy_tree,
    model::{MIB, write_random},
    node::{Fetched, Publication},
    wait::PATIENCE,
    wait_for,
};

/// Added to the real model, so that there is time to pull a plug.
const PADDING: u64 = 256 * MIB;

/// Who is there after the first acts.
#[derive(Debug)]
pub(super) struct Shared {
    /// Published it.
    pub(super) publisher: Node,
    /// Hold it without anyone having asked them to fetch it.
    pub(super) mirrors: [Node; 2],
    /// Knows one address and the signed id.
    pub(super) reader: Option<Node>,
    /// What was published.
    pub(super) model: Model,
    /// Under which name, first and second revision.
    pub(super) revisions: [Publication; 2],
}

/// One node publishes; two others, told only whom to follow, come to hold what it publishes.
pub(super) fn publish_and_mirror(stage: &Stage, world: &World) -> Result<Shared> {
    stage.act("1. A publisher signs a real model");
    let model = Model::at(world.join("wren-3m"));
    let original = concat!(env!("CARGO_MANIFEST_DIR"), "/data/wren-3m");
    copy_tree(original.as_ref(), model.path())?;
    write_random(&model.path().join("padding.bin"), PADDING, "demo")?;
    stage.say(
        "wren-3m: safetensors, two GGUF files, tokenizer, card; and 256 MiB of padding, so that there is time\n\
         to pull a plug later. A first publish makes an identity; its recovery phrase is shown once.",
    );
    let publisher = world.node("publisher", Options::default())?;
    let arguments = ["publish", model.arg(), "--name", "wren-3m", "--json"];
    stage.typed(&publisher, &arguments);
    let first = publisher.publish(&model, "wren-3m")?;
    stage.say(&format!(
        "    {{ \"reference\": \"{}\", .. }}",
        first.reference
    ));
    ensure!(first.value["bytes_total"] == model.bytes()?);

    stage.act("2. Two mirrors follow the publisher and get everything by themselves");
    let mirrors = [
        world.node_knowing("mirror-1", &publisher)?,
        world.node_knowing("mirror-2", &publisher)?,
    ];
    for mirror in &mirrors {
        stage.run(mirror, &["mirror", &first.publisher])?.ok()?;
    }
    for mirror in &mirrors {
        mirror.wait_complete(&first)?;
        stage.good(&format!(
            "{} holds revision {:.12}",
            mirror.name(),
            first.revision
        ));
    }
    stage.say("The publisher publishes a second revision. Nobody tells the mirrors.");
    model.write("CHANGES.md", b"Second revision: says what changed.\n")?;
    let arguments = ["publish", model.arg(), "--name", "wren-3m", "--json"];
    stage.typed(&publisher, &arguments);
    let second = publisher.publish(&model, "wren-3m")?;
    ensure!(
        first.revision != second.revision,
        "the second revision is the first"
    );
    for mirror in &mirrors {
        mirror.wait_complete(&second)?;
        stage.good(&format!(
            "{} holds revision {:.12}",
            mirror.name(),
            second.revision
        ));
    }
    Ok(Shared {
        publisher,
        mirrors,
        reader: None,
        model,
        revisions: [first, second],
    })
}

/// A fourth node fetches from all three; in the middle the publisher dies.
pub(super) fn fetch_while_the_publisher_dies(
    stage: &Stage,
    world: &World,
    shared: &mut Shared,
) -> Result<Fetched> {
    stage.act(
        "3. A stranger fetches from all three at once, and the publisher is killed in the middle",
    );
    let publication = &shared.revisions[1];
    let reader = world.node_knowing("reader", &shared.mirrors[0])?;
    stage.say("The stranger knows one address (of mirror-1) and the signed id:");
    let arguments = ["fetch", publication.reference.as_str()];
    stage.typed(&reader, &arguments);
    let mut job = Job::start(reader.home(), &["fetch", &publication.reference, "--json"])?;

    let publisher_id = shared.publisher.id()?;
    wait_for("the middle of the download", PATIENCE, || {
        ensure!(
            job.ended()?.is_none(),
            "the download ended before the plug was pulled"
        );
        let status = reader.status()?;
        let transfer = &status["transfers"][0];
        let done = transfer["bytes_done"].as_u64().unwrap_or(0);
        let sources = transfer["sources"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        let all = sources.len() >= 3 && sources.iter().all(|source| source["bytes"] != 0);
        Ok((done >= PADDING / 4 && all).then_some(()))
    })
    .with_context(|| reader.log())?;
    let done = reader.bytes_done(&publication.revision)?;
    shared.publisher.kill()?;
    match done {
        Some(done) => stage.say(&format!(
            "    kill -9 of the publisher, with {} of {} MiB here",
            done / MIB,
            (PADDING + 12 * MIB) / MIB
        )),
        None => stage.say("    kill -9 of the publisher"),
    }

    let fetched = Fetched::read(job.finish()?.json().with_context(|| reader.log())?)?;
    shared.model.assert_same(&fetched.path)?;
    ensure!(
        fetched.revision == publication.revision,
        "another revision: {:?}",
        fetched.value
    );
    stage.good(&format!(
        "{} MiB complete and verified in {:.1} s, all files equal to the publisher's",
        fetched.bytes_total / MIB,
        fetched.value["seconds"].as_f64().unwrap_or_default()
    ));
    stage.say("    who sent how much:");
    let names = [
        ("publisher (killed)", publisher_id),
        ("mirror-1", shared.mirrors[0].id()?),
        ("mirror-2", shared.mirrors[1].id()?),
    ];
    for (name, id) in &names {
        let bytes = fetched.from(id);
        ensure!(bytes > 0, "{name} sent nothing: {:?}", fetched.sources);
        let percent = bytes as f64 * 100.0 / fetched.bytes_fetched as f64;
        let bar = "#".repeat((percent / 3.0) as usize);
        stage.say(&format!(
            "      {name:<19}{:>5.1} MiB {percent:>5.1} % {bar}",
            bytes as f64 / MIB as f64
        ));
    }
    let elsewhere: u64 = fetched.sources.iter().map(|(_, bytes)| bytes).sum();
    ensure!(
        elsewhere == fetched.bytes_fetched,
        "bytes of nobody: {:?}",
        fetched.value
    );
    stage
        .run(&reader, &["verify", &publication.reference])?
        .ok()?;
    shared.reader = Some(reader);
    Ok(fetched)
}

/// A copy of what was fetched, with one bit turned.
pub(super) fn tampered(world: &World, fetched: &Fetched) -> Result<(Model, &'static str)> {
    const FILE: &str = "model.safetensors";
    let copy = Model::at(world.join("tampered"));
    copy_tree(&fetched.path, copy.path())?;
    let mut bytes = fs::read(fetched.path.join(FILE))?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    copy.write(FILE, &bytes)?;
    Ok((copy, FILE))
}
