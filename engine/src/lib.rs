//! Runs a model: the process that a node starts for each model it serves.
//!
//! A model's files, its template and its prompts come from strangers, and computing takes all cores and most of the
//! memory. Whatever goes wrong here ends this process and nothing else. It talks through frames on its standard
//! input and output, as [`weft_protocol::infer::engine`] has them; it opens no socket and writes no file.
//!
//! Reading order: [`Options`] and [`run`] (the process), `model` (what is loaded from where), `weights`, `tokenizer`,
//! `template` (what files hold), `decoder` and `encoder` (what is computed), `batch` (for whom), `sampling` (what
//! becomes of it).

mod batch;
pub mod bench;
mod decoder;
mod encoder;
mod model;
mod pooling;
mod process;
mod refusal;
mod sampling;
mod template;
mod tokenizer;
mod weights;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub use process::{Ended, run};
pub use template::Template;

/// What the process is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// A GGUF file, a folder with one, or a folder with safetensors.
    pub model: PathBuf,
    /// Threads that compute; `None` for as many as there are cores.
    pub threads: Option<usize>,
    /// Tokens of prompt and answer together; `None` for what the model was trained for, 8,192 at most.
    pub context: Option<usize>,
    /// Jobs side by side.
    pub parallel: usize,
    /// Computes with candle's kernels where there are our own, for comparison.
    pub candle: bool,
}

impl Options {
    /// Jobs side by side unless told otherwise.
    pub const PARALLEL: usize = 8;

    /// A model with everything else as usual.
    pub fn new(model: impl Into<PathBuf>) -> Self {
        Self {
            model: model.into(),
            threads: None,
            context: None,
            parallel: Self::PARALLEL,
            candle: false,
        }
    }
}
