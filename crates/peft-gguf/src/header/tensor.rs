//! What a file says of one tensor, checked.

use std::io::Read;

use super::cursor::Cursor;
use crate::{FormatError, GgmlType, Part, TensorInfo};

/// The fewest bytes of a description: the length of a name, the number of dimensions, a type and a place.
pub(super) const LEAST_BYTES: u64 = 8 + 4 + 4 + 8;
/// Dimensions of ggml.
const DIMENSIONS: usize = 4;
/// The longest name that llama.cpp reads.
const LONGEST_NAME: u64 = 63;

/// Reads the description of a tensor.
pub(super) fn read(cursor: &mut Cursor<impl Read>, number: u64) -> Result<TensorInfo, FormatError> {
    let part = Part::Name(number);
    let name = cursor.text(&part)?;
    // Files of other programs have longer ones.
    check_length(&name, part, super::entry::LONGEST_KEY)?;
    let part = Part::Tensor(name.clone());
    let count = cursor.u32(&part)?;
    if count as usize > DIMENSIONS {
        return Err(FormatError::Dimensions {
            name,
            found: count.into(),
        });
    }
    let mut shape = Vec::new();
    for _ in 0..count {
        shape.push(cursor.u64(&part)?);
    }
    shape.reverse();
    let found = cursor.u32(&part)?;
    let Some(kind) = GgmlType::from_id(found) else {
        return Err(FormatError::TensorType {
            name,
            found,
            removed: GgmlType::removed(found),
        });
    };
    let offset = cursor.u64(&part)?;
    let info = sized(name, shape, kind)?;
    Ok(TensorInfo { offset, ..info })
}

/// A tensor with the bytes that its shape needs, at the beginning of the data.
pub(crate) fn sized(
    name: String,
    shape: Vec<u64>,
    kind: GgmlType,
) -> Result<TensorInfo, FormatError> {
    if shape.len() > DIMENSIONS {
        let found = shape.len() as u64;
        return Err(FormatError::Dimensions { name, found });
    }
    if shape.contains(&0) {
        return Err(FormatError::NoValues { name, shape });
    }
    let columns = shape.last().copied().unwrap_or(1);
    if !columns.is_multiple_of(kind.block_values()) {
        return Err(FormatError::RowLength {
            name,
            kind,
            columns,
        });
    }
    let values = shape
        .iter()
        .try_fold(1_u64, |product, length| product.checked_mul(*length));
    let bytes = values.and_then(|values| kind.bytes(values));
    match bytes.filter(|bytes| i64::try_from(*bytes).is_ok()) {
        None => Err(FormatError::TooLarge { name, shape }),
        Some(bytes) => Ok(TensorInfo {
            name,
            shape,
            kind,
            offset: 0,
            bytes,
        }),
    }
}

/// Fails for a name that llama.cpp does not read.
pub(crate) fn check_name(name: &str, number: u64) -> Result<(), FormatError> {
    check_length(name, Part::Name(number), LONGEST_NAME)
}

fn check_length(name: &str, part: Part, most: u64) -> Result<(), FormatError> {
    let bytes = name.len() as u64;
    if (1..=most).contains(&bytes) {
        return Ok(());
    }
    Err(FormatError::NameLength { part, bytes, most })
}

/// Fails where a tensor is not aligned, or not inside of the file.
pub(super) fn check_place(
    info: &TensorInfo,
    alignment: u64,
    start: u64,
    size: u64,
) -> Result<(), FormatError> {
    if !info.offset.is_multiple_of(alignment) {
        return Err(FormatError::Misaligned {
            name: info.name.clone(),
            offset: info.offset,
            alignment,
        });
    }
    let end = (start.checked_add(info.offset)).and_then(|begin| begin.checked_add(info.bytes));
    if end.is_some_and(|end| end <= size) {
        return Ok(());
    }
    Err(FormatError::Outside {
        name: info.name.clone(),
        offset: info.offset,
        bytes: info.bytes,
        start,
        size,
    })
}

/// Fails where two tensors have bytes in common. All of them are inside of the file.
pub(super) fn check_apart<'a>(
    tensors: impl Iterator<Item = &'a TensorInfo>,
) -> Result<(), FormatError> {
    let mut tensors: Vec<&TensorInfo> = tensors.collect();
    tensors.sort_unstable_by_key(|info| info.offset);
    let mut pairs = tensors.iter().zip(tensors.iter().skip(1));
    match pairs.find(|(one, next)| next.offset - one.offset < one.bytes) {
        None => Ok(()),
        Some((one, next)) => Err(FormatError::Overlap {
            name: next.name.clone(),
            offset: next.offset,
            other: one.name.clone(),
        }),
    }
}
