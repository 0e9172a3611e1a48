//! Q2_K: 256 values as 2-bit integers, in sixteen groups of 16 with a scale and a minimum of four bits each.
//! Formula for a value of group `g`: `x = (d * s[g]) * q - (e * m[g])`, `q` in 0..=3.
//!
//! The block has two halves of 128 values; a half has four quarters `k` of 32 values.
//!
//! | bytes | what |
//! |---|---|
//! | 0..16 | `s[g]` in the lower four bits of byte `g`, `m[g]` in the upper four |
//! | 16..80 | 32 for each half: bits `2 k` and `2 k + 1` of byte `i` are `q` of value `i` of quarter `k` |
//! | 80..82 | `d`, half precision |
//! | 82..84 | `e`, half precision |

use super::BlockError;
use super::apart::{Apart, TakeApart, take_apart};
use super::scale::half_at;
use super::whole::{Format, dequantise_all};
use crate::GgmlType;

/// Bytes of a block.
pub const BYTES: usize = 84;
/// Values of a block.
pub const VALUES: usize = 256;

/// The values of one block.
#[inline(always)]
pub fn dequantise_block(block: &[u8; BYTES], out: &mut [f32; VALUES]) {
    let (scale, least) = (half_at(block, 80), half_at(block, 82));
    let (groups, _) = out.as_chunks_mut::<16>();
    for (group, out) in groups.iter_mut().enumerate() {
        let (half, shift) = (group / 8, 2 * (group / 2 % 4));
        let bytes = &block[16 + 32 * half + 16 * (group & 1)..][..16];
        let scale = scale * f32::from(block[group] & 15);
        let least = least * f32::from(block[group] >> 4);
        for (value, byte) in out.iter_mut().zip(bytes) {
            *value = scale * f32::from(byte >> shift & 3) - least;
        }
    }
}

struct Q2K;

impl Format<BYTES, VALUES> for Q2K {
    const KIND: GgmlType = GgmlType::Q2_K;

    #[inline(always)]
    fn values(block: &[u8; BYTES], out: &mut [f32; VALUES]) {
        dequantise_block(block, out);
    }
}

impl Apart<BYTES, VALUES> for Q2K {
    const BITS: usize = 4;
    const GROUP: usize = 16;

    fn apart(block: &[u8; BYTES], codes: &mut [u8; VALUES], line: &mut impl FnMut(f32, f32)) {
        let (scale, least) = (half_at(block, 80), half_at(block, 82));
        let (groups, _) = codes.as_chunks_mut::<16>();
        for (group, codes) in groups.iter_mut().enumerate() {
            let (half, shift) = (group / 8, 2 * (group / 2 % 4));
            let bytes = &block[16 + 32 * half + 16 * (group & 1)..][..16];
            for (code, byte) in codes.iter_mut().zip(bytes) {
                *code = byte >> shift & 3;
            }
            let [scale, least] = [
                scale * f32::from(block[group] & 15),
                least * f32::from(block[group] >> 4),
            ];
            line(scale, -least);
        }
    }
}

/// The integers and lines of blocks, see [`super::apart`].
pub(super) const APART: TakeApart = take_apart::<Q2K, BYTES, VALUES>;

/// The values of blocks.
///
/// # Errors
///
/// [`BlockError::Length`].
pub fn dequantise(bytes: &[u8], out: &mut [f32]) -> Result<(), BlockError> {
    dequantise_all::<Q2K, _, _>(bytes, out)
}
