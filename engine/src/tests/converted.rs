//! Families as GGUF files, written as llama.cpp's converter writes them, against folders of the same weights.
//!
//! The folders are those that `architectures` holds against transformers. The names, the keys and what is done to
//! weights on the way are written down here a second time, from the converter and not from our reader.

mod writer;

use serde_json::{Value, json};
use writer::{Tensor, metadata, tensors, write_gguf};

use super::architectures::{fixture, logits, write};
use crate::{Options, model, refusal::unsupported};

/// A family as the converter writes it: what it is called, the keys it has beside those of all, tensors that are added.
struct Converted {
    architecture: &'static str,
    own: Value,
    added: Vec<Tensor>,
}

fn family(architecture: &'static str, own: Value) -> Converted {
    Converted {
        architecture,
        own,
        added: Vec::new(),
    }
}

fn row(name: &str, values: &[f32]) -> Tensor {
    Tensor {
        name: name.to_owned(),
        shape: vec![values.len()],
        values: values.to_vec(),
    }
}

/// Holds the file against the folder. `change` makes the folder's configuration into one that a GGUF file can say.
fn check(name: &str, converted: Converted, change: impl Fn(&mut Value)) {
    let mut fixture = fixture(name);
    change(&mut fixture["config"]);
    let folder = tempfile::tempdir().unwrap();
    write(&fixture, folder.path());
    let architecture = converted.architecture;
    let metadata = metadata(architecture, &fixture["config"], &converted.own);
    let mut tensors = tensors(architecture, &fixture);
    tensors.extend(converted.added);
    let file = tempfile::tempdir().unwrap();
    let path = file.path().join("model.gguf");
    write_gguf(&path, &metadata, &tensors);
    let tokens: Vec<u32> = serde_json::from_value(fixture["tokens"].clone()).unwrap();
    let theirs = logits(&Options::new(folder.path()), &tokens);
    let ours = logits(&Options::new(&path), &tokens);
    for (row, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        let pairs = ours.iter().zip(theirs);
        let off = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(off < 1e-4, "{name}, row {row}: off by {off}");
    }
}

fn as_it_is(_: &mut Value) {}

/// Llama 3's stretching is in a tensor; what is in the configuration makes it.
#[test]
fn llama() {
    let (factor, low, high, context) = (8.0_f64, 1.0, 4.0, 32.0);
    let factors: Vec<f32> = (0..4)
        .map(|pair| {
            let wave = 2.0 * std::f64::consts::PI * 10_000_f64.powf(f64::from(pair) / 4.0);
            let smooth = (context / wave - low) / (high - low);
            (match wave {
                wave if wave < context / high => 1.0,
                wave if wave > context / low => factor,
                _ => 1.0 / ((1.0 - smooth) / factor + smooth),
            }) as f32
        })
        .collect();
    let mut converted = family("llama", json!({"rope.dimension_count": 8}));
    converted.added.push(row("rope_freqs.weight", &factors));
    check("llama", converted, as_it_is);
}

#[test]
fn mistral() {
    let own = json!({"rope.dimension_count": 12});
    // The converter leaves its window out.
    check("mistral", family("llama", own), |config| {
        config["sliding_window"] = Value::Null;
    });
}

#[test]
fn mixtral() {
    check(
        "mixtral",
        family("llama", json!({"rope.dimension_count": 8})),
        as_it_is,
    );
}

#[test]
fn qwen2() {
    let own = json!({"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0, "rope.scaling.original_context_length": 16});
    check("qwen2", family("qwen2", own), as_it_is);
}

#[test]
fn qwen3() {
    check("qwen3", family("qwen3", json!({})), as_it_is);
}

#[test]
fn qwen3_moe() {
    check("qwen3_moe", family("qwen3moe", json!({})), as_it_is);
}

#[test]
fn gemma() {
    check("gemma", family("gemma", json!({})), as_it_is);
}

#[test]
fn gemma2() {
    // What queries are scaled by is not in the file: it follows from the number of layers.
    check(
        "gemma2",
        family("gemma2", json!({"attention.sliding_window": 8})),
        |config| {
            config["query_pre_attn_scalar"] = json!(12);
        },
    );
}

#[test]
fn gemma3() {
    let own = json!({"attention.sliding_window": 8, "rope.scaling.type": "linear", "rope.scaling.factor": 8.0});
    check("gemma3", family("gemma3", own), |config| {
        config["query_pre_attn_scalar"] = json!(12);
        config["rope_parameters"]["full_attention"] =
            json!({"rope_type": "linear", "factor": 8.0, "rope_theta": 1_000_000.0});
    });
}

#[test]
fn phi() {
    check(
        "phi",
        family("phi2", json!({"rope.dimension_count": 4})),
        as_it_is,
    );
}

#[test]
fn phi3() {
    // By the ratio of both contexts, as the converter has it.
    let share = (1.0 + 2_f64.ln() / 32_f64.ln()).sqrt();
    let own = json!({
        "attention.sliding_window": 8, "rope.dimension_count": 6, "rope.scaling.attn_factor": share,
        "rope.scaling.original_context_length": 32,
    });
    let mut converted = family("phi3", own);
    converted
        .added
        .push(row("rope_factors_long.weight", &[1.0, 2.0, 4.0]));
    converted
        .added
        .push(row("rope_factors_short.weight", &[1.0, 1.1, 1.3]));
    check("phi3", converted, as_it_is);
}

#[test]
fn glm4() {
    check(
        "glm4",
        family("glm4", json!({"rope.dimension_count": 4})),
        as_it_is,
    );
}

#[test]
fn smollm3() {
    check(
        "smollm3",
        family("smollm3", json!({"rope.dimension_count": 8})),
        as_it_is,
    );
}

/// A factor without a kind is linear: files from before there were kinds.
#[test]
fn a_factor_alone_is_linear() {
    for own in [
        json!({"rope.scaling.factor": 2.0}),
        json!({"rope.scale_linear": 2.0}),
        json!({"rope.scaling.type": "linear", "rope.scaling.factor": 2.0}),
    ] {
        check("qwen3", family("qwen3", own), |config| {
            config["rope_parameters"] =
                json!({"rope_type": "linear", "factor": 2.0, "rope_theta": 10_000.0});
        });
    }
}

/// What a file says and we do not compute is refused, not passed over.
#[test]
fn what_is_not_supported_is_said() {
    for (own, said) in [
        (
            json!({"rope.scaling.type": "longrope"}),
            "the rope scaling `longrope`",
        ),
        (
            json!({"expert_gating_func": 2}),
            "chosen by anything but a softmax",
        ),
        (json!({"expert_shared_count": 1}), "that all tokens share"),
    ] {
        let fixture = fixture("qwen3_moe");
        let metadata = metadata("qwen3moe", &fixture["config"], &own);
        let file = tempfile::tempdir().unwrap();
        let path = file.path().join("model.gguf");
        write_gguf(&path, &metadata, &tensors("qwen3moe", &fixture));
        let refusal = model::load(&Options::new(&path)).unwrap_err();
        assert_eq!(
            std::mem::discriminant(&refusal),
            std::mem::discriminant(&unsupported(""))
        );
        assert!(refusal.to_string().contains(said), "{refusal}");
    }
}
