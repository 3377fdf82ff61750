//! How a GGUF file says that positions are turned.

use weft_protocol::infer::Refusal;

use super::{super::CONTEXT_DEFAULT_MAX, Keys};
use crate::{
    decoder::rope::{Rope, Scaling},
    refusal::{broken, unsupported},
    weights::Weights,
};

/// How positions are turned, the context that is offered by default, and the longest.
pub(super) fn rope(
    keys: &Keys<'_, '_>,
    weights: &Weights,
    head_len: usize,
    interleaved: bool,
) -> Result<(Rope, usize, usize), Refusal> {
    let mut dimensions = keys.whole("rope.dimension_count").unwrap_or(head_len);
    let mut context_max = keys.need("context_length")?;
    let mut context_default = CONTEXT_DEFAULT_MAX;
    let scaling = if let Some(shape) = weights.shape("rope_factors_short.weight") {
        // Which set holds is a matter of the context's length. Only the short one is computed with: what a model says of
        // a prompt must not depend on how much its host would have allowed.
        dimensions = shape.iter().product::<usize>() * 2;
        let trained = keys.whole("rope.scaling.original_context_length");
        context_max = context_max.min(trained.unwrap_or(context_max));
        context_default = context_max;
        Scaling::Divisors {
            divisors: divisors(weights, "rope_factors_short.weight", dimensions)?,
            attention: keys.real("rope.scaling.attn_factor").unwrap_or(1.0),
        }
    } else if weights.has("rope_freqs.weight") {
        Scaling::Divisors {
            divisors: divisors(weights, "rope_freqs.weight", dimensions)?,
            attention: 1.0,
        }
    } else {
        scaling(keys, context_max)?
    };
    let rope = Rope {
        dimensions,
        base: keys.real("rope.freq_base").unwrap_or(10_000.0),
        interleaved,
        scaling,
    };
    Ok((rope, context_default.max(1), context_max))
}

fn divisors(weights: &Weights, name: &str, dimensions: usize) -> Result<Vec<f32>, Refusal> {
    let tensor = weights.floats(name, &[dimensions / 2])?;
    tensor
        .to_vec1()
        .map_err(|error| broken(format!("`{name}`: {error}")))
}

/// What metadata say. A factor without a kind is meant to be linear, as in files from before there were kinds.
fn scaling(keys: &Keys<'_, '_>, context_max: usize) -> Result<Scaling, Refusal> {
    let factor = keys
        .real("rope.scaling.factor")
        .or_else(|| keys.real("rope.scale_linear"))
        .filter(|factor| *factor > 0.0);
    Ok(match (keys.text("rope.scaling.type"), factor) {
        (Some("none"), _) | (None | Some("linear" | "yarn"), None) => Scaling::None,
        (None | Some("linear"), Some(factor)) => Scaling::Linear(factor),
        (Some("yarn"), Some(factor)) => {
            let usual = if factor > 1.0 {
                0.1 * libm::log(factor) + 1.0
            } else {
                1.0
            };
            let trained = keys.real("rope.scaling.original_context_length");
            let own = keys.real("rope.scaling.attn_factor");
            Scaling::Yarn {
                factor,
                context: trained.unwrap_or(context_max as f64),
                fast: keys.real("rope.scaling.yarn_beta_fast").unwrap_or(32.0),
                slow: keys.real("rope.scaling.yarn_beta_slow").unwrap_or(1.0),
                attention: own.map(|own| own * usual),
            }
        }
        (Some(other), _) => {
            return Err(unsupported(format!(
                "the rope scaling `{other}` is not supported; supported are linear, yarn, and factors as tensors"
            )));
        }
    })
}
