//! One layer of a decoder.

use candle_core::{D, Tensor};
use weft_protocol::infer::Refusal;

use super::{
    Chunk, Shape,
    attention::Attention,
    config::Config,
    feed_forward::FeedForward,
    linear::{Linear, Normalise},
    rope::Angles,
};
use crate::{refusal::Result, weights::Weights};

/// One layer. What is missing in a family is missing in its files.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) attention_norm: Normalise,
    pub(super) projection: Projection,
    pub(super) query_norm: Option<Normalise>,
    pub(super) key_norm: Option<Normalise>,
    pub(super) output: Linear,
    /// After attention, before it is added.
    pub(super) attention_post_norm: Option<Normalise>,
    /// None if it reads what attention reads.
    pub(super) norm: Option<Normalise>,
    pub(super) feed_forward: FeedForward,
    /// After the feed-forward part, before it is added.
    pub(super) post_norm: Option<Normalise>,
    pub(super) attention: Attention,
    pub(super) heads: usize,
    pub(super) heads_kv: usize,
    pub(super) head_len: usize,
}

#[derive(Debug)]
pub(super) enum Projection {
    Apart {
        query: Linear,
        key: Linear,
        value: Linear,
    },
    /// All three as one matrix.
    Fused(Linear),
}

impl Block {
    pub(super) fn load(weights: &Weights, config: &Config, layer: usize) -> Result<Self, Refusal> {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let hidden = config.hidden;
        let len = config.heads * config.head_len;
        let len_kv = config.heads_kv * config.head_len;
        let linear = |part: &str, rows, columns| Linear::load(weights, &name(part), rows, columns);
        let norm = |part: &str| Normalise::load(weights, &name(part), hidden, config.norm);
        let optional =
            |part: &str, len| Normalise::load_if_any(weights, &name(part), len, config.norm);
        let projection = if weights.has(&name("attn_qkv.weight")) {
            Projection::Fused(linear("attn_qkv", len + 2 * len_kv, hidden)?)
        } else {
            Projection::Apart {
                query: linear("attn_q", len, hidden)?,
                key: linear("attn_k", len_kv, hidden)?,
                value: linear("attn_v", len_kv, hidden)?,
            }
        };
        Ok(Self {
            attention_norm: norm("attn_norm")?,
            projection,
            query_norm: optional("attn_q_norm", config.head_len)?,
            key_norm: optional("attn_k_norm", config.head_len)?,
            output: linear("attn_output", hidden, len)?,
            attention_post_norm: optional("post_attention_norm", hidden)?,
            norm: if config.parallel {
                None
            } else {
                Some(norm("ffn_norm")?)
            },
            feed_forward: FeedForward::load(weights, config, layer)?,
            post_norm: optional("post_ffw_norm", hidden)?,
            attention: Attention {
                scale: config.attention_scale,
                cap: config.attention_cap,
                window: config.layers[layer].window,
            },
            heads: config.heads,
            heads_kv: config.heads_kv,
            head_len: config.head_len,
        })
    }

    pub(super) fn forward(
        &self,
        x: &Tensor,
        layer: usize,
        angles: Option<&Angles>,
        shape: &Shape,
        chunks: &mut [Chunk<'_>],
    ) -> Result<Tensor> {
        let normed = self.attention_norm.forward(x)?;
        let mut attended = self.attend(&normed, layer, angles, shape, chunks)?;
        if let Some(norm) = &self.attention_post_norm {
            attended = norm.forward(&attended)?;
        }
        let Some(norm) = &self.norm else {
            return (x + attended)? + self.feed_forward.forward(&normed)?;
        };
        let x = (x + attended)?;
        let mut y = self.feed_forward.forward(&norm.forward(&x)?)?;
        if let Some(norm) = &self.post_norm {
            y = norm.forward(&y)?;
        }
        x + y
    }

    fn attend(
        &self,
        x: &Tensor,
        layer: usize,
        angles: Option<&Angles>,
        shape: &Shape,
        chunks: &mut [Chunk<'_>],
    ) -> Result<Tensor> {
        let rows = x.dim(0)?;
        let (len, len_kv) = (self.heads * self.head_len, self.heads_kv * self.head_len);
        let (query, key, value) = match &self.projection {
            Projection::Apart { query, key, value } => {
                (query.forward(x)?, key.forward(x)?, value.forward(x)?)
            }
            Projection::Fused(all) => {
                let all = all.forward(x)?;
                (
                    all.narrow(D::Minus1, 0, len)?.contiguous()?,
                    all.narrow(D::Minus1, len, len_kv)?.contiguous()?,
                    all.narrow(D::Minus1, len + len_kv, len_kv)?.contiguous()?,
                )
            }
        };
        let mut query = query.reshape((rows, self.heads, self.head_len))?;
        let mut key = key.reshape((rows, self.heads_kv, self.head_len))?;
        let value = value.reshape((rows, self.heads_kv, self.head_len))?;
        if let Some(norm) = &self.query_norm {
            query = norm.forward(&query)?;
        }
        if let Some(norm) = &self.key_norm {
            key = norm.forward(&key)?;
        }
        if let Some(angles) = angles {
            query = angles.turn(&query)?;
            key = angles.turn(&key)?;
        }
        let mut attended = Vec::with_capacity(chunks.len());
        let mut start = 0;
        for chunk in chunks.iter_mut() {
            let count = chunk.tokens.len();
            let part = |tensor: &Tensor| tensor.narrow(0, start, count);
            let (keys, values) = chunk.cache.push(
                layer,
                shape,
                &part(&key)?.transpose(0, 1)?,
                &part(&value)?.transpose(0, 1)?,
            )?;
            attended.push(self.attention.forward(&part(&query)?, &keys, &values)?);
            start += count;
        }
        let attended = match attended.as_slice() {
            [one] => one.clone(),
            several => Tensor::cat(several, 0)?,
        };
        self.output.forward(&attended)
    }
}
