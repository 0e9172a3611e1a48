//! Q4_0: 32 values as 4-bit integers with one scale. Formula: `x = d * (q - 8)`, `q` in 0..=15.
//!
//! | bytes | what |
//! |---|---|
//! | 0..2 | `d`, half precision |
//! | 2..18 | byte `i`: `q` of value `i` in the lower four bits, of value `i + 16` in the upper four |

use super::BlockError;
use super::apart::{Apart, TakeApart, take_apart};
use super::nibbles::{pack, unpack};
use super::scale::{half_at, half_bytes, inverse, largest, part};
use super::whole::{Format, dequantise_all, quantise_all};
use crate::GgmlType;

/// Bytes of a block.
pub const BYTES: usize = 18;
/// Values of a block.
pub const VALUES: usize = 32;

/// The values of one block.
#[inline(always)]
pub fn dequantise_block(block: &[u8; BYTES], out: &mut [f32; VALUES]) {
    let scale = half_at(block, 0);
    let quants = unpack(part(block, 2));
    for (value, q) in out.iter_mut().zip(quants) {
        *value = scale * (f32::from(q) - 8.0);
    }
}

struct Q40;

impl Format<BYTES, VALUES> for Q40 {
    const KIND: GgmlType = GgmlType::Q4_0;

    #[inline(always)]
    fn values(block: &[u8; BYTES], out: &mut [f32; VALUES]) {
        dequantise_block(block, out);
    }
}

impl Apart<BYTES, VALUES> for Q40 {
    const BITS: usize = 4;
    const GROUP: usize = 32;

    fn apart(block: &[u8; BYTES], codes: &mut [u8; VALUES], line: &mut impl FnMut(f32, f32)) {
        let scale = half_at(block, 0);
        *codes = unpack(part(block, 2));
        line(scale, -8.0 * scale);
    }
}

/// The integers and lines of blocks, see [`super::apart`].
pub(super) const APART: TakeApart = take_apart::<Q40, BYTES, VALUES>;

/// The values of blocks.
///
/// # Errors
///
/// [`BlockError::Length`].
pub fn dequantise(bytes: &[u8], out: &mut [f32]) -> Result<(), BlockError> {
    dequantise_all::<Q40, _, _>(bytes, out)
}

/// Appends the blocks of values: `d` is the value of the largest magnitude over -8, so that this value is exact, and
/// `q = min(15, floor(x / d + 8.5))`.
///
/// # Errors
///
/// [`BlockError::Partial`], [`BlockError::NotFinite`], and [`BlockError::TooLarge`] where half precision has no such `d`.
pub fn quantise(values: &[f32], out: &mut Vec<u8>) -> Result<(), BlockError> {
    quantise_all(GgmlType::Q4_0, values, out, quantise_block)
}

fn quantise_block(values: &[f32; VALUES]) -> Option<[u8; BYTES]> {
    let scale = largest(values).1 / -8.0;
    let inverse = inverse(scale);
    let quants = values.map(|value| ((value * inverse + 8.5) as u8).min(15));
    let mut block = [0; BYTES];
    block[..2].copy_from_slice(&half_bytes(scale)?);
    pack(&quants, &mut block[2..]);
    Some(block)
}
