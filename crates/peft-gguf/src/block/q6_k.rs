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
use super::apart::{Apart, TakeApart, take_apart};
use super::scale::{half_at, half_bytes, largest, nearest, part};
use super::symmetric::{NOTHING, symmetric};
use super::whole::{Format, dequantise_all, quantise_all};
use crate::GgmlType;

/// Bytes of a block.
pub const BYTES: usize = 210;
/// Values of a block.
pub const VALUES: usize = 256;

/// The values of one block.
#[inline(always)]
pub fn dequantise_block(block: &[u8; BYTES], out: &mut [f32; VALUES]) {
    let scale = half_at(block, 208);
    let (halves, _) = out.as_chunks_mut::<128>();
    for (half, out) in halves.iter_mut().enumerate() {
        let quants = half_quants(block, half);
        let scales: &[u8; 8] = part(block, 192 + 8 * half);
        let (groups, _) = out.as_chunks_mut::<16>();
        for (at, (out, quants)) in groups
            .iter_mut()
            .zip(quants.as_flattened().as_chunks::<16>().0)
            .enumerate()
        {
            let scale = scale * f32::from(scales[at] as i8);
            for (value, quant) in out.iter_mut().zip(quants) {
                *value = scale * (f32::from(*quant) - 32.0);
            }
        }
    }
}

/// The integers of a half, by quarters.
#[inline(always)]
fn half_quants(block: &[u8; BYTES], half: usize) -> [[u8; 32]; 4] {
    let (low, high) = (64 * half, part(block, 128 + 32 * half));
    let (first, second) = (part(block, low), part(block, low + 32));
    [
        quarter::<0, 0>(first, high),
        quarter::<0, 2>(second, high),
        quarter::<4, 4>(first, high),
        quarter::<4, 6>(second, high),
    ]
}

/// The integers of a quarter of a half, whose bits are from these places on.
#[inline(always)]
fn quarter<const LOW: u32, const HIGH: u32>(low: &[u8; 32], high: &[u8; 32]) -> [u8; 32] {
    let mut quants = [0; 32];
    for (quant, (low, high)) in quants.iter_mut().zip(low.iter().zip(high)) {
        *quant = low >> LOW & 15 | (high >> HIGH & 3) << 4;
    }
    quants
}

struct Q6K;

impl Format<BYTES, VALUES> for Q6K {
    const KIND: GgmlType = GgmlType::Q6_K;

    #[inline(always)]
    fn values(block: &[u8; BYTES], out: &mut [f32; VALUES]) {
        dequantise_block(block, out);
    }
}

impl Apart<BYTES, VALUES> for Q6K {
    const BITS: usize = 8;
    const GROUP: usize = 16;

    fn apart(block: &[u8; BYTES], codes: &mut [u8; VALUES], line: &mut impl FnMut(f32, f32)) {
        let scale = half_at(block, 208);
        let (halves, _) = codes.as_chunks_mut::<128>();
        for (half, codes) in halves.iter_mut().enumerate() {
            codes.copy_from_slice(half_quants(block, half).as_flattened());
            let scales: &[u8; 8] = part(block, 192 + 8 * half);
            for factor in scales {
                let scale = scale * f32::from(*factor as i8);
                line(scale, -32.0 * scale);
            }
        }
    }
}

/// The integers and lines of blocks, see [`super::apart`].
pub(super) const APART: TakeApart = take_apart::<Q6K, BYTES, VALUES>;

/// The values of blocks.
///
/// # Errors
///
/// [`BlockError::Length`].
pub fn dequantise(bytes: &[u8], out: &mut [f32]) -> Result<(), BlockError> {
    dequantise_all::<Q6K, _, _>(bytes, out)
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
