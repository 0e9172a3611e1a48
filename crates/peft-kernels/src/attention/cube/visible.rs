//! The keys that some query of a tile sees, out of which the other kernels go over no other.

use burn_cubecl::cubecl;
use cubecl::prelude::*;

use super::tiles::{Masked, Tiling, here};
use crate::cube::launch::{UNITS, cube_max};

/// A bias above it does not hide its key: -3e4 is -29952 in bf16.
const HIDDEN: f32 = -2.9e4;

/// Of a tile of queries, the first key that one of them sees and one behind the last. All keys where there is a query that sees none, for
/// it has equal weights.
#[cube(launch, address_type = "dynamic")]
pub(super) fn attention_visible_by_bias<F: Float>(
    bias: &Tensor<F>,
    ranges: &mut Tensor<u32>,
    #[comptime] how: Tiling,
    #[define(F)] _dtype: ElemType,
) {
    let (tile, head, batch) = here();
    let (queries, keys) = (bias.shape(2), bias.shape(3));
    let base = batch * bias.stride(0) + head * bias.stride(1);
    let mut scratch = Shared::<[f32]>::new_slice(UNITS as usize);
    // Whole numbers up to 2^24 are exact in f32.
    let mut begin = keys;
    let mut end = 0usize;
    let mut blind = 0u32;
    for row in 0..comptime!(how.tile) {
        let query = tile * comptime!(how.tile) + row;
        if query < queries {
            let mut before = 0.0f32;
            let mut behind = 0.0f32;
            for key in range_stepped(UNIT_POS as usize, keys, CUBE_DIM as usize) {
                let value = bias[base + query * bias.stride(2) + key * bias.stride(3)];
                if f32::cast_from(value) > HIDDEN {
                    before = max(before, f32::cast_from(keys - key));
                    behind = f32::cast_from(key + 1);
                }
            }
            let before = usize::cast_from(cube_max(before, &mut scratch));
            let behind = usize::cast_from(cube_max(behind, &mut scratch));
            begin = min(begin, keys - before);
            end = max(end, behind);
            if behind == 0 {
                blind += 1;
            }
        }
    }
    if UNIT_POS == 0 {
        let at = batch * ranges.stride(0) + head * ranges.stride(1) + tile * ranges.stride(2);
        if blind > 0 {
            begin = 0usize;
            end = keys;
        }
        ranges[at] = u32::cast_from(begin);
        ranges[at + 1] = u32::cast_from(end);
    }
}

/// The same from the ranges of the queries: a unit for each tile.
#[cube(launch, address_type = "dynamic")]
pub(super) fn attention_visible_by_ranges<I: Int>(
    seen: &Tensor<I>,
    ranges: &mut Tensor<u32>,
    #[comptime] how: Tiling,
    #[define(I)] _dtype: ElemType,
) {
    let (queries, tiles) = (seen.shape(1), ranges.shape(2));
    let (sequence, tile) = (ABSOLUTE_POS / tiles, ABSOLUTE_POS % tiles);
    if sequence >= ranges.shape(0) {
        terminate!();
    }
    let first = tile * comptime!(how.tile);
    let at = sequence * seen.stride(0) + first * seen.stride(1);
    let mut begin = u32::cast_from(seen[at]);
    let mut end = u32::cast_from(seen[at + 1]);
    for row in 1..comptime!(how.tile) {
        if first + row < queries {
            let at = sequence * seen.stride(0) + (first + row) * seen.stride(1);
            begin = min(begin, u32::cast_from(seen[at]));
            end = max(end, u32::cast_from(seen[at + 1]));
        }
    }
    let at = sequence * ranges.stride(0) + tile * ranges.stride(2);
    ranges[at] = begin;
    ranges[at + 1] = end;
}

/// The keys that a tile of queries goes over.
#[cube]
pub(super) fn visible(
    ranges: &Tensor<u32>,
    batch: usize,
    head: usize,
    tile: usize,
    keys: usize,
    #[comptime] how: Tiling,
) -> (usize, usize) {
    let mut begin = 0usize;
    let mut end = keys;
    if comptime!(how.masked != Masked::No) {
        let at = batch * ranges.stride(0) + head * ranges.stride(1) + tile * ranges.stride(2);
        begin = usize::cast_from(ranges[at]);
        end = usize::cast_from(ranges[at + 1]);
    }
    (begin, end)
}
