//! Attention of one sequence's new tokens to all of its tokens.

use candle_core::{D, Device, Tensor};

use crate::refusal::Result;

/// What attention needs besides queries, keys and values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attention {
    pub(super) scale: f64,
    pub(super) cap: Option<f64>,
    pub(super) window: Option<usize>,
}

impl Attention {
    /// `queries` are new tokens × heads × head length, `keys` and `values` key heads × all tokens × head length.
    /// Returns new tokens × (heads · head length).
    pub(super) fn forward(
        &self,
        queries: &Tensor,
        keys: &Tensor,
        values: &Tensor,
    ) -> Result<Tensor> {
        let (new, heads, head_len) = queries.dims3()?;
        let (heads_kv, all, _) = keys.dims3()?;
        let group = heads / heads_kv;
        // Heads that share keys stand side by side, so that one product serves all of them.
        let queries =
            queries
                .transpose(0, 1)?
                .contiguous()?
                .reshape((heads_kv, group * new, head_len))?;
        let mut scores = (queries.matmul(&keys.t()?)? * self.scale)?;
        if let Some(cap) = self.cap {
            scores = ((scores / cap)?.tanh()? * cap)?;
        }
        if let Some(mask) = self.mask(new, all, queries.device())? {
            scores = scores
                .reshape((heads, new, all))?
                .broadcast_add(&mask)?
                .reshape((heads_kv, group * new, all))?;
        }
        let weights = candle_nn::ops::softmax_last_dim(&scores)?;
        weights
            .matmul(values)?
            .reshape((heads, new, head_len))?
            .transpose(0, 1)?
            .contiguous()?
            .flatten_from(D::Minus2)
    }

    /// What new tokens must not see: later ones, and those beyond the window. `None` if they may see all.
    fn mask(&self, new: usize, all: usize, device: &Device) -> Result<Option<Tensor>> {
        let before = all - new;
        let window = self.window.unwrap_or(usize::MAX);
        if new == 1 && all <= window {
            return Ok(None);
        }
        let mut mask = Vec::with_capacity(new * all);
        for row in 0..new {
            let position = before + row;
            mask.extend((0..all).map(|key| {
                let hidden = key > position || position - key >= window;
                if hidden { f32::NEG_INFINITY } else { 0.0 }
            }));
        }
        Tensor::from_vec(mask, (1, new, all), device).map(Some)
    }
}
