//! `weft seed`: keeps a revision and offers it.

use anyhow::Context as _;
use clap::Args;
use weft_node::api::{SeedRequest, SeedResult, route};

use crate::{
    context::Context,
    render::{repository, short_revision},
    units::Size,
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weft seed alice/tiny                            the newest revision; fetched first if it is not here
  weft seed alice/tiny@v1.0")]
pub(crate) struct Arguments {
    /// What to keep and offer
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
}

pub(crate) fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    let client = context.running("seed")?;
    let request = SeedRequest {
        reference: arguments.reference,
    };
    let mut meter = context.screen.meter();
    let seeded: anyhow::Result<SeedResult> =
        client.stream(route::SEED, &request, |progress| meter.update(progress));
    drop(meter);
    let seeded = seeded.with_context(|| format!("could not seed `{}`", request.reference))?;
    context.screen.facts(
        &seeded,
        |seeded| vec![seeded.revision.clone()],
        |seeded, _| {
            format!(
                "seeding {}@{} ({})",
                repository(&seeded.repository, None),
                short_revision(&seeded.revision),
                Size(seeded.bytes_total)
            )
        },
    )?;
    Ok(())
}
