//! A decoder's configuration from the `config.json` of a folder.

mod rope;

use rope::ropes;
use serde_json::Value;
use weft_protocol::infer::{Refusal, model};

use super::{Activation, Config, Experts, Layer, Norm, NormKind, alternating, unknown};
use crate::refusal::{broken, unsupported};

struct Fields<'a>(&'a Value);

impl Fields<'_> {
    fn whole(&self, key: &str) -> Option<usize> {
        usize::try_from(self.0[key].as_u64()?).ok()
    }

    fn need(&self, key: &str) -> Result<usize, Refusal> {
        self.whole(key)
            .ok_or_else(|| broken(format!("`config.json` does not say its `{key}`")))
    }

    fn real(&self, key: &str) -> Option<f64> {
        self.0[key].as_f64()
    }

    fn is(&self, key: &str, default: bool) -> bool {
        self.0[key].as_bool().unwrap_or(default)
    }
}

/// The family as GGUF names it, and the part of `config.json` that tells of the text model.
pub(crate) fn architecture(config: &Value) -> Result<(&'static str, &Value), Refusal> {
    let text = config.get("text_config").unwrap_or(config);
    let kind = text["model_type"]
        .as_str()
        .or_else(|| config["model_type"].as_str())
        .ok_or_else(|| broken("`config.json` does not say its `model_type`"))?;
    let name = model::architecture(kind).ok_or_else(|| unknown(kind))?;
    if text
        .get("quantization_config")
        .is_some_and(|value| !value.is_null())
    {
        return Err(unsupported(
            "quantized safetensors are not supported; supported are F32, F16 and BF16, and GGUF for quantized ones",
        ));
    }
    Ok((name, text))
}

/// Reads the configuration.
pub(crate) fn of_folder(config: &Value) -> Result<Config, Refusal> {
    let (architecture, config) = architecture(config)?;
    let fields = Fields(config);
    let gemma = architecture.starts_with("gemma");
    let hidden = fields.need("hidden_size")?;
    // Some files of this family leave out what is usual for it.
    let or_usual = |key: &str, usual| match fields.whole(key) {
        None if architecture == "gemma3" => Ok(usual),
        _ => fields.need(key),
    };
    let heads = or_usual("num_attention_heads", 8)?.max(1);
    let count = fields.need("num_hidden_layers")?;
    let head_len = fields
        .whole("head_dim")
        .unwrap_or(if gemma { 256 } else { hidden / heads });
    let context_max = or_usual("max_position_embeddings", 131_072)?;
    let intermediate = fields.need("intermediate_size")?;
    let (ropes, context_default, context_max) =
        ropes(architecture, &fields, head_len, context_max)?;
    let scaled_len = fields
        .real("query_pre_attn_scalar")
        .filter(|_| gemma)
        .unwrap_or(head_len as f64);
    let count_experts = fields
        .whole("num_local_experts")
        .or_else(|| fields.whole("num_experts"));
    Config {
        architecture: architecture.to_owned(),
        hidden,
        intermediate,
        heads,
        heads_kv: fields
            .whole("num_key_value_heads")
            .unwrap_or(if architecture == "gemma3" { 4 } else { heads }),
        head_len,
        vocabulary: or_usual("vocab_size", 262_208)?,
        context_max,
        context_default,
        norm: Norm {
            kind: if architecture == "phi2" {
                NormKind::Layer
            } else {
                NormKind::Rms
            },
            epsilon: fields
                .real("rms_norm_eps")
                .or_else(|| fields.real("layer_norm_eps"))
                .unwrap_or(1e-6),
            plus_one: gemma,
        },
        activation: activation(config, gemma)?,
        parallel: architecture == "phi2",
        attention_scale: 1.0 / scaled_len.sqrt(),
        attention_cap: fields.real("attn_logit_softcapping"),
        output_cap: fields.real("final_logit_softcapping"),
        embedding_scale: gemma.then(|| (hidden as f64).sqrt()),
        experts: count_experts
            .filter(|count| *count > 0)
            .map(|count| Experts {
                count,
                used: fields.whole("num_experts_per_tok").unwrap_or(2),
                intermediate: fields
                    .whole("moe_intermediate_size")
                    .unwrap_or(intermediate),
                normalised: fields.is("norm_topk_prob", architecture == "llama"),
            }),
        layers: layers(architecture, &fields, count),
        ropes,
    }
    .checked()
}

fn activation(config: &Value, gemma: bool) -> Result<Activation, Refusal> {
    let name = config["hidden_activation"]
        .as_str()
        .or_else(|| config["hidden_act"].as_str());
    Ok(match name {
        // Files of the first gemma say `gelu` and mean its approximation.
        _ if gemma => Activation::GeluTanh,
        None | Some("silu" | "swish") => Activation::Silu,
        Some("gelu") => Activation::Gelu,
        Some("gelu_new" | "gelu_pytorch_tanh" | "gelu_fast") => Activation::GeluTanh,
        Some(other) => {
            return Err(unsupported(format!(
                "the activation `{other}` is not supported; supported are silu and gelu"
            )));
        }
    })
}

fn layers(architecture: &str, fields: &Fields<'_>, count: usize) -> Vec<Layer> {
    let window = fields
        .whole("sliding_window")
        // A name that is left over in some files of llama, which sees everything.
        .filter(|window| *window > 0 && fields.0["model_type"] != "llama");
    let count = count.min(super::LAYERS_MAX + 1);
    let plain = |window| Layer {
        window,
        rope: Some(0),
    };
    let local = usize::from(architecture == "gemma3");
    // Newer files say of each layer what it sees.
    if let (Some(types), Some(window)) = (fields.0["layer_types"].as_array(), window)
        && types.len() >= count
        && architecture != "smollm3"
    {
        let layer = |kind: &Value| match kind.as_str() {
            Some("sliding_attention") => Layer {
                window: Some(window),
                rope: Some(local),
            },
            _ => plain(None),
        };
        return types.iter().take(count).map(layer).collect();
    }
    match (architecture, window) {
        ("gemma3", Some(window)) => {
            let period = fields.whole("sliding_window_pattern").unwrap_or(6);
            alternating(count, period, window, 1)
        }
        ("gemma2", Some(window)) => alternating(count, 2, window, 0),
        ("qwen2" | "qwen3" | "qwen3moe", Some(window))
            if fields.is("use_sliding_window", false) =>
        {
            let first = fields.whole("max_window_layers").unwrap_or(count);
            (0..count)
                .map(|layer| plain((layer >= first).then_some(window)))
                .collect()
        }
        ("llama" | "phi3", window) => vec![plain(window); count],
        ("smollm3", _) => {
            let told = fields.0["no_rope_layers"].as_array();
            let period = fields.whole("no_rope_layer_interval").unwrap_or(4).max(1);
            (0..count)
                .map(|layer| {
                    let turned = told
                        .and_then(|told| told.get(layer)?.as_u64())
                        .map_or_else(|| !(layer + 1).is_multiple_of(period), |told| told != 0);
                    Layer {
                        window: None,
                        rope: turned.then_some(0),
                    }
                })
                .collect()
        }
        _ => vec![plain(None); count],
    }
}
