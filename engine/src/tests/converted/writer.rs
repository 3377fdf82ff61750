//! GGUF files as llama.cpp's converter writes them: its names, its keys, and what it does to weights on the way.

use std::{fs, path::Path};

use serde_json::{Value, json};

use super::super::architectures::values;

/// A tensor on its way into a file.
#[derive(Clone)]
pub(super) struct Tensor {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
}

/// Names after `blk.N.`, by those after `model.layers.N.`.
const NAMES: [(&str, &str); 26] = [
    ("input_layernorm", "attn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.qkv_proj", "attn_qkv"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.dense", "attn_output"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("post_self_attn_layernorm", "post_attention_norm"),
    ("pre_feedforward_layernorm", "ffn_norm"),
    ("post_feedforward_layernorm", "post_ffw_norm"),
    ("post_mlp_layernorm", "post_ffw_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.gate_up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
    ("mlp.fc1", "ffn_up"),
    ("mlp.fc2", "ffn_down"),
    ("mlp.gate", "ffn_gate_inp"),
    ("block_sparse_moe.gate", "ffn_gate_inp"),
    ("gate_proj", "ffn_gate_exps"),
    ("up_proj", "ffn_up_exps"),
    ("down_proj", "ffn_down_exps"),
    ("w1", "ffn_gate_exps"),
    ("w3", "ffn_up_exps"),
];

fn part(theirs: &str) -> &'static str {
    let found = NAMES.iter().find(|(name, _)| *name == theirs);
    found.map_or("ffn_down_exps", |(_, ours)| ours)
}

fn name_of(architecture: &str, theirs: &str) -> String {
    let (stem, ending) = theirs.rsplit_once('.').unwrap();
    let ours = match stem {
        "lm_head" => "output".to_owned(),
        "model.embed_tokens" => "token_embd".to_owned(),
        "model.norm" | "model.final_layernorm" => "output_norm".to_owned(),
        layer => {
            let (layer, rest) = layer
                .strip_prefix("model.layers.")
                .unwrap()
                .split_once('.')
                .unwrap();
            let rest = match rest {
                "post_attention_layernorm" if matches!(architecture, "gemma2" | "gemma3") => {
                    "post_attention_norm"
                }
                "post_attention_layernorm" => "ffn_norm",
                rest => part(rest),
            };
            format!("blk.{layer}.{rest}")
        }
    };
    format!("{ours}.{ending}")
}

/// Rows of each head, those of the first half and of the second by turns: what the converter does for llama.
fn permuted(mut tensor: Tensor, heads: usize) -> Tensor {
    let columns: usize = tensor.shape.iter().skip(1).product();
    let head_len = tensor.shape[0] / heads;
    let old = tensor.values.clone();
    for row in 0..tensor.shape[0] {
        let (head, at) = (row / head_len, row % head_len);
        let from = head * head_len + (at % 2) * (head_len / 2) + at / 2;
        tensor.values[row * columns..(row + 1) * columns]
            .copy_from_slice(&old[from * columns..(from + 1) * columns]);
    }
    tensor
}

pub(super) fn tensors(architecture: &str, fixture: &Value) -> Vec<Tensor> {
    let config = &fixture["config"];
    let whole = |key: &str| config[key].as_u64().unwrap() as usize;
    let gemma = architecture.starts_with("gemma");
    let mut all: Vec<Tensor> = Vec::new();
    for tensor in fixture["tensors"].as_array().unwrap() {
        let theirs = tensor[0].as_str().unwrap();
        let shape: Vec<usize> = serde_json::from_value(tensor[1].clone()).unwrap();
        let mut values = values(theirs, &shape, fixture["norms_plus_one"].as_bool().unwrap());
        if gemma && theirs.ends_with("norm.weight") {
            values.iter_mut().for_each(|value| *value += 1.0);
        }
        // Experts become one tensor; they come in the order of their numbers.
        let expert = [".mlp.experts.", ".block_sparse_moe.experts."]
            .iter()
            .find_map(|middle| theirs.split_once(middle));
        if let Some((layer, rest)) = expert {
            let (_, rest) = rest.split_once('.').unwrap();
            let rest = rest.strip_suffix(".weight").unwrap();
            let layer = layer.strip_prefix("model.layers.").unwrap();
            let name = format!("blk.{layer}.{}.weight", part(rest));
            match all.iter_mut().find(|tensor| tensor.name == name) {
                Some(tensor) => {
                    tensor.shape[0] += 1;
                    tensor.values.extend(values);
                }
                None => {
                    let shape = [&[1], shape.as_slice()].concat();
                    all.push(Tensor {
                        name,
                        shape,
                        values,
                    });
                }
            }
            continue;
        }
        let name = name_of(architecture, theirs);
        let mut tensor = Tensor {
            name,
            shape,
            values,
        };
        if matches!(architecture, "llama" | "smollm3") {
            if theirs.contains("q_proj") {
                tensor = permuted(tensor, whole("num_attention_heads"));
            } else if theirs.contains("k_proj") {
                tensor = permuted(tensor, whole("num_key_value_heads"));
            }
        }
        all.push(tensor);
    }
    all
}

/// Metadata that all families have, and those that this one has.
pub(super) fn metadata(architecture: &str, config: &Value, own: &Value) -> Vec<(String, Value)> {
    let mut all = vec![
        ("general.architecture".to_owned(), json!(architecture)),
        ("tokenizer.ggml.model".to_owned(), json!("gpt2")),
        (
            "tokenizer.ggml.tokens".to_owned(),
            (0..63_u32)
                .map(|id| char::from_u32(0x41 + id).unwrap().to_string())
                .chain(["AB".to_owned()])
                .collect(),
        ),
        ("tokenizer.ggml.merges".to_owned(), json!(["A B"])),
    ];
    let mut add = |key: &str, value: &Value| {
        if !value.is_null() {
            all.push((format!("{architecture}.{key}"), value.clone()));
        }
    };
    for (key, theirs) in [
        ("context_length", "max_position_embeddings"),
        ("embedding_length", "hidden_size"),
        ("block_count", "num_hidden_layers"),
        ("feed_forward_length", "intermediate_size"),
        ("attention.head_count", "num_attention_heads"),
        ("attention.head_count_kv", "num_key_value_heads"),
        ("attention.key_length", "head_dim"),
        ("attention.value_length", "head_dim"),
        ("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
        ("attention.layer_norm_epsilon", "layer_norm_eps"),
        ("attn_logit_softcapping", "attn_logit_softcapping"),
        ("final_logit_softcapping", "final_logit_softcapping"),
        ("expert_count", "num_local_experts"),
        ("expert_used_count", "num_experts_per_tok"),
        ("expert_feed_forward_length", "moe_intermediate_size"),
    ] {
        add(key, &config[theirs]);
    }
    let rope = &config["rope_parameters"];
    let rope = rope.get("full_attention").unwrap_or(rope);
    add("rope.freq_base", &rope["rope_theta"]);
    for (key, value) in own.as_object().unwrap() {
        add(key, value);
    }
    all
}

fn text(file: &mut Vec<u8>, text: &str) {
    file.extend((text.len() as u64).to_le_bytes());
    file.extend(text.as_bytes());
}

fn value(file: &mut Vec<u8>, value: &Value) {
    match value {
        Value::String(string) => {
            file.extend(8_u32.to_le_bytes());
            text(file, string);
        }
        Value::Bool(flag) => {
            file.extend(7_u32.to_le_bytes());
            file.push((*flag).into());
        }
        Value::Array(items) => {
            file.extend(9_u32.to_le_bytes());
            file.extend(8_u32.to_le_bytes());
            file.extend((items.len() as u64).to_le_bytes());
            items
                .iter()
                .for_each(|item| text(file, item.as_str().unwrap()));
        }
        number if number.is_u64() => {
            file.extend(4_u32.to_le_bytes());
            file.extend((number.as_u64().unwrap() as u32).to_le_bytes());
        }
        number => {
            file.extend(6_u32.to_le_bytes());
            file.extend((number.as_f64().unwrap() as f32).to_le_bytes());
        }
    }
}

pub(super) fn write_gguf(path: &Path, metadata: &[(String, Value)], tensors: &[Tensor]) {
    let mut file = b"GGUF".to_vec();
    file.extend(3_u32.to_le_bytes());
    file.extend((tensors.len() as u64).to_le_bytes());
    file.extend((metadata.len() as u64).to_le_bytes());
    for (key, content) in metadata {
        text(&mut file, key);
        value(&mut file, content);
    }
    let mut data = Vec::new();
    for tensor in tensors {
        text(&mut file, &tensor.name);
        file.extend((tensor.shape.len() as u32).to_le_bytes());
        for len in tensor.shape.iter().rev() {
            file.extend((*len as u64).to_le_bytes());
        }
        file.extend(0_u32.to_le_bytes());
        file.extend((data.len() as u64).to_le_bytes());
        for value in &tensor.values {
            data.extend(value.to_le_bytes());
        }
        data.resize(data.len().next_multiple_of(32), 0);
    }
    file.resize(file.len().next_multiple_of(32), 0);
    file.extend(data);
    fs::write(path, file).unwrap();
}
