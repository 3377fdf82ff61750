//! How long tensors are and whether they get into each other's way.

use std::collections::BTreeSet;

use super::{FormatError, TensorInfo};

/// Elements of a shape; none if they cannot be counted.
pub(super) fn elements(shape: &[u64]) -> Option<u128> {
    shape.iter().try_fold(1_u128, |product, dimension| {
        product.checked_mul(u128::from(*dimension))
    })
}

/// Refuses a list in which a name stands twice.
pub(super) fn unique(tensors: &[TensorInfo]) -> Result<(), FormatError> {
    let mut seen = BTreeSet::new();
    for tensor in tensors {
        if !seen.insert(tensor.name.as_str()) {
            let name = tensor.name.clone();
            return Err(FormatError::Duplicate { name });
        }
    }
    Ok(())
}

/// Sorts by offset and name.
pub(super) fn sort(tensors: &mut [TensorInfo]) {
    tensors.sort_unstable_by(|a, b| (a.offset, &a.name).cmp(&(b.offset, &b.name)));
}

/// Refuses tensors that overlap; `tensors` are sorted.
pub(super) fn apart(tensors: &[TensorInfo]) -> Result<(), FormatError> {
    let mut last: Option<&TensorInfo> = None;
    for tensor in tensors.iter().filter(|tensor| tensor.len > 0) {
        if let Some(last) = last
            && tensor.offset < last.offset.saturating_add(last.len)
        {
            return Err(FormatError::Overlap {
                first: last.name.clone(),
                second: tensor.name.clone(),
            });
        }
        last = Some(tensor);
    }
    Ok(())
}

/// Refuses bytes between `start` and `end` that belong to no tensor; `tensors` are sorted and apart.
pub(super) fn gapless(tensors: &[TensorInfo], start: u64, end: u64) -> Result<(), FormatError> {
    let mut at = start;
    for tensor in tensors.iter().filter(|tensor| tensor.len > 0) {
        if tensor.offset > at {
            let len = tensor.offset - at;
            return Err(FormatError::Hole { at, len });
        }
        at = tensor.offset.saturating_add(tensor.len);
    }
    if at < end {
        return Err(FormatError::Hole { at, len: end - at });
    }
    Ok(())
}
