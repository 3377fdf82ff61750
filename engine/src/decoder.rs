//! Models that continue text: one block, which families vary by configuration.
//!
//! A pass takes new tokens of several sequences at once. Everything that looks at tokens one by one is computed for
//! all of them together; attention is computed for each sequence, over the memory that its [`Cache`] is.
//!
//! There are two ways to compute a pass: `direct`, with kernels of our own on this processor, and with candle's
//! tensors, which is what is here and in `block`, for other devices.

mod attention;
mod block;
mod cache;
pub(crate) mod config;
mod direct;
pub(crate) mod feed_forward;
pub(crate) mod linear;
pub(crate) mod rope;

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

use block::Block;
pub(crate) use cache::{Cache, Shape};
use candle_core::{Device, Tensor};
pub(crate) use config::Config;
use linear::{Embedding, Linear, Normalise};
use rope::{Angles, Turn};
use weft_protocol::infer::Refusal;

use crate::{
    refusal::{OrRefuse, Result},
    weights::Weights,
};

/// A decoder with its weights.
#[derive(Debug)]
pub(crate) struct Decoder {
    config: Config,
    embedding: Embedding,
    blocks: Vec<Block>,
    norm: Normalise,
    head: Linear,
    turns: Vec<Turn>,
    shape: Shape,
    device: Device,
    scratch: Mutex<direct::Scratch>,
}

/// New tokens of one sequence.
#[derive(Debug)]
pub(crate) struct Chunk<'a> {
    pub(crate) cache: &'a mut Cache,
    pub(crate) tokens: &'a [u32],
    /// Which of the tokens' outputs are wanted, ascending.
    pub(crate) wanted: Vec<usize>,
}

impl Decoder {
    /// Loads the weights.
    pub(crate) fn load(config: Config, weights: &Weights) -> Result<Self, Refusal> {
        let device = weights.target().device();
        let (rows, hidden) = (config.vocabulary, config.hidden);
        let embedding = Embedding::load(weights, "token_embd.weight", rows, hidden)?;
        let head = if weights.has("output.weight") {
            Linear::load(weights, "output", rows, hidden)?
        } else {
            let matrix = weights.matrix("token_embd.weight", rows, hidden)?;
            Linear::new(matrix, None).or_failed("the head")?
        };
        let blocks = (0..config.layers.len())
            .map(|layer| Block::load(weights, &config, layer))
            .collect::<Result<_, _>>()?;
        let turns = config.ropes.iter().map(Turn::new).collect();
        let shape = Shape {
            layers: config.layers.len(),
            heads: config.heads_kv,
            head_len: config.head_len,
            target: weights.target().clone(),
        };
        Ok(Self {
            norm: Normalise::load(weights, "output_norm", hidden, config.norm)?,
            embedding,
            blocks,
            head,
            turns,
            shape,
            device,
            scratch: Mutex::default(),
            config,
        })
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// One pass. Returns the logits of the wanted tokens, in order, a row each.
    pub(crate) fn forward(&self, chunks: &mut [Chunk<'_>]) -> Result<Vec<Vec<f32>>> {
        let rows = self.forward_until(&AtomicBool::new(false), chunks)?;
        Ok(rows.unwrap_or_default())
    }

    /// The same, given up between two layers once `stop` is set: `None` then, and the caches are as they were.
    pub(crate) fn forward_until(
        &self,
        stop: &AtomicBool,
        chunks: &mut [Chunk<'_>],
    ) -> Result<Option<Vec<Vec<f32>>>> {
        if self.shape.target.is_here() {
            return self.forward_directly(stop, chunks);
        }
        let Some(hidden) = self.hidden_until(stop, chunks)? else {
            return Ok((!stop.load(Ordering::Relaxed)).then(Vec::new));
        };
        let mut logits = self.head.forward(&hidden)?;
        if let Some(cap) = self.config.output_cap {
            logits = ((logits / cap)?.tanh()? * cap)?;
        }
        logits.to_device(&Device::Cpu)?.to_vec2().map(Some)
    }

    /// One pass without the head: the normalised vectors of the wanted tokens. `None` if none are wanted.
    pub(crate) fn hidden(&self, chunks: &mut [Chunk<'_>]) -> Result<Option<Tensor>> {
        if self.shape.target.is_here() {
            return self.hidden_directly(chunks);
        }
        self.hidden_until(&AtomicBool::new(false), chunks)
    }

    fn hidden_until(&self, stop: &AtomicBool, chunks: &mut [Chunk<'_>]) -> Result<Option<Tensor>> {
        let Batch {
            ids,
            positions,
            wanted,
        } = Batch::of(chunks);
        let rows = ids.len();
        let angles: Vec<Angles> = self
            .turns
            .iter()
            .map(|turn| turn.waves(&positions).angles(&self.device))
            .collect::<Result<_>>()?;
        let mut x = self.embedding.rows(&ids, &self.device)?;
        if let Some(scale) = self.config.embedding_scale {
            x = (x * scale)?;
        }
        for (layer, block) in self.blocks.iter().enumerate() {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let rope = self.config.layers[layer].rope.map(|rope| &angles[rope]);
            x = block.forward(&x, layer, rope, &self.shape, chunks)?;
        }
        for chunk in chunks.iter_mut() {
            chunk.cache.extend(chunk.tokens);
        }
        if wanted.is_empty() {
            return Ok(None);
        }
        if wanted.len() < rows {
            x = x.index_select(&Tensor::new(wanted.as_slice(), &self.device)?, 0)?;
        }
        self.norm.forward(&x).map(Some)
    }
}

/// All chunks of a pass behind each other.
struct Batch {
    ids: Vec<u32>,
    positions: Vec<usize>,
    /// Rows whose outputs are wanted.
    wanted: Vec<u32>,
}

impl Batch {
    fn of(chunks: &[Chunk<'_>]) -> Self {
        let mut batch = Self {
            ids: Vec::new(),
            positions: Vec::new(),
            wanted: Vec::new(),
        };
        for chunk in chunks {
            let start = batch.ids.len();
            let wanted = chunk.wanted.iter().map(|row| (start + row) as u32);
            batch.wanted.extend(wanted);
            let before = chunk.cache.len();
            batch.positions.extend(before..before + chunk.tokens.len());
            batch.ids.extend_from_slice(chunk.tokens);
        }
        batch
    }
}
