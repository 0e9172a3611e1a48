//! The kernel of the output.

use burn_cubecl::cubecl;
use cubecl::prelude::*;

use super::tiles::{
    Place, Tiling, accumulate, here, load, own, place, products, score, store, unit_x, unit_y,
    zeros,
};
use super::visible::visible;

/// A cube for a tile of queries of a head.
#[cube(launch, address_type = "dynamic")]
pub(super) fn attention_forward<F: Float, I: Int>(
    query: &Tensor<F>,
    key: &Tensor<F>,
    value: &Tensor<F>,
    bias: &Tensor<F>,
    seen: &Tensor<I>,
    ranges: &Tensor<u32>,
    y: &mut Tensor<F>,
    rows: &mut Tensor<f32>,
    scale: f32,
    #[comptime] how: Tiling,
    #[define(F, I)] _dtypes: [ElemType; 2],
) {
    let (tile, head, batch) = here();
    let kv_head = head / (query.shape(1) / key.shape(1));
    let first = tile * comptime!(how.tile);
    let sizes = (query.shape(2), key.shape(2));
    let mut queries = Shared::<[f32]>::new_slice(comptime!(how.room()));
    let mut others = Shared::<[f32]>::new_slice(comptime!(how.room()));
    let mut weights = Shared::<[f32]>::new_slice(comptime!(how.room_of_scores()));
    // Of every query the largest score so far, and the factor by which a larger one shrinks what was summed.
    let mut largest = Shared::<[f32]>::new_slice(comptime!(how.tile));
    let mut shrink = Shared::<[f32]>::new_slice(comptime!(how.tile));
    load(query, batch, head, first, &mut queries, how);
    if UNIT_POS < comptime!(how.tile as u32) {
        largest[UNIT_POS as usize] = f32::MIN;
    }
    let mut sums = zeros(comptime!(how.share()));
    let mut totals = zeros(comptime!(how.own));
    let (begin, end) = visible(ranges, batch, head, tile, sizes.1, how);
    for at in range_stepped(begin, end, comptime!(how.tile)) {
        let place = place(scale, batch, head, first, at, sizes);
        sync_cube();
        load(key, batch, kv_head, at, &mut others, how);
        sync_cube();
        scores(&queries, &others, bias, seen, &place, &mut weights, how);
        sync_cube();
        raise(&weights, &mut largest, &mut shrink, how);
        load(value, batch, kv_head, at, &mut others, how);
        sync_cube();
        exponentials(&mut weights, &largest, how);
        sync_cube();
        add(&weights, &shrink, &mut totals, &mut sums, how);
        accumulate(&weights, &others, &mut sums, false, how);
    }
    keep(
        &mut sums,
        &totals,
        &largest,
        rows,
        batch * query.shape(1) + head,
        first,
        sizes.0,
        how,
    );
    store(&sums, y, batch, head, first, how);
}

/// The scores of a tile.
#[cube]
fn scores<F: Float, I: Int>(
    queries: &Shared<[f32]>,
    keys: &Shared<[f32]>,
    bias: &Tensor<F>,
    seen: &Tensor<I>,
    place: &Place,
    weights: &mut Shared<[f32]>,
    #[comptime] how: Tiling,
) {
    let found = products(queries, keys, how);
    #[unroll]
    for r in 0..comptime!(how.own) {
        let row = own(unit_y(how), r, how);
        #[unroll]
        for c in 0..comptime!(how.own) {
            let column = own(unit_x(how), c, how);
            let product = found[comptime!(r * how.own + c)];
            weights[row * comptime!(how.pitch_of_scores()) + column] =
                score(product, bias, seen, place, row, column, how);
        }
    }
}

/// The largest score of every query so far, one unit for each.
#[cube]
fn raise(
    weights: &Shared<[f32]>,
    largest: &mut Shared<[f32]>,
    shrink: &mut Shared<[f32]>,
    #[comptime] how: Tiling,
) {
    if UNIT_POS < comptime!(how.tile as u32) {
        let row = UNIT_POS as usize;
        let before = largest[row];
        let mut now = before;
        for column in 0..comptime!(how.tile) {
            let score = weights[row * comptime!(how.pitch_of_scores()) + column];
            if score > now {
                now = score;
            }
        }
        largest[row] = now;
        shrink[row] = (before - now).exp();
    }
}

/// Turns scores into weights that are not divided yet. What is no score has no weight, whatever the largest so far; a NaN is one.
#[cube]
fn exponentials(weights: &mut Shared<[f32]>, largest: &Shared<[f32]>, #[comptime] how: Tiling) {
    #[unroll]
    for r in 0..comptime!(how.own) {
        let row = own(unit_y(how), r, how);
        #[unroll]
        for c in 0..comptime!(how.own) {
            let column = own(unit_x(how), c, how);
            let at = row * comptime!(how.pitch_of_scores()) + column;
            let score = weights[at];
            let mut weight = (score - largest[row]).exp();
            // Not `!=`: devices may find a NaN neither equal nor unequal.
            if score == f32::MIN {
                weight = 0.0f32;
            }
            weights[at] = weight;
        }
    }
}

/// Shrinks what was summed, and adds a tile's weights to those of every query.
#[cube]
fn add(
    weights: &Shared<[f32]>,
    shrink: &Shared<[f32]>,
    totals: &mut Array<f32>,
    sums: &mut Array<f32>,
    #[comptime] how: Tiling,
) {
    #[unroll]
    for r in 0..comptime!(how.own) {
        let row = own(unit_y(how), r, how);
        let factor = shrink[row];
        let mut total = totals[r] * factor;
        for column in 0..comptime!(how.tile) {
            total += weights[row * comptime!(how.pitch_of_scores()) + column];
        }
        totals[r] = total;
        #[unroll]
        for c in 0..comptime!(how.columns) {
            sums[comptime!(r * how.columns + c)] *= factor;
        }
    }
}

/// Divides sums by their totals, and writes what the backward needs of every query.
#[cube]
fn keep(
    sums: &mut Array<f32>,
    totals: &Array<f32>,
    largest: &Shared<[f32]>,
    rows: &mut Tensor<f32>,
    head: usize,
    first: usize,
    queries: usize,
    #[comptime] how: Tiling,
) {
    #[unroll]
    for r in 0..comptime!(how.own) {
        let row = own(unit_y(how), r, how);
        let inverse = 1.0f32 / totals[r];
        #[unroll]
        for c in 0..comptime!(how.columns) {
            sums[comptime!(r * how.columns + c)] *= inverse;
        }
        if unit_x(how) == 0 && first + row < queries {
            let at = 2 * (head * queries + first + row);
            rows[at] = largest[row];
            rows[at + 1] = inverse;
        }
    }
}
