//! Q6_K: 256 values as 6-bit integers, in sixteen groups of 16 with a signed scale of eight bits each.
//! Formula for a value of group `g`: `x = (d * s[g]) * (q - 32)`, `q` in 0..=63.
//!
//! The block has two halves of 128 values; a half has four quarters `k` of 32 values.
//!
//! | bytes | what |
//! |---|---|
//! | 0..128 | 64 for each half: byte `i + 32 (k mod 2)` holds the lower four bits of value `i` of quarter `k`, in its lower four bits for `k` 0 and 1, in its upper four for 2 and 3 |
//! | 128..192 | 32 for each half: bits `2 k` and `2 k + 1` of byte `i` are the upper two bits of value `i` of quarter `k` |
//! | 192..208 | `s` |
//! | 208..210 | `d`, half precision |

use super::BlockError;
use super::scale::{half_at, half_bytes, largest, nearest};
use super::symmetric::{NOTHING, symmetric};
use super::whole::{dequantise_all, quantise_all};
use crate::GgmlType;

/// Bytes of a block.
pub const BYTES: usize = 210;
/// Values of a block.
pub const VALUES: usize = 256;

/// The values of one block.
pub fn dequantise_block(block: &[u8; BYTES], out: &mut [f32; VALUES]) {
    let scale = half_at(block, 208);
    let (quarters, _) = out.as_chunks_mut::<32>();
    for (at, out) in quarters.iter_mut().enumerate() {
        let (half, quarter) = (at / 4, at % 4);
        let low = &block[64 * half + 32 * (quarter & 1)..][..32];
        let high = &block[128 + 32 * half..][..32];
        let (low_shift, high_shift) = (4 * (quarter / 2), 2 * quarter);
        let (groups, _) = out.as_chunks_mut::<16>();
        let bytes = low.as_chunks::<16>().0.iter().zip(high.as_chunks::<16>().0);
        for (group, (out, (low, high))) in groups.iter_mut().zip(bytes).enumerate() {
            let scale = scale * f32::from(block[192 + 2 * at + group] as i8);
            for (value, (low, high)) in out.iter_mut().zip(low.iter().zip(high)) {
                let quant = low >> low_shift & 15 | (high >> high_shift & 3) << 4;
                *value = scale * f32::from(quant as i8 - 32);
            }
        }
    }
}

/// The values of blocks.
///
/// # Errors
///
/// [`BlockError::Length`].
pub fn dequantise(bytes: &[u8], out: &mut [f32]) -> Result<(), BlockError> {
    dequantise_all(GgmlType::Q6_K, bytes, out, dequantise_block)
}

/// Appends the blocks of values, whose scales are searched for as ggml's reference does it: the least squares, weighted by the
/// square of each value, over 19 scales of each group.
///
/// # Errors
///
/// [`BlockError::Partial`], [`BlockError::NotFinite`], and [`BlockError::TooLarge`] where half precision has no such `d`.
pub fn quantise(values: &[f32], out: &mut Vec<u8>) -> Result<(), BlockError> {
    quantise_all(GgmlType::Q6_K, values, out, quantise_block)
}

fn quantise_block(values: &[f32; VALUES]) -> Option<[u8; BYTES]> {
    if largest(values).1.abs() > super::affine::HOPELESS {
        return None;
    }
    let mut block = [0; BYTES];
    let mut quants = [0_u8; VALUES];
    let (groups, _) = values.as_chunks::<16>();
    let (places, _) = quants.as_chunks_mut::<16>();
    let mut scales = [0.0; 16];
    for ((group, quants), scale) in groups.iter().zip(&mut *places).zip(&mut scales) {
        *scale = symmetric(group, quants);
    }
    let steepest = largest(&scales).1;
    if steepest.abs() < NOTHING {
        return Some(block);
    }
    let inverse = -128.0 / steepest;
    let scale = half_bytes(1.0 / inverse)?;
    block[208..].copy_from_slice(&scale);
    let stored = half::f16::from_le_bytes(scale).to_f32();
    for (at, (group, quants)) in groups.iter().zip(places).enumerate() {
        let scale = nearest(inverse * scales[at]).min(127) as i8;
        block[192 + at] = scale as u8;
        let step = stored * f32::from(scale);
        // Without a step every integer means zero, and the search's stay.
        if step != 0.0 {
            *quants = group.map(|value| (nearest(value / step).clamp(-32, 31) + 32) as u8);
        }
    }
    for (at, quant) in quants.iter().enumerate() {
        let (half, quarter, place) = (at / 128, at / 32 % 4, at % 32);
        block[64 * half + 32 * (quarter & 1) + place] |= (quant & 15) << (4 * (quarter / 2));
        block[128 + 32 * half + place] |= (quant >> 4) << (2 * quarter);
    }
    Some(block)
}
