//! A decoder's configuration from the metadata of a GGUF file.

use weft_protocol::{formats::Gguf, infer::Refusal};

use super::{
    Activation, CONTEXT_DEFAULT_MAX, Config, Experts, Layer, Norm, NormKind, alternating, unknown,
};
use crate::{
    decoder::rope::{Rope, Scaling},
    refusal::broken,
    weights::Weights,
};

struct Keys<'a, 'b>(&'b Gguf<'a>);

impl Keys<'_, '_> {
    /// A whole number. Some files have one for each layer; those that differ are not supported by any family here.
    fn whole(&self, key: &str) -> Option<usize> {
        let value = self.0.of_architecture(key)?;
        let value = match value.as_array() {
            Some(array) => array.into_iter().next()?,
            None => value,
        };
        usize::try_from(value.as_u64()?).ok()
    }

    fn need(&self, key: &str) -> Result<usize, Refusal> {
        self.whole(key)
            .ok_or_else(|| broken(format!("the file does not say its `{key}`")))
    }

    fn real(&self, key: &str) -> Option<f64> {
        let value = self.0.of_architecture(key)?;
        value
            .as_f64()
            .or_else(|| value.as_u64().map(|value| value as f64))
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.0.of_architecture(key)?.as_str()
    }
}

/// Reads the configuration; `weights` tell what metadata leaves open.
pub(crate) fn of_gguf(gguf: &Gguf<'_>, weights: &Weights) -> Result<Config, Refusal> {
    let architecture = gguf
        .architecture()
        .ok_or_else(|| broken("the file does not say its `general.architecture`"))?;
    // Which pairs of dimensions are turned together is a matter of how the family's files are written.
    let interleaved = match architecture {
        "llama" | "glm4" | "smollm3" => true,
        "qwen2" | "qwen3" | "qwen3moe" | "gemma" | "gemma2" | "gemma3" | "phi2" | "phi3" => false,
        other => return Err(unknown(other)),
    };
    let keys = Keys(gguf);
    let gemma = architecture.starts_with("gemma");
    let hidden = keys.need("embedding_length")?;
    let heads = keys.need("attention.head_count")?.max(1);
    let count = keys.need("block_count")?;
    let head_len = keys
        .whole("attention.key_length")
        .unwrap_or_else(|| hidden / heads);
    let context_max = keys.need("context_length")?;
    let vocabulary = weights
        .shape("token_embd.weight")
        .and_then(|shape| shape.first().copied())
        .ok_or_else(|| broken("the file has no tensor `token_embd.weight`"))?;
    let kind = if architecture == "phi2" {
        NormKind::Layer
    } else {
        NormKind::Rms
    };
    let epsilon = match kind {
        NormKind::Rms => keys.real("attention.layer_norm_rms_epsilon"),
        NormKind::Layer => keys.real("attention.layer_norm_epsilon"),
    };
    let experts = match keys.whole("expert_count").filter(|count| *count > 0) {
        None => None,
        Some(count) => Some(Experts {
            count,
            used: keys.need("expert_used_count")?,
            intermediate: keys
                .whole("expert_feed_forward_length")
                .map_or_else(|| keys.need("feed_forward_length"), Ok)?,
            normalised: true,
        }),
    };
    let (rope, context_default) = rope(
        &keys,
        weights,
        head_len,
        interleaved,
        if gemma { 10_000.0 } else { 0.0 },
    )?;
    let (layers, ropes) = layers(architecture, &keys, count, rope);
    // The largest of the family scale by the share of a head, not by its length.
    let shared = matches!((architecture, count), ("gemma3", 62) | ("gemma2", 46));
    let scaled_len = if shared { hidden / heads } else { head_len };
    Config {
        architecture: architecture.to_owned(),
        hidden,
        intermediate: keys
            .need("feed_forward_length")
            .or_else(|refusal| experts.map(|experts| experts.intermediate).ok_or(refusal))?,
        heads,
        heads_kv: keys.whole("attention.head_count_kv").unwrap_or(heads),
        head_len,
        vocabulary,
        context_max,
        context_default,
        norm: Norm {
            kind,
            epsilon: epsilon.unwrap_or(1e-5),
            plus_one: false,
        },
        activation: match architecture {
            "phi2" => Activation::GeluTanh,
            _ if gemma => Activation::GeluTanh,
            _ => Activation::Silu,
        },
        parallel: architecture == "phi2",
        attention_scale: 1.0 / (scaled_len as f64).sqrt(),
        attention_cap: keys.real("attn_logit_softcapping"),
        output_cap: keys.real("final_logit_softcapping"),
        embedding_scale: gemma.then(|| (hidden as f64).sqrt()),
        experts,
        layers,
        ropes,
    }
    .checked()
}

fn layers(
    architecture: &str,
    keys: &Keys<'_, '_>,
    count: usize,
    rope: Rope,
) -> (Vec<Layer>, Vec<Rope>) {
    let window = keys
        .whole("attention.sliding_window")
        .filter(|window| *window > 0);
    let same = |window| {
        let layer = Layer {
            window,
            rope: Some(0),
        };
        vec![layer; count]
    };
    match (architecture, window) {
        ("gemma3", Some(window)) => {
            let local = Rope {
                base: 10_000.0,
                scaling: Scaling::None,
                ..rope
            };
            (alternating(count, 6, window, 1), vec![rope, local])
        }
        ("gemma2", Some(window)) => (alternating(count, 2, window, 0), vec![rope]),
        ("phi3", window) => (same(window), vec![rope]),
        ("smollm3", _) => {
            let layers = (0..count).map(|layer| Layer {
                window: None,
                rope: (!(layer + 1).is_multiple_of(4)).then_some(0),
            });
            (layers.collect(), vec![rope])
        }
        _ => (same(None), vec![rope]),
    }
}

/// How positions are turned, and the context that is offered by default.
fn rope(
    keys: &Keys<'_, '_>,
    weights: &Weights,
    head_len: usize,
    interleaved: bool,
    base: f64,
) -> Result<(Rope, usize), Refusal> {
    let mut dimensions = keys.whole("rope.dimension_count").unwrap_or(head_len);
    let factor = keys.real("rope.scaling.factor").filter(|f| *f > 0.0);
    let trained = keys.real("rope.scaling.original_context_length");
    let mut context_default = CONTEXT_DEFAULT_MAX;
    let divisors = |name: &str, dimensions: usize| -> Result<Vec<f32>, Refusal> {
        let tensor = weights.floats(name, &[dimensions / 2])?;
        tensor
            .to_vec1()
            .map_err(|error| broken(format!("`{name}`: {error}")))
    };
    let scaling = if weights.has("rope_factors_short.weight") {
        // Which set holds is a matter of the context's length; the short one is the one that is offered by default.
        if let Some(len) = weights.shape("rope_factors_short.weight") {
            dimensions = len.iter().product::<usize>() * 2;
        }
        if let Some(trained) = trained {
            context_default = trained as usize;
        }
        Scaling::Divisors {
            divisors: divisors("rope_factors_short.weight", dimensions)?,
            attention: keys.real("rope.scaling.attn_factor").unwrap_or(1.0),
        }
    } else if weights.has("rope_freqs.weight") {
        Scaling::Divisors {
            divisors: divisors("rope_freqs.weight", dimensions)?,
            attention: 1.0,
        }
    } else {
        match (keys.text("rope.scaling.type"), factor) {
            (Some("linear"), Some(factor)) => Scaling::Linear(factor),
            (Some("yarn"), Some(factor)) => Scaling::Yarn {
                factor,
                context: trained.unwrap_or(4_096.0),
                fast: 32.0,
                slow: 1.0,
                attention: None,
            },
            _ => Scaling::None,
        }
    };
    let base = keys
        .real("rope.freq_base")
        .unwrap_or(if base > 0.0 { base } else { 10_000.0 });
    let rope = Rope {
        dimensions,
        base,
        interleaved,
        scaling,
    };
    Ok((rope, context_default.max(1)))
}
