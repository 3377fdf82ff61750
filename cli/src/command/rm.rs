//! `weft rm`: forgets revisions.

use clap::Args;
use weft_node::api::{RemoveRequest, route};

use super::removal::{self, Consent};
use crate::context::Context;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weft rm alice/tiny@v1.0                         one revision
  weft rm alice/tiny -y                           all of them, without asking
  weft rm alice/tiny --dry-run                    only tell what would go

Folders made with `weft fetch --to` and the folders you published are left alone.")]
pub(crate) struct Arguments {
    /// What to forget, kept or not
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

pub(crate) fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    let Arguments { reference, consent } = arguments;
    let request = |dry_run| RemoveRequest {
        reference: reference.clone(),
        dry_run,
    };
    removal::run(&context.local()?, route::REMOVE, request, &consent, context)
}
