//! What files leave out, and what is left over in them.

use serde_json::{Value, json};

use super::{super::rope::Scaling, *};

fn config(kind: &str, own: &Value) -> Config {
    let mut all = json!({
        "model_type": kind, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 7,
        "num_attention_heads": 4, "max_position_embeddings": 64, "vocab_size": 64,
    });
    for (key, value) in own.as_object().unwrap() {
        all[key] = value.clone();
    }
    of_folder(&all).unwrap()
}

/// As the models of this family that see pictures have it.
#[test]
fn what_is_usual_for_gemma3_need_not_be_said() {
    let described = json!({
        "model_type": "gemma3",
        "text_config": {
            "model_type": "gemma3_text", "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34,
            "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "sliding_window": 1024,
        },
    });
    let config = of_folder(&described).unwrap();
    assert_eq!(
        (config.heads, config.heads_kv, config.head_len),
        (8, 4, 256)
    );
    assert_eq!((config.vocabulary, config.context_max), (262_208, 131_072));
    assert_eq!(config.attention_scale, 1.0 / 16.0);
    assert_eq!(config.layers[4].window, Some(1024));
    assert_eq!(config.layers[5].window, None);
    assert_eq!(config.ropes[0].base, 1_000_000.0);
    assert_eq!(config.ropes[0].scaling, Scaling::Linear(8.0));
    assert_eq!(config.ropes[1].base, 10_000.0);
    assert_eq!(config.ropes[1].scaling, Scaling::None);
}

#[test]
fn only_some_families_have_windows() {
    let window = json!({"sliding_window": 8});
    for (kind, seen) in [
        ("llama", None),
        ("qwen2", None),
        ("mistral", Some(8)),
        ("mixtral", Some(8)),
        ("phi3", Some(8)),
    ] {
        let config = config(kind, &window);
        assert!(
            config.layers.iter().all(|layer| layer.window == seen),
            "{kind}"
        );
    }
}

#[test]
fn a_model_with_two_sets_of_factors_is_offered_as_far_as_the_first_holds() {
    let config = config(
        "phi3",
        &json!({
            "original_max_position_embeddings": 16,
            "rope_scaling": {"type": "longrope", "short_factor": [1.0, 1.0, 1.0, 1.0], "long_factor": [2.0, 2.0, 2.0, 2.0]},
        }),
    );
    assert_eq!((config.context_default, config.context_max), (16, 16));
}

#[test]
fn two_scales_of_yarn_are_a_share() {
    let config = config(
        "qwen2",
        &json!({"rope_scaling": {"type": "yarn", "factor": 4.0, "mscale": 1.0, "mscale_all_dim": 0.5}}),
    );
    let Scaling::Yarn { attention, .. } = config.ropes[0].scaling else {
        panic!("{:?}", config.ropes);
    };
    let scale = |scale: f64| 0.1 * scale * 4_f64.ln() + 1.0;
    assert_eq!(attention, Some(scale(1.0) / scale(0.5)));
}
