//! Rows that several matrices read, whoever multiplies them.

use candle_core::{Device, Module, Tensor};
use weft_kernels::{Form, Packed, Pool, Product, Rows, elements, product};

use crate::{
    decoder::linear::{Linear, Weight},
    process::pool,
    refusal::Result,
};

/// Rows for some matrices.
#[derive(Debug, Default)]
pub(in crate::decoder) struct Inputs {
    rows: Rows,
    /// As they are, where somebody takes some of them or multiplies them with candle.
    plain: Vec<f32>,
    columns: usize,
}

/// Where a matrix's products go.
#[derive(Debug)]
pub(super) struct Output<'a> {
    linear: &'a Linear,
    to: &'a mut [f32],
    add: bool,
}

impl<'a> Output<'a> {
    pub(super) fn set(linear: &'a Linear, to: &'a mut [f32]) -> Self {
        Self {
            linear,
            to,
            add: false,
        }
    }

    /// Adds them to what is there.
    pub(super) fn add(linear: &'a Linear, to: &'a mut [f32]) -> Self {
        Self {
            linear,
            to,
            add: true,
        }
    }
}

impl Inputs {
    /// Becomes rows for `readers`; `fill` writes each. Where `kept`, some of them can be taken later.
    pub(super) fn set(
        &mut self,
        pool: &Pool,
        readers: &[&Linear],
        kept: bool,
        (count, columns): (usize, usize),
        fill: impl Fn(usize, &mut [f32]) + Sync,
    ) {
        let form = Form::of(readers.iter().filter_map(|linear| packed(linear)));
        self.plain.clear();
        self.columns = columns;
        if kept || readers.iter().any(|linear| packed(linear).is_none()) {
            self.plain.resize(count * columns, 0.0);
            for (row, to) in self.plain.chunks_exact_mut(columns).enumerate() {
                fill(row, to);
            }
        }
        self.rows.set(pool, form, (count, columns), fill);
    }

    /// One of the rows that were kept.
    pub(super) fn row(&self, row: usize) -> &[f32] {
        &self.plain[row * self.columns..(row + 1) * self.columns]
    }

    /// Multiplies them.
    pub(super) fn multiply(&self, outputs: &mut [Output<'_>]) -> Result<()> {
        let mut products = Vec::with_capacity(outputs.len());
        for output in outputs {
            match &output.linear.weight {
                Weight::Packed(weights) => products.push(Product {
                    weights,
                    bias: output.linear.bias_floats.as_deref(),
                    to: output.to,
                    add: output.add,
                }),
                Weight::Candle(weight) => {
                    let shape = (self.plain.len() / self.columns, self.columns);
                    let rows = Tensor::from_slice(&self.plain, shape, &Device::Cpu)?;
                    let products = weight.forward(&rows)?.flatten_all()?.to_vec1::<f32>()?;
                    if output.add {
                        elements::add(output.to, &products);
                    } else {
                        output.to.copy_from_slice(&products);
                    }
                    if let Some(bias) = &output.linear.bias_floats {
                        for row in output.to.chunks_exact_mut(bias.len()) {
                            elements::add(row, bias);
                        }
                    }
                }
            }
        }
        product(pool(), &self.rows, &mut products);
        Ok(())
    }
}

fn packed(linear: &Linear) -> Option<&Packed> {
    match &linear.weight {
        Weight::Packed(packed) => Some(packed),
        Weight::Candle(_) => None,
    }
}
