//! A decoder's configuration from the metadata of a GGUF file.

use weft_protocol::{formats::Gguf, infer::Refusal};

mod rope;

use rope::rope;

use super::{Activation, Config, Experts, Layer, Norm, NormKind, alternating, unknown};
use crate::{
    decoder::rope::{Rope, Scaling},
    refusal::{broken, unsupported},
    weights::Weights,
};

struct Keys<'a, 'b>(&'b Gguf<'a>);

impl Keys<'_, '_> {
    /// Refuses numbers that differ from layer to layer, which no family here has.
    fn check(&self) -> Result<(), Refusal> {
        for key in [
            "attention.head_count",
            "attention.head_count_kv",
            "feed_forward_length",
        ] {
            let Some(array) = self
                .0
                .of_architecture(key)
                .and_then(|value| value.as_array())
            else {
                continue;
            };
            let mut values = array.into_iter().map(|value| value.as_u64());
            let first = values.next();
            if values.any(|value| Some(value) != first) {
                return Err(unsupported(format!(
                    "`{key}` differs from layer to layer, which is not supported"
                )));
            }
        }
        // One way of choosing experts: by the softmax of all.
        let gating = self.whole("expert_gating_func").unwrap_or(1);
        if gating > 1 || self.whole("expert_shared_count").unwrap_or(0) > 0 {
            return Err(unsupported(
                "experts that all tokens share, or that are chosen by anything but a softmax, are not supported",
            ));
        }
        Ok(())
    }

    /// A whole number. Some files have one for each layer, and all are the same.
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

    fn flag(&self, key: &str) -> Option<bool> {
        self.0.of_architecture(key)?.as_bool()
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
        // Files of the variant that sees pictures are written for the other way.
        "glm4" => gguf.of_architecture("rope.dimension_sections").is_none(),
        "llama" | "smollm3" => true,
        "qwen2" | "qwen3" | "qwen3moe" | "gemma" | "gemma2" | "gemma3" | "phi2" | "phi3" => false,
        other => return Err(unknown(other)),
    };
    let keys = Keys(gguf);
    keys.check()?;
    let gemma = architecture.starts_with("gemma");
    let hidden = keys.need("embedding_length")?;
    let heads = keys.need("attention.head_count")?.max(1);
    let count = keys.need("block_count")?;
    let head_len = keys
        .whole("attention.key_length")
        .unwrap_or_else(|| hidden / heads);
    if let Some(len) = keys.whole("attention.value_length")
        && len != head_len
    {
        return Err(unsupported(format!(
            "values of {len} numbers beside keys of {head_len} are not supported"
        )));
    }
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
            normalised: keys.flag("expert_weights_norm").unwrap_or(true),
        }),
    };
    let (rope, context_default, context_max) = rope(&keys, weights, head_len, interleaved)?;
    let (layers, ropes) = layers(architecture, &keys, count, rope);
    // The largest of the family scale by the share of a head, not by its length.
    let shared = matches!((architecture, count), ("gemma3", 62) | ("gemma2", 46));
    // Early files of gemma2 do not say their caps.
    let usual = |cap| (architecture == "gemma2").then_some(cap);
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
        attention_scale: keys
            .real("attention.scale")
            .filter(|scale| *scale > 0.0)
            .unwrap_or_else(|| 1.0 / (scaled_len as f64).sqrt()),
        attention_cap: keys.real("attn_logit_softcapping").or_else(|| usual(50.0)),
        output_cap: keys.real("final_logit_softcapping").or_else(|| usual(30.0)),
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
    let period = |usual| {
        keys.whole("attention.sliding_window_pattern")
            .unwrap_or(usual)
    };
    match (architecture, window) {
        ("gemma3", Some(window)) => {
            let local = Rope {
                base: keys.real("rope.freq_base_swa").unwrap_or(10_000.0),
                scaling: Scaling::None,
                ..rope
            };
            let layers = alternating(count, period(6), window, 1);
            (layers, vec![rope, local])
        }
        ("gemma2", window) => {
            let window = window.unwrap_or(4_096);
            (alternating(count, period(2), window, 0), vec![rope])
        }
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
