//! Weights in files: opened read-only, their headers checked, their names made one.
//!
//! Every header goes through [`weft_protocol::formats`] before anything else looks at it. Pickled files are never
//! opened. Tensors keep their place in the mapped file until a layer asks for them, under the names that GGUF gives
//! them (`blk.3.attn_q.weight`), whatever the file calls them.

mod mapped;
pub(crate) mod names;
mod open;
mod types;

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use candle_core::{Device, Tensor, quantized::QTensor};
pub(crate) use mapped::Mapped;
pub(crate) use open::{Found, bytes, decoder_weights, json, open};
use types::{kernel_type, matrix_of};
use weft_kernels::Packed;
use weft_protocol::infer::Refusal;

use crate::{
    process::pool,
    refusal::{OrRefuse, Result as Computed, broken},
};

/// All tensors of a model.
#[derive(Debug)]
pub(crate) struct Weights {
    files: Vec<Arc<Mapped>>,
    tensors: BTreeMap<String, Place>,
    target: Target,
    /// Whether a matrix is multiplied by candle.
    by_candle: AtomicBool,
}

/// What computes.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// This processor, with kernels of our own.
    Here,
    /// candle, on whatever device it is told.
    Candle(Device),
}

impl Target {
    /// Where candle computes what only candle can.
    pub(crate) fn device(&self) -> Device {
        match self {
            Self::Here => Device::Cpu,
            Self::Candle(device) => device.clone(),
        }
    }

    pub(crate) fn is_here(&self) -> bool {
        matches!(self, Self::Here)
    }
}

/// Where a tensor lies.
#[derive(Debug, Clone)]
struct Place {
    file: usize,
    dtype: &'static str,
    /// Slowest dimension first.
    shape: Vec<usize>,
    offset: usize,
    len: usize,
}

/// A matrix as its file has it: quantized, or in floats.
#[derive(Debug, Clone)]
pub(crate) enum Matrix {
    Quantized(Arc<QTensor>),
    Float(Tensor),
    /// For our own kernels.
    Packed(Arc<Packed>),
}

/// Rows that are looked up, left in their file.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    file: Arc<Mapped>,
    place: Place,
    columns: usize,
}

impl Table {
    /// Reads a row.
    pub(crate) fn row(&self, index: usize, to: &mut [f32]) -> Computed<()> {
        let len = self.place.len / self.place.shape.first().copied().unwrap_or(1);
        let start = self.place.offset + index * len;
        let bytes = &self.file.bytes()[start..start + len];
        let matrix = matrix_of(
            "a row",
            self.place.dtype,
            bytes,
            &[1, self.columns],
            &Device::Cpu,
        );
        let row = match matrix.map_err(|refusal| candle_core::Error::Msg(refusal.to_string()))? {
            Matrix::Quantized(tensor) => tensor.dequantize(&Device::Cpu)?,
            Matrix::Float(tensor) => tensor,
            Matrix::Packed(_) => candle_core::bail!("packed rows are not looked up"),
        };
        to.copy_from_slice(&row.flatten_all()?.to_vec1()?);
        Ok(())
    }
}

impl Weights {
    pub(crate) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Dimensions, the slowest first.
    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|place| place.shape.as_slice())
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Whether candle multiplies one of the matrices that were asked for so far.
    pub(crate) fn is_by_candle(&self) -> bool {
        self.by_candle.load(Ordering::Relaxed)
    }

    /// Number of weights and their bytes in the files.
    pub(crate) fn count(&self) -> (u64, u64) {
        self.tensors.values().fold((0, 0), |(count, bytes), place| {
            let elements: usize = place.shape.iter().product();
            (count + elements as u64, bytes + place.len as u64)
        })
    }

    /// The element type that most weights have, as GGUF names it.
    pub(crate) fn quantization(&self) -> &'static str {
        let mut bytes: BTreeMap<&'static str, usize> = BTreeMap::new();
        for place in self.tensors.values() {
            *bytes.entry(place.dtype).or_default() += place.shape.iter().product::<usize>();
        }
        bytes
            .into_iter()
            .max_by_key(|(_, elements)| *elements)
            .map_or("F32", |(dtype, _)| dtype)
    }

    /// A vector or any other small tensor, as 32-bit floats.
    pub(crate) fn floats(&self, name: &str, shape: &[usize]) -> Result<Tensor, Refusal> {
        let place = self.place(name)?;
        expect_shape(name, place, shape)?;
        let device = self.target.device();
        match matrix_of(name, place.dtype, self.bytes(place), shape, &device)? {
            Matrix::Quantized(tensor) => {
                tensor.dequantize(&device).or_broken(|| format!("`{name}`"))
            }
            Matrix::Float(tensor) => Ok(tensor),
            Matrix::Packed(_) => Err(broken(format!("`{name}` is packed"))),
        }
    }

    /// The same if it is there.
    pub(crate) fn floats_if_any(
        &self,
        name: &str,
        shape: &[usize],
    ) -> Result<Option<Tensor>, Refusal> {
        self.has(name).then(|| self.floats(name, shape)).transpose()
    }

    /// A matrix of `rows` × `columns`.
    pub(crate) fn matrix(
        &self,
        name: &str,
        rows: usize,
        columns: usize,
    ) -> Result<Matrix, Refusal> {
        let place = self.place(name)?;
        expect_shape(name, place, &[rows, columns])?;
        self.matrix_at(name, place, 0..place.len, &[rows, columns])
    }

    /// Rows to look up.
    pub(crate) fn table(&self, name: &str, rows: usize, columns: usize) -> Result<Table, Refusal> {
        let place = self.place(name)?;
        expect_shape(name, place, &[rows, columns])?;
        let table = Table {
            file: self.files[place.file].clone(),
            place: Place {
                shape: vec![rows, columns],
                ..place.clone()
            },
            columns,
        };
        // Whatever is wrong with one row is wrong with the first.
        table
            .row(0, &mut vec![0.0; columns])
            .or_broken(|| format!("`{name}`"))?;
        Ok(table)
    }

    /// One of `count` matrices that lie behind each other as one tensor.
    pub(crate) fn slice(
        &self,
        name: &str,
        (index, count): (usize, usize),
        rows: usize,
        columns: usize,
    ) -> Result<Matrix, Refusal> {
        let place = self.place(name)?;
        expect_shape(name, place, &[count, rows, columns])?;
        let len = place.len / count;
        let part = index * len..(index + 1) * len;
        self.matrix_at(name, place, part, &[rows, columns])
    }

    fn place(&self, name: &str) -> Result<&Place, Refusal> {
        self.tensors
            .get(name)
            .ok_or_else(|| broken(format!("the file has no tensor `{name}`")))
    }

    fn bytes(&self, place: &Place) -> &[u8] {
        &self.files[place.file].bytes()[place.offset..place.offset + place.len]
    }

    fn matrix_at(
        &self,
        name: &str,
        place: &Place,
        part: Range<usize>,
        shape: &[usize],
    ) -> Result<Matrix, Refusal> {
        if self.target.is_here()
            && let (Some(kind), [rows, columns]) = (kernel_type(place.dtype), shape)
        {
            let file = self.files[place.file].clone();
            let part = place.offset + part.start..place.offset + part.end;
            let packed = Packed::in_file(pool(), kind, (*rows, *columns), file, part);
            if let Some(packed) = packed {
                return Ok(Matrix::Packed(packed.into()));
            }
        }
        self.by_candle.store(true, Ordering::Relaxed);
        let bytes = &self.bytes(place)[part];
        matrix_of(name, place.dtype, bytes, shape, &self.target.device())
    }
}

fn expect_shape(name: &str, place: &Place, shape: &[usize]) -> Result<(), Refusal> {
    // A bias or a norm may have leading ones.
    let trimmed = |shape: &[usize]| -> Vec<usize> {
        shape.iter().copied().skip_while(|len| *len == 1).collect()
    };
    if trimmed(&place.shape) == trimmed(shape) {
        return Ok(());
    }
    Err(broken(format!(
        "`{name}` has the shape {:?} where {shape:?} belongs",
        place.shape
    )))
}
