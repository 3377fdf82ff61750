//! Element types, and tensors as candle has them.

use candle_core::{
    DType, Device, Tensor,
    quantized::{GgmlDType, QStorage, QTensor},
};
use weft_kernels::Kind;
use weft_protocol::infer::Refusal;

use super::Matrix;
use crate::refusal::{OrRefuse, broken, unsupported};

/// Element types that can be computed with.
const TYPES: &str = "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K";

/// A tensor as candle has it.
pub(super) fn matrix_of(
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
pub(super) fn kernel_type(name: &str) -> Option<Kind> {
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
