//! `weft engine`: the process in which a node runs one model. Nobody types it.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  weft engine model.gguf --threads 2     # frames on standard input and output, as a node speaks them")]
pub(crate) struct Arguments {
    /// A GGUF file, a folder with one, or a folder with safetensors
    #[arg(value_name = "PATH")]
    model: PathBuf,
    /// Threads that compute [default: as many as there are cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Tokens of prompt and answer together [default: what the model was trained for, 8192 at most]
    #[arg(long, value_name = "N")]
    context: Option<usize>,
    /// Jobs side by side
    #[arg(long, value_name = "N", default_value_t = weft_engine::Options::PARALLEL)]
    parallel: usize,
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let options = weft_engine::Options {
        model: arguments.model,
        threads: arguments.threads,
        context: arguments.context,
        parallel: arguments.parallel,
        candle: false,
    };
    weft_engine::run(&options)
        .with_context(|| format!("could not run `{}`", options.model.display()))
}
