//! A web server as one more source of a fetch.

use anyhow::{Context as _, Result, ensure};
use weft_tests::{
    Node, Options, WebServer, World,
    model::MIB,
    node::{Fetched, Publication},
    web::Manner,
};

fn fetch(node: &Node, publication: &Publication, server: &WebServer) -> Result<Fetched> {
    let arguments = ["fetch", &publication.reference, "--web-seed", &server.url()];
    let value = node.json(&arguments).with_context(|| node.log())?;
    Fetched::read(value)
}

#[test]
fn web_server_gives_what_the_only_peer_does_not() -> Result<()> {
    let world = World::new()?;
    let files = [("weights.bin", 40 * MIB + 5), ("more/config.json", 3_000)];
    let model = world.model("m", &files, 110)?;
    // She tells what she has published, and sends wrong bytes of it.
    let mut alice = world.node("alice", Options::default())?;
    let publication = alice.publish(&model, "m")?;
    alice.stop()?;
    let lie = ("WEFT_TEST_FAULT".to_owned(), "flip".to_owned());
    alice.options_mut().environment.push(lie);
    alice.start()?;

    let bob = world.node_knowing("bob", &alice)?;
    let server = WebServer::start(model.path(), Manner::Honest)?;
    let fetched = fetch(&bob, &publication, &server)?;
    model.assert_same(&fetched.path)?;
    let from_server = fetched.from(&server.url());
    ensure!(from_server >= 32 * MIB, "{:?}", fetched.sources);

    // What came from a web server is offered like anything else.
    drop(server);
    alice.kill()?;
    let carol = world.node_knowing("carol", &bob)?;
    let fetched = carol.fetch(&publication.reference)?;
    model.assert_same(&fetched.path)?;
    // A source that nobody else can reach is told to nobody.
    ensure!(fetched.sources.len() == 1, "{:?}", fetched.sources);
    Ok(())
}

#[test]
fn bad_web_server_harms_nothing() -> Result<()> {
    let world = World::new()?;
    let model = world.model("m", &[("weights.bin", 24 * MIB)], 111)?;
    let alice = world.node("alice", Options::default())?;
    let publication = alice.publish(&model, "m")?;
    for manner in [
        Manner::Flip,
        Manner::Truncate,
        Manner::Busy,
        Manner::Page,
        Manner::Silent,
    ] {
        let bob = world.node_knowing(&format!("bob-{manner:?}"), &alice)?;
        let server = WebServer::start(model.path(), manner)?;
        let fetched = fetch(&bob, &publication, &server).with_context(|| format!("{manner:?}"))?;
        model.assert_same(&fetched.path)?;
        let right = fetched.from(&server.url());
        match manner {
            // What came before the wrong byte was right and is kept.
            Manner::Flip | Manner::Truncate => ensure!(right <= server.sent(), "{right}"),
            _ => ensure!(right == 0, "{manner:?}: {right}"),
        }
    }
    Ok(())
}

#[test]
fn url_that_is_no_web_server_is_refused_without_repeating_it() -> Result<()> {
    let world = World::new()?;
    let model = world.model("m", &[("a.txt", 10)], 112)?;
    let alice = world.node("alice", Options::default())?;
    let publication = alice.publish(&model, "m")?;
    let url = "ftp://user:secret@example.org/";
    let run = alice.weft(&["fetch", &publication.reference, "--web-seed", url])?;
    ensure!(run.code == Some(2), "{run:?}");
    ensure!(!run.stderr.contains("secret"), "{run:?}");
    Ok(())
}
