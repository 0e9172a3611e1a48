//! Q8_0: 32 values as 8-bit integers with one scale. Formula: `x = d * q`, `q` in -127..=127.
//!
//! | bytes | what |
//! |---|---|
//! | 0..2 | `d`, half precision |
//! | 2..34 | `q` of value 0, 1, .., 31, signed |

use super::BlockError;
use super::apart::{Apart, TakeApart, take_apart};
use super::scale::{half_at, half_bytes, inverse, largest, nearest_away};
use super::whole::{Format, dequantise_all, quantise_all};
use crate::GgmlType;

/// Bytes of a block.
pub const BYTES: usize = 34;
/// Values of a block.
pub const VALUES: usize = 32;

/// The values of one block.
#[inline(always)]
pub fn dequantise_block(block: &[u8; BYTES], out: &mut [f32; VALUES]) {
    let scale = half_at(block, 0);
    for (value, &byte) in out.iter_mut().zip(&block[2..]) {
        *value = f32::from(byte as i8) * scale;
    }
}

struct Q80;

impl Format<BYTES, VALUES> for Q80 {
    const KIND: GgmlType = GgmlType::Q8_0;

    #[inline(always)]
    fn values(block: &[u8; BYTES], out: &mut [f32; VALUES]) {
        dequantise_block(block, out);
    }
}

impl Apart<BYTES, VALUES> for Q80 {
    const BITS: usize = 8;
    const GROUP: usize = 32;

    fn apart(block: &[u8; BYTES], codes: &mut [u8; VALUES], line: &mut impl FnMut(f32, f32)) {
        let scale = half_at(block, 0);
        for (code, byte) in codes.iter_mut().zip(&block[2..]) {
            // Two's complement with its sign turned is what is 128 more.
            *code = byte ^ 128;
        }
        line(scale, -128.0 * scale);
    }
}

/// The integers and lines of blocks, see [`super::apart`].
pub(super) const APART: TakeApart = take_apart::<Q80, BYTES, VALUES>;

/// The values of blocks.
///
/// # Errors
///
/// [`BlockError::Length`].
pub fn dequantise(bytes: &[u8], out: &mut [f32]) -> Result<(), BlockError> {
    dequantise_all::<Q80, _, _>(bytes, out)
}

/// Appends the blocks of values: `d = max |x| / 127`, `q = round(x / d)`, halves away from zero.
///
/// # Errors
///
/// [`BlockError::Partial`], [`BlockError::NotFinite`], and [`BlockError::TooLarge`] where half precision has no such `d`.
pub fn quantise(values: &[f32], out: &mut Vec<u8>) -> Result<(), BlockError> {
    quantise_all(GgmlType::Q8_0, values, out, quantise_block)
}

fn quantise_block(values: &[f32; VALUES]) -> Option<[u8; BYTES]> {
    let scale = largest(values).1.abs() / 127.0;
    let inverse = inverse(scale);
    let mut block = [0; BYTES];
    block[..2].copy_from_slice(&half_bytes(scale)?);
    for (byte, value) in block[2..].iter_mut().zip(values) {
        *byte = nearest_away(value * inverse) as u8;
    }
    Some(block)
}
