//! Models that make a vector of a text: the bert family.

use std::path::Path;

use candle_core::{D, Device, Tensor};
use serde_json::Value;
use weft_protocol::infer::Refusal;

use crate::{
    decoder::{
        config::{Activation, Norm, NormKind},
        feed_forward::activate,
        linear::{Embedding, Linear, Normalise},
    },
    pooling::Pooling,
    refusal::{OrRefuse, Result, broken, unsupported},
    weights::{Target, Weights, names},
};

/// An encoder with its weights.
#[derive(Debug)]
pub(crate) struct Encoder {
    words: Embedding,
    positions: Tensor,
    /// Of the first segment; there is no second one here.
    segment: Option<Tensor>,
    norm: Normalise,
    layers: Vec<Layer>,
    heads: usize,
    device: Device,
    pooling: Pooling,
}

#[derive(Debug)]
struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    attention_norm: Normalise,
    up: Linear,
    down: Linear,
    norm: Normalise,
    activation: Activation,
}

/// The measures of an encoder.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) kind: String,
    pub(crate) hidden: usize,
    pub(crate) vocabulary: usize,
    /// Tokens of a text at most.
    pub(crate) context: usize,
    intermediate: usize,
    layers: usize,
    heads: usize,
    positions: usize,
    /// Position of the first token.
    first: usize,
    segments: usize,
    epsilon: f64,
    activation: Activation,
}

/// Whether `config.json` describes one.
pub(crate) fn is_encoder(config: &Value) -> bool {
    let kind = config["model_type"].as_str();
    matches!(
        kind,
        Some("bert" | "roberta" | "xlm-roberta" | "camembert" | "distilbert")
    )
}

impl Config {
    pub(crate) fn of_folder(config: &Value, folder: &Path) -> Result<Self, Refusal> {
        let kind = config["model_type"].as_str().unwrap_or_default().to_owned();
        let distil = kind == "distilbert";
        let need = |key: &str| {
            let number = config[key].as_u64().and_then(|n| usize::try_from(n).ok());
            number
                .filter(|number| (1..1 << 24).contains(number))
                .ok_or_else(|| broken(format!("`config.json` does not say its `{key}`")))
        };
        let either = |other: &str, usual: &str| need(if distil { other } else { usual });
        let position = config["position_embedding_type"].as_str();
        if position.is_some_and(|kind| kind != "absolute") {
            return Err(unsupported(
                "only absolute positions are supported for encoders",
            ));
        }
        let positions = need("max_position_embeddings")?;
        // This branch of the family counts from behind its padding.
        let first = if distil || kind == "bert" {
            0
        } else {
            config["pad_token_id"]
                .as_u64()
                .map_or(2, |pad| pad as usize + 1)
        };
        let told = crate::weights::json(folder, "sentence_bert_config.json")?;
        let told = told.and_then(|told| told["max_seq_length"].as_u64());
        let most = positions.saturating_sub(first);
        let activation = config["hidden_act"]
            .as_str()
            .or_else(|| config["activation"].as_str());
        let hidden = either("dim", "hidden_size")?;
        let heads = either("n_heads", "num_attention_heads")?;
        if !hidden.is_multiple_of(heads) || most == 0 {
            return Err(broken(format!("{heads} heads share {hidden} dimensions")));
        }
        Ok(Self {
            hidden,
            vocabulary: need("vocab_size")?,
            context: told.map_or(most, |told| most.min(told as usize)).max(1),
            intermediate: either("hidden_dim", "intermediate_size")?,
            layers: either("n_layers", "num_hidden_layers")?.min(1_024),
            heads,
            positions,
            first,
            segments: if distil {
                0
            } else {
                config["type_vocab_size"].as_u64().unwrap_or(0) as usize
            },
            epsilon: config["layer_norm_eps"].as_f64().unwrap_or(1e-12),
            activation: match activation {
                None | Some("gelu") => Activation::Gelu,
                Some("gelu_new" | "gelu_pytorch_tanh" | "gelu_fast") => Activation::GeluTanh,
                Some("silu" | "swish") => Activation::Silu,
                Some(other) => {
                    return Err(unsupported(format!(
                        "the activation `{other}` is not supported; supported are gelu and silu"
                    )));
                }
            },
            kind,
        })
    }
}

impl Encoder {
    pub(crate) fn load(
        config: &Config,
        weights: &Weights,
        pooling: Pooling,
    ) -> Result<Self, Refusal> {
        let (hidden, inner) = (config.hidden, config.intermediate);
        let norm = Norm {
            kind: NormKind::Layer,
            epsilon: config.epsilon,
            plus_one: false,
        };
        let layer = |index: usize| {
            let linear = |part: &str, rows, columns| {
                Linear::load(weights, &format!("blk.{index}.{part}"), rows, columns)
            };
            let norm =
                |part: &str| Normalise::load(weights, &format!("blk.{index}.{part}"), hidden, norm);
            Ok(Layer {
                query: linear("attn_q", hidden, hidden)?,
                key: linear("attn_k", hidden, hidden)?,
                value: linear("attn_v", hidden, hidden)?,
                output: linear("attn_output", hidden, hidden)?,
                attention_norm: norm("attn_output_norm")?,
                up: linear("ffn_up", inner, hidden)?,
                down: linear("ffn_down", hidden, inner)?,
                norm: norm("layer_output_norm")?,
                activation: config.activation,
            })
        };
        let positions = weights.floats("position_embd.weight", &[config.positions, hidden])?;
        let positions = positions
            .narrow(0, config.first, config.context)
            .or_failed("the positions")?;
        let segment = match config.segments {
            0 => None,
            count => {
                let all = weights.floats("token_types.weight", &[count, hidden])?;
                let all = all.reshape((count, hidden)).or_failed("the segments")?;
                Some(all.get(0).or_failed("the segments")?)
            }
        };
        Ok(Self {
            words: Embedding::load(weights, "token_embd.weight", config.vocabulary, hidden)?,
            positions,
            segment,
            norm: Normalise::load(weights, "token_embd_norm", hidden, norm)?,
            layers: (0..config.layers)
                .map(layer)
                .collect::<Result<_, Refusal>>()?,
            heads: config.heads,
            device: weights.target().device(),
            pooling,
        })
    }

    /// The vector of a text, no longer than the context.
    pub(crate) fn vector(&self, ids: &[u32]) -> Result<Vec<f32>> {
        let positions = self.positions.narrow(0, 0, ids.len())?;
        let mut x = (self.words.rows(ids, &self.device)? + positions)?;
        if let Some(segment) = &self.segment {
            x = x.broadcast_add(segment)?;
        }
        x = self.norm.forward(&x)?;
        for layer in &self.layers {
            x = layer.forward(&x, self.heads)?;
        }
        self.pooling.pool(&x)
    }
}

impl Layer {
    fn forward(&self, x: &Tensor, heads: usize) -> Result<Tensor> {
        let (rows, hidden) = x.dims2()?;
        let head_len = hidden / heads;
        let split = |x: Tensor| {
            x.reshape((rows, heads, head_len))?
                .transpose(0, 1)?
                .contiguous()
        };
        let query = split(self.query.forward(x)?)?;
        let key = split(self.key.forward(x)?)?;
        let value = split(self.value.forward(x)?)?;
        let scores = (query.matmul(&key.t()?)? * (1.0 / (head_len as f64).sqrt()))?;
        let attended = candle_nn::ops::softmax_last_dim(&scores)?
            .matmul(&value)?
            .transpose(0, 1)?
            .contiguous()?
            .flatten_from(D::Minus2)?;
        let x = self
            .attention_norm
            .forward(&(x + self.output.forward(&attended)?)?)?;
        let inner = activate(self.activation, &self.up.forward(&x)?)?;
        self.norm.forward(&(&x + self.down.forward(&inner)?)?)
    }
}

/// The weights of an encoder in a folder.
pub(crate) fn weights(folder: &Path, target: Target) -> Result<Weights, Refusal> {
    Weights::of_folder(folder, target, names::of_encoder)
}
