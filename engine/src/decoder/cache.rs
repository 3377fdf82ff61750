//! What a sequence remembers: keys and values of its tokens, for each layer.

use candle_core::{DType, Tensor};
use weft_kernels::Keep;

use crate::{refusal::Result, weights::Target};

/// Tokens by which memory grows.
const GRAIN: usize = 256;

/// The memory of one sequence.
#[derive(Debug)]
pub(crate) struct Cache {
    /// The tokens whose keys and values are here.
    tokens: Vec<u32>,
    layers: Layers,
}

#[derive(Debug)]
enum Layers {
    /// As our own kernels read it.
    Here(Vec<Keep>),
    Candle(Vec<Memory>),
}

/// Keys and values of one layer: key heads × capacity × head length.
#[derive(Debug)]
struct Memory {
    keys: Tensor,
    values: Tensor,
}

/// The measures of a cache.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(super) layers: usize,
    pub(super) heads: usize,
    pub(super) head_len: usize,
    pub(super) target: Target,
}

impl Shape {
    /// Bytes of a token.
    pub(crate) fn token_bytes(&self) -> usize {
        self.layers * self.heads * self.head_len * 2 * size_of::<f32>()
    }

    fn memory(&self, capacity: usize) -> Result<Memory> {
        let shape = (self.heads, capacity, self.head_len);
        let zeros = || Tensor::zeros(shape, DType::F32, &self.target.device());
        Ok(Memory {
            keys: zeros()?,
            values: zeros()?,
        })
    }
}

impl Cache {
    pub(crate) fn new(shape: &Shape) -> Result<Self> {
        let layers = if shape.target.is_here() {
            Layers::Here(vec![Keep::new(shape.heads, shape.head_len); shape.layers])
        } else {
            let layers = (0..shape.layers).map(|_| shape.memory(GRAIN));
            Layers::Candle(layers.collect::<Result<_>>()?)
        };
        Ok(Self {
            tokens: Vec::new(),
            layers,
        })
    }

    /// One that holds nothing and never will.
    pub(crate) const fn nothing() -> Self {
        Self {
            tokens: Vec::new(),
            layers: Layers::Here(Vec::new()),
        }
    }

    pub(crate) fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Forgets all tokens but the first `len`.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.tokens.truncate(len);
    }

    /// A copy that remembers the first `len` tokens.
    pub(crate) fn fork(&self, shape: &Shape, len: usize) -> Result<Self> {
        let len = len.min(self.len());
        let tokens = self.tokens[..len].to_vec();
        let own = match &self.layers {
            Layers::Here(keeps) => {
                let layers = keeps.iter().map(|keep| keep.first(len)).collect();
                return Ok(Self {
                    tokens,
                    layers: Layers::Here(layers),
                });
            }
            Layers::Candle(own) => own,
        };
        let capacity = len.div_ceil(GRAIN).max(1) * GRAIN;
        let mut layers = Vec::with_capacity(own.len());
        for layer in own {
            let memory = shape.memory(capacity)?;
            if len > 0 {
                let part = |tensor: &Tensor| tensor.narrow(1, 0, len)?.contiguous();
                memory.keys.slice_set(&part(&layer.keys)?, 1, 0)?;
                memory.values.slice_set(&part(&layer.values)?, 1, 0)?;
            }
            layers.push(memory);
        }
        Ok(Self {
            tokens,
            layers: Layers::Candle(layers),
        })
    }

    /// Takes note of tokens whose keys and values every layer has pushed.
    pub(super) fn extend(&mut self, tokens: &[u32]) {
        self.tokens.extend_from_slice(tokens);
    }

    /// What a layer keeps, where our own kernels compute.
    pub(super) fn keep(&self, layer: usize) -> Result<&Keep> {
        match &self.layers {
            Layers::Here(keeps) => Ok(&keeps[layer]),
            Layers::Candle(_) => candle_core::bail!("what is kept is candle's"),
        }
    }

    /// The same, to add to it.
    pub(super) fn keep_mut(&mut self, layer: usize) -> Result<&mut Keep> {
        match &mut self.layers {
            Layers::Here(keeps) => Ok(&mut keeps[layer]),
            Layers::Candle(_) => candle_core::bail!("what is kept is candle's"),
        }
    }

    /// Appends keys and values (key heads × tokens × head length) and returns those of all tokens.
    pub(super) fn push(
        &mut self,
        layer: usize,
        shape: &Shape,
        keys: &Tensor,
        values: &Tensor,
    ) -> Result<(Tensor, Tensor)> {
        let start = self.tokens.len();
        let end = start + keys.dim(1)?;
        let Layers::Candle(layers) = &mut self.layers else {
            candle_core::bail!("what is kept is not candle's")
        };
        let memory = &mut layers[layer];
        let capacity = memory.keys.dim(1)?;
        if end > capacity {
            // By halves, so that a long answer is copied a few times only.
            let grown = (end.max(capacity + capacity / 2)).div_ceil(GRAIN) * GRAIN;
            let larger = shape.memory(grown)?;
            if start > 0 {
                let part = |tensor: &Tensor| tensor.narrow(1, 0, start)?.contiguous();
                larger.keys.slice_set(&part(&memory.keys)?, 1, 0)?;
                larger.values.slice_set(&part(&memory.values)?, 1, 0)?;
            }
            *memory = larger;
        }
        memory.keys.slice_set(&keys.contiguous()?, 1, start)?;
        memory.values.slice_set(&values.contiguous()?, 1, start)?;
        Ok((
            memory.keys.narrow(1, 0, end)?,
            memory.values.narrow(1, 0, end)?,
        ))
    }
}
