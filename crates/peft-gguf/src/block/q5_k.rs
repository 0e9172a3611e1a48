//! Q5_K: 256 values as 5-bit integers, in eight groups of 32 with a scale and a minimum of six bits each.
//! Formula for value `i` of group `g`: `x = (d * s[g]) * q - (e * m[g])`, `q` in 0..=31.
//!
//! | bytes | what |
//! |---|---|
//! | 0..16 | `d`, `e`, `s` and `m` as in [Q4_K](super::q4_k) |
//! | 16..48 | the fifth bits: bit `g` of byte `i` is bit 4 of `q` of value `i` of group `g` |
//! | 48..176 | byte `i` of the 32 bytes `p`: the other bits of value `i` of group `2 p` in the lower four, of group `2 p + 1` in the upper four |

use super::BlockError;
use super::affine::Search;
use super::apart::{Apart, TakeApart, take_apart};
use super::scale::{half_at, part};
use super::six_bits;
use super::whole::{Format, dequantise_all, quantise_all};
use crate::GgmlType;

/// Bytes of a block.
pub const BYTES: usize = 176;
/// Values of a block.
pub const VALUES: usize = 256;

const SEARCH: Search = Search {
    most: 31,
    first: -0.5,
    steps: 15,
};

/// The values of one block.
#[inline(always)]
pub fn dequantise_block(block: &[u8; BYTES], out: &mut [f32; VALUES]) {
    let (scale, least) = (half_at(block, 0), half_at(block, 2));
    let mut packed = [0; 12];
    packed.copy_from_slice(&block[4..16]);
    let (scales, leasts) = six_bits::unpack(&packed);
    let (fifth, rest) = block[16..].split_at(32);
    let (quants, _) = rest.as_chunks::<32>();
    let (groups, _) = out.as_chunks_mut::<32>();
    for (group, out) in groups.iter_mut().enumerate() {
        let scale = scale * f32::from(scales[group]);
        let least = least * f32::from(leasts[group]);
        let shift = 4 * (group & 1);
        for (value, (byte, fifth)) in out.iter_mut().zip(quants[group / 2].iter().zip(fifth)) {
            let quant = byte >> shift & 15 | (fifth >> group & 1) << 4;
            *value = scale * f32::from(quant) - least;
        }
    }
}

struct Q5K;

impl Format<BYTES, VALUES> for Q5K {
    const KIND: GgmlType = GgmlType::Q5_K;

    #[inline(always)]
    fn values(block: &[u8; BYTES], out: &mut [f32; VALUES]) {
        dequantise_block(block, out);
    }
}

impl Apart<BYTES, VALUES> for Q5K {
    const BITS: usize = 8;
    const GROUP: usize = 32;

    fn apart(block: &[u8; BYTES], codes: &mut [u8; VALUES], line: &mut impl FnMut(f32, f32)) {
        let (scale, least) = (half_at(block, 0), half_at(block, 2));
        let (scales, leasts) = six_bits::unpack(part(block, 4));
        let (fifth, rest) = block[16..].split_at(32);
        let (quants, _) = rest.as_chunks::<32>();
        let (groups, _) = codes.as_chunks_mut::<32>();
        for (group, codes) in groups.iter_mut().enumerate() {
            let shift = 4 * (group & 1);
            for (code, (byte, fifth)) in codes.iter_mut().zip(quants[group / 2].iter().zip(fifth)) {
                *code = byte >> shift & 15 | (fifth >> group & 1) << 4;
            }
            let least = least * f32::from(leasts[group]);
            line(scale * f32::from(scales[group]), -least);
        }
    }
}

/// The integers and lines of blocks, see [`super::apart`].
pub(super) const APART: TakeApart = take_apart::<Q5K, BYTES, VALUES>;

/// The values of blocks.
///
/// # Errors
///
/// [`BlockError::Length`].
pub fn dequantise(bytes: &[u8], out: &mut [f32]) -> Result<(), BlockError> {
    dequantise_all::<Q5K, _, _>(bytes, out)
}

/// Appends the blocks of values, whose scales and minima are searched for as ggml's reference does it: the least squares,
/// weighted by magnitude, over 16 scales of each group.
///
/// # Errors
///
/// [`BlockError::Partial`], [`BlockError::NotFinite`], and [`BlockError::TooLarge`] where half precision has no such `d` or `e`.
pub fn quantise(values: &[f32], out: &mut Vec<u8>) -> Result<(), BlockError> {
    quantise_all(GgmlType::Q5_K, values, out, quantise_block)
}

fn quantise_block(values: &[f32; VALUES]) -> Option<[u8; BYTES]> {
    let parts = SEARCH.parts(values)?;
    let mut block = [0; BYTES];
    block[..16].copy_from_slice(&parts.head);
    let (fifth, rest) = block[16..].split_at_mut(32);
    let (quants, _) = rest.as_chunks_mut::<32>();
    let (groups, _) = parts.quants.as_chunks::<32>();
    for (group, values) in groups.iter().enumerate() {
        let places = quants[group / 2].iter_mut().zip(&mut *fifth);
        for (quant, (byte, fifth)) in values.iter().zip(places) {
            *byte |= (quant & 15) << (4 * (group & 1));
            *fifth |= (quant >> 4) << group;
        }
    }
    Some(block)
}
