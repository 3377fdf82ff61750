//! Products with a matrix of weights, whatever type it has.

use std::sync::Arc;

use candle_core::{D, Device, Module, Tensor, quantized::QMatMul};
use weft_kernels::{Form, Packed, Product, Rows, elements};
use weft_protocol::infer::Refusal;

use crate::{
    process::pool,
    refusal::{OrRefuse, Result},
    weights::{Matrix, Table, Weights},
};

/// `x · Wᵀ + b`. Callers know nothing of how it is computed.
#[derive(Debug, Clone)]
pub(crate) struct Linear {
    pub(super) weight: Weight,
    bias: Option<Tensor>,
    pub(super) bias_floats: Option<Arc<[f32]>>,
}

/// A matrix that can be multiplied with.
#[derive(Debug, Clone)]
pub(super) enum Weight {
    Packed(Arc<Packed>),
    Candle(QMatMul),
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
        Self::new(matrix, bias).or_failed("a bias")
    }

    pub(crate) fn new(matrix: Matrix, bias: Option<Tensor>) -> Result<Self> {
        let weight = match matrix {
            Matrix::Quantized(tensor) => Weight::Candle(QMatMul::QTensor(tensor)),
            Matrix::Float(tensor) => Weight::Candle(QMatMul::Tensor(tensor)),
            Matrix::Packed(packed) => Weight::Packed(packed),
        };
        let bias_floats = bias.as_ref().map(floats).transpose()?;
        Ok(Self {
            weight,
            bias_floats: bias_floats.map(Into::into),
            bias,
        })
    }

    /// Numbers of a row that it reads.
    pub(super) fn columns(&self) -> usize {
        match &self.weight {
            Weight::Packed(packed) => packed.columns(),
            Weight::Candle(QMatMul::QTensor(tensor)) => tensor.shape().dims()[1],
            Weight::Candle(QMatMul::Tensor(tensor) | QMatMul::TensorF16(tensor)) => {
                tensor.dims()[1]
            }
        }
    }

    /// `x` has one row for each token.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let weight = match &self.weight {
            Weight::Candle(weight) => weight,
            Weight::Packed(packed) => {
                let (count, columns) = x.dims2()?;
                let from = floats(x)?;
                let mut to = vec![0.0; count * packed.rows()];
                let form = Form::of([packed.as_ref()]);
                let mut rows = Rows::default();
                rows.set(pool(), form, (count, columns), |row, to| {
                    to.copy_from_slice(&from[row * columns..(row + 1) * columns]);
                });
                let product = Product {
                    weights: packed,
                    bias: self.bias_floats.as_deref(),
                    to: &mut to,
                    add: false,
                };
                weft_kernels::product(pool(), &rows, &mut [product]);
                return Tensor::from_vec(to, (count, packed.rows()), x.device());
            }
        };
        let y = weight.forward(&x.contiguous()?)?;
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}

/// The numbers of a tensor, in order.
fn floats(x: &Tensor) -> Result<Vec<f32>> {
    x.flatten_all()?.to_device(&Device::Cpu)?.to_vec1()
}

/// Rows of a matrix by number.
#[derive(Debug, Clone)]
pub(crate) enum Embedding {
    /// Left in the file.
    Table { table: Table, columns: usize },
    /// Where candle computes.
    Matrix(Matrix),
}

impl Embedding {
    pub(crate) fn load(
        weights: &Weights,
        name: &str,
        rows: usize,
        columns: usize,
    ) -> Result<Self, Refusal> {
        if weights.target().is_here() {
            let table = weights.table(name, rows, columns)?;
            return Ok(Self::Table { table, columns });
        }
        weights.matrix(name, rows, columns).map(Self::Matrix)
    }

    pub(crate) fn rows(&self, ids: &[u32], device: &Device) -> Result<Tensor> {
        let index = Tensor::new(ids, device)?;
        match self {
            Self::Table { columns, .. } => {
                Tensor::from_vec(self.floats(ids)?, (ids.len(), *columns), device)
            }
            Self::Matrix(Matrix::Quantized(tensor)) => tensor.embedding(&index),
            Self::Matrix(Matrix::Float(tensor)) => tensor.index_select(&index, 0),
            Self::Matrix(Matrix::Packed(_)) => candle_core::bail!("packed rows are not looked up"),
        }
    }

    /// The numbers of rows.
    pub(super) fn floats(&self, ids: &[u32]) -> Result<Vec<f32>> {
        match self {
            Self::Table { table, columns } => {
                let mut all = vec![0.0; ids.len() * columns];
                for (id, row) in ids.iter().zip(all.chunks_exact_mut(*columns)) {
                    table.row(*id as usize, row)?;
                }
                Ok(all)
            }
            Self::Matrix(_) => floats(&self.rows(ids, &Device::Cpu)?),
        }
    }
}

/// Brings vectors to one length.
#[derive(Debug, Clone)]
pub(crate) struct Normalise {
    weight: Tensor,
    /// Present if the mean is subtracted as well.
    bias: Option<Tensor>,
    epsilon: f32,
    /// The same as numbers.
    floats: (Arc<[f32]>, Option<Arc<[f32]>>),
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
        let numbers = floats(&weight).or_failed("a norm")?;
        let more = bias.as_ref().map(floats).transpose().or_failed("a norm")?;
        Ok(Self {
            weight,
            bias,
            epsilon: norm.epsilon as f32,
            floats: (numbers.into(), more.map(Into::into)),
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

    /// Normalises a row.
    pub(super) fn row(&self, x: &[f32], to: &mut [f32]) {
        match &self.floats {
            (weight, None) => elements::rms_norm(x, weight, self.epsilon, to),
            (weight, Some(bias)) => elements::layer_norm(x, weight, bias, self.epsilon, to),
        }
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
