//! F16: every value in half precision, little-endian. Formula: `x = f16`.

use super::BlockError;
use super::scale::single;
use super::whole::{Format, dequantise_all, quantise_all};
use crate::GgmlType;

/// Bytes of a value.
pub const BYTES: usize = 2;
struct F16;

impl Format<BYTES, 1> for F16 {
    const KIND: GgmlType = GgmlType::F16;

    #[inline(always)]
    fn values(&block: &[u8; BYTES], out: &mut [f32; 1]) {
        out[0] = single(u16::from_le_bytes(block));
    }
}

/// The values.
///
/// # Errors
///
/// [`BlockError::Length`].
pub fn dequantise(bytes: &[u8], out: &mut [f32]) -> Result<(), BlockError> {
    dequantise_all::<F16, _, _>(bytes, out)
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
