//! One name for each tensor: that of GGUF.

/// Parts of names that are the same in all families.
const PARTS: [(&str, &str); 29] = [
    ("input_layernorm", "attn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.qkv_proj", "attn_qkv"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.dense", "attn_output"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("self_attn.q_layernorm", "attn_q_norm"),
    ("self_attn.k_layernorm", "attn_k_norm"),
    ("post_self_attn_layernorm", "post_attention_norm"),
    ("pre_feedforward_layernorm", "ffn_norm"),
    ("post_feedforward_layernorm", "post_ffw_norm"),
    ("post_mlp_layernorm", "post_ffw_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
    ("mlp.gate_up_proj", "ffn_up"),
    ("mlp.fc1", "ffn_up"),
    ("mlp.fc2", "ffn_down"),
    ("mlp.gate", "ffn_gate_inp"),
    ("block_sparse_moe.gate", "ffn_gate_inp"),
    ("gate_proj", "ffn_gate_exps"),
    ("up_proj", "ffn_up_exps"),
    ("down_proj", "ffn_down_exps"),
    ("w1", "ffn_gate_exps"),
    ("w3", "ffn_up_exps"),
    ("w2", "ffn_down_exps"),
];

/// The GGUF name of a decoder's tensor in a safetensors file; `None` for what no layer asks for.
pub(crate) fn of_decoder(architecture: &str, name: &str) -> Option<String> {
    const PREFIXES: [&str; 4] = [
        "model.language_model.",
        "language_model.model.",
        "language_model.",
        "model.",
    ];
    let name = PREFIXES
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name);
    let (stem, ending) = name.rsplit_once('.')?;
    let whole = match stem {
        "embed_tokens" => Some("token_embd"),
        "norm" | "final_layernorm" => Some("output_norm"),
        "lm_head" => Some("output"),
        _ => None,
    };
    if let Some(whole) = whole {
        return Some(format!("{whole}.{ending}"));
    }
    let (layer, rest) = stem.strip_prefix("layers.")?.split_once('.')?;
    // In most families the norm after attention is the one before the feed-forward part.
    if rest == "post_attention_layernorm" {
        let own = matches!(architecture, "gemma2" | "gemma3");
        let part = if own {
            "post_attention_norm"
        } else {
            "ffn_norm"
        };
        return Some(format!("blk.{layer}.{part}.{ending}"));
    }
    let expert = ["mlp.experts.", "block_sparse_moe.experts."]
        .iter()
        .find_map(|prefix| rest.strip_prefix(prefix)?.split_once('.'));
    if let Some((expert, rest)) = expert {
        let part = part(rest)?;
        return Some(format!("blk.{layer}.{part}.{expert}.{ending}"));
    }
    let part = part(rest)?;
    Some(format!("blk.{layer}.{part}.{ending}"))
}

/// The name that a tensor of a GGUF file has here: its own, but for experts that lie each for itself, as in files from
/// before April 2024.
pub(crate) fn of_gguf(name: &str) -> String {
    let apart = || {
        let (layer, rest) = name.strip_prefix("blk.")?.split_once('.')?;
        let (part, rest) = rest.split_once('.')?;
        let (expert, ending) = rest.split_once('.')?;
        let is_expert = matches!(part, "ffn_gate" | "ffn_up" | "ffn_down")
            && expert.bytes().all(|byte| byte.is_ascii_digit());
        is_expert.then(|| format!("blk.{layer}.{part}_exps.{expert}.{ending}"))
    };
    apart().unwrap_or_else(|| name.to_owned())
}

/// Parts of names of encoders.
const ENCODER_PARTS: [(&str, &str); 16] = [
    ("attention.self.query", "attn_q"),
    ("attention.self.key", "attn_k"),
    ("attention.self.value", "attn_v"),
    ("attention.output.dense", "attn_output"),
    ("attention.output.LayerNorm", "attn_output_norm"),
    ("intermediate.dense", "ffn_up"),
    ("output.dense", "ffn_down"),
    ("output.LayerNorm", "layer_output_norm"),
    ("attention.q_lin", "attn_q"),
    ("attention.k_lin", "attn_k"),
    ("attention.v_lin", "attn_v"),
    ("attention.out_lin", "attn_output"),
    ("sa_layer_norm", "attn_output_norm"),
    ("ffn.lin1", "ffn_up"),
    ("ffn.lin2", "ffn_down"),
    ("output_layer_norm", "layer_output_norm"),
];

/// The GGUF name of an encoder's tensor in a safetensors file; `None` for what no layer asks for.
pub(crate) fn of_encoder(name: &str) -> Option<String> {
    let name = ["bert.", "roberta.", "distilbert."]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name);
    let (stem, ending) = name.rsplit_once('.')?;
    // Old files name the two halves of a norm as their first authors did.
    let ending = match ending {
        "gamma" => "weight",
        "beta" => "bias",
        other => other,
    };
    let whole = match stem {
        "embeddings.word_embeddings" => Some("token_embd"),
        "embeddings.position_embeddings" => Some("position_embd"),
        "embeddings.token_type_embeddings" => Some("token_types"),
        "embeddings.LayerNorm" => Some("token_embd_norm"),
        _ => None,
    };
    if let Some(whole) = whole {
        return Some(format!("{whole}.{ending}"));
    }
    let rest = stem
        .strip_prefix("encoder.layer.")
        .or_else(|| stem.strip_prefix("transformer.layer."))?;
    let (layer, rest) = rest.split_once('.')?;
    let (_, part) = ENCODER_PARTS.iter().find(|(theirs, _)| *theirs == rest)?;
    Some(format!("blk.{layer}.{part}.{ending}"))
}

fn part(name: &str) -> Option<&'static str> {
    let (_, part) = PARTS.iter().find(|(theirs, _)| *theirs == name)?;
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_families_become_those_of_gguf() {
        let cases = [
            ("llama", "model.embed_tokens.weight", "token_embd.weight"),
            ("llama", "lm_head.weight", "output.weight"),
            (
                "llama",
                "model.layers.7.post_attention_layernorm.weight",
                "blk.7.ffn_norm.weight",
            ),
            (
                "gemma3",
                "model.language_model.layers.7.post_attention_layernorm.weight",
                "blk.7.post_attention_norm.weight",
            ),
            (
                "qwen3moe",
                "model.layers.0.mlp.experts.12.up_proj.weight",
                "blk.0.ffn_up_exps.12.weight",
            ),
            (
                "llama",
                "model.layers.0.block_sparse_moe.experts.3.w2.weight",
                "blk.0.ffn_down_exps.3.weight",
            ),
            (
                "phi2",
                "model.layers.1.self_attn.dense.bias",
                "blk.1.attn_output.bias",
            ),
        ];
        for (architecture, theirs, ours) in cases {
            assert_eq!(of_decoder(architecture, theirs).as_deref(), Some(ours));
        }
        assert_eq!(of_decoder("llama", "model.rotary_emb.inv_freq"), None);
        let old = of_gguf("blk.3.ffn_down.7.weight");
        assert_eq!(old, "blk.3.ffn_down_exps.7.weight");
        assert_eq!(of_gguf("blk.3.ffn_down.weight"), "blk.3.ffn_down.weight");
        let ours = of_encoder("bert.encoder.layer.2.output.LayerNorm.gamma");
        assert_eq!(ours.as_deref(), Some("blk.2.layer_output_norm.weight"));
        assert_eq!(of_encoder("embeddings.position_ids"), None);
    }
}
