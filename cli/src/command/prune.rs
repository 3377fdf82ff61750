//! `weft prune`: frees the space of everything that nothing keeps.

use clap::Args;
use weft_node::api::{PruneRequest, route};

use super::removal::{self, Consent};
use crate::context::Context;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weft prune --dry-run                            tell what would go
  weft prune -y                                   do it without asking

What you fetched, published, seed or mirror is kept; `weft unseed` and `weft rm` let go of it.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) consent: Consent,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<()> {
    let request = |dry_run| PruneRequest { dry_run };
    removal::run(
        &context.local()?,
        route::PRUNE,
        request,
        &arguments.consent,
        context,
    )
}
