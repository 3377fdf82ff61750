//! Products with a matrix of weights, whatever type it has.

use candle_core::{D, Device, Module, Tensor, quantized::QMatMul};
use weft_protocol::infer::Refusal;

use crate::{
    refusal::{OrRefuse, Result},
    weights::{Matrix, Weights},
};

/// `x · Wᵀ + b`. Callers know nothing of how it is computed, so that a faster kernel fits behind it.
#[derive(Debug, Clone)]
pub(crate) struct Linear {
    weight: QMatMul,
    bias: Option<Tensor>,
}

impl Linear {
    /// The matrix `name.weight` and, if there is one, the vector `name.bias`.
    pub(crate) fn load(
        weights: &Weights,
        name: &str,
        rows: usize,
        columns: usize,
    ) -> Result<Self, Refusal> {
        let matrix = weights.matrix(&format!("{name}.weight"), rows, columns)?;
        let bias = weights.floats_if_any(&format!("{name}.bias"), &[rows])?;
        Ok(Self::new(matrix, bias))
    }

    pub(crate) fn new(matrix: Matrix, bias: Option<Tensor>) -> Self {
        let weight = match matrix {
            Matrix::Quantized(tensor) => QMatMul::QTensor(tensor),
            Matrix::Float(tensor) => QMatMul::Tensor(tensor),
        };
        Self { weight, bias }
    }

    /// `x` has one row for each token.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = self.weight.forward(&x.contiguous()?)?;
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}

/// Rows of a matrix by number.
#[derive(Debug, Clone)]
pub(crate) struct Embedding(Matrix);

impl Embedding {
    pub(crate) fn load(
        weights: &Weights,
        name: &str,
        rows: usize,
        columns: usize,
    ) -> Result<Self, Refusal> {
        weights.matrix(name, rows, columns).map(Self)
    }

    pub(crate) fn rows(&self, ids: &[u32], device: &Device) -> Result<Tensor> {
        let ids = Tensor::new(ids, device)?;
        match &self.0 {
            Matrix::Quantized(tensor) => tensor.embedding(&ids),
            Matrix::Float(tensor) => tensor.index_select(&ids, 0),
        }
    }

    /// The same matrix, to multiply with.
    pub(crate) fn tied(&self) -> Linear {
        Linear::new(self.0.clone(), None)
    }
}

/// Brings vectors to one length.
#[derive(Debug, Clone)]
pub(crate) struct Normalise {
    weight: Tensor,
    /// Present if the mean is subtracted as well.
    bias: Option<Tensor>,
    epsilon: f32,
}

impl Normalise {
    pub(crate) fn load(
        weights: &Weights,
        name: &str,
        len: usize,
        norm: super::config::Norm,
    ) -> Result<Self, Refusal> {
        let mut weight = weights.floats(&format!("{name}.weight"), &[len])?;
        if norm.plus_one {
            weight = (weight + 1.0).or_failed("a norm")?;
        }
        weight = weight.reshape(len).or_failed("a norm")?;
        let bias = match norm.kind {
            super::config::NormKind::Rms => None,
            super::config::NormKind::Layer => {
                let bias = weights.floats(&format!("{name}.bias"), &[len])?;
                Some(bias.reshape(len).or_failed("a norm")?)
            }
        };
        Ok(Self {
            weight,
            bias,
            epsilon: norm.epsilon as f32,
        })
    }

    pub(crate) fn load_if_any(
        weights: &Weights,
        name: &str,
        len: usize,
        norm: super::config::Norm,
    ) -> Result<Option<Self>, Refusal> {
        let any = weights.has(&format!("{name}.weight"));
        any.then(|| Self::load(weights, name, len, norm))
            .transpose()
    }

    /// Normalises the last dimension.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        debug_assert_eq!(x.dim(D::Minus1)?, self.weight.dim(0)?);
        let x = x.contiguous()?;
        match &self.bias {
            None => candle_nn::ops::rms_norm(&x, &self.weight, self.epsilon),
            Some(bias) => candle_nn::ops::layer_norm(&x, &self.weight, bias, self.epsilon),
        }
    }
}
