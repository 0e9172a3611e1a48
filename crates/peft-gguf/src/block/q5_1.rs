//! Q5_1: 32 values as 5-bit integers with a scale and a minimum. Formula: `x = d * q + m`, `q` in 0..=31.
//!
//! | bytes | what |
//! |---|---|
//! | 0..2 | `d`, half precision |
//! | 2..4 | `m`, half precision |
//! | 4..8 | the fifth bits: bit `i` of the little-endian integer is bit 4 of `q` of value `i` |
//! | 8..24 | byte `i`: the other bits of value `i` in the lower four, of value `i + 16` in the upper four |

use super::BlockError;
use super::apart::{Apart, TakeApart, take_apart};
use super::nibbles::{fifth_bits, pack, unpack_five};
use super::scale::{half_at, half_bytes, inverse, part, range};
use super::whole::{Format, dequantise_all, quantise_all};
use crate::GgmlType;

/// Bytes of a block.
pub const BYTES: usize = 24;
/// Values of a block.
pub const VALUES: usize = 32;

/// The values of one block.
#[inline(always)]
pub fn dequantise_block(block: &[u8; BYTES], out: &mut [f32; VALUES]) {
    let (scale, least) = (half_at(block, 0), half_at(block, 2));
    let quants = unpack_five(part(block, 8), *part(block, 4));
    for (value, q) in out.iter_mut().zip(quants) {
        *value = scale * f32::from(q) + least;
    }
}

struct Q51;

impl Format<BYTES, VALUES> for Q51 {
    const KIND: GgmlType = GgmlType::Q5_1;

    #[inline(always)]
    fn values(block: &[u8; BYTES], out: &mut [f32; VALUES]) {
        dequantise_block(block, out);
    }
}

impl Apart<BYTES, VALUES> for Q51 {
    const BITS: usize = 8;
    const GROUP: usize = 32;

    fn apart(block: &[u8; BYTES], codes: &mut [u8; VALUES], line: &mut impl FnMut(f32, f32)) {
        *codes = unpack_five(part(block, 8), *part(block, 4));
        line(half_at(block, 0), half_at(block, 2));
    }
}

/// The integers and lines of blocks, see [`super::apart`].
pub(super) const APART: TakeApart = take_apart::<Q51, BYTES, VALUES>;

/// The values of blocks.
///
/// # Errors
///
/// [`BlockError::Length`].
pub fn dequantise(bytes: &[u8], out: &mut [f32]) -> Result<(), BlockError> {
    dequantise_all::<Q51, _, _>(bytes, out)
}

/// Appends the blocks of values: `m = min x`, `d = (max x - m) / 31`, `q = min(31, floor((x - m) / d + 0.5))`.
///
/// # Errors
///
/// [`BlockError::Partial`], [`BlockError::NotFinite`], and [`BlockError::TooLarge`] where half precision has no such `d` or `m`.
pub fn quantise(values: &[f32], out: &mut Vec<u8>) -> Result<(), BlockError> {
    quantise_all(GgmlType::Q5_1, values, out, quantise_block)
}

fn quantise_block(values: &[f32; VALUES]) -> Option<[u8; BYTES]> {
    let (least, most) = range(values);
    let scale = (most - least) / 31.0;
    let inverse = inverse(scale);
    let quants = values.map(|value| (((value - least) * inverse + 0.5) as u8).min(31));
    let mut block = [0; BYTES];
    block[..2].copy_from_slice(&half_bytes(scale)?);
    block[2..4].copy_from_slice(&half_bytes(least)?);
    block[4..8].copy_from_slice(&fifth_bits(&quants).to_le_bytes());
    pack(&quants, &mut block[8..]);
    Some(block)
}
