//! How the `config.json` of a folder says that positions are turned.

use serde_json::Value;
use weft_protocol::infer::Refusal;

use super::{super::CONTEXT_DEFAULT_MAX, Fields};
use crate::{
    decoder::rope::{Rope, Scaling},
    refusal::{broken, unsupported},
};

/// The ways in which layers turn, the context that is offered by default, and the longest.
pub(super) fn ropes(
    architecture: &str,
    fields: &Fields<'_>,
    head_len: usize,
    context_max: usize,
) -> Result<(Vec<Rope>, usize, usize), Refusal> {
    // Newer files keep everything under one name, and where layers differ once for each kind of layer.
    let parameters = &fields.0["rope_parameters"];
    let global = parameters.get("full_attention").unwrap_or(parameters);
    let local = parameters.get("sliding_attention");
    let base =
        |parameters: &Value, default: f64| parameters["rope_theta"].as_f64().unwrap_or(default);
    let default = fields.real("rope_theta").unwrap_or(match architecture {
        "gemma3" => 1_000_000.0,
        _ => 10_000.0,
    });
    let share = global["partial_rotary_factor"]
        .as_f64()
        .or_else(|| fields.real("partial_rotary_factor"))
        .unwrap_or(match architecture {
            "phi2" | "glm4" => 0.5,
            _ => 1.0,
        });
    let described = if global.is_object() {
        global
    } else {
        &fields.0["rope_scaling"]
    };
    let dimensions = (head_len as f64 * share) as usize;
    let (scaling, context_default, context_max) = scaling(fields, described, context_max)?;
    let rope = Rope {
        dimensions,
        base: base(global, default),
        interleaved: architecture == "glm4",
        scaling,
    };
    let mut ropes = vec![rope];
    if architecture == "gemma3" {
        let default = fields.real("rope_local_base_freq").unwrap_or(10_000.0);
        ropes.push(Rope {
            dimensions,
            base: local.map_or(default, |local| base(local, default)),
            interleaved: false,
            scaling: Scaling::None,
        });
    }
    Ok((ropes, context_default, context_max))
}

fn scaling(
    fields: &Fields<'_>,
    described: &Value,
    context_max: usize,
) -> Result<(Scaling, usize, usize), Refusal> {
    let kind = described["rope_type"]
        .as_str()
        .or_else(|| described["type"].as_str());
    let real = |key: &str| described[key].as_f64();
    let need = |key: &str| {
        real(key)
            .filter(|value| *value > 0.0)
            .ok_or_else(|| broken(format!("the rope scaling does not say its `{key}`")))
    };
    let trained = real("original_max_position_embeddings")
        .or_else(|| fields.real("original_max_position_embeddings"))
        .unwrap_or(context_max as f64);
    let (mut context_default, mut longest) = (CONTEXT_DEFAULT_MAX, context_max);
    let scaling = match kind {
        None | Some("default") => Scaling::None,
        Some("linear") => Scaling::Linear(need("factor")?),
        Some("llama3") => Scaling::Llama3 {
            factor: need("factor")?,
            low: need("low_freq_factor")?,
            high: need("high_freq_factor")?,
            context: trained,
        },
        Some("yarn") => Scaling::Yarn {
            factor: need("factor")?,
            context: trained,
            fast: real("beta_fast").unwrap_or(32.0),
            slow: real("beta_slow").unwrap_or(1.0),
            attention: real("attention_factor").or_else(|| yarn_share(described)),
        },
        Some("longrope" | "su") => {
            // The long factors are not computed with, so that what a model says of a prompt does not depend on how much
            // its host would have allowed.
            longest = longest.min(trained as usize);
            context_default = longest;
            let divisors = described["short_factor"]
                .as_array()
                .ok_or_else(|| broken("the rope scaling does not say its `short_factor`"))?
                .iter()
                .map(|divisor| divisor.as_f64().unwrap_or_default() as f32)
                .collect();
            let stretch = context_max as f64 / trained;
            let usual = if stretch <= 1.0 {
                1.0
            } else {
                (1.0 + libm::log(stretch) / libm::log(trained)).sqrt()
            };
            Scaling::Divisors {
                divisors,
                attention: real("attention_factor").unwrap_or(usual),
            }
        }
        Some(other) => {
            return Err(unsupported(format!(
                "the rope scaling `{other}` is not supported; supported are linear, llama3, yarn and longrope"
            )));
        }
    };
    Ok((scaling, context_default.max(1), longest))
}

/// What files with two scales of their own multiply queries and keys by.
fn yarn_share(described: &Value) -> Option<f64> {
    let factor = described["factor"].as_f64()?;
    let share = |key: &str| {
        let scale = described[key].as_f64().filter(|scale| *scale != 0.0)?;
        Some(if factor > 1.0 {
            0.1 * scale * libm::log(factor) + 1.0
        } else {
            1.0
        })
    };
    Some(share("mscale")? / share("mscale_all_dim")?)
}
