//! Q3_K: 256 values as 3-bit integers, in sixteen groups of 16 with a scale of six bits each.
//! Formula for a value of group `g`: `x = (d * (s[g] - 32)) * (q - 4)`, `q` in 0..=7.
//!
//! The block has two halves of 128 values; a half has four quarters `k` of 32 values.
//!
//! | bytes | what |
//! |---|---|
//! | 0..32 | the third bits: bit `4 h + k` of byte `i` is bit 2 of `q` of value `i` of quarter `k` of half `h` |
//! | 32..96 | 32 for each half: bits `2 k` and `2 k + 1` of byte `i` are the lower bits of value `i` of quarter `k` |
//! | 96..108 | `s`: byte `j` of the first eight holds the lower four bits of `s[j]` and, above, of `s[j + 8]`; bits `2 n` and `2 n + 1` of byte `j` of the last four are the upper bits of `s[j + 4 n]` |
//! | 108..110 | `d`, half precision |

use super::BlockError;
use super::apart::{Apart, TakeApart, take_apart};
use super::scale::half_at;
use super::whole::{Format, dequantise_all};
use crate::GgmlType;

/// Bytes of a block.
pub const BYTES: usize = 110;
/// Values of a block.
pub const VALUES: usize = 256;

/// The values of one block.
#[inline(always)]
pub fn dequantise_block(block: &[u8; BYTES], out: &mut [f32; VALUES]) {
    let scale = half_at(block, 108);
    let (groups, _) = out.as_chunks_mut::<16>();
    for (group, out) in groups.iter_mut().enumerate() {
        let (half, quarter, side) = (group / 8, group / 2 % 4, 16 * (group & 1));
        let low = &block[32 + 32 * half + side..][..16];
        let third = &block[side..][..16];
        let scale = scale * f32::from(factor(block, group));
        let (shift, bit) = (2 * quarter, 4 * half + quarter);
        for (value, (low, third)) in out.iter_mut().zip(low.iter().zip(third)) {
            let quant = low >> shift & 3 | (third >> bit & 1) << 2;
            *value = scale * (f32::from(quant) - 4.0);
        }
    }
}

/// The scale of a group, a signed integer of six bits.
#[inline(always)]
fn factor(block: &[u8; BYTES], group: usize) -> i8 {
    let bits = block[96 + group % 8] >> (4 * (group / 8)) & 15
        | (block[104 + group % 4] >> (2 * (group / 4)) & 3) << 4;
    bits as i8 - 32
}

struct Q3K;

impl Format<BYTES, VALUES> for Q3K {
    const KIND: GgmlType = GgmlType::Q3_K;

    #[inline(always)]
    fn values(block: &[u8; BYTES], out: &mut [f32; VALUES]) {
        dequantise_block(block, out);
    }
}

impl Apart<BYTES, VALUES> for Q3K {
    const BITS: usize = 4;
    const GROUP: usize = 16;

    fn apart(block: &[u8; BYTES], codes: &mut [u8; VALUES], line: &mut impl FnMut(f32, f32)) {
        let scale = half_at(block, 108);
        let (groups, _) = codes.as_chunks_mut::<16>();
        for (group, codes) in groups.iter_mut().enumerate() {
            let (half, quarter, side) = (group / 8, group / 2 % 4, 16 * (group & 1));
            let low = &block[32 + 32 * half + side..][..16];
            let third = &block[side..][..16];
            let (shift, bit) = (2 * quarter, 4 * half + quarter);
            for (code, (low, third)) in codes.iter_mut().zip(low.iter().zip(third)) {
                *code = low >> shift & 3 | (third >> bit & 1) << 2;
            }
            let scale = scale * f32::from(factor(block, group));
            line(scale, -4.0 * scale);
        }
    }
}

/// The integers and lines of blocks, see [`super::apart`].
pub(super) const APART: TakeApart = take_apart::<Q3K, BYTES, VALUES>;

/// The values of blocks.
///
/// # Errors
///
/// [`BlockError::Length`].
pub fn dequantise(bytes: &[u8], out: &mut [f32]) -> Result<(), BlockError> {
    dequantise_all::<Q3K, _, _>(bytes, out)
}
