//! F32, F64 and the integers: every value by itself, little-endian. Formula: `x = q`, to the nearest number of single precision.

use super::BlockError;
use super::whole::quantise_all;
use crate::GgmlType;

/// The values of F32, F64, I8, I16, I32 or I64.
///
/// # Errors
///
/// [`BlockError::Length`], and [`BlockError::Unsupported`] for another format.
pub fn dequantise(kind: GgmlType, bytes: &[u8], out: &mut [f32]) -> Result<(), BlockError> {
    match kind {
        GgmlType::F32 => each(kind, bytes, out, f32::from_le_bytes),
        GgmlType::F64 => each(kind, bytes, out, |bytes| f64::from_le_bytes(bytes) as f32),
        GgmlType::I8 => each(kind, bytes, out, |bytes| {
            f32::from(i8::from_le_bytes(bytes))
        }),
        GgmlType::I16 => each(kind, bytes, out, |bytes| {
            f32::from(i16::from_le_bytes(bytes))
        }),
        GgmlType::I32 => each(kind, bytes, out, |bytes| i32::from_le_bytes(bytes) as f32),
        GgmlType::I64 => each(kind, bytes, out, |bytes| i64::from_le_bytes(bytes) as f32),
        _ => Err(super::unsupported(kind, "read as plain numbers", |kind| {
            kind.block_values() == 1 && !matches!(kind, GgmlType::F16 | GgmlType::BF16)
        })),
    }
}

fn each<const BYTES: usize>(
    kind: GgmlType,
    bytes: &[u8],
    out: &mut [f32],
    number: impl Fn([u8; BYTES]) -> f32,
) -> Result<(), BlockError> {
    if bytes.len() != out.len().saturating_mul(BYTES) {
        return Err(BlockError::Length {
            kind,
            bytes: bytes.len(),
            values: out.len(),
        });
    }
    for (value, bytes) in out.iter_mut().zip(bytes.as_chunks::<BYTES>().0) {
        *value = number(*bytes);
    }
    Ok(())
}

/// Appends values as F32.
///
/// # Errors
///
/// [`BlockError::NotFinite`].
pub fn quantise(values: &[f32], out: &mut Vec<u8>) -> Result<(), BlockError> {
    quantise_all(GgmlType::F32, values, out, |&[value]: &[f32; 1]| {
        Some(value.to_le_bytes())
    })
}
