//! What kind of decoder a model is: everything in which families differ, as data.

mod folder;
mod gguf;

pub(crate) use folder::of_folder;
pub(crate) use gguf::of_gguf;
use weft_protocol::infer::Refusal;

use super::rope::Rope;
use crate::refusal::{broken, unsupported};

/// Families that can be loaded, by the names GGUF gives them.
pub(crate) const ARCHITECTURES: &str = "llama, mistral, mixtral, qwen2, qwen3, qwen3moe, gemma, gemma2, gemma3, phi2 \
     (phi), phi3, glm4, smollm3";

/// A decoder.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Config {
    /// As GGUF names it.
    pub(crate) architecture: String,
    pub(crate) hidden: usize,
    pub(crate) intermediate: usize,
    pub(crate) heads: usize,
    pub(crate) heads_kv: usize,
    pub(crate) head_len: usize,
    pub(crate) vocabulary: usize,
    /// Tokens it was trained for.
    pub(crate) context_max: usize,
    /// Tokens that are offered unless more are asked for.
    pub(crate) context_default: usize,
    pub(crate) norm: Norm,
    pub(crate) activation: Activation,
    /// Attention and feed-forward read the same norm and are added together.
    pub(crate) parallel: bool,
    /// Multiplies the products of queries and keys.
    pub(crate) attention_scale: f64,
    /// `cap × tanh(x / cap)` over attention's and the head's logits.
    pub(crate) attention_cap: Option<f64>,
    pub(crate) output_cap: Option<f64>,
    /// Multiplies embeddings.
    pub(crate) embedding_scale: Option<f64>,
    pub(crate) experts: Option<Experts>,
    pub(crate) layers: Vec<Layer>,
    /// The ways in which layers turn queries and keys.
    pub(crate) ropes: Vec<Rope>,
}

/// In what layers of one model differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layer {
    /// How many tokens back it sees, itself included.
    pub(crate) window: Option<usize>,
    /// Index of its [`Rope`]; some layers have none.
    pub(crate) rope: Option<usize>,
}

/// How vectors are brought to one length.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Norm {
    pub(crate) kind: NormKind,
    pub(crate) epsilon: f64,
    /// The file has weights less one.
    pub(crate) plus_one: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NormKind {
    /// By the root of the mean square.
    Rms,
    /// By mean and variance.
    Layer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    Silu,
    /// The approximation by a hyperbolic tangent.
    GeluTanh,
    Gelu,
}

/// A mixture of feed-forward parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Experts {
    pub(crate) count: usize,
    /// How many a token sees.
    pub(crate) used: usize,
    pub(crate) intermediate: usize,
    /// Weights of those used sum to one.
    pub(crate) normalised: bool,
}

/// The longest context that is offered without being asked for.
pub(crate) const CONTEXT_DEFAULT_MAX: usize = 8_192;

/// More of anything than honest models have; bounds what a header can make us allocate.
const DIMENSION_MAX: usize = 1 << 24;
const LAYERS_MAX: usize = 1_024;

impl Config {
    /// Refuses what cannot be computed.
    fn checked(mut self) -> Result<Self, Refusal> {
        for (what, value) in [
            ("embedding length", self.hidden),
            ("feed-forward length", self.intermediate),
            ("number of heads", self.heads),
            ("number of key and value heads", self.heads_kv),
            ("head length", self.head_len),
            ("vocabulary", self.vocabulary),
            ("context length", self.context_max),
            ("number of layers", self.layers.len()),
        ] {
            if value == 0 || value > DIMENSION_MAX {
                return Err(broken(format!("the {what} is {value}")));
            }
        }
        if !self.heads.is_multiple_of(self.heads_kv) {
            return Err(broken(format!(
                "{} heads share {} key heads unevenly",
                self.heads, self.heads_kv
            )));
        }
        if self.layers.len() > LAYERS_MAX {
            return Err(broken(format!("{} layers", self.layers.len())));
        }
        for rope in &self.ropes {
            rope.check(self.head_len)?;
        }
        if let Some(experts) = &self.experts
            && (experts.used == 0 || experts.used > experts.count || experts.count > 4_096)
        {
            return Err(broken(format!(
                "{} of {} experts are used",
                experts.used, experts.count
            )));
        }
        self.context_default = self
            .context_default
            .min(CONTEXT_DEFAULT_MAX)
            .min(self.context_max);
        Ok(self)
    }
}

fn unknown(architecture: &str) -> Refusal {
    unsupported(format!(
        "the architecture `{architecture}` is not supported; supported are {ARCHITECTURES}, and bert for embeddings"
    ))
}

/// The layers that alternate between a window and all tokens: every `period`-th sees everything.
fn alternating(count: usize, period: usize, window: usize, local: usize) -> Vec<Layer> {
    (0..count)
        .map(|layer| {
            if period > 0 && (layer + 1).is_multiple_of(period) {
                Layer {
                    window: None,
                    rope: Some(0),
                }
            } else {
                Layer {
                    window: Some(window),
                    rope: Some(local),
                }
            }
        })
        .collect()
}

#[cfg(test)]
mod tests;
