//! Q5_0: 32 values as 5-bit integers with one scale. Formula: `x = d * (q - 16)`, `q` in 0..=31.
//!
//! | bytes | what |
//! |---|---|
//! | 0..2 | `d`, half precision |
//! | 2..6 | the fifth bits: bit `i` of the little-endian integer is bit 4 of `q` of value `i` |
//! | 6..22 | byte `i`: the other bits of value `i` in the lower four, of value `i + 16` in the upper four |

use super::BlockError;
use super::apart::{Apart, TakeApart, take_apart};
use super::nibbles::{fifth_bits, pack, unpack_five};
use super::scale::{half_at, half_bytes, inverse, largest, part};
use super::whole::{Format, dequantise_all, quantise_all};
use crate::GgmlType;

/// Bytes of a block.
pub const BYTES: usize = 22;
/// Values of a block.
pub const VALUES: usize = 32;

/// The values of one block.
#[inline(always)]
pub fn dequantise_block(block: &[u8; BYTES], out: &mut [f32; VALUES]) {
    let scale = half_at(block, 0);
    let quants = unpack_five(part(block, 6), *part(block, 2));
    for (value, q) in out.iter_mut().zip(quants) {
        *value = scale * (f32::from(q) - 16.0);
    }
}

struct Q50;

impl Format<BYTES, VALUES> for Q50 {
    const KIND: GgmlType = GgmlType::Q5_0;

    #[inline(always)]
    fn values(block: &[u8; BYTES], out: &mut [f32; VALUES]) {
        dequantise_block(block, out);
    }
}

impl Apart<BYTES, VALUES> for Q50 {
    const BITS: usize = 8;
    const GROUP: usize = 32;

    fn apart(block: &[u8; BYTES], codes: &mut [u8; VALUES], line: &mut impl FnMut(f32, f32)) {
        let scale = half_at(block, 0);
        *codes = unpack_five(part(block, 6), *part(block, 2));
        line(scale, -16.0 * scale);
    }
}

/// The integers and lines of blocks, see [`super::apart`].
pub(super) const APART: TakeApart = take_apart::<Q50, BYTES, VALUES>;

/// The values of blocks.
///
/// # Errors
///
/// [`BlockError::Length`].
pub fn dequantise(bytes: &[u8], out: &mut [f32]) -> Result<(), BlockError> {
    dequantise_all::<Q50, _, _>(bytes, out)
}

/// Appends the blocks of values: `d` is the value of the largest magnitude over -16, so that this value is exact, and
/// `q = min(31, floor(x / d + 16.5))`.
///
/// # Errors
///
/// [`BlockError::Partial`], [`BlockError::NotFinite`], and [`BlockError::TooLarge`] where half precision has no such `d`.
pub fn quantise(values: &[f32], out: &mut Vec<u8>) -> Result<(), BlockError> {
    quantise_all(GgmlType::Q5_0, values, out, quantise_block)
}

fn quantise_block(values: &[f32; VALUES]) -> Option<[u8; BYTES]> {
    let scale = largest(values).1 / -16.0;
    let inverse = inverse(scale);
    let quants = values.map(|value| ((value * inverse + 16.5) as u8).min(31));
    let mut block = [0; BYTES];
    block[..2].copy_from_slice(&half_bytes(scale)?);
    block[2..6].copy_from_slice(&fifth_bits(&quants).to_le_bytes());
    pack(&quants, &mut block[6..]);
    Some(block)
}
