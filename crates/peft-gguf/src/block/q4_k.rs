//! Q4_K: 256 values as 4-bit integers, in eight groups of 32 with a scale and a minimum of six bits each.
//! Formula for value `i` of group `g`: `x = (d * s[g]) * q - (e * m[g])`, `q` in 0..=15.
//!
//! | bytes | what |
//! |---|---|
//! | 0..2 | `d`, half precision: the scale of the scales |
//! | 2..4 | `e`, half precision: the scale of the minima |
//! | 4..16 | `s` and `m`, six bits each: byte `j` of the first four is `s[j]` below bits 4 and 5 of `s[j + 4]`, byte `j` of the next four the same of `m`, byte `j` of the last four the lower bits of `s[j + 4]` and, above, of `m[j + 4]` |
//! | 16..144 | byte `i` of the 32 bytes `p`: `q` of value `i` of group `2 p` in the lower four bits, of group `2 p + 1` in the upper four |

use super::BlockError;
use super::affine::Search;
use super::apart::{Apart, TakeApart, take_apart};
use super::scale::half_at;
use super::six_bits;
use super::whole::{Format, dequantise_all, quantise_all};
use crate::GgmlType;

/// Bytes of a block.
pub const BYTES: usize = 144;
/// Values of a block.
pub const VALUES: usize = 256;

const SEARCH: Search = Search {
    most: 15,
    first: -1.0,
    steps: 20,
};

/// The values of one block.
#[inline(always)]
pub fn dequantise_block(block: &[u8; BYTES], out: &mut [f32; VALUES]) {
    let lines = lines(block);
    let (quants, _) = block[16..].as_chunks::<32>();
    let (pairs, _) = out.as_chunks_mut::<64>();
    for (pair, (bytes, out)) in quants.iter().zip(pairs).enumerate() {
        let [(low_scale, low_least), (high_scale, high_least)] =
            [lines[2 * pair], lines[2 * pair + 1]];
        let (low, high) = out.split_at_mut(32);
        for (value, byte) in low.iter_mut().zip(bytes) {
            *value = low_scale * f32::from(byte & 15) - low_least;
        }
        for (value, byte) in high.iter_mut().zip(bytes) {
            *value = high_scale * f32::from(byte >> 4) - high_least;
        }
    }
}

/// `d * s[g]` and `e * m[g]` of the eight groups.
#[inline(always)]
fn lines(block: &[u8; BYTES]) -> [(f32, f32); 8] {
    let (scale, least) = (half_at(block, 0), half_at(block, 2));
    let mut packed = [0; 12];
    packed.copy_from_slice(&block[4..16]);
    let (scales, leasts) = six_bits::unpack(&packed);
    std::array::from_fn(|group| {
        (
            scale * f32::from(scales[group]),
            least * f32::from(leasts[group]),
        )
    })
}

struct Q4K;

impl Format<BYTES, VALUES> for Q4K {
    const KIND: GgmlType = GgmlType::Q4_K;

    #[inline(always)]
    fn values(block: &[u8; BYTES], out: &mut [f32; VALUES]) {
        dequantise_block(block, out);
    }
}

impl Apart<BYTES, VALUES> for Q4K {
    const BITS: usize = 4;
    const GROUP: usize = 32;

    fn apart(block: &[u8; BYTES], codes: &mut [u8; VALUES], line: &mut impl FnMut(f32, f32)) {
        let (quants, _) = block[16..].as_chunks::<32>();
        let (pairs, _) = codes.as_chunks_mut::<64>();
        for (pair, bytes) in pairs.iter_mut().zip(quants) {
            let (low, high) = pair.split_at_mut(32);
            for ((low, high), byte) in low.iter_mut().zip(high).zip(bytes) {
                (*low, *high) = (byte & 15, byte >> 4);
            }
        }
        for (scale, least) in lines(block) {
            line(scale, -least);
        }
    }
}

/// The integers and lines of blocks, see [`super::apart`].
pub(super) const APART: TakeApart = take_apart::<Q4K, BYTES, VALUES>;

/// The values of blocks.
///
/// # Errors
///
/// [`BlockError::Length`].
pub fn dequantise(bytes: &[u8], out: &mut [f32]) -> Result<(), BlockError> {
    dequantise_all::<Q4K, _, _>(bytes, out)
}

/// Appends the blocks of values, whose scales and minima are searched for as ggml's reference does it: the least squares,
/// weighted by magnitude, over 21 scales of each group.
///
/// # Errors
///
/// [`BlockError::Partial`], [`BlockError::NotFinite`], and [`BlockError::TooLarge`] where half precision has no such `d` or `e`.
pub fn quantise(values: &[f32], out: &mut Vec<u8>) -> Result<(), BlockError> {
    quantise_all(GgmlType::Q4_K, values, out, quantise_block)
}

fn quantise_block(values: &[f32; VALUES]) -> Option<[u8; BYTES]> {
    let parts = SEARCH.parts(values)?;
    let mut block = [0; BYTES];
    block[..16].copy_from_slice(&parts.head);
    let (bytes, _) = block[16..].as_chunks_mut::<32>();
    let (pairs, _) = parts.quants.as_chunks::<64>();
    for (bytes, pair) in bytes.iter_mut().zip(pairs) {
        let (low, high) = pair.split_at(32);
        for (byte, (low, high)) in bytes.iter_mut().zip(low.iter().zip(high)) {
            *byte = low | high << 4;
        }
    }
    Some(block)
}
