//! BF16: the upper half of the bits of single precision, little-endian. Formula: `x = f32 of the bits << 16`.

use super::BlockError;
use super::whole::{Format, dequantise_all, quantise_all};
use crate::GgmlType;

/// Bytes of a value.
pub const BYTES: usize = 2;

struct BF16;

impl Format<BYTES, 1> for BF16 {
    const KIND: GgmlType = GgmlType::BF16;

    #[inline(always)]
    fn values(&block: &[u8; BYTES], out: &mut [f32; 1]) {
        out[0] = f32::from_bits(u32::from(u16::from_le_bytes(block)) << 16);
    }
}

/// The values.
///
/// # Errors
///
/// [`BlockError::Length`].
pub fn dequantise(bytes: &[u8], out: &mut [f32]) -> Result<(), BlockError> {
    dequantise_all::<BF16, _, _>(bytes, out)
}

/// Appends the values, rounded to the nearest, halves to even.
///
/// # Errors
///
/// [`BlockError::NotFinite`], and [`BlockError::TooLarge`] for the few numbers that would round to infinity.
pub fn quantise(values: &[f32], out: &mut Vec<u8>) -> Result<(), BlockError> {
    quantise_all(GgmlType::BF16, values, out, |&[value]: &[f32; 1]| {
        let bits = value.to_bits();
        let rounded = ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16;
        let finite = rounded & 0x7f80 != 0x7f80;
        finite.then(|| rounded.to_le_bytes())
    })
}
