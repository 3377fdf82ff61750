//! The demo: publish, mirror, fetch from many while one dies, refuse what is forged.
//!
//! Everything it shows is done by the same `weft` program that a reader then types at; everything it
//! claims is checked, and anything that is not as it should be ends it with an error. It listens on
//! loopback only, and its one directory is removed at the end.

mod answer;
mod refuse;
mod share;
mod stage;

use std::process::ExitCode;

use anyhow::Result;

use self::stage::Stage;
use crate::World;

/// Plays all acts. Success only if everything was as it should be.
pub fn main() -> ExitCode {
    let stage = Stage::new();
    match play(&stage) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            stage.fail(&error);
            ExitCode::FAILURE
        }
    }
}

fn play(stage: &Stage) -> Result<()> {
    let world = World::new()?;
    stage.say("weft: the main job, with real nodes on loopback. Nothing leaves this machine; all files of");
    stage.say(&format!(
        "the demo lie in {} and go at the end.",
        world.path().display()
    ));
    let mut shared = share::publish_and_mirror(stage, &world)?;
    let fetched = share::fetch_while_the_publisher_dies(stage, &world, &mut shared)?;
    refuse::tampered_copy(stage, &world, &shared, &fetched)?;
    refuse::forged_head(stage, &world, &mut shared)?;
    answer::at_a_peer(stage, &world, &mut shared)?;
    stage.next_steps();
    Ok(())
}
