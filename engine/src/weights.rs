//! Weights in files: opened read-only, their headers checked, their names made one.
//!
//! Every header goes through [`weft_protocol::formats`] before anything else looks at it. Pickled files are never
//! opened. Tensors keep their place in the mapped file until a layer asks for them, under the names that GGUF gives
//! them (`blk.3.attn_q.weight`), whatever the file calls them.

mod mapped;
pub(crate) mod names;
mod open;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use candle_core::{
    DType, Device, Tensor,
    quantized::{GgmlDType, QStorage, QTensor},
};
pub(crate) use mapped::Mapped;
pub(crate) use open::{Found, bytes, decoder_weights, json, open};
use weft_kernels::{Kind, Packed};
use weft_protocol::infer::Refusal;

use crate::{
    process::pool,
    refusal::{OrRefuse, Result as Computed, broken, unsupported},
};

/// Element types that can be computed with.
const TYPES: &str = "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K";

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
    /// In the order of our own kernels.
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
        self.matrix_at(name, place, self.bytes(place), &[rows, columns])
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
        let bytes = &self.bytes(place)[index * len..(index + 1) * len];
        self.matrix_at(name, place, bytes, &[rows, columns])
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
        bytes: &[u8],
        shape: &[usize],
    ) -> Result<Matrix, Refusal> {
        if self.target.is_here()
            && let (Some(kind), [rows, columns]) = (packed_type(place.dtype), shape)
            && let Some(packed) = Packed::new(pool(), kind, *rows, *columns, bytes)
        {
            return Ok(Matrix::Packed(packed.into()));
        }
        self.by_candle.store(true, Ordering::Relaxed);
        matrix_of(name, place.dtype, bytes, shape, &self.target.device())
    }
}

/// A tensor as candle has it.
fn matrix_of(
    name: &str,
    dtype: &str,
    bytes: &[u8],
    shape: &[usize],
    device: &Device,
) -> Result<Matrix, Refusal> {
    let wrong = || format!("`{name}`");
    if let Some(dtype) = float_type(dtype) {
        let tensor = Tensor::from_raw_buffer(bytes, dtype, shape, device);
        let tensor = tensor.and_then(|tensor| tensor.to_dtype(DType::F32));
        return tensor.or_broken(wrong).map(Matrix::Float);
    }
    let Some(dtype) = block_type(dtype) else {
        return Err(unsupported(format!(
            "`{name}` has the element type {dtype}; supported are {TYPES}"
        )));
    };
    let columns = shape.last().copied().unwrap_or_default();
    if columns == 0 || !columns.is_multiple_of(dtype.block_size()) {
        return Err(broken(format!("`{name}` has rows of no whole blocks")));
    }
    // Blocks begin with 16-bit floats; a file whose alignment is odd is copied to where they may lie.
    let aligned;
    let bytes = if bytes.as_ptr().align_offset(4) == 0 {
        bytes
    } else {
        aligned = Aligned::new(bytes);
        aligned.bytes()
    };
    let storage = QStorage::from_data(bytes.into(), device, dtype).or_broken(wrong)?;
    let tensor = QTensor::new(storage, shape).or_broken(wrong)?;
    Ok(Matrix::Quantized(tensor.into()))
}

/// Bytes at an address that is a multiple of four.
struct Aligned {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Aligned {
    fn new(bytes: &[u8]) -> Self {
        let mut copy = vec![0; bytes.len() + 4];
        let start = copy.as_ptr().align_offset(4).min(4);
        copy[start..start + bytes.len()].copy_from_slice(bytes);
        Self {
            bytes: copy,
            start,
            len: bytes.len(),
        }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.len]
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

fn float_type(name: &str) -> Option<DType> {
    Some(match name {
        "F32" => DType::F32,
        "F16" => DType::F16,
        "BF16" => DType::BF16,
        "F64" => DType::F64,
        _ => return None,
    })
}

fn block_type(name: &str) -> Option<GgmlDType> {
    Some(match name {
        "Q4_0" => GgmlDType::Q4_0,
        "Q4_1" => GgmlDType::Q4_1,
        "Q5_0" => GgmlDType::Q5_0,
        "Q5_1" => GgmlDType::Q5_1,
        "Q8_0" => GgmlDType::Q8_0,
        "Q2_K" => GgmlDType::Q2K,
        "Q3_K" => GgmlDType::Q3K,
        "Q4_K" => GgmlDType::Q4K,
        "Q5_K" => GgmlDType::Q5K,
        "Q6_K" => GgmlDType::Q6K,
        _ => return None,
    })
}

/// Those of which we have kernels of our own.
fn packed_type(name: &str) -> Option<Kind> {
    Some(match name {
        "F32" => Kind::F32,
        "F16" => Kind::F16,
        "BF16" => Kind::BF16,
        "Q4_0" => Kind::Q4_0,
        "Q5_0" => Kind::Q5_0,
        "Q8_0" => Kind::Q8_0,
        "Q4_K" => Kind::Q4K,
        "Q5_K" => Kind::Q5K,
        "Q6_K" => Kind::Q6K,
        _ => return None,
    })
}
