//! Models that continue text: one block, which families vary by configuration.
//!
//! A pass takes new tokens of several sequences at once. Everything that looks at tokens one by one is computed for
//! all of them together; attention is computed for each sequence, over the memory that its [`Cache`] is.

mod attention;
mod block;
mod cache;
pub(crate) mod config;
pub(crate) mod feed_forward;
pub(crate) mod linear;
pub(crate) mod rope;

use block::Block;
pub(crate) use cache::{Cache, Shape};
use candle_core::{Device, Tensor};
pub(crate) use config::Config;
use linear::{Embedding, Linear, Normalise};
use rope::{Angles, Table};
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
    tables: Vec<Table>,
    shape: Shape,
    device: Device,
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
    /// Loads the weights for contexts of up to `context` tokens.
    pub(crate) fn load(config: Config, weights: &Weights, context: usize) -> Result<Self, Refusal> {
        let device = weights.device().clone();
        let (rows, hidden) = (config.vocabulary, config.hidden);
        let embedding = Embedding::load(weights, "token_embd.weight", rows, hidden)?;
        let head = if weights.has("output.weight") {
            Linear::load(weights, "output", rows, hidden)?
        } else {
            embedding.tied()
        };
        let blocks = (0..config.layers.len())
            .map(|layer| Block::load(weights, &config, layer))
            .collect::<Result<_, _>>()?;
        let tables = config
            .ropes
            .iter()
            .map(|rope| Table::new(rope, context, &device))
            .collect::<Result<_>>()
            .or_failed("the positions")?;
        let shape = Shape {
            layers: config.layers.len(),
            heads: config.heads_kv,
            head_len: config.head_len,
            device: device.clone(),
        };
        Ok(Self {
            norm: Normalise::load(weights, "output_norm", hidden, config.norm)?,
            embedding,
            blocks,
            head,
            tables,
            shape,
            device,
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
        let Some(hidden) = self.hidden(chunks)? else {
            return Ok(Vec::new());
        };
        let mut logits = self.head.forward(&hidden)?;
        if let Some(cap) = self.config.output_cap {
            logits = ((logits / cap)?.tanh()? * cap)?;
        }
        logits.to_device(&Device::Cpu)?.to_vec2()
    }

    /// One pass without the head: the normalised vectors of the wanted tokens. `None` if none are wanted.
    pub(crate) fn hidden(&self, chunks: &mut [Chunk<'_>]) -> Result<Option<Tensor>> {
        let mut ids = Vec::new();
        let mut positions = Vec::new();
        let mut wanted = Vec::new();
        for chunk in chunks.iter() {
            let start = ids.len();
            wanted.extend(chunk.wanted.iter().map(|row| (start + row) as u32));
            let before = chunk.cache.len();
            positions.extend((before..before + chunk.tokens.len()).map(|at| at as u32));
            ids.extend_from_slice(chunk.tokens);
        }
        let rows = ids.len();
        let positions = Tensor::new(positions.as_slice(), &self.device)?;
        let angles: Vec<Angles> = self
            .tables
            .iter()
            .map(|table| table.at(&positions))
            .collect::<Result<_>>()?;
        let mut x = self.embedding.rows(&ids, &self.device)?;
        if let Some(scale) = self.config.embedding_scale {
            x = (x * scale)?;
        }
        for (layer, block) in self.blocks.iter().enumerate() {
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
