//! F16: every value in half precision, little-endian. Formula: `x = f16`.

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::BlockError;
use super::whole::{dequantise_all, quantise_all};
use crate::GgmlType;

/// Bytes of a value.
pub const BYTES: usize = 2;
/// Values that are converted together: processors do several at once.
const TOGETHER: usize = 64;

/// The values.
///
/// # Errors
///
/// [`BlockError::Length`].
pub fn dequantise(bytes: &[u8], out: &mut [f32]) -> Result<(), BlockError> {
    let one =
        |block: &[u8; BYTES], out: &mut [f32; 1]| out[0] = f16::from_le_bytes(*block).to_f32();
    if bytes.len() != out.len().saturating_mul(BYTES) {
        return dequantise_all(GgmlType::F16, bytes, out, one);
    }
    let whole = out.len() / TOGETHER * TOGETHER;
    let (many, rest) = out.split_at_mut(whole);
    let (bytes, rest_bytes) = bytes.split_at(whole * BYTES);
    dequantise_all(
        GgmlType::F16,
        bytes,
        many,
        |block: &[u8; BYTES * TOGETHER], out| {
            let mut halves = [f16::ZERO; TOGETHER];
            for (half, &pair) in halves.iter_mut().zip(block.as_chunks().0) {
                *half = f16::from_le_bytes(pair);
            }
            halves.convert_to_f32_slice(out as &mut [f32; TOGETHER]);
        },
    )?;
    dequantise_all(GgmlType::F16, rest_bytes, rest, one)
}

/// Appends the values, rounded to the nearest, halves to even.
///
/// # Errors
///
/// [`BlockError::NotFinite`], and [`BlockError::TooLarge`] from 65520 on.
pub fn quantise(values: &[f32], out: &mut Vec<u8>) -> Result<(), BlockError> {
    quantise_all(GgmlType::F16, values, out, |&[value]| {
        super::scale::half_bytes(value)
    })
}
