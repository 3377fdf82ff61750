//! Act four: what is forged is refused before the reader's eyes.

use anyhow::{Context as _, Result, ensure};

use super::{
    share::{Shared, tampered},
    stage::Stage,
};
use crate::{
    Options, World,
    forge::{self, Forgery},
    node::{Fetched, repository_of},
};

/// A manifest id that nobody has.
const NOTHING: &str = "00000000000000000000000000000000000000000000000000000000000000ff";

/// One bit of a copy is turned.
pub(super) fn tampered_copy(
    stage: &Stage,
    world: &World,
    shared: &Shared,
    fetched: &Fetched,
) -> Result<()> {
    stage.act("4. A copy with one flipped bit is refused");
    let (copy, file) = tampered(world, fetched)?;
    let reader = shared.reader.as_ref().context("act three came first")?;
    stage.say(&format!(
        "One bit in the middle of {file} of a copy is turned:"
    ));
    let reference = &shared.revisions[1].reference;
    let run = stage.run(reader, &["verify", reference, "--dir", copy.arg()])?;
    stage.refused(&run, &[4])?;
    let told = run.stdout.clone() + &run.stderr;
    ensure!(
        told.contains(file),
        "the damaged file was not named: {run:#?}"
    );
    Ok(())
}

/// A mirror begins to lie about what the newest revision is.
pub(super) fn forged_head(stage: &Stage, world: &World, shared: &mut Shared) -> Result<()> {
    stage.act("5. A head that the publisher never signed is refused");
    let repository = shared.revisions[1].repository.clone();
    let [honest, liar] = &mut shared.mirrors;
    for node in shared.reader.iter_mut().chain([&mut *honest, liar]) {
        node.stop()?;
    }
    forge::plant_head(liar.home(), &repository, NOTHING, Forgery::StrangersKey)?;
    liar.options_mut().bootstrap.clear();
    liar.start()?;
    stage.say(
        "The others are switched off, and mirror-2 is taken over: it now serves a newer head, well-formed, but\n\
         signed by a stranger's key. A newcomer who knows only the liar asks for the newest revision:",
    );
    let victim = world.node("newcomer", Options::knowing(liar)?)?;
    let arguments = ["fetch", repository.as_str(), "--timeout", "10s"];
    let run = stage.run(&victim, &arguments)?;
    stage.refused(&run, &[3, 4, 6])?;
    let status = victim.status()?;
    ensure!(
        repository_of(&status, &repository).is_none(),
        "the forged head was kept: {status}"
    );

    stage.say("mirror-1 is switched on again, and the newcomer is told of it beside the liar:");
    honest.options_mut().bootstrap = vec![liar.address()?];
    honest.start()?;
    let mut victim = victim;
    victim.stop()?;
    victim.options_mut().bootstrap.push(honest.address()?);
    victim.start()?;
    victim.wait_peers(2)?;
    stage.typed(&victim, &["fetch", &repository]);
    let fetched = victim.fetch(&repository).with_context(|| victim.log())?;
    ensure!(
        fetched.revision == shared.revisions[1].revision,
        "{:?}",
        fetched.value
    );
    shared.model.assert_same(&fetched.path)?;
    stage.good("the publisher's own revision came, verified; the liar was not believed");
    Ok(())
}
